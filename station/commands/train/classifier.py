"""``karyoscan train classifier``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.options import DataOption, ResumeOption, SeedOption, data_root


def classifier(
    out: Annotated[Path, typer.Option(help="folder for checkpoints, cache and log")] = Path("training/classifier"),
    data: DataOption = None,
    minutes: Annotated[float, typer.Option(help="stop after this time", min=0.1)] = 50.0,
    resume: ResumeOption = True,
    seed: SeedOption = 20,
) -> None:
    """Train the chromosome classifier; resumable."""
    from station.training.nets import train_classifier

    train_classifier(data_root(data), out, minutes=minutes, resume=resume, seed=seed, progress=typer.echo)

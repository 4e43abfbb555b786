"""``karyoscan train detector``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.options import DataOption, ResumeOption, SeedOption, data_root


def detector(
    out: Annotated[Path, typer.Option(help="folder for checkpoints, cache and log")] = Path("training/detector"),
    data: DataOption = None,
    minutes: Annotated[float, typer.Option(help="stop after this time in all", min=0.1)] = 90.0,
    decay_steps: Annotated[
        int | None, typer.Option(help="take the rate to nothing in as many steps and write weights", min=1)
    ] = None,
    decay_from: Annotated[
        float, typer.Option(help="fraction of the rate a decay begins with", min=0.0, max=1.0)
    ] = 1.0,
    resume: ResumeOption = True,
    seed: SeedOption = 20,
) -> None:
    """Train the chromosome detector; resumable. Without --decay-steps the rate stays constant."""
    from station.training.nets import train_detector

    train_detector(
        data_root(data),
        out,
        minutes=minutes,
        decay_steps=decay_steps,
        decay_from=decay_from,
        resume=resume,
        seed=seed,
        progress=typer.echo,
    )

"""``karyoscan train finder``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.options import DataOption, ResumeOption, SeedOption, data_root


def finder(
    out: Annotated[Path, typer.Option(help="folder for crops, checkpoints, log and weights")] = Path(
        "training/finder"
    ),
    data: DataOption = None,
    minutes: Annotated[float, typer.Option(help="stop after this time in all", min=0.1)] = 45.0,
    resume: ResumeOption = True,
    seed: SeedOption = 20,
    from_casebook: Annotated[
        Path | None, typer.Option(help="run folder: learn from its reviewers' decisions")
    ] = None,
    prepare_only: Annotated[bool, typer.Option(help="compose fields and cut crops, train nothing")] = False,
) -> None:
    """Train the metaphase finder's net; resumable."""
    from station.training.finder import FinderTraining, train_finder

    request = FinderTraining(
        data_root(data),
        out,
        minutes=minutes,
        resume=resume,
        seed=seed,
        casebook=from_casebook,
        prepare_only=prepare_only,
    )
    train_finder(request, typer.echo)

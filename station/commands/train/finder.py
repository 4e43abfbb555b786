"""The command ``karyoscan train finder``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train_finder(
    out: Annotated[Path, typer.Option(help="folder for crops, checkpoints, log and weights")] = Path(
        "training/finder"
    ),
    data: Annotated[Path, typer.Option(envvar="KARYOSCAN_DATA", help="root of the data sets")] = Path(
        "../shared/data"
    ),
    minutes: Annotated[float, typer.Option(help="stop after this time in all", min=0.1)] = 45.0,
    resume: Annotated[bool, typer.Option(help="go on from the last checkpoint")] = True,
    seed: Annotated[int, typer.Option(help="seed of everything random")] = 20,
    from_casebook: Annotated[
        Path | None, typer.Option(help="run folder: learn from its reviewers' decisions")
    ] = None,
    prepare_only: Annotated[bool, typer.Option(help="compose fields and cut crops, train nothing")] = False,
) -> None:
    """Train the metaphase finder's net; resumable."""
    from station.training.finder import FinderTraining
    from station.training.finder import train_finder as train

    asked = FinderTraining(
        data,
        out,
        minutes=minutes,
        resume=resume,
        seed=seed,
        casebook=from_casebook,
        prepare_only=prepare_only,
    )
    train(asked, typer.echo)

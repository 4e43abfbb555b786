"""``karyoscan train peer``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.options import DataOption, data_root


def peer(
    out: Annotated[Path, typer.Option(help="folder for weights")] = Path("training/peer"),
    data: DataOption = None,
    minutes: Annotated[float, typer.Option(help="processor time of one thread", min=0.1)] = 20.0,
    cache: Annotated[Path | None, typer.Option(help="folder of prepared pictures")] = None,
) -> None:
    """Train a Faster R-CNN to compare with, on the detector's examples; needs torchvision."""
    from analysis.training.detector.peer import train_peer

    path = train_peer(data_root(data), out, minutes=minutes, cache_dir=cache, progress=typer.echo)
    typer.echo(f"weights and manifest: {path}")

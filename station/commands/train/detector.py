"""``karyoscan train detector``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.options import DataOption, ResumeOption, SeedOption, data_root


def detector(
    out: Annotated[
        Path | None,
        typer.Option(
            help="folder for checkpoints, cache and log; else training/detector, "
            "with --composed training/composed-detector"
        ),
    ] = None,
    data: DataOption = None,
    minutes: Annotated[float, typer.Option(help="stop after this time in all", min=0.1)] = 90.0,
    decay_steps: Annotated[
        int | None, typer.Option(help="take the rate to nothing in as many steps and write weights", min=1)
    ] = None,
    decay_from: Annotated[
        float, typer.Option(help="fraction of the rate a decay begins with", min=0.0, max=1.0)
    ] = 1.0,
    composed: Annotated[
        bool,
        typer.Option("--composed", help="learn from composed cells alone: no picture of the Tseng set is read"),
    ] = False,
    composed_fraction: Annotated[
        float, typer.Option(help="fraction of the examples that show composed cells", min=0.0, max=1.0)
    ] = 0.0,
    source: Annotated[
        list[str] | None,
        typer.Option(help="folder of the data root with single chromosomes to compose of; else gband612"),
    ] = None,
    drawers: Annotated[int, typer.Option(help="processes that compose cells ahead", min=0)] = 1,
    resume: ResumeOption = True,
    seed: SeedOption = 20,
) -> None:
    """Train the chromosome detector; resumable. Without --decay-steps the rate stays constant.

    It learns from real cells of the Tseng set; with --composed from cells composed of single chromosomes of
    gband612; with --composed-fraction from both.
    """
    from station.training.nets import train_detector

    train_detector(
        data_root(data),
        out or Path("training/composed-detector" if composed else "training/detector"),
        minutes=minutes,
        decay_steps=decay_steps,
        decay_from=decay_from,
        resume=resume,
        seed=seed,
        composed_fraction=1.0 if composed else composed_fraction,
        composed_sources=tuple(source or ()),
        drawers=drawers,
        progress=typer.echo,
    )

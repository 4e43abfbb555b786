"""``karyoscan train mask-net``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.options import DataOption, ResumeOption, SeedOption, data_root


def mask_net(
    out: Annotated[Path, typer.Option(help="folder for checkpoints, cache and log")] = Path("training/stream"),
    data: DataOption = None,
    steps: Annotated[int, typer.Option(help="steps of the whole training", min=1)] = 9000,
    minutes: Annotated[
        float, typer.Option(help="stop after this time; the same command continues", min=0.1)
    ] = 60.0,
    source: Annotated[
        list[str] | None,
        typer.Option(help="tseng, or a folder of crops; default tseng and gband612"),
    ] = None,
    resume: ResumeOption = True,
    seed: SeedOption = 33,
    threads: Annotated[int, typer.Option(help="of the nets", min=1)] = 2,
    drawers: Annotated[int, typer.Option(help="processes that draw scenes ahead", min=0)] = 1,
) -> None:
    """Train the net that parts piles into masks, on composed scenes; resumable, weights with the last step."""
    from analysis.parameters.weights import WEIGHTS_DIR
    from analysis.training.masks.singles import SOURCES
    from analysis.training.masks.trainer import StreamTrainSettings, train_stream

    settings = StreamTrainSettings(
        sources=tuple(source) if source else SOURCES, seed=seed, threads=threads, drawers=drawers
    )
    result = train_stream(
        data_root(data), out, steps=steps, minutes=minutes, resume=resume, settings=settings, progress=typer.echo
    )
    if result.weights_paths is None:
        typer.echo(f"step {result.steps} of {steps}; the same command continues")
    else:
        typer.echo(f"weights and manifests are in {out}; copy stream-*.* to {WEIGHTS_DIR} to ship them")

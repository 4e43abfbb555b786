"""``karyoscan train instance-masks``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.options import DataOption, ResumeOption, SeedOption, data_root


def instance_masks(
    out: Annotated[Path, typer.Option(help="folder for checkpoints, cache and log")] = Path(
        "training/instance_masks"
    ),
    data: DataOption = None,
    minutes: Annotated[float, typer.Option(help="time of all stable phases, or of the decay", min=0.1)] = 60.0,
    decay_steps: Annotated[
        int | None, typer.Option(help="branch a decay of as many steps off the last checkpoint", min=1)
    ] = None,
    resume: ResumeOption = True,
    seed: SeedOption = 41,
    threads: Annotated[int, typer.Option(help="of the net", min=1)] = 1,
    drawers: Annotated[int, typer.Option(help="processes that draw scenes ahead", min=0)] = 1,
) -> None:
    """Train the net that outlines chromosomes; resumable, weights at the end of a decay."""
    from analysis.parameters.weights import WEIGHTS_DIR
    from analysis.training.instance_masks.trainer import InstanceMaskTrainSettings, train_instance_masks

    result = train_instance_masks(
        data_root(data),
        out,
        minutes=minutes,
        decay_steps=decay_steps,
        resume=resume,
        settings=InstanceMaskTrainSettings(seed=seed, threads=threads, drawers=drawers),
        progress=typer.echo,
    )
    if result.weights_path is None:
        typer.echo(f"step {result.steps}; the same command continues, --decay-steps ends with weights")
    else:
        typer.echo(f"weights and manifest are in {out}; copy instance-masks.* to {WEIGHTS_DIR} to ship them")

"""The command ``karyoscan train plausibility``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from station.commands.options import DataOption, ProcessesOption, SeedOption, data_root
from station.commands.train.outputs import OutFolder, command_line, report_location


def plausibility(
    out: OutFolder = Path("training/plausibility"),
    data: DataOption = None,
    processes: ProcessesOption = 2,
    images: Annotated[int, typer.Option(help="pictures used, chosen at random", min=2)] = 300,
    seed: SeedOption = 7,
) -> None:
    """Fit what one chromosome and a right split look like, for the contours (train split; ten minutes)."""
    from analysis.training.fits.plausibility import fit_plausibility, write_plausibility

    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("pictures")
        fitted = fit_plausibility(
            data_root(data) / "tseng",
            images=images,
            seed=seed,
            workers=processes,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    typer.echo("  ".join(f"{name} {value:.4f}" for name, value in fitted.metrics.items()))
    command = command_line("plausibility", images=images, seed=seed)
    report_location(write_plausibility(fitted, out, seed=seed, command=command))

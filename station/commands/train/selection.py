"""``karyoscan train selection``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from station.commands.options import DataOption, data_root
from station.commands.train.outputs import command_line, report_location


def selection(
    out: Annotated[
        Path, typer.Option(help="folder for the parameter set, and for the proposals of the detector")
    ] = Path("training/selection"),
    data: DataOption = None,
    weights: Annotated[Path | None, typer.Option(help="folder of the detector's weights; the product's")] = None,
    limit: Annotated[int | None, typer.Option(help="only as many pictures, spread evenly", min=2)] = None,
    trials: Annotated[int, typer.Option(help="settings tried at the most", min=1)] = 80,
    missed_weight: Annotated[
        float,
        typer.Option("--missed-weight", "--missed-worth", min=0.1, help="of a missed chromosome, in false ones"),
    ] = 1.25,
) -> None:
    """Refit the initial selection of proposals, on the val split; for new weights of the detector."""
    from analysis.parameters.store import PARAMETERS_FOLDER
    from analysis.selection.initial_selection import load_selection_settings
    from analysis.training.fits.labelled_proposals import cached_proposals
    from analysis.training.fits.selection import (
        SelectionTargets,
        compare,
        figures,
        refit,
        write_selection,
    )

    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("proposals")
        cells = cached_proposals(
            data_root(data) / "tseng",
            "val",
            out,
            limit=limit,
            weights_folder=weights or PARAMETERS_FOLDER,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    start = load_selection_settings()
    aims = SelectionTargets(missed_weight)
    best = refit(cells, start, aims, most_trials=trials, progress=typer.echo)
    result = compare(cells, start, best)
    for name, table in (("before", result.before), ("after", result.after)):
        row = figures(table)
        typer.echo(f"{name:7}" + "".join(f"{key} {row[key]:.4f}  " for key in ("aer", "acc", "wcr")), nl=False)
        typer.echo(f"missed {row['missed']:.0f}  false {row['false']:.0f}")
    low, high = result.interval
    typer.echo(f"AER {result.aer_difference:+.4f} ({low:+.4f} to {high:+.4f}, by case), {len(cells)} cells")
    for field in fields(best):
        value = getattr(best, field.name)
        if value != getattr(start, field.name):
            typer.echo(f"    {field.name} {value:.3g}")
    if not result.no_worse:
        typer.echo("more errors than before for fewer missed ones: consider it before you take it")
    command = command_line("selection", limit=limit, trials=trials, missed_weight=missed_weight)
    report_location(write_selection(best, out, result=result, aims=aims, command=command))

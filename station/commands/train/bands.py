"""``karyoscan train bands``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.options import DataOption, data_root
from station.commands.train.outputs import OutFolder, command_line, report_location


def bands(
    data: DataOption = None,
    out: OutFolder = Path("training/bands"),
    step: Annotated[int, typer.Option(help="one of so many train cells", min=1)] = 2,
    cut: Annotated[int, typer.Option(help="pictures that are segmented by the software itself", min=1)] = 200,
) -> None:
    """Fit what normal homologues and the banding techniques look like (train splits, ten minutes)."""
    from analysis.karyotyping.pipeline import load_karyotyper
    from analysis.training.fits.banding_templates import learn_templates, write_templates
    from analysis.training.fits.reference_statistics import (
        fit_homologue_statistics,
        normal_cells,
        own_cut_cells,
        statistics_by_cuts,
        statistics_manifest,
        tseng_pictures,
        write_homologue_statistics,
    )

    root = data_root(data)
    command = command_line("bands", step=step, cut=cut)
    cells = list(normal_cells(root / "gband612", "train", step))
    pictures = tseng_pictures(root / "tseng", "train", cut)
    own_cells = list(own_cut_cells(pictures, load_karyotyper()))
    statistics = statistics_by_cuts(fit_homologue_statistics(cells), own_cells)
    manifest = statistics_manifest(
        statistics,
        cell_count=len(cells),
        own_cells=len(own_cells),
        settings={"step": step, "cut": cut},
        command=command,
    )
    report_location(write_homologue_statistics(statistics, out, manifest))
    report_location(write_templates(learn_templates(root, step=step), out, step=step, command=command))
    typer.echo(f"pairs are flagged from a score of {statistics.threshold:.2f}")

"""``karyoscan train confidence``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from station.commands.options import DataOption, ProcessesOption, data_root
from station.commands.train.outputs import OutFolder, command_line, parameters_folder, report_location
from station.training.portions import Portion, in_processes

if TYPE_CHECKING:
    from analysis.training.fits.cell_confidence import KaryotypedCell


def confidence(
    out: OutFolder = Path("training/cell-confidence"),
    data: DataOption = None,
    processes: ProcessesOption = 1,
) -> None:
    """Refit how likely a whole cell is right, after everything else was fitted (val split, minutes)."""
    from analysis.training.fits.cell_confidence import cross_validated_confidence, fit_confidence, write_confidence

    cells = in_processes(score_portion, data_root(data), processes)
    figures = cross_validated_confidence(cells)
    path = write_confidence(
        fit_confidence(cells), parameters_folder(out), figures=figures, command=command_line("confidence")
    )
    typer.echo("  ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    report_location(path)


def score_portion(portion: Portion) -> list[KaryotypedCell]:
    """Score the cells of a portion, in a process of its own."""
    import torch

    from analysis.karyotyping.pipeline import load_karyotyper
    from analysis.training.fits.cell_confidence import karyotyped_cells

    torch.set_num_threads(1)
    part = (portion.number, portion.count)
    return list(karyotyped_cells(portion.data, "val", load_karyotyper(), part=part))

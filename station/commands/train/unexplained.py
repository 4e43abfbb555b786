"""``karyoscan train unexplained``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from station.commands.options import DataOption, ProcessesOption, data_root
from station.commands.train.outputs import OutFolder, command_line, parameters_folder, report_location
from station.training.portions import Portion, in_processes

if TYPE_CHECKING:
    from analysis.training.fits.unexplained_stain import LabelledStain

FIT_IMAGES: Final = 320
"""Pictures of the fit split: missed chromosomes are rare, one in four cells."""


def unexplained(
    out: OutFolder = Path("training/unexplained-stain"),
    data: DataOption = None,
    processes: ProcessesOption = 1,
) -> None:
    """Refit which uncovered stain is a chromosome's, after the mask net changed (val and fit split, minutes)."""
    from analysis.training.fits.unexplained_stain import (
        cross_validated_stain,
        fit_unexplained_model,
        write_unexplained_model,
    )

    cells = in_processes(measure_portion, data_root(data), processes)
    figures = cross_validated_stain(cells)
    path = write_unexplained_model(
        fit_unexplained_model(cells), parameters_folder(out), figures=figures, command=command_line("unexplained")
    )
    typer.echo("  ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    report_location(path)


def measure_portion(portion: Portion) -> list[LabelledStain]:
    """Measure the cells of a portion, in a process of its own."""
    import torch

    from analysis.karyotyping.pipeline import load_karyotyper
    from analysis.training.fits.unexplained_stain import labelled_stain

    torch.set_num_threads(1)
    part, karyotyper = (portion.number, portion.count), load_karyotyper()
    cells = list(labelled_stain(portion.data, "val", karyotyper, part=part))
    return cells + list(labelled_stain(portion.data, "fit", karyotyper, limit=FIT_IMAGES, part=part))

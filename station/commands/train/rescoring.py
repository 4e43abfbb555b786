"""``karyoscan train rescoring``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from station.commands.options import DataOption, ProcessesOption, data_root
from station.commands.train.outputs import OutFolder, command_line, parameters_folder, report_location
from station.training.portions import Portion, in_processes

if TYPE_CHECKING:
    from analysis.training.fits.rescoring import ScoredProposals


def rescoring(
    out: OutFolder = Path("training/rescoring"),
    data: DataOption = None,
    processes: ProcessesOption = 1,
) -> None:
    """Refit the rescoring of proposals once their chromosomes are classified (val split, minutes)."""
    from analysis.training.fits.rescoring import cross_validated, fit_rescoring_model, write_rescoring_model

    cells = in_processes(score_portion, data_root(data), processes)
    figures = cross_validated(cells)
    path = write_rescoring_model(
        fit_rescoring_model(cells), parameters_folder(out), figures=figures, command=command_line("rescoring")
    )
    for name in ("first", "second"):
        typer.echo(f"{name:7}" + "  ".join(f"{key} {value:.4g}" for key, value in figures[name].items()))
    typer.echo(f"{figures['better']} cells better, {figures['worse']} worse, of {figures['cells']}")
    report_location(path)


def score_portion(portion: Portion) -> list[ScoredProposals]:
    """Score the cells of a portion, in a process of its own."""
    import torch

    from analysis.karyotyping.pipeline import load_karyotyper
    from analysis.training.fits.rescoring import score_proposals

    torch.set_num_threads(1)
    part = (portion.number, portion.count)
    return list(score_proposals(portion.data, "val", load_karyotyper(rescoring=False), part=part))

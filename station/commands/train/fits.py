"""The commands ``karyoscan train second-look`` and ``karyoscan train confidence``."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from station.commands.train.outputs import (
    DEFAULT_DATA,
    DataFolder,
    OutFolder,
    Processes,
    command_line,
    parameters_folder,
    tell_where,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from analysis.training.fits.cell_confidence import JudgedCell
    from analysis.training.fits.rescoring import ScoredProposals

Cell = TypeVar("Cell")


def train_second_look(
    out: OutFolder = Path("training/rescoring"),
    data: DataFolder = DEFAULT_DATA,
    processes: Processes = 1,
) -> None:
    """Refit how a cut is looked at again once its chromosomes were classified (val split, minutes)."""
    from analysis.training.fits.rescoring import cross_validated, fit_rescoring_model, write_rescoring_model

    cells = _in_processes(_proposed, data, processes)
    figures = cross_validated(cells)
    path = write_rescoring_model(
        fit_rescoring_model(cells), parameters_folder(out), figures=figures, command=command_line("second-look")
    )
    for name in ("first", "second"):
        typer.echo(f"{name:7}" + "  ".join(f"{key} {value:.4g}" for key, value in figures[name].items()))
    typer.echo(f"{figures['better']} cells better, {figures['worse']} worse, of {figures['cells']}")
    tell_where(path)


def train_confidence(
    out: OutFolder = Path("training/cell-confidence"),
    data: DataFolder = DEFAULT_DATA,
    processes: Processes = 1,
) -> None:
    """Refit how likely a whole cell is right, after everything else was fitted (val split, minutes)."""
    from analysis.training.fits.cell_confidence import cross_validated_confidence, fit_confidence, write_confidence

    cells = _in_processes(_judged, data, processes)
    figures = cross_validated_confidence(cells)
    path = write_confidence(
        fit_confidence(cells), parameters_folder(out), figures=figures, command=command_line("confidence")
    )
    typer.echo("  ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    tell_where(path)


def _in_processes(work: Callable[[tuple[Path, int, int]], list[Cell]], data: Path, processes: int) -> list[Cell]:
    jobs = [(data, number, processes) for number in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return [cell for part in pool.map(work, jobs) for cell in part]


def _proposed(job: tuple[Path, int, int]) -> list[ScoredProposals]:
    import torch

    from analysis.karyotyping.pipeline import load_karyotyper
    from analysis.training.fits.rescoring import score_proposals

    data, number, count = job
    torch.set_num_threads(1)
    return list(score_proposals(data, "val", load_karyotyper(second_look=False), part=(number, count)))


def _judged(job: tuple[Path, int, int]) -> list[JudgedCell]:
    import torch

    from analysis.karyotyping.pipeline import load_karyotyper
    from analysis.training.fits.cell_confidence import judged_cells

    data, number, count = job
    torch.set_num_threads(1)
    return list(judged_cells(data, "val", load_karyotyper(), part=(number, count)))

"""The commands ``karyoscan train fusion`` and ``karyoscan train assignment``."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from station.commands.options import DataOption, ProcessesOption, data_root
from station.commands.train.outputs import OutFolder, command_line, report_location

if TYPE_CHECKING:
    from analysis.training.fits.cell_evidence import LabelledEvidence

Limit = Annotated[int | None, typer.Option(help="only as many pictures, spread evenly", min=2)]


def fusion(
    out: OutFolder = Path("training/fusion"),
    data: DataOption = None,
    processes: ProcessesOption = 1,
    limit: Limit = None,
) -> None:
    """Fit how the evidence of both nets is fused (val split; five minutes with one process)."""
    from analysis.assignment.joint_assignment import load_assignment_costs
    from analysis.training.fits.fusion import cross_validated_fusion, fit_fusion, write_fusion

    cells = _evidence(data_root(data), processes, limit)
    costs = load_assignment_costs()
    figures = cross_validated_fusion(cells, costs)
    weights = fit_fusion(cells, costs)
    typer.echo(f"{weights}")
    typer.echo("  ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    command = command_line("fusion", limit=limit)
    report_location(write_fusion(weights, out, cell_count=len(cells), figures=figures, command=command))


def assignment(
    out: OutFolder = Path("training/assignment-costs"),
    data: DataOption = None,
    processes: ProcessesOption = 1,
    limit: Limit = None,
) -> None:
    """Fit the costs of the joint assignment, after the fusion (val split; ten minutes with one process)."""
    from analysis.assignment.joint_assignment import load_assignment_costs
    from analysis.classification.fusion import load_fusion_weights
    from analysis.training.fits.assignment_costs import (
        cells_to_assign,
        cost_figures,
        fit_assignment_costs,
        write_assignment_costs,
    )

    evidence = _evidence(data_root(data), processes, limit)
    cells = cells_to_assign(evidence, load_fusion_weights())
    start = load_assignment_costs()
    costs = fit_assignment_costs(cells, start)
    figures = cost_figures(cells, costs)
    for name, each in (("before", cost_figures(cells, start)), ("after", figures)):
        typer.echo(f"{name:7}" + "  ".join(f"{key} {value:.4f}" for key, value in each.items()))
    typer.echo(f"{costs}")
    command = command_line("assignment", limit=limit)
    report_location(write_assignment_costs(costs, out, cell_count=len(evidence), figures=figures, command=command))


def _evidence(data: Path, processes: int, limit: int | None) -> list[LabelledEvidence]:
    if processes == 1:
        return _collected((data, limit, 0, 1))
    jobs = [(data, limit, number, processes) for number in range(processes)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return [cell for part in pool.map(_collected, jobs) for cell in part]


def _collected(job: tuple[Path, int | None, int, int]) -> list[LabelledEvidence]:
    import torch

    from analysis.classification.classifier import Classifier
    from analysis.segmentation.segmenter import load_detector_segmenter
    from analysis.training.fits.cell_evidence import collect_evidence

    data, limit, number, count = job
    if count > 1:
        torch.set_num_threads(1)
    return list(
        collect_evidence(
            data, "val", Classifier.load(), load_detector_segmenter(), part=(number, count), limit=limit
        )
    )

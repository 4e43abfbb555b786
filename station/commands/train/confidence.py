"""``karyoscan train confidence``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.train.outputs import (
    FormerData,
    FormerProcesses,
    OutFolder,
    command_line,
    parameters_folder,
    report_location,
)


def confidence(
    out: OutFolder = Path("training/cell-confidence"),
    proposals: Annotated[Path, typer.Option(help="folder that `karyoscan train proposals` filled")] = Path(
        "training/proposals"
    ),
    rescoring: Annotated[Path, typer.Option(help="folder of `karyoscan train rescoring`")] = Path(
        "training/rescoring"
    ),
    processes: FormerProcesses = None,
    data: FormerData = None,
) -> None:
    """Refit how likely a whole cell is right, after everything else was fitted (fit split, minutes)."""
    import torch

    from analysis.classification.classifier import Classifier
    from analysis.classification.fusion import load_fusion_weights
    from analysis.selection.rescoring import load_rescoring_model
    from analysis.training.fits.cell_confidence import (
        confidence_figures,
        cross_validated_probability,
        fit_confidence,
        write_confidence,
    )
    from analysis.training.selection.assigned import assign_cell
    from analysis.training.selection.fit import selections_of
    from analysis.training.selection.gather import read_gathered
    from analysis.training.selection.rescoring_fit import held_out_energies, prepare_split

    torch.set_num_threads(1)
    classifier, fusion = Classifier.load(), load_fusion_weights()
    ensemble = load_rescoring_model(rescoring).ensemble
    prescreen = ensemble.prescreen_weights.numpy()
    split = prepare_split(read_gathered(proposals, "fit"), prescreen, classifier, fusion, with_moves=False)
    energies = held_out_energies(ensemble, split.cells)
    selections = selections_of(energies, split.cells)
    cells = [
        assign_cell(cell, energy, selected, classifier, fusion)
        for cell, energy, selected in zip(split.cells, energies, selections, strict=True)
    ]
    figures = confidence_figures(cells, cross_validated_probability(cells))
    path = write_confidence(
        fit_confidence(cells), parameters_folder(out), figures=figures, command=command_line("confidence")
    )
    typer.echo("  ".join(f"{key} {value:.4g}" for key, value in figures.items()))
    report_location(path)

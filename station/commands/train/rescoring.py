"""``karyoscan train rescoring``."""

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


def rescoring(
    out: OutFolder = Path("training/rescoring"),
    proposals: Annotated[
        Path, typer.Option(help="folder that `karyoscan train proposals` filled with the splits fit and val")
    ] = Path("training/proposals"),
    epochs: Annotated[int, typer.Option(help="passes over all cells", min=1)] = 14,
    folds: Annotated[
        int, typer.Option(help="nets, each fitted to the cases of all other folds; their mean ships", min=2)
    ] = 4,
    processes: FormerProcesses = None,
    data: FormerData = None,
) -> None:
    """Refit the rescoring of proposals once their chromosomes are classified (fit split, half an hour)."""
    import torch

    from analysis.classification.classifier import Classifier
    from analysis.classification.fusion import load_fusion_weights
    from analysis.errors import DatasetError
    from analysis.training.selection.fit import SelectionFitSettings
    from analysis.training.selection.gather import read_gathered
    from analysis.training.selection.prescreen import fit_prescreen
    from analysis.training.selection.rescoring_fit import (
        fit_folds,
        prepare_split,
        rescoring_figures,
        write_rescoring_model,
    )

    torch.set_num_threads(1)
    if next(read_gathered(proposals, "fit"), None) is None:
        raise DatasetError(
            "no proposals by the weights in use: run `karyoscan train proposals` first", path=proposals
        )
    prescreen = fit_prescreen(read_gathered(proposals, "fit"))
    classifier, fusion = Classifier.load(), load_fusion_weights()
    fit = prepare_split(read_gathered(proposals, "fit"), prescreen, classifier, fusion, with_moves=True)
    val = prepare_split(read_gathered(proposals, "val"), prescreen, classifier, fusion, with_moves=False)
    settings = SelectionFitSettings(epochs=epochs)
    command = " && ".join(
        (
            "karyoscan train proposals --split fit",
            "karyoscan train proposals --split val",
            command_line("rescoring", epochs=epochs, folds=folds),
        )
    )
    ensemble = fit_folds(fit, prescreen, settings, folds=folds, progress=typer.echo)
    figures = rescoring_figures(ensemble, fit, val)
    for name, each in figures.items():
        typer.echo(f"{name:16}{each.text()}")
    path = write_rescoring_model(
        ensemble, parameters_folder(out), settings=settings, figures=figures, command=command
    )
    report_location(path)

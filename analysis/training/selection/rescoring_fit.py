"""The whole fit of the rescoring: cells made ready, a net a fold of cases, the weights of all together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.classification.classifier import Classifier
from analysis.classification.fusion import FusionWeights
from analysis.nets.selection_net import SelectionEnsemble, SelectionNet
from analysis.parameters.manifest import Manifest, ParameterKind
from analysis.parameters.names import ParameterSetName
from analysis.parameters.weights import write_weights
from analysis.selection.energy import SelectionEnergy
from analysis.selection.features import FEATURE_NAMES
from analysis.selection.inputs import PAIR_INPUTS, PROPOSAL_INPUTS
from analysis.selection.rescoring import INPUT_COLUMNS
from analysis.training.fits.case_folds import case_folds
from analysis.training.selection.aneuploid_cells import aneuploid_cell
from analysis.training.selection.figures import SelectionFigures, selection_figures
from analysis.training.selection.fit import SelectionFitSettings, energies_of, fit_selection_net, selections_of
from analysis.training.selection.prepared import Moves, PreparedCell, moves_of, prepare_cell
from analysis.training.selection.selection_example import SelectionExample

_FOLDS_SEED: Final = 5


@dataclass(frozen=True, slots=True)
class PreparedSplit:
    """Cells of a split.

    Attributes
    ----------
    cells
        Prepared.
    moves
        Of each; empty where nothing is fitted to the split.
    """

    cells: tuple[PreparedCell, ...]
    moves: tuple[Moves, ...]


def prepare_split(
    examples: Iterable[SelectionExample],
    prescreen_weights: NDArray[np.float64],
    classifier: Classifier,
    fusion: FusionWeights,
    *,
    with_moves: bool,
) -> PreparedSplit:
    """Prepare the cells of a split.

    Parameters
    ----------
    examples
        As gathered.
    prescreen_weights, classifier, fusion
        See `prepare_cell`.
    with_moves
        Whether nets are fitted to them.
    """
    cells, moves = [], []
    for number, example in enumerate(examples):
        cell = prepare_cell(example, prescreen_weights, classifier, fusion)
        cells.append(cell)
        if with_moves:
            moves.append(moves_of(cell, np.random.default_rng(number)))
    return PreparedSplit(tuple(cells), tuple(moves))


def with_aneuploid_cells(split: PreparedSplit, seed: int) -> PreparedSplit:
    """Add as many cells with a chromosome more or less, made of those of the split.

    Parameters
    ----------
    split
        Cells that a net is fitted to.
    seed
        Of what is taken out and put in.
    """
    rng = np.random.default_rng(seed)
    made = tuple(aneuploid_cell(cell, split.cells, rng) for cell in split.cells)
    moves = tuple(moves_of(cell, rng) for cell in made)
    return PreparedSplit(split.cells + made, split.moves + moves)


def fit_folds(
    split: PreparedSplit,
    prescreen_weights: NDArray[np.float64],
    settings: SelectionFitSettings,
    *,
    folds: int,
    progress: Callable[[str], None] | None = None,
) -> SelectionEnsemble:
    """Fit a net a fold, each to the cells of the other folds' cases; all together are the model that ships.

    Parameters
    ----------
    split
        The cells.
    prescreen_weights
        Of the prescreen that the cells were prepared with.
    settings
        How a net learns.
    folds
        How many nets.
    progress
        Called with a line now and then.
    """
    ensemble = SelectionEnsemble(**_arguments(settings, folds))
    fold = _folds_of(split.cells, folds)
    for number in range(folds):
        others = np.flatnonzero(fold != number)
        rest = PreparedSplit(tuple(split.cells[k] for k in others), tuple(split.moves[k] for k in others))
        both = with_aneuploid_cells(rest, settings.seed)
        net = fit_selection_net(both.cells, both.moves, settings)
        ensemble.members[number].load_state_dict(net.state_dict())
        held_out = [split.cells[k] for k in np.flatnonzero(fold == number)]
        if progress is not None and held_out:
            figures = selection_figures(held_out, selections_of(energies_of([net], held_out), held_out))
            progress(f"fold {number + 1} of {folds}: {figures.text()}")
    ensemble.prescreen_weights.copy_(torch.from_numpy(prescreen_weights))
    return ensemble.eval()


def held_out_energies(ensemble: SelectionEnsemble, cells: Sequence[PreparedCell]) -> list[SelectionEnergy]:
    """Energies of cells, each by the net of `fit_folds` that wasn't fitted to its case.

    Parameters
    ----------
    ensemble
        A net a fold.
    cells
        All cells that the nets were fitted to.
    """
    nets = _members(ensemble)
    fold = _folds_of(cells, len(nets))
    return [energies_of([nets[number]], [cell])[0] for cell, number in zip(cells, fold, strict=True)]


def rescoring_figures(
    ensemble: SelectionEnsemble, fit: PreparedSplit, val: PreparedSplit
) -> dict[str, SelectionFigures]:
    """Measure the nets of `fit_folds`, and the first pass beside them.

    Parameters
    ----------
    ensemble
        The nets.
    fit
        What they were fitted to: each cell is measured by the net that wasn't fitted to its case.
    val
        Other cells, measured by the mean of the nets; may be empty.

    Returns
    -------
    dict
        ``initial`` and ``cross_validated``; where there are other cells, ``val_initial`` and ``val``.
    """
    initial = selection_figures(fit.cells, [cell.initial for cell in fit.cells])
    selections = selections_of(held_out_energies(ensemble, fit.cells), fit.cells)
    figures = {"initial": initial, "cross_validated": selection_figures(fit.cells, selections)}
    if val.cells:
        figures["val_initial"] = selection_figures(val.cells, [cell.initial for cell in val.cells])
        selections = selections_of(energies_of(_members(ensemble), val.cells), val.cells)
        figures["val"] = selection_figures(val.cells, selections)
    return figures


def write_rescoring_model(
    ensemble: SelectionEnsemble,
    folder: Path,
    *,
    settings: SelectionFitSettings,
    figures: Mapping[str, SelectionFigures],
    command: str,
) -> Path:
    """Write the parameter set ``rescoring``.

    Parameters
    ----------
    ensemble
        The fitted nets.
    folder
        Gets content and manifest.
    settings
        How the nets learned.
    figures
        By what they are of.
    command
        The command line that makes them again.
    """
    metrics = {key: value for group, each in figures.items() for key, value in each.metrics(group).items()}
    cells = max((each.cells for each in figures.values()), default=0)
    manifest = Manifest(
        name=ParameterSetName.RESCORING,
        kind=ParameterKind.NET,
        net=SelectionEnsemble.__name__,
        arguments=_arguments(settings, len(ensemble.members)),
        columns=dict(INPUT_COLUMNS),
        data={"tseng pictures": cells},
        split="tseng fit (by case)",
        command=command,
        settings=asdict(settings),
        metrics=metrics,
        seed=settings.seed,
        steps=settings.epochs,
    )
    return write_weights(folder, ensemble.state_dict(), manifest)


def _folds_of(cells: Sequence[PreparedCell], folds: int) -> NDArray[np.int64]:
    return case_folds([cell.case for cell in cells], folds, seed=_FOLDS_SEED)


def _members(ensemble: SelectionEnsemble) -> list[SelectionNet]:
    return [member for member in ensemble.members if isinstance(member, SelectionNet)]


def _arguments(settings: SelectionFitSettings, members: int) -> dict[str, int]:
    return {
        "members": members,
        "features": len(FEATURE_NAMES),
        "inputs": len(PROPOSAL_INPUTS),
        "pair_inputs": len(PAIR_INPUTS),
        "size": settings.size,
        "layers": settings.layers,
        "heads": settings.heads,
    }

"""Make probabilities mean what they say, and tune the prices of the joint assignment, on the validation split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from analysis.assignment.joint_assignment import AssignmentCosts, assign
from analysis.classification.classifier import scores_from_logits
from analysis.datasets.labelled_cells import NO_CHROMOSOME
from analysis.structures.classes import CLASS_NAMES, UNCLASSIFIED
from analysis.training.classifier.crops import ClassifierCropTable

TEMPERATURE_RANGE = (0.3, 3.0)
SHARPNESS_RANGE = (0.1, 3.0)
_ROUNDS = 2
CELL_MINIMUM = 30
"""Cells with fewer known chromosomes aren't whole enough to be assigned jointly."""


FLUORESCENT = frozenset({"bioimlab", "mfish"})
"""Sources where "no single chromosome" wasn't learned and isn't used."""


@dataclass(frozen=True, slots=True)
class ScoredCell:
    """Scores of a cell's objects and their true classes (24: no single chromosome, -1: unknown)."""

    log_prob: NDArray[np.float32]
    log_none: NDArray[np.float32]
    classes: NDArray[np.int64]


def fit_temperature(logits: Tensor, labels: NDArray[np.int64]) -> float:
    """Temperature of least negative log likelihood (Guo et al., 2017).

    Parameters
    ----------
    logits
        Shape (n, 49).
    labels
        int64, shape (n,), 24 for no single chromosome; -1 is passed over.
    """
    logits, labels = logits[torch.from_numpy(labels >= 0)], labels[labels >= 0]

    def loss(log_temperature: float) -> float:
        scores = scores_from_logits(logits, float(np.exp(log_temperature)))
        real = labels < NO_CHROMOSOME
        rows = np.flatnonzero(real)
        likelihood = scores.log_prob[rows, labels[real]] + np.log1p(-np.exp(scores.log_none[real]) + 1e-9)
        return -float(likelihood.sum() + scores.log_none[~real].sum()) / len(labels)

    bounds = (float(np.log(TEMPERATURE_RANGE[0])), float(np.log(TEMPERATURE_RANGE[1])))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def scored_cells(
    table: ClassifierCropTable, logits: Tensor, temperature: float, *, refuses: bool = True
) -> list[ScoredCell]:
    """Scores of a table, cell by cell.

    Parameters
    ----------
    table
        Crops of whole cells, n in all.
    logits
        float32, shape (n, 49).
    temperature
        Divides the logits.
    refuses
        False where "no single chromosome" is never said.
    """
    scores = scores_from_logits(logits, temperature)
    log_none = scores.log_none if refuses else np.full_like(scores.log_none, -np.inf)
    cells = []
    for number in np.unique(table.cells):
        rows = np.flatnonzero(table.cells == number)
        labels = table.classes[rows]
        if np.count_nonzero((labels >= 0) & (labels < NO_CHROMOSOME)) >= CELL_MINIMUM:
            cells.append(ScoredCell(scores.log_prob[rows], log_none[rows], labels))
    return cells


def with_aneuploid(scored: Sequence[ScoredCell], seed: int) -> list[ScoredCell]:
    """The cells, and as many again with a chromosome taken away, added from another cell, or both.

    Parameters
    ----------
    scored
        Normal cells.
    seed
        Seed of the changes.
    """
    rng = np.random.default_rng(seed)
    changed = []
    for number, original in enumerate(scored):
        cell, kind = original, number % 3
        if kind in (0, 2):
            keep = np.arange(len(cell.classes)) != rng.integers(len(cell.classes))
            cell = ScoredCell(cell.log_prob[keep], cell.log_none[keep], cell.classes[keep])
        if kind in (1, 2):
            cell = _joined(cell, scored[int(rng.integers(len(scored)))], rng)
        changed.append(cell)
    return [*scored, *changed]


def _joined(scored_cell: ScoredCell, donor: ScoredCell, rng: np.random.Generator) -> ScoredCell:
    row = slice(at := int(rng.integers(len(donor.classes))), at + 1)
    return ScoredCell(
        np.concatenate([scored_cell.log_prob, donor.log_prob[row]]),
        np.concatenate([scored_cell.log_none, donor.log_none[row]]),
        np.concatenate([scored_cell.classes, donor.classes[row]]),
    )


def assignment_score(scored: Iterable[ScoredCell], prices: AssignmentCosts) -> tuple[float, float]:
    """Fractions of objects rightly classed (or rightly left out), and of cells without a mistake.

    Parameters
    ----------
    scored
        Their scores and labels.
    prices
        Of the assignment.
    """
    right, cells_right = [], []
    for cell in scored:
        good = _right(cell, assign(cell.log_prob, cell.log_none, prices, margins=False).classes)
        right += list(good)
        cells_right.append(bool(good.all()))
    return float(np.mean(right)), float(np.mean(cells_right))


def class_accuracy(scored: Iterable[ScoredCell], prices: AssignmentCosts) -> float:
    """Fraction of the labelled chromosomes that the joint assignment gives their class.

    Parameters
    ----------
    scored
        Their scores and labels.
    prices
        Of the assignment.
    """
    right = []
    for cell in scored:
        found = assign(cell.log_prob, cell.log_none, prices, margins=False).classes
        known = (cell.classes >= 0) & (cell.classes < NO_CHROMOSOME)
        right += [found[row] == CLASS_NAMES[cell.classes[row]] for row in np.flatnonzero(known)]
    return float(np.mean(right)) if right else float("nan")


def _right(scored_cell: ScoredCell, assigned: Sequence[str]) -> NDArray[np.bool_]:
    """Whether the objects of known class, or known to be none, got what they are."""
    rows = np.flatnonzero(scored_cell.classes >= 0)
    truth = [CLASS_NAMES[k] if k < NO_CHROMOSOME else UNCLASSIFIED for k in scored_cell.classes[rows]]
    return np.array([assigned[int(row)] == name for row, name in zip(rows, truth, strict=True)], dtype=np.bool_)


def tune_costs(
    scored: Sequence[ScoredCell], grid: Mapping[str, Sequence[float]], initial_costs: AssignmentCosts
) -> AssignmentCosts:
    """Choose costs one after the other, twice around, by the fractions of objects and of cells that are right.

    Parameters
    ----------
    scored
        Normal and aneuploid cells, see `with_aneuploid`.
    grid
        Values to try of each cost, by its name.
    initial_costs
        Where the search begins; what gains nothing stays as it is there.
    """
    best, most = initial_costs, sum(assignment_score(scored, initial_costs))
    for _ in range(_ROUNDS):
        for name, values in grid.items():
            for value in values:
                trial = replace(best, **{name: value})
                score = most if trial == best else sum(assignment_score(scored, trial))
                if score > most:
                    best, most = trial, score
    return best


def fit_sharpness(scored: Iterable[ScoredCell], prices: AssignmentCosts) -> float:
    """Sharpness with which the probabilities of an assignment fit how often it is right.

    Parameters
    ----------
    scored
        Their scores and labels.
    prices
        Of the assignment; their sharpness is passed over.
    """
    margins, right = [], []
    plain = replace(prices, sharpness=1.0)
    for cell in scored:
        result = assign(cell.log_prob, cell.log_none, plain)
        probability = np.clip(result.probability.astype(np.float64), 0.5, 1 - 1e-12)
        margins.append(np.log(probability / (1 - probability))[cell.classes >= 0])
        right.append(_right(cell, result.classes))
    margin, good = np.concatenate(margins), np.concatenate(right)

    def loss(sharpness: float) -> float:
        odds = sharpness * margin
        return float(np.mean(np.where(good, np.logaddexp(0, -odds), np.logaddexp(0, odds))))

    return float(minimize_scalar(loss, bounds=SHARPNESS_RANGE, method="bounded").x)


def calibrate(
    tables: Mapping[str, ClassifierCropTable], logits: Mapping[str, Tensor], prices: AssignmentCosts
) -> dict[str, float]:
    """Temperature and sharpness over all sources of a validation split.

    Parameters
    ----------
    tables
        Crops of whole cells, by source.
    logits
        Of every source float32, shape (n, 49).
    prices
        Of the assignment.

    Returns
    -------
    dict
        ``temperature`` and ``sharpness``, rounded; empty where there is nothing to calibrate on.
    """
    # Drawn chromosomes are easier than real ones and would make the probabilities too proud.
    names = [name for name in tables if not name.startswith("rendered")] or list(tables)
    if not names:
        return {}
    classes = np.concatenate([tables[name].classes for name in names])
    temperature = fit_temperature(torch.cat([logits[name] for name in names]), classes)
    cells = [
        cell
        for name in names
        for cell in scored_cells(tables[name], logits[name], temperature, refuses=name not in FLUORESCENT)
    ]
    found = {"temperature": round(temperature, 3)}
    if cells:
        found["sharpness"] = round(fit_sharpness(cells, prices), 3)
    return found

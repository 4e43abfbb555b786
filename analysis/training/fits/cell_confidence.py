"""Fit how likely whole cells are right, on cells whose selection was made by nets that weren't fitted to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.karyotyping.cell_confidence import SIGNS, CellConfidence
from analysis.karyotyping.review_settings import ReviewSettings
from analysis.metrics.statistics import auc
from analysis.parameters.manifest import Manifest, ParameterKind
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import write_parameters
from analysis.training.fits.case_folds import case_folds
from analysis.training.fits.ridge import WRITTEN_DECIMALS, ridge_logistic

_RIDGE: Final = 1.0
_FOLDS: Final = 8
_SEED: Final = 3

Floats = NDArray[np.float64]


class CellWithSigns(Protocol):
    """A karyotyped cell with the truth, such as an `AssignedCell`."""

    @property
    def case(self) -> str:
        """Patient."""
        ...

    @property
    def signs(self) -> Floats:
        """See `cell_signs`."""
        ...

    @property
    def right(self) -> bool:
        """Whether every true chromosome was found and has its class, and nothing else has one."""
        ...

    @property
    def aneuploid_called_normal(self) -> bool:
        """Whether the labels are other than 46,XX or 46,XY, and the classes are one of these."""
        ...


def fit_confidence(measured_cells: Sequence[CellWithSigns]) -> CellConfidence:
    """Fit the weights (logistic regression with a ridge)."""
    rows = np.stack([cell.signs for cell in measured_cells])
    right = np.asarray([cell.right for cell in measured_cells], np.float64)
    return CellConfidence(ridge_logistic(rows, right, _RIDGE))


def cross_validated_probability(measured_cells: Sequence[CellWithSigns]) -> Floats:
    """Confidence in each cell, shape (n,): each case's by weights fitted on the other cases."""
    folds = case_folds([cell.case for cell in measured_cells], _FOLDS, seed=_SEED)
    probability = np.zeros(len(measured_cells))
    for number in np.unique(folds):
        own = folds == number
        weights = fit_confidence([cell for cell, held in zip(measured_cells, own, strict=True) if not held])
        for place in np.flatnonzero(own):
            probability[place] = weights.of(measured_cells[int(place)].signs)
    return probability


def confidence_figures(
    measured_cells: Sequence[CellWithSigns],
    probability: Floats,
    *,
    least: float = ReviewSettings().auto_cell_from,
) -> dict[str, Any]:
    """Measure confidences.

    Parameters
    ----------
    measured_cells
        Karyotyped cells with the truth.
    probability
        Shape (n,): confidence in each.
    least
        Confidence from which a cell counts as sure.

    Returns
    -------
    dict
        ``cells``; ``right`` fraction; ``auc``; ``brier``; ``sure`` fraction of cells of at least that confidence,
        how many of those are wrong, ``sure_wrong``, and how many aneuploid ones are called normal,
        ``sure_called_normal``; the same of all cells, ``called_normal``.
    """
    right = np.asarray([cell.right for cell in measured_cells], np.bool_)
    called_normal = np.asarray([cell.aneuploid_called_normal for cell in measured_cells], np.bool_)
    sure = probability >= least
    return {
        "cells": len(measured_cells),
        "right": float(right.mean()),
        "auc": auc(probability, right),
        "brier": float(((probability - right) ** 2).mean()),
        "sure": float(sure.mean()),
        "sure_wrong": int(np.count_nonzero(sure & ~right)),
        "called_normal": int(np.count_nonzero(called_normal)),
        "sure_called_normal": int(np.count_nonzero(sure & called_normal)),
    }


def write_confidence(
    confidence: CellConfidence, folder: Path, *, figures: Mapping[str, Any], command: str
) -> Path:
    """Write the parameter set ``cell-confidence``.

    Parameters
    ----------
    confidence
        The fitted weights.
    folder
        Gets content and manifest.
    figures
        As `confidence_figures` returns them.
    command
        The command line that makes them again.

    Returns
    -------
    Path
        The content file.
    """
    manifest = Manifest(
        name=ParameterSetName.CELL_CONFIDENCE,
        kind=ParameterKind.COEFFICIENTS,
        columns={"weights": list(SIGNS)},
        data={"tseng pictures": int(figures["cells"])},
        split="tseng fit (by case); figures cross-validated over its cases",
        command=command,
        settings={"ridge": _RIDGE, "folds": _FOLDS},
        metrics={name: float(value) for name, value in figures.items()},
        seed=_SEED,
        steps=0,
    )
    return write_parameters(folder, {"weights": np.round(confidence.weights, WRITTEN_DECIMALS)}, manifest)

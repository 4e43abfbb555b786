"""Fit how the evidence of classifier and detector is fused, by likelihood on cells neither net learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from analysis.assignment.joint_assignment import AssignmentCosts
from analysis.classification.fusion import FusionWeights, none_evidence
from analysis.datasets.labelled_cells import NO_CHROMOSOME
from analysis.errors import DatasetError
from analysis.parameters.manifest import Manifest, ParameterKind
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import write_coefficients
from analysis.training.classifier.calibration import assignment_score, fit_sharpness
from analysis.training.fits.case_folds import case_folds
from analysis.training.fits.cell_evidence import CellEvidence, LabelledEvidence
from analysis.training.fits.ridge import ridge_logistic

_RIDGE: Final = 1.0
"""Weak: thousands of objects against two coefficients. It keeps them finite where the two kinds part wholly."""
_FOLDS: Final = 4
_SEED: Final = 11
_DECIMALS: Final = 2
"""Of the written weights: likelihood is flat far beyond that (ADR 18)."""

Floats = NDArray[np.float64]


def fit_fusion(labelled_evidence: Sequence[LabelledEvidence], costs: AssignmentCosts) -> FusionWeights:
    """Fit all weights: those of the classes first, then of "no single chromosome", then both sharpnesses.

    Parameters
    ----------
    labelled_evidence
        Of cases that neither net learned from.
    costs
        Of the joint assignment, whose margins the sharpnesses turn into probabilities.

    Raises
    ------
    DatasetError
        Where the cells hold no chromosome that both nets know, or no object that is none.
    """
    classifier, detector = _class_weights([cell.given for cell in labelled_evidence])
    bias, none, score = _none_weights([cell.detected for cell in labelled_evidence])
    weights = FusionWeights(
        classifier=classifier,
        detector=detector,
        none=none,
        score=score,
        bias=bias,
        sharpness=1.0,
        sharpness_detected=1.0,
    )
    given = [cell.given.scored(weights, given=True) for cell in labelled_evidence]
    detected = [cell.detected.scored(weights, given=False) for cell in labelled_evidence]
    weights = replace(
        weights, sharpness=fit_sharpness(given, costs), sharpness_detected=fit_sharpness(detected, costs)
    )
    rounded = {entry.name: round(getattr(weights, entry.name), _DECIMALS) for entry in fields(weights)}
    return FusionWeights(**rounded)


def fusion_figures(
    labelled_evidence: Sequence[LabelledEvidence], fusion_weights: FusionWeights, costs: AssignmentCosts
) -> dict[str, float]:
    """Measure weights on cells.

    Parameters
    ----------
    labelled_evidence
        Labelled cells.
    fusion_weights
        How evidence is fused.
    costs
        Of the joint assignment.

    Returns
    -------
    dict
        Of given chromosomes ``top1``, ``assigned`` (fraction rightly classed) and ``cells_right``; of detected
        objects ``detected_assigned`` (rightly classed or left out).
    """
    given = [cell.given.scored(fusion_weights, given=True) for cell in labelled_evidence]
    right = [scored.log_prob.argmax(axis=1) == scored.classes for scored in given]
    assigned, whole = assignment_score(given, costs)
    detected, _ = assignment_score(
        [cell.detected.scored(fusion_weights, given=False) for cell in labelled_evidence], costs
    )
    return {
        "top1": float(np.mean(np.concatenate(right))),
        "assigned": assigned,
        "cells_right": whole,
        "detected_assigned": detected,
    }


def cross_validated_fusion(
    labelled_evidence: Sequence[LabelledEvidence], costs: AssignmentCosts
) -> dict[str, float]:
    """Figures of all cells, each case's by weights fitted to the other cases.

    Parameters
    ----------
    labelled_evidence, costs
        As in `fit_fusion`.

    Returns
    -------
    dict
        As of `fusion_figures`.
    """
    folds = case_folds([cell.given.case for cell in labelled_evidence], _FOLDS, seed=_SEED)
    parts: list[tuple[int, dict[str, float]]] = []
    for number in np.unique(folds):
        held = [cell for cell, fold in zip(labelled_evidence, folds, strict=True) if fold == number]
        others = [cell for cell, fold in zip(labelled_evidence, folds, strict=True) if fold != number] or list(
            labelled_evidence
        )
        parts.append((len(held), fusion_figures(held, fit_fusion(others, costs), costs)))
    counts = [count for count, _ in parts]
    return {name: float(np.average([each[name] for _, each in parts], weights=counts)) for name in parts[0][1]}


def write_fusion(
    fusion_weights: FusionWeights, folder: Path, *, cell_count: int, figures: Mapping[str, float], command: str
) -> Path:
    """Write the parameter set ``fusion``.

    Parameters
    ----------
    fusion_weights
        As fitted.
    folder
        Gets content and manifest.
    cell_count
        How many it was fitted to.
    figures
        As `cross_validated_fusion` returns them.
    command
        The command line that makes it again.

    Returns
    -------
    Path
        The content file.
    """
    manifest = Manifest(
        name=ParameterSetName.FUSION,
        kind=ParameterKind.COEFFICIENTS,
        data={"tseng pictures": cell_count},
        split="tseng val (by case), where neither net has learned; figures cross-validated over its cases",
        command=command,
        settings={"ridge": _RIDGE, "folds": _FOLDS},
        metrics={name: round(value, 4) for name, value in figures.items()},
        seed=_SEED,
        steps=0,
    )
    return write_coefficients(folder, fusion_weights, manifest)


def _class_weights(cell_evidence: Sequence[CellEvidence]) -> tuple[float, float]:
    """Weights of both nets' log probabilities of greatest likelihood, which has one maximum."""
    single = [
        (cell.classes >= 0) & (cell.classes < NO_CHROMOSOME) & np.isfinite(cell.detected).all(axis=1)
        for cell in cell_evidence
    ]
    kept = list(zip(cell_evidence, single, strict=True))
    truth = np.concatenate([np.zeros(0, np.int64), *(cell.classes[rows] for cell, rows in kept)])
    if not len(truth):
        raise DatasetError("no chromosome of these cells has classes by both nets")
    by_net = np.stack(
        [
            np.concatenate([cell.scores.log_prob[rows].astype(np.float64) for cell, rows in kept]),
            np.concatenate([cell.detected[rows] for cell, rows in kept]),
        ]
    )
    own = by_net[:, np.arange(len(truth)), truth]

    def loss(weights: Floats) -> tuple[float, Floats]:
        both = np.tensordot(weights, by_net, axes=1)
        total = logsumexp(both, axis=1)
        expected = (np.exp(both - total[:, None]) * by_net).sum(axis=2)
        return float((total - weights @ own).mean()), np.asarray((expected - own).mean(axis=1), np.float64)

    fitted = minimize(loss, np.ones(2), jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * 2).x
    return float(fitted[0]), float(fitted[1])


def _none_weights(cell_evidence: Sequence[CellEvidence]) -> tuple[float, float, float]:
    """Bias and weights of a logistic regression of "no single chromosome"."""
    rows, truth = [], []
    for cell in cell_evidence:
        both = none_evidence(cell.scores.log_none, cell.box_scores)
        rows.append(np.column_stack([np.ones(len(cell.classes)), *both]))
        truth.append(cell.classes == NO_CHROMOSOME)
    is_none = np.concatenate(truth).astype(np.float64)
    if len(set(is_none.tolist())) < 2:
        raise DatasetError("what these cells were cut into is all right or all wrong: nothing to fit to")
    bias, none, score = ridge_logistic(np.concatenate(rows), is_none, _RIDGE)
    return float(bias), float(none), float(score)

"""Class evidence of two nets for the same chromosome, fused before a cell is assigned.

The classifier sees a chromosome cut out and straightened, the detector sees it where it lies. Their mistakes have
little in common, so that the weighted sum of their log probabilities is right far more often than either. Weights
other than one make up for nets that are too sure, or not sure enough, of themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import STORED_AS, load_parameters
from analysis.structures.class_evidence import ClassEvidence, ClassScores
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.instance import Instance

_LEAST_SCORE: Final = 1e-3
"""Object scores nearer to 0 or 1 count as this: beyond, log odds would outweigh everything else."""
_LEAST_LOG_NONE: Final = -20.0
_GREATEST_LOG_NONE: Final = -1e-6
_LEAST_PROBABILITY: Final = 1e-9
"""Bounds that keep log odds and logarithms finite."""


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """Weights of the fusion: the parameter set ``fusion``.

    Attributes
    ----------
    classifier, detector
        Of the log probabilities of the classes.
    none, score, bias
        Log odds that an object is no single chromosome: of the classifier's, of the detector's score, and a
        constant.
    sharpness, sharpness_detected
        Log odds of being right per nat of an assignment's margin, where the chromosomes are given
        and where they were detected; see `AssignmentCosts`. They are lower where an object may be a wrong one.
    """

    classifier: float
    detector: float
    none: float
    score: float
    bias: float
    sharpness: float
    sharpness_detected: float = field(metadata={STORED_AS: "sharpness_found"})


@cache
def load_fusion_weights() -> FusionWeights:
    """The weights that come with the product.

    Raises
    ------
    WeightsError
        Where they are missing or damaged.
    """
    return load_parameters(ParameterSetName.FUSION).coefficients(FusionWeights)


def detector_log_prob(instances: Sequence[Instance]) -> NDArray[np.float64]:
    """Log probabilities that the detector gave: float64, shape (n, 24), rows of NaN where it gave none."""
    table = np.full((len(instances), len(CLASS_NAMES)), np.nan)
    for row, instance in enumerate(instances):
        if instance.class_log_prob is not None:
            table[row] = instance.class_log_prob
    return table


def fuse_class_evidence(
    class_scores: ClassScores,
    detector: NDArray[np.floating] | None = None,
    object_scores: NDArray[np.floating] | None = None,
    fusion_weights: FusionWeights | None = None,
) -> ClassEvidence:
    """Fuse the evidence of two nets, chromosome by chromosome (a product of experts with fitted exponents).

    Parameters
    ----------
    class_scores
        The classifier's, of n chromosomes.
    detector
        Shape (n, 24): log probabilities of the detector; a row with NaN has none; None where there is no detector.
    object_scores
        Shape (n,), in [0, 1]: what the detector thinks of each as an object.
    fusion_weights
        Exponents of either, and weights of the object score; the product's where they are None.
    """
    fusion_weights = fusion_weights or load_fusion_weights()
    log_prob = class_scores.log_prob.astype(np.float64)
    log_none = class_scores.log_none.astype(np.float64)
    both = np.zeros(len(log_prob), np.bool_) if detector is None else np.isfinite(detector).all(axis=1)
    if detector is None or not both.any():
        return ClassEvidence(log_prob, log_none, False)
    fused = fusion_weights.classifier * log_prob[both] + fusion_weights.detector * detector[both].astype(
        np.float64
    )
    log_prob[both] = fused - logsumexp(fused, axis=1, keepdims=True)
    if object_scores is not None:
        none_odds, score_odds = none_evidence(log_none[both], object_scores[both])
        odds = fusion_weights.none * none_odds + fusion_weights.score * score_odds
        log_none[both] = np.log(np.maximum(expit(odds + fusion_weights.bias), _LEAST_PROBABILITY))
    return ClassEvidence(log_prob, log_none, True)


def none_evidence(
    log_none: NDArray[np.floating], object_scores: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log odds that say whether an object is no single chromosome.

    Parameters
    ----------
    log_none
        Shape (n,): the classifier's log probability of it.
    object_scores
        Shape (n,), in [0, 1]: the detector's score of each as an object.

    Returns
    -------
    tuple
        float64, shape (n,) each: log odds by the classifier that it is none, and by the detector that it is one.
    """
    none = np.clip(log_none.astype(np.float64), _LEAST_LOG_NONE, _GREATEST_LOG_NONE)
    score = np.clip(object_scores.astype(np.float64), _LEAST_SCORE, 1.0 - _LEAST_SCORE)
    return none - np.log(-np.expm1(none)), np.log(score / (1.0 - score))

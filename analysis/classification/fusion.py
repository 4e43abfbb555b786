"""What two nets think of the same chromosome, brought together before a cell is assigned.

The classifier sees a chromosome cut out and straightened, the detector sees it where it lies. Their mistakes have
little in common, so that the weighted sum of their log probabilities is right far more often than either. Weights
other than one make up for nets that are too sure, or not sure enough, of themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import load_parameters
from analysis.structures.class_evidence import ClassEvidence, ClassScores
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.instance import Instance

_LEAST_SCORE: Final = 1e-3
_LEAST_LOG_NONE: Final = -20.0


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """How evidence is brought together: the parameter set ``fusion``.

    Attributes
    ----------
    classifier, detector
        Of the log probabilities of the classes.
    none, score, bias
        Log odds that an object is no single chromosome: of the classifier's, of the detector's score, and a
        constant.
    sharpness, sharpness_found
        What a nat of an assignment's margin is worth in log odds of being right, where the chromosomes are given
        and where they were found; see `AssignmentCosts`. It is worth less where an object may be a wrong one.
    """

    classifier: float
    detector: float
    none: float
    score: float
    bias: float
    sharpness: float
    sharpness_found: float


@cache
def load_fusion_weights() -> FusionWeights:
    """The weights that come with the product.

    Raises
    ------
    WeightsError
        Where they are missing or damaged.
    """
    return load_parameters(ParameterSetName.FUSION).coefficients(FusionWeights)


def detected_classes(instances: Sequence[Instance]) -> NDArray[np.float64]:
    """Log probabilities that the detector gave, shape (n, 24); rows of NaN where it saw nothing."""
    table = np.full((len(instances), len(CLASS_NAMES)), np.nan)
    for row, entry in enumerate(instances):
        if entry.class_log_prob is not None:
            table[row] = entry.class_log_prob
    return table


def fuse_class_evidence(
    scores: ClassScores,
    detected: NDArray[np.floating] | None = None,
    box_scores: NDArray[np.floating] | None = None,
    weights: FusionWeights | None = None,
) -> ClassEvidence:
    """Bring the evidence of a cell together.

    Parameters
    ----------
    scores
        The classifier's.
    detected
        Shape (n, 24): log probabilities of the detector; a row with NaN has none; None where there is no detector.
    box_scores
        Shape (n,), in [0, 1]: what the detector thinks of each as an object.
    weights
        How to weigh; the product's where it is None.
    """
    weights = weights or load_fusion_weights()
    log_prob = scores.log_prob.astype(np.float64)
    log_none = scores.log_none.astype(np.float64)
    seen = np.zeros(len(log_prob), np.bool_) if detected is None else np.isfinite(detected).all(axis=1)
    if detected is None or not seen.any():
        return ClassEvidence(log_prob, log_none, False)
    both = weights.classifier * log_prob[seen] + weights.detector * detected[seen].astype(np.float64)
    log_prob[seen] = both - logsumexp(both, axis=1, keepdims=True)
    if box_scores is not None:
        none = np.clip(log_none[seen], _LEAST_LOG_NONE, -1e-6)
        score = np.clip(box_scores[seen].astype(np.float64), _LEAST_SCORE, 1.0 - _LEAST_SCORE)
        odds = weights.none * (none - np.log(-np.expm1(none))) + weights.score * np.log(score / (1.0 - score))
        log_none[seen] = np.log(np.maximum(expit(odds + weights.bias), 1e-9))
    return ClassEvidence(log_prob, log_none, True)

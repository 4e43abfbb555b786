"""What is measured of pairs of homologues: how far apart they are, and what would explain it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.homologues.alignment import align
from analysis.homologues.rearrangement_fit import STRUCTURAL, fit_rearrangements, length_gain
from analysis.homologues.reference_statistics import INNER, HomologueStatistics
from analysis.homologues.traces import Traces
from analysis.homologues.whitening import distances

FEATURES: Final = (
    *("pair", "pair locally", "own", "own locally"),
    *("own apart", "explained", "explained apart", "length"),
)
CELL_FEATURES: Final = 4
"""The first of them are worse all over a badly banded cell: they count against the cell's other pairs."""


@dataclass(frozen=True, slots=True)
class FeatureSettings:
    """Hand-set numbers of the features of pairs.

    Attributes
    ----------
    fewest_pairs
        Of so many pairs or fewer nothing is estimated of their cell: a median of so few is a pair's own noise.
    decisive_nats
        Difference between what rearrangements explain in either homologue from which on it decides which one is
        changed; 2 nats are odds of seven to one. Below, the one that is less like its class is.
    lowest_feature, highest_feature
        Limits of a standardised feature: one feature alone can't flag a pair, nor one good feature hide it.
    """

    fewest_pairs: int = 6
    decisive_nats: float = 2.0
    lowest_feature: float = -2.0
    highest_feature: float = 8.0


_SETTINGS: Final = FeatureSettings()


@dataclass(frozen=True, slots=True)
class PairEvidence:
    """Of n pairs.

    Attributes
    ----------
    features
        float64, shape (n, features), see `FEATURES`.
    residual
        float32, shape (n, BINS): between both after the alignment, over what is normal there.
    changed
        int, shape (n,): 0 or 1, which of both is the less like its class.
    gain
        float64, shape (n, kinds): nats that each kind of `NAMED` explains in the changed one.
    trial
        int, shape (n, kinds): the rearrangement of that kind that explains most.
    """

    features: NDArray[np.float64]
    residual: NDArray[np.float32]
    changed: NDArray[np.intp]
    gain: NDArray[np.float64]
    trial: NDArray[np.intp]


def pair_evidence(
    traces: Traces, pairs: NDArray[np.intp], class_rows: NDArray[np.intp], reference: HomologueStatistics
) -> PairEvidence:
    """Measure pairs of one cell.

    Parameters
    ----------
    traces
        Of the cell's chromosomes.
    pairs
        Shape (n, 2): rows of the traces.
    class_rows
        Shape (n,): index of the class of each pair.
    reference
        How normal pairs differ.
    """
    first, second = pairs.T
    rows = np.unique(pairs)
    row_class = np.zeros(len(traces.bands), dtype=np.intp)
    row_class[first] = row_class[second] = class_rows
    own, own_locally, gain, trial = fit_rearrangements(traces.bands[rows], row_class[rows], reference)
    place = np.zeros(len(traces.bands), dtype=np.intp)
    place[rows] = np.arange(len(rows))
    one, two = place[first], place[second]
    residual, _ = align(traces.bands[first], traces.bands[second])
    between, between_locally = distances(residual[:, INNER], reference.pair_whitener, class_rows)
    longer = traces.log_length[second] - traces.log_length[first]
    spread = reference.length_spread[class_rows]
    both = np.stack(
        [
            gain[one] + length_gain(trial[one], -longer, spread),
            gain[two] + length_gain(trial[two], longer, spread),
        ]
    )
    best = both[:, :, :STRUCTURAL].max(axis=2)
    apart = own[two] - own[one]
    changed = _changed_one(best, apart)
    at = np.arange(len(pairs))
    features = np.stack(
        [
            between,
            between_locally,
            np.maximum(own[one], own[two]),
            np.maximum(own_locally[one], own_locally[two]),
            np.abs(apart),
            _root(best.max(axis=0)),
            np.abs(_root(best[1]) - _root(best[0])),
            np.abs(longer) / spread,
        ],
        axis=1,
    )
    trial_of = np.where(changed[:, None] == 0, trial[one], trial[two])
    explained = both[changed, at]
    # A block may be longer in the one or shorter in the other.
    explained[:, -1] = both[:, :, -1].max(axis=0)
    return PairEvidence(
        features.astype(np.float64), _over_normal(residual, class_rows, reference), changed, explained, trial_of
    )


def _changed_one(best_nats: NDArray[np.float64], apart: NDArray[np.float64]) -> NDArray[np.intp]:
    """Of each pair, the one that a rearrangement explains better; where none decides, the less like its class."""
    first_nats, second_nats = best_nats
    decided = np.abs(second_nats - first_nats) > _SETTINGS.decisive_nats
    return np.where(decided, second_nats > first_nats, apart > 0).astype(np.intp)


def against_cell(
    features: NDArray[np.float64], class_rows: NDArray[np.intp], reference: HomologueStatistics
) -> NDArray[np.float64]:
    """Standardise features by their class's reference, and by the other pairs of the cell.

    Parameters
    ----------
    features
        Shape (n, features): of all pairs of one cell.
    class_rows
        Shape (n,): class index.
    reference
        How normal pairs differ.

    Returns
    -------
    NDArray[np.float64]
        Shape (n, features).
    """
    level = features - reference.feature_median[class_rows]
    if len(level) > _SETTINGS.fewest_pairs:
        for column in range(CELL_FEATURES):
            level[:, column] -= _median_of_others(level[:, column])
    standard = level / reference.feature_spread[class_rows]
    return np.asarray(np.clip(standard, _SETTINGS.lowest_feature, _SETTINGS.highest_feature))


def _over_normal(
    residual: NDArray[np.float32], class_rows: NDArray[np.intp], reference: HomologueStatistics
) -> NDArray[np.float32]:
    """Residuals over their standard deviation between normal homologues; 0 at the tips."""
    normal = np.sqrt(np.diagonal(reference.pair_covariance, axis1=1, axis2=2))[class_rows]
    standard = np.zeros_like(residual)
    standard[:, INNER] = residual[:, INNER] / normal
    return standard


def _median_of_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    count = len(values)
    others = np.nonzero(~np.eye(count, dtype=np.bool_))[1].reshape(count, count - 1)
    return np.asarray(np.median(values[others], axis=1))


def _root(nats: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sign(nats) * np.sqrt(np.abs(nats)))

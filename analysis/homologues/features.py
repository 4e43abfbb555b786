"""What is measured of pairs of homologues: how far apart they are, and what would explain it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.homologues.alignment import align
from analysis.homologues.rearrangements import BINS, Trials, trials
from analysis.homologues.reference_statistics import (
    INNER,
    HomologueStatistics,
    Whitener,
    allowed_trials,
    standardised,
)
from analysis.straightening.band_profile import profiles
from analysis.structures.band_reading import Rearrangement
from analysis.structures.crop import ChromosomeCrop

NAMED: Final = (
    Rearrangement.DELETION,
    Rearrangement.DUPLICATION,
    Rearrangement.INVERSION,
    Rearrangement.FOREIGN,
    Rearrangement.TURNED,
    Rearrangement.POLYMORPHISM,
)
STRUCTURAL: Final = 4
"""The first of them are structural changes."""
TRIED: Final = (1, 1, 3, 2, 1, 1)
"""Rearrangements of each kind that are aligned; the others are told apart by their profiles alone."""
FEATURES: Final = (
    *("pair", "pair locally", "own", "own locally"),
    *("own apart", "explained", "explained apart", "length"),
)
CELL_FEATURES: Final = 4
LOCAL_BINS: Final = 12
"""The first of them are worse all over a badly banded cell: they count against the cell's other pairs."""
FOREIGN_MISFIT: Final = 0.6
"""Mean squared difference expected in a foreign stretch when trials are chosen."""
FEWEST_PAIRS: Final = 6
"""Of fewer pairs nothing is learnt about their cell."""
SCALE_LIMITS: Final = (0.6, 4.0)


@dataclass(frozen=True, slots=True)
class Traces:
    """What is compared of n chromosomes of one cell.

    Attributes
    ----------
    bands
        float32, shape (n, BINS): banding profile, short arm up, of spread 1.
    log_length
        float64, shape (n,): logarithm of the length.
    """

    bands: NDArray[np.float32]
    log_length: NDArray[np.float64]


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


def traces_of(crops: Sequence[ChromosomeCrop], flipped: Sequence[bool]) -> Traces:
    """Take from crops what is compared; ``flipped`` says where the short arm is down."""
    images = np.stack(
        [crop.image[::-1, ::-1] if turned else crop.image for crop, turned in zip(crops, flipped, strict=True)]
    )
    lengths = np.array([max(crop.relative_length, 1e-3) for crop in crops])
    return Traces(standardised(profiles(images, BINS)[:, 0]), np.log(lengths))


def pair_evidence(
    traces: Traces, pairs: NDArray[np.intp], classes: NDArray[np.intp], norms: HomologueStatistics
) -> PairEvidence:
    """Measure pairs of one cell.

    Parameters
    ----------
    traces
        Of the cell's chromosomes.
    pairs
        Shape (n, 2): rows of the traces.
    classes
        Shape (n,): index of the class of each pair.
    norms
        What is normal.
    """
    first, second = pairs.T
    rows = np.unique(pairs)
    row_class = np.zeros(len(traces.bands), dtype=np.intp)
    row_class[first] = row_class[second] = classes
    own, own_locally, gain, trial = _against_class(traces.bands[rows], row_class[rows], norms)
    place = np.zeros(len(traces.bands), dtype=np.intp)
    place[rows] = np.arange(len(rows))
    one, two = place[first], place[second]
    residual, _ = align(traces.bands[first], traces.bands[second])
    between, between_locally = _distances(residual[:, INNER], norms.pair, classes)
    longer = traces.log_length[second] - traces.log_length[first]
    spread = norms.length_spread[classes]
    both = np.stack(
        [
            gain[one] + _length_gain(trial[one], -longer, spread),
            gain[two] + _length_gain(trial[two], longer, spread),
        ]
    )
    best = both[:, :, :STRUCTURAL].max(axis=2)
    apart = own[two] - own[one]
    # What explains most speaks, and where nothing does, what is the less like its class.
    changed = np.where(np.abs(best[1] - best[0]) > 2.0, best[1] > best[0], apart > 0).astype(np.intp)
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
    normal = np.sqrt(np.diagonal(norms.pair_covariance, axis1=1, axis2=2))[classes]
    shown = np.zeros_like(residual)
    shown[:, INNER] = residual[:, INNER] / normal
    trial_of = np.where(changed[:, None] == 0, trial[one], trial[two])
    explained = both[changed, at]
    # A block may be longer in the one or shorter in the other.
    explained[:, -1] = both[:, :, -1].max(axis=0)
    return PairEvidence(features.astype(np.float64), shown, changed, explained, trial_of)


def against_cell(
    features: NDArray[np.float64], classes: NDArray[np.intp], norms: HomologueStatistics
) -> NDArray[np.float64]:
    """Features over what is usual for the class, and for the other pairs of the cell.

    Parameters
    ----------
    features
        Shape (n, features): of all pairs of one cell.
    classes
        Shape (n,): class index.
    """
    level = features - norms.usual[classes]
    if len(level) > FEWEST_PAIRS:
        for column in range(CELL_FEATURES):
            level[:, column] -= _median_of_others(level[:, column])
    return np.asarray(np.clip(level / norms.spread[classes], -2.0, 8.0))


def _median_of_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    count = len(values)
    others = np.nonzero(~np.eye(count, dtype=np.bool_))[1].reshape(count, count - 1)
    return np.asarray(np.median(values[others], axis=1))


def _against_class(
    bands: NDArray[np.float32], classes: NDArray[np.intp], norms: HomologueStatistics
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Distance of each chromosome from its class, and what rearrangements of the class explain of it.

    Returns
    -------
    distance, locally
        Shape (n,): see `_distances`.
    gain, trial
        Shape (n, kinds): nats, and the best rearrangement of each kind of `NAMED`.
    """
    tried = trials()
    chosen = _likely_trials(bands, classes, norms, tried)
    count, kinds = chosen.shape
    rows = np.repeat(np.arange(count), kinds)
    flat = chosen.ravel()
    one = np.concatenate([bands, bands[rows]])
    other = np.concatenate([norms.mean[classes], norms.changed[classes[rows], flat]])
    own = np.concatenate([np.ones((count, BINS), dtype=np.bool_), tried.own[flat]])
    of_class = np.concatenate([classes, classes[rows]])
    residual, _ = align(one, other, own.astype(np.float32))
    inner = residual[:, INNER]
    distance, locally = _distances(inner[:count], norms.own, classes)
    scale = np.clip(np.exp(np.median(distance)) if count > 2 * FEWEST_PAIRS else 1.0, *SCALE_LIMITS)
    nats = _nats(inner, one[:, INNER], own[:, INNER], of_class, norms, float(scale))
    gain, trial = _best_of_kind(nats[count:].reshape(count, kinds) - nats[:count, None], chosen)
    # Of a class without polymorphic blocks nothing is excused.
    gain[allowed_trials()[classes, trial[:, -1]], -1] = -np.inf
    return distance, locally, gain, trial


def _likely_trials(
    bands: NDArray[np.float32], classes: NDArray[np.intp], norms: HomologueStatistics, tried: Trials
) -> NDArray[np.intp]:
    """Of each kind the trials whose profiles are nearest before any alignment: shape (n, sum of `TRIED`)."""
    expected = norms.changed[classes]
    cross = np.einsum("nb,nhb->nh", bands, expected)
    squares = np.einsum("nhb,nhb->nh", expected, expected)
    own = tried.own.astype(np.float32)
    misfit = (bands * bands) @ own.T - 2.0 * cross + squares + FOREIGN_MISFIT * (BINS - own.sum(axis=1))
    allowed = allowed_trials()[classes]
    excused = np.where(allowed, np.inf, misfit)
    misfit = np.where(allowed, misfit, np.inf)
    kind = np.array([NAMED.index(each) for each in tried.kind])
    chosen = []
    for k, number in enumerate(TRIED[:-1]):
        columns = np.flatnonzero(kind == k)
        nearest = np.argsort(misfit[:, columns], axis=1, kind="stable")[:, :number]
        chosen.append(columns[nearest])
    lengths = np.flatnonzero(kind <= NAMED.index(Rearrangement.DUPLICATION))
    chosen.append(lengths[np.argmin(excused[:, lengths], axis=1)][:, None])
    return np.concatenate(chosen, axis=1)


def _best_of_kind(
    gain: NDArray[np.float64], trial: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """One gain and one trial of each kind, of the several that were aligned."""
    rows = np.arange(len(gain))
    ends = np.cumsum(TRIED)
    best = [start + np.argmax(gain[:, start:end], axis=1) for start, end in zip(ends - TRIED, ends, strict=True)]
    return (
        np.stack([gain[rows, each] for each in best], axis=1),
        np.stack([trial[rows, each] for each in best], axis=1),
    )


def _distances(
    inner: NDArray[np.float32], white: Whitener, classes: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithm of the mean square of the whitened residual: over all, and in the worst stretch."""
    numbers = np.einsum("nij,nj->ni", white.down[classes], inner).astype(np.float64)
    squares = np.maximum(numbers * numbers, 1e-6)
    sums = np.cumsum(np.pad(squares, ((0, 0), (1, 0))), axis=1)
    local = (sums[:, LOCAL_BINS:] - sums[:, :-LOCAL_BINS]) / LOCAL_BINS
    return np.log(squares.mean(axis=1)), np.log(local.max(axis=1))


def _nats(
    inner: NDArray[np.float32],
    bands: NDArray[np.float32],
    own: NDArray[np.bool_],
    classes: NDArray[np.intp],
    norms: HomologueStatistics,
    scale: float,
) -> NDArray[np.float64]:
    """Log likelihood: what is its own differs as normal ones do, what is foreign is of any chromosome."""
    made = np.empty(len(inner))
    upper_foreign = ~own[:, 0]
    for turned in (False, True):
        rows = np.flatnonzero(upper_foreign == turned)
        if len(rows) == 0:
            continue
        way = slice(None, None, -1 if turned else 1)
        factor, log_factor = (norms.own.up, norms.own.log_up) if turned else (norms.own.down, norms.own.log_down)
        any_one, any_log = (norms.any.up, norms.any.log_up) if turned else (norms.any.down, norms.any.log_down)
        numbers = np.einsum("nij,nj->ni", factor[classes[rows]], inner[rows][:, way])
        foreign = bands[rows][:, way] @ any_one[0].T
        near = -0.5 * numbers**2 / scale - log_factor[classes[rows]] - 0.5 * np.log(scale)
        far = -0.5 * foreign**2 - any_log[0]
        made[rows] = np.where(own[rows][:, way], near, far).sum(axis=1)
    return made


def _length_gain(
    trial: NDArray[np.intp], longer: NDArray[np.float64], spread: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Nats by which a length against the homologue's speaks for each rearrangement."""
    expected = trials().log_length[trial]
    off = np.clip((longer[:, None] - expected) / spread[:, None], -4.0, 4.0)
    none = np.clip(longer / spread, -4.0, 4.0)
    return np.asarray(0.5 * none[:, None] ** 2 - 0.5 * off**2)


def _root(nats: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sign(nats) * np.sqrt(np.abs(nats)))

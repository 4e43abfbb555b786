"""How well each rearrangement of its class explains the bands and the length of a chromosome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.homologues.alignment import align
from analysis.homologues.rearrangements import BINS, Trials, trials
from analysis.homologues.reference_statistics import INNER, HomologueStatistics, allowed_trials
from analysis.homologues.whitening import distances
from analysis.structures.band_reading import Rearrangement

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
"""Rearrangements of each kind that are aligned; the others are ranked by their unaligned profiles."""


@dataclass(frozen=True, slots=True)
class RearrangementFitSettings:
    """Hand-set numbers of the fit of rearrangements.

    Attributes
    ----------
    foreign_misfit
        Mean squared difference expected in a foreign stretch when trials are chosen: of two profiles of spread 1
        that have nothing in common it is 2; bands of whatever class are alike in part.
    fewest_for_scale
        Chromosomes above whose number the scale of the cell's residuals is estimated: twice the fewest pairs.
    least_scale, most_scale
        Limits of that scale: beyond, the median is of something else than the banding.
    length_clip
        Standard deviations beyond which a length says no more: it is a badly cut tip.
    """

    foreign_misfit: float = 0.6
    fewest_for_scale: int = 12
    least_scale: float = 0.6
    most_scale: float = 4.0
    length_clip: float = 4.0


_SETTINGS: Final = RearrangementFitSettings()


def fit_rearrangements(
    bands: NDArray[np.float32], class_rows: NDArray[np.intp], reference: HomologueStatistics
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    """Distance of each chromosome from its class, and what rearrangements of the class explain of it.

    Parameters
    ----------
    bands
        float32, shape (n, BINS): standardised profiles.
    class_rows
        Shape (n,): class indices.
    reference
        How normal chromosomes differ from their class.

    Returns
    -------
    distance, locally
        Shape (n,): see `distances`.
    gain, trial
        Shape (n, kinds): nats, and the best rearrangement of each kind of `NAMED`.
    """
    tried = trials()
    chosen = _likely_trials(bands, class_rows, reference, tried)
    count, kinds = chosen.shape
    rows = np.repeat(np.arange(count), kinds)
    flat = chosen.ravel()
    one = np.concatenate([bands, bands[rows]])
    other = np.concatenate([reference.mean[class_rows], reference.rearranged_means[class_rows[rows], flat]])
    own = np.concatenate([np.ones((count, BINS), dtype=np.bool_), tried.own[flat]])
    of_class = np.concatenate([class_rows, class_rows[rows]])
    residual, _ = align(one, other, own.astype(np.float32))
    inner = residual[:, INNER]
    distance, locally = distances(inner[:count], reference.class_whitener, class_rows)
    measured = np.exp(np.median(distance)) if count > _SETTINGS.fewest_for_scale else 1.0
    scale = np.clip(measured, _SETTINGS.least_scale, _SETTINGS.most_scale)
    nats = _nats(inner, one[:, INNER], own[:, INNER], of_class, reference, float(scale))
    gain, trial = _best_of_kind(nats[count:].reshape(count, kinds) - nats[:count, None], chosen)
    # Of a class without polymorphic blocks nothing is excused.
    gain[allowed_trials()[class_rows, trial[:, -1]], -1] = -np.inf
    return distance, locally, gain, trial


def _likely_trials(
    bands: NDArray[np.float32], class_rows: NDArray[np.intp], reference: HomologueStatistics, tried: Trials
) -> NDArray[np.intp]:
    """Of each kind the trials whose profiles are nearest before any alignment: shape (n, sum of `TRIED`)."""
    expected = reference.rearranged_means[class_rows]
    cross = np.einsum("nb,nhb->nh", bands, expected)
    squares = np.einsum("nhb,nhb->nh", expected, expected)
    own = tried.own.astype(np.float32)
    misfit = (bands * bands) @ own.T - 2.0 * cross + squares + _SETTINGS.foreign_misfit * (BINS - own.sum(axis=1))
    allowed = allowed_trials()[class_rows]
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


def _nats(
    inner: NDArray[np.float32],
    bands: NDArray[np.float32],
    own: NDArray[np.bool_],
    class_rows: NDArray[np.intp],
    reference: HomologueStatistics,
    scale: float,
) -> NDArray[np.float64]:
    """Log likelihood: what is its own differs as normal ones do, what is foreign is of any chromosome."""
    made = np.empty(len(inner))
    upper_foreign = ~own[:, 0]
    for turned in (False, True):
        rows = np.flatnonzero(upper_foreign == turned)
        if len(rows) == 0:
            continue
        order = slice(None, None, -1 if turned else 1)
        factor, log_factor = (
            (reference.class_whitener.up, reference.class_whitener.log_up)
            if turned
            else (reference.class_whitener.down, reference.class_whitener.log_down)
        )
        population, population_log = (
            (reference.population_whitener.up, reference.population_whitener.log_up)
            if turned
            else (reference.population_whitener.down, reference.population_whitener.log_down)
        )
        numbers = np.einsum("nij,nj->ni", factor[class_rows[rows]], inner[rows][:, order])
        foreign = bands[rows][:, order] @ population[0].T
        near = -0.5 * numbers**2 / scale - log_factor[class_rows[rows]] - 0.5 * np.log(scale)
        far = -0.5 * foreign**2 - population_log[0]
        made[rows] = np.where(own[rows][:, order], near, far).sum(axis=1)
    return made


def length_gain(
    trial: NDArray[np.intp], longer: NDArray[np.float64], spread: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Nats by which a length against the homologue's supports each rearrangement.

    Parameters
    ----------
    trial
        Shape (n, kinds): a rearrangement of each kind.
    longer
        Shape (n,): logarithm of the length over the homologue's.
    spread
        Shape (n,): standard deviation of that between normal homologues.

    Returns
    -------
    NDArray[np.float64]
        Shape (n, kinds).
    """
    expected = trials().log_length[trial]
    limit = _SETTINGS.length_clip
    residual = np.clip((longer[:, None] - expected) / spread[:, None], -limit, limit)
    unchanged = np.clip(longer / spread, -limit, limit)
    return np.asarray(0.5 * unchanged[:, None] ** 2 - 0.5 * residual**2)

"""What the profile of a chromosome would be after a rearrangement, on a grid of break points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.structures.band_reading import Rearrangement

BINS: Final = 64


@dataclass(frozen=True, slots=True)
class TrialSettings:
    """The grid of rearrangements that are tried.

    Attributes
    ----------
    segment_bins
        Bins between two break points: a sixteenth of a chromosome, below which bands of a slide can't place one.
    longest_deletion_bins, longest_duplication_bins
        Beyond half a chromosome lost, or three eighths twice, the class itself would be another.
    shortest_inversion_bins
        A shorter inversion changes no more than the noise of a band.
    tail_stretch
        What is left of a chromosome, over its fraction before, where another one's end took the place of its own:
        the derivative may be shorter or longer by a third.
    shortest_tail_bins, least_foreign_bins
        Least that is left of the chromosome, and that comes from elsewhere: less shows no band.
    subdivisions
        Places a bin that a stretch is taken from, so that it can be fitted to another length.
    """

    segment_bins: int = 4
    longest_deletion_bins: int = 32
    longest_duplication_bins: int = 24
    shortest_inversion_bins: int = 8
    tail_stretch: tuple[float, ...] = (0.75, 0.87, 1.0, 1.15, 1.33)
    shortest_tail_bins: int = 8
    least_foreign_bins: int = 3
    subdivisions: int = 4


_SETTINGS: Final = TrialSettings()


@dataclass(frozen=True, slots=True)
class Trials:
    """Rearrangements that are tried.

    Attributes
    ----------
    kind
        Of each, shape (n,).
    start, stop
        float64, shape (n,): what changed, as fractions of the normal chromosome's length from the upper tip.
    source
        float32, shape (n, BINS): place in the normal profile that each bin of the changed one comes from.
    own
        bool, shape (n, BINS): False in bins that come from another chromosome.
    log_length
        float64, shape (n,): logarithm of the changed length over the normal one.
    """

    kind: tuple[Rearrangement, ...]
    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    source: NDArray[np.float32]
    own: NDArray[np.bool_]
    log_length: NDArray[np.float64]

    def changed(self, profile: NDArray[np.floating]) -> NDArray[np.float32]:
        """Profiles after each rearrangement.

        Parameters
        ----------
        profile
            Shape (n, BINS): normal ones.

        Returns
        -------
        NDArray[np.float32]
            Shape (n, trials, BINS); 0 in bins that come from another chromosome.
        """
        at = np.clip(self.source, 0.0, BINS - 1.0)
        left = np.minimum(at.astype(np.intp), BINS - 2)
        fraction = (at - left).astype(np.float32)
        values = np.asarray(profile, dtype=np.float32)
        return np.asarray((values[:, left] * (1.0 - fraction) + values[:, left + 1] * fraction) * self.own)


@cache
def trials() -> Trials:
    """All rearrangements that are tried."""
    made: list[tuple[Rearrangement, float, float, NDArray[np.float64], NDArray[np.bool_], float]] = []
    whole = np.ones(BINS, dtype=np.bool_)
    knots = range(0, BINS + 1, _SETTINGS.segment_bins)
    for start in knots:
        for stop in range(start + _SETTINGS.segment_bins, BINS + 1, _SETTINGS.segment_bins):
            size = stop - start
            before, inside, after = _bins(0, start), _bins(start, stop), _bins(stop, BINS)
            if size <= _SETTINGS.longest_deletion_bins:
                lost = np.concatenate([before, after])
                made.append(_made(Rearrangement.DELETION, start, stop, lost))
            if size <= _SETTINGS.longest_duplication_bins:
                twice = np.concatenate([before, inside, inside, after])
                made.append(_made(Rearrangement.DUPLICATION, start, stop, twice))
            if _SETTINGS.shortest_inversion_bins <= size < BINS:
                turned = np.concatenate([before, inside[::-1], after])
                made.append(_made(Rearrangement.INVERSION, start, stop, turned))
    made.append((Rearrangement.TURNED, 0.0, 1.0, np.arange(BINS)[::-1].astype(np.float64), whole, 0.0))
    for at in range(3 * _SETTINGS.segment_bins, BINS - _SETTINGS.segment_bins + 1, _SETTINGS.segment_bins):
        for stretch in _SETTINGS.tail_stretch:
            kept = round(at * stretch)
            if _SETTINGS.shortest_tail_bins <= kept <= BINS - _SETTINGS.least_foreign_bins:
                made += _foreign(at, kept)
    kind, start_of, stop_of, source, own, length = zip(*made, strict=True)
    return Trials(
        kind,
        np.array(start_of),
        np.array(stop_of),
        np.array(source, dtype=np.float32),
        np.array(own),
        np.array(length),
    )


def _bins(start: int, stop: int) -> NDArray[np.float64]:
    # Finer than the bins, so that a stretch to another length has something to choose from.
    step = 1.0 / _SETTINGS.subdivisions
    return np.arange(start, stop, step) + 0.5 * step


def _made(
    rearrangement: Rearrangement, start: int, stop: int, order: NDArray[np.float64]
) -> tuple[Rearrangement, float, float, NDArray[np.float64], NDArray[np.bool_], float]:
    at = (np.arange(BINS) + 0.5) / BINS * len(order)
    source = order[np.minimum(at.astype(np.intp), len(order) - 1)] - 0.5
    return (
        rearrangement,
        start / BINS,
        stop / BINS,
        source,
        np.ones(BINS, dtype=np.bool_),
        float(np.log(len(order) / (_SETTINGS.subdivisions * BINS))),
    )


def _foreign(
    at: int, kept: int
) -> list[tuple[Rearrangement, float, float, NDArray[np.float64], NDArray[np.bool_], float]]:
    """The lower end from ``at`` on, and the upper end of as much, come from elsewhere."""
    source = (np.arange(BINS) + 0.5) * at / kept - 0.5
    own = np.arange(BINS) < kept
    length = float(np.log(at / kept))
    lower = (Rearrangement.FOREIGN, at / BINS, 1.0, source, own, length)
    upper = (Rearrangement.FOREIGN, 0.0, 1.0 - at / BINS, BINS - 1.0 - source[::-1], own[::-1], length)
    return [lower, upper]

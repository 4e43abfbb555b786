"""Figures of anything that gives probabilities: curves, calibration, ranking, and how sure each figure is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class PrecisionRecall:
    """Precision and recall over the threshold.

    Attributes
    ----------
    threshold
        Scores that occur, falling; float64, shape (n,).
    precision, recall
        Of all finds of at least that score; shape (n,).
    """

    threshold: Floats
    precision: Floats
    recall: Floats

    @property
    def average_precision(self) -> float:
        """Area under the curve, as the sum of precision over each step of recall."""
        if not self.recall.size:
            return 0.0
        return float(np.sum(np.diff(self.recall, prepend=0.0) * self.precision))

    def recall_at(self, precision: float) -> float:
        """Largest recall at this precision or better; 0 where it is never reached."""
        reached = self.recall[self.precision >= precision]
        return float(reached.max()) if reached.size else 0.0

    def precision_at(self, recall: float) -> float:
        """Largest precision at this recall or better; 0 where it is never reached."""
        reached = self.precision[self.recall >= recall]
        return float(reached.max()) if reached.size else 0.0


def precision_recall(score: Floats, right: Bools, positives: int) -> PrecisionRecall:
    """Precision and recall over the threshold.

    Parameters
    ----------
    score
        Of each find, shape (n,).
    right
        Whether each find is right, shape (n,); a positive is found by one find at most.
    positives
        What there is to be found, found or not.
    """
    order = np.argsort(-score, kind="stable")
    ordered, hits = score[order], np.cumsum(right[order])
    # Finds of one score stand or fall together.
    last = np.flatnonzero(np.diff(ordered, append=-np.inf) != 0.0)
    count = last + 1.0
    return PrecisionRecall(ordered[last], hits[last] / count, hits[last] / max(positives, 1))


@dataclass(frozen=True, slots=True)
class CalibrationCurve:
    """How often what was said came true.

    Attributes
    ----------
    said
        Mean probability of each bin, shape (bins,); NaN where a bin is empty.
    came_true
        Share of each bin that came true; NaN where a bin is empty.
    count
        int64, number of each bin.
    """

    said: Floats
    came_true: Floats
    count: NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: mean of abs(said - came true), bins weighed by their number."""
        held = self.count > 0
        if not held.any():
            return float("nan")
        gap = np.abs(self.said[held] - self.came_true[held])
        return float(np.sum(gap * self.count[held]) / self.count.sum())


def calibration(probability: Floats, came_true: Bools, bins: int = CALIBRATION_BINS) -> CalibrationCurve:
    """Calibration over bins of equal width (Guo et al., ICML 2017).

    Parameters
    ----------
    probability
        What was said, in [0, 1], shape (n,).
    came_true
        What was, shape (n,).
    bins
        Number of bins; 1 belongs to the last.
    """
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        said = np.bincount(place, probability, minlength=bins) / count
        true = np.bincount(place, came_true.astype(np.float64), minlength=bins) / count
    return CalibrationCurve(said, true, count.astype(np.int64))


def auc(score: Floats, positive: Bools) -> float:
    """Area under the ROC curve: chance that a positive scores above a negative, ties counting half.

    NaN where either kind is missing. Computed from ranks (Mann and Whitney 1947).

    Parameters
    ----------
    score
        float64, shape (n,).
    positive
        bool, shape (n,).
    """
    positives = int(positive.sum())
    negatives = positive.size - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positive].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def bootstrap(
    groups: int,
    figure: Callable[[NDArray[np.int64]], float],
    *,
    rounds: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Interval of a figure, whole groups drawn with replacement (cluster bootstrap, percentiles).

    Parameters
    ----------
    groups
        Number of groups, numbered from 0. Objects of one slide share its stain and focus: they are drawn together,
        or the interval would be too narrow.
    figure
        Takes the numbers of the groups drawn, int64 of shape (groups,), repeated ones as often as they were drawn.
        Rounds for which it gives NaN are left out.
    rounds
        Draws.
    level
        Share of the draws within the interval.
    seed
        Of the draws.

    Returns
    -------
    tuple of float
        Lower and upper end; NaN where no round gave a figure, and for fewer than two groups, which say nothing of
        how groups differ.
    """
    if groups < 2:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    values = np.array([figure(rng.integers(groups, size=groups)) for _ in range(rounds)], np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)

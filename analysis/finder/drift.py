"""Does a slide look like those the finder learnt from? Its scores are calibrated for those alone.

A slide is summed up in a few numbers (`summarise`): the median of each statistic of its fields, and how sure the
finder was of what it saw. The same numbers of the slides of the training population, as mean and standard
deviation between slides (`reference_statistics_of`), stand in the weights' manifest. `drifts` names those that
are too far off.

Medians keep a few odd fields, such as a bubble or the edge of the coverslip, from deciding about a slide. The
standard error of a median is sqrt(pi/2) sigma / sqrt(n), with sigma from the median absolute deviation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from analysis.finder.finders import FieldFinds

LEAST_FIELDS = 50
"""Fewer fields than this say nothing about a slide."""

LEAST_SCORES = 30
"""Fewer candidates than this say nothing about the scores of a slide."""

LIMIT_Z = 4.0
"""Standard deviations between slides that are still usual: some eight numbers are watched, on every slide."""

UNCERTAIN = (0.2, 0.8)
"""Scores that are neither yes nor no."""

FIND_SCORE = 0.5
"""From here on a candidate counts as a find."""

UNCERTAIN_SHARE = "uncertain_share"
FIND_SCORE_MEAN = "find_score_mean"

_BACKGROUND = "background"
_FOCUS = "focus"
# Cells that are sharper than those learnt from are judged no worse.
_HARMLESS_ABOVE = frozenset({_FOCUS})
_SIGMA_OF_MAD = 1.4826
_MEDIAN_ERROR = math.sqrt(math.pi / 2)


@dataclass(frozen=True, slots=True)
class FieldReading:
    """What one field says about its slide.

    Attributes
    ----------
    statistics
        Statistics of the picture by name, each finite.
    scores
        Scores of all its candidates, however low, in [0, 1].
    """

    statistics: Mapping[str, float]
    scores: tuple[float, ...] = ()


def reading_of(finds: FieldFinds, full_scale: float) -> FieldReading:
    """What a field says about its slide.

    Parameters
    ----------
    finds
        Of that field.
    full_scale
        The largest grey level of the camera: a background is told as a share of it.
    """
    statistics = {name: float(value) for name, value in finds.statistics.known().items()}
    statistics[_BACKGROUND] /= full_scale
    if not finds.scores:
        # Nothing was worth proposing: the only bodies are specks and noise, which are sharp in any focus.
        statistics.pop(_FOCUS, None)
    # Of a frame without light some numbers are none.
    finite = {name: value for name, value in statistics.items() if math.isfinite(value)}
    return FieldReading(finite, tuple(float(score) for score in finds.scores))


@dataclass(frozen=True, slots=True)
class SlideSummary:
    """A number that sums up a slide.

    Attributes
    ----------
    value
        The number.
    error
        Its standard error, from the differences between the fields.
    """

    value: float
    error: float = 0.0


@dataclass(frozen=True, slots=True)
class ReferenceStatistics:
    """What a number is on the slides of the training population.

    Attributes
    ----------
    mean, std
        Over slides; `std` is at least 0.
    """

    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class Drift:
    """A number of a slide that is not what it is on the slides that the finder learnt from.

    Attributes
    ----------
    statistic
        Its name.
    found
        What it is here.
    low, high
        Between which it would not have been told.
    z
        Distance from the mean in standard deviations; negative below.
    """

    statistic: str
    found: float
    low: float
    high: float
    z: float

    def __str__(self) -> str:
        words = self.statistic.replace("_", " ")
        return f"{words} is {self.found:.3g}, usual are {self.low:.3g} to {self.high:.3g} (z {self.z:+.1f})"


@dataclass(slots=True)
class SlideReadings:
    """Collects what the fields of one slide say.

    Attributes
    ----------
    fields
        By their index, so that a field that is searched twice counts once.
    """

    fields: dict[int, FieldReading] = field(default_factory=dict)

    def add(self, index: int, reading: FieldReading) -> None:
        """Take in a field."""
        self.fields[index] = reading

    def drifts(self, usual: Mapping[str, ReferenceStatistics], *, limit_z: float = LIMIT_Z) -> tuple[Drift, ...]:
        """What is unusual about the slide so far; nothing before `LEAST_FIELDS` were taken in."""
        if len(self.fields) < LEAST_FIELDS:
            return ()
        return drifts(summarise(self.fields.values()), usual, limit_z=limit_z)


def summarise(fields: Iterable[FieldReading]) -> dict[str, SlideSummary]:
    """Sum up a slide.

    Parameters
    ----------
    fields
        At least one; statistics that only some fields have are summed up over those.

    Returns
    -------
    dict
        By name: the median of each statistic; `UNCERTAIN_SHARE` and `FIND_SCORE_MEAN` where there are at least
        `LEAST_SCORES` scores, and as many finds.
    """
    readings = list(fields)
    names = sorted({name for reading in readings for name in reading.statistics})
    summary = {
        name: _median(np.array([r.statistics[name] for r in readings if name in r.statistics])) for name in names
    }
    scores = np.array([score for reading in readings for score in reading.scores])
    if scores.size >= LEAST_SCORES:
        uncertain = (scores > UNCERTAIN[0]) & (scores < UNCERTAIN[1])
        share = float(uncertain.mean())
        # Agresti & Coull 1998: an error of nothing, where none or all are uncertain, would be too sure.
        near = (share * scores.size + 2) / (scores.size + 4)
        summary[UNCERTAIN_SHARE] = SlideSummary(share, math.sqrt(near * (1 - near) / scores.size))
    finds = scores[scores >= FIND_SCORE]
    if finds.size >= LEAST_SCORES:
        summary[FIND_SCORE_MEAN] = SlideSummary(
            float(finds.mean()), float(finds.std(ddof=1)) / math.sqrt(finds.size)
        )
    return summary


def reference_statistics_of(slides: Iterable[Mapping[str, SlideSummary]]) -> dict[str, ReferenceStatistics]:
    """What is usual on a population of slides.

    Parameters
    ----------
    slides
        Sums of at least three slides; a name that fewer of them have is left out.
    """
    values: dict[str, list[float]] = {}
    for summary in slides:
        for name, number in summary.items():
            values.setdefault(name, []).append(number.value)
    return {
        name: ReferenceStatistics(float(np.mean(found)), float(np.std(found, ddof=1)))
        for name, found in sorted(values.items())
        if len(found) >= 3
    }


def drifts(
    summary: Mapping[str, SlideSummary], usual: Mapping[str, ReferenceStatistics], *, limit_z: float = LIMIT_Z
) -> tuple[Drift, ...]:
    """Numbers of a slide that are further from the usual than `limit_z`, furthest first.

    A number's own standard error widens what is usual, so that few fields raise no alarm by chance. Numbers
    without a usual value, and the reverse, are passed over; so is a focus that is better than usual.
    """
    found = []
    for name in summary.keys() & usual.keys():
        here, there = summary[name], usual[name]
        # A population in which a number never varies is a population of one: a thousandth of it passes.
        spread = math.hypot(max(there.std, 1e-3 * abs(there.mean), 1e-9), here.error)
        z = (here.value - there.mean) / spread
        if abs(z) > limit_z and not (z > 0 and name in _HARMLESS_ABOVE):
            reach = limit_z * spread
            # No number that is watched can be negative.
            found.append(Drift(name, here.value, max(0.0, there.mean - reach), there.mean + reach, z))
    return tuple(sorted(found, key=lambda drift: (-abs(drift.z), drift.statistic)))


def reference_to_json(usual: Mapping[str, ReferenceStatistics]) -> dict[str, dict[str, float]]:
    """As the manifest of weights keeps it under ``drift``."""
    return {name: {"mean": value.mean, "std": value.std} for name, value in usual.items()}


def reference_from_json(values: Mapping[str, Mapping[str, float]]) -> dict[str, ReferenceStatistics]:
    """From what the manifest of weights keeps.

    A background in grey levels is left out: cameras of different depth do not compare, and `reading_of` gives a
    share of the full scale.

    Raises
    ------
    ValueError
        A number is missing, not finite, or a negative deviation.
    """
    usual = {}
    for name, value in values.items():
        try:
            mean, std = float(value["mean"]), float(value["std"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"drift.{name}: mean and std are needed, found {value!r}") from error
        if not (math.isfinite(mean) and math.isfinite(std) and std >= 0):
            raise ValueError(f"drift.{name}: found mean {mean}, std {std}")
        if name != _BACKGROUND or mean <= 1.0:
            usual[name] = ReferenceStatistics(mean, std)
    return usual


def _median(values: NDArray[np.float64]) -> SlideSummary:
    middle = float(np.median(values))
    sigma = _SIGMA_OF_MAD * float(np.median(np.abs(values - middle)))
    return SlideSummary(middle, _MEDIAN_ERROR * sigma / math.sqrt(values.size))

"""Whether a slide is like those of the training set: the finder's scores are calibrated for those alone.

A slide is summed up in a few numbers (`summarise`): the median of each statistic of its fields, and how certain
the finder was of its candidates. The same numbers of the slides of the training population, as mean and standard
deviation between slides (`reference_statistics_of`), stand in the weights' manifest. `drifts` names those that
are too far off.

Medians keep a few odd fields, such as a bubble or the edge of the coverslip, from deciding about a slide. The
standard error of a median is sqrt(pi/2) sigma / sqrt(n), with sigma from the median absolute deviation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from analysis.finder.finders import FieldCandidates

Value = TypeVar("Value")

LEAST_FIELDS = 50
"""Fewer fields than this are no sample of a slide."""

LEAST_SCORES = 30
"""Fewer candidates than this are no sample of a slide's scores."""

LIMIT_Z = 4.0
"""Standard deviations between slides that are still typical: some eight numbers are watched, on every slide."""

UNCERTAIN = (0.2, 0.8)
"""Scores that are neither yes nor no."""

METAPHASE_SCORE = 0.5
"""From here on a candidate counts as a metaphase."""

UNCERTAIN_FRACTION = "uncertain_fraction"
METAPHASE_SCORE_MEAN = "metaphase_score_mean"
MIN_SLIDES = 3
"""Fewer slides than this have no standard deviation to speak of."""

_BACKGROUND = "background"
_FOCUS = "focus"
# Cells that are sharper than those of the training set are scored no worse.
_HARMLESS_ABOVE = frozenset({_FOCUS})
_SIGMA_OF_MAD = 1.4826
_MEDIAN_ERROR = math.sqrt(math.pi / 2)
# A population in which a number never varies is a population of one: a thousandth of it passes.
_LEAST_SPREAD = 1e-3
_TINY = 1e-9

_RENAMED = {
    "dark_share": "dark_fraction",
    "uncertain_share": UNCERTAIN_FRACTION,
    "find_score_mean": METAPHASE_SCORE_MEAN,
}
"""Names of statistics in older manifests and journals."""


def current_names(values_by_name: Mapping[str, Value]) -> dict[str, Value]:
    """Bring statistics by name, of any version's files, to the names of this one."""
    return {_RENAMED.get(name, name): value for name, value in values_by_name.items()}


@dataclass(frozen=True, slots=True)
class FieldSummary:
    """Statistics of one field, and the scores of its candidates.

    Attributes
    ----------
    statistics
        Statistics of the picture by name, each finite.
    scores
        Scores of all its candidates, however low, in [0, 1].
    """

    statistics: Mapping[str, float]
    scores: tuple[float, ...] = ()


def summarise_field(field_candidates: FieldCandidates, full_scale: float) -> FieldSummary:
    """Summarise a field.

    Parameters
    ----------
    field_candidates
        Of that field.
    full_scale
        The largest grey level of the camera: the background becomes a fraction of it.
    """
    statistics = {name: float(value) for name, value in field_candidates.statistics.measured().items()}
    statistics[_BACKGROUND] /= full_scale
    if not field_candidates.scores:
        # Nothing was proposed: the only bodies are specks and noise, which are sharp in any focus.
        statistics.pop(_FOCUS, None)
    # Of a frame without light some numbers are none.
    finite = {name: value for name, value in statistics.items() if math.isfinite(value)}
    return FieldSummary(finite, tuple(float(score) for score in field_candidates.scores))


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
    """Distribution of a number over the slides of the training set.

    Attributes
    ----------
    mean, std
        Over slides; `std` is at least 0.
    """

    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class Drift:
    """A number of a slide that is far from that of the training set's slides.

    Attributes
    ----------
    statistic
        Its name.
    value
        What it is on this slide.
    low, high
        Between which there is no drift.
    z
        Distance from the mean in standard deviations; negative below.
    """

    statistic: str
    value: float
    low: float
    high: float
    z: float

    def __str__(self) -> str:
        words = self.statistic.replace("_", " ")
        return f"{words} is {self.value:.3g}, typical are {self.low:.3g} to {self.high:.3g} (z {self.z:+.1f})"


@dataclass(slots=True)
class SlideSummaries:
    """Collects the summaries of one slide's fields.

    Attributes
    ----------
    fields
        By their index, so that a field that is searched twice counts once.
    """

    fields: dict[int, FieldSummary] = field(default_factory=dict)

    def add(self, index: int, summary: FieldSummary) -> None:
        """Add a field.

        Parameters
        ----------
        index
            Of the field; a field that is added twice counts once.
        summary
            Its summary.
        """
        self.fields[index] = summary

    def drifts(
        self, reference: Mapping[str, ReferenceStatistics], *, limit_z: float = LIMIT_Z
    ) -> tuple[Drift, ...]:
        """Numbers of the slide so far that are far from the reference; none before `LEAST_FIELDS` were added.

        Parameters
        ----------
        reference
            Of the training set, by name.
        limit_z
            Standard deviations that are still typical.
        """
        if len(self.fields) < LEAST_FIELDS:
            return ()
        return drifts(summarise(self.fields.values()), reference, limit_z=limit_z)


def summarise(fields: Iterable[FieldSummary]) -> dict[str, SlideSummary]:
    """Sum up a slide.

    Parameters
    ----------
    fields
        At least one; statistics that only some fields have are summed up over those.

    Returns
    -------
    dict
        By name: the median of each statistic; `UNCERTAIN_FRACTION` and `METAPHASE_SCORE_MEAN` where there are at
        least `LEAST_SCORES` scores, and as many of metaphases.
    """
    summaries = list(fields)
    names = sorted({name for each in summaries for name in each.statistics})
    summary = {
        name: _median(np.array([each.statistics[name] for each in summaries if name in each.statistics]))
        for name in names
    }
    scores = np.array([score for each in summaries for score in each.scores])
    if scores.size >= LEAST_SCORES:
        uncertain = (scores > UNCERTAIN[0]) & (scores < UNCERTAIN[1])
        fraction = float(uncertain.mean())
        # Agresti & Coull 1998: an error of nothing, where none or all are uncertain, would be too sure.
        near = (fraction * scores.size + 2) / (scores.size + 4)
        summary[UNCERTAIN_FRACTION] = SlideSummary(fraction, math.sqrt(near * (1 - near) / scores.size))
    metaphases = scores[scores >= METAPHASE_SCORE]
    if metaphases.size >= LEAST_SCORES:
        summary[METAPHASE_SCORE_MEAN] = SlideSummary(
            float(metaphases.mean()), float(metaphases.std(ddof=1)) / math.sqrt(metaphases.size)
        )
    return summary


def reference_statistics_of(slides: Iterable[Mapping[str, SlideSummary]]) -> dict[str, ReferenceStatistics]:
    """Compute the reference of a population of slides.

    Parameters
    ----------
    slides
        Summaries of at least `MIN_SLIDES` slides; a name that fewer of them have is left out.
    """
    values: dict[str, list[float]] = {}
    for summary in slides:
        for name, number in summary.items():
            values.setdefault(name, []).append(number.value)
    return {
        name: ReferenceStatistics(float(np.mean(numbers)), float(np.std(numbers, ddof=1)))
        for name, numbers in sorted(values.items())
        if len(numbers) >= MIN_SLIDES
    }


def drifts(
    summary: Mapping[str, SlideSummary], reference: Mapping[str, ReferenceStatistics], *, limit_z: float = LIMIT_Z
) -> tuple[Drift, ...]:
    """Numbers of a slide that are far from the reference, furthest first.

    A number's own standard error widens the limits, so that few fields raise no alarm by chance. Numbers without a
    reference, and the reverse, are passed over; so is a focus that is better than the reference.

    Parameters
    ----------
    summary
        Of the slide, by name.
    reference
        Of the training set, by name.
    limit_z
        Standard deviations that are still typical.
    """
    drifting = []
    for name in summary.keys() & reference.keys():
        here, there = summary[name], reference[name]
        spread = math.hypot(max(there.std, _LEAST_SPREAD * abs(there.mean), _TINY), here.error)
        z = (here.value - there.mean) / spread
        if abs(z) > limit_z and not (z > 0 and name in _HARMLESS_ABOVE):
            reach = limit_z * spread
            # No number that is watched can be negative.
            drifting.append(Drift(name, here.value, max(0.0, there.mean - reach), there.mean + reach, z))
    return tuple(sorted(drifting, key=lambda drift: (-abs(drift.z), drift.statistic)))


def reference_to_json(reference: Mapping[str, ReferenceStatistics]) -> dict[str, dict[str, float]]:
    """As the manifest of weights keeps it under ``drift``."""
    return {name: {"mean": value.mean, "std": value.std} for name, value in reference.items()}


def reference_from_json(statistics_by_name: Mapping[str, Mapping[str, float]]) -> dict[str, ReferenceStatistics]:
    """From what the manifest of weights keeps.

    A background in grey levels is left out: cameras of different depth do not compare, and `summarise_field` gives
    a fraction of the full scale.

    Raises
    ------
    ValueError
        A number is missing, not finite, or a negative deviation.
    """
    reference = {}
    for name, value in current_names(statistics_by_name).items():
        try:
            mean, std = float(value["mean"]), float(value["std"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"drift.{name}: mean and std are needed, found {value!r}") from error
        if not (math.isfinite(mean) and math.isfinite(std) and std >= 0):
            raise ValueError(f"drift.{name}: found mean {mean}, std {std}")
        if name != _BACKGROUND or mean <= 1.0:
            reference[name] = ReferenceStatistics(mean, std)
    return reference


def _median(values: NDArray[np.float64]) -> SlideSummary:
    middle = float(np.median(values))
    sigma = _SIGMA_OF_MAD * float(np.median(np.abs(values - middle)))
    return SlideSummary(middle, _MEDIAN_ERROR * sigma / math.sqrt(values.size))

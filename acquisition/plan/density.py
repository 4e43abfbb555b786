"""How many analysable cells there are, and how surely: among those seen, and on an area that was not looked at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
from scipy.stats import gamma, nbinom, poisson

from acquisition.plan.quantities import ROUNDING, UM2_PER_MM2
from acquisition.plan.stopping import count_distribution
from acquisition.protocol import Stop
from acquisition.records import CandidateRecord, FieldRecord, FieldStatus

LEVEL = 0.95
"""Fraction of the cases that an interval holds."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A number that is not known for certain.

    Attributes
    ----------
    mean
        What is to be expected.
    low, high
        Between these it lies with probability `LEVEL`.
    """

    mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Plain values, rounded."""
        return {"mean": round(self.mean, 2), "low": round(self.low, 2), "high": round(self.high, 2)}


def expected_cells(probabilities: Sequence[float]) -> Expected:
    """How many of these cells are analysable.

    Parameters
    ----------
    probabilities
        Of each cell that it is analysable, in [0, 1]; each cell once.

    Returns
    -------
    Expected
        Of the Poisson binomial distribution; its interval holds whole numbers.
    """
    below = np.cumsum(count_distribution(probabilities))
    quantiles = (1 - LEVEL) / 2, (1 + LEVEL) / 2
    low, high = (int(np.searchsorted(below, quantile - ROUNDING)) for quantile in quantiles)
    last = len(probabilities)
    return Expected(float(sum(probabilities)), min(low, last), min(high, last))


@dataclass(frozen=True, slots=True)
class FieldYield:
    """Analysable cells of a field.

    Attributes
    ----------
    cells
        Expected number.
    variance
        Of that number, since none of its cells is certain.
    """

    cells: float = 0.0
    variance: float = 0.0


def yields_of(fields: Iterable[FieldRecord], candidates: Iterable[CandidateRecord]) -> dict[int, FieldYield]:
    """What each field that was photographed and searched holds, by its index.

    Parameters
    ----------
    fields, candidates
        As the casebook gives them. A candidate belongs to the field that shows it best; where the finder only
        scored it, the score stands for the probability.
    """
    chances: dict[int, list[float]] = {field.index: [] for field in fields if field.status is FieldStatus.DONE}
    for candidate in candidates:
        if candidate.field_index in chances:
            chances[candidate.field_index].append(chance_of(candidate))
    return {
        index: FieldYield(math.fsum(values), math.fsum(p * (1 - p) for p in values))
        for index, values in chances.items()
    }


def chance_of(candidate: CandidateRecord) -> float:
    """Probability that a candidate is an analysable metaphase; of a finder that only scores, the score."""
    return candidate.score if candidate.analysable is None else candidate.score * candidate.analysable


def step_mm2(fields: Sequence[FieldRecord]) -> float | None:
    """What one field adds to the scanned area, overlaps counted once; None for fewer than two rows or columns.

    Parameters
    ----------
    fields
        Of one scan.
    """
    x_um = _step_um([(field.column, field.slide_x_um) for field in fields])
    y_um = _step_um([(field.row, field.slide_y_um) for field in fields])
    return None if x_um is None or y_um is None else x_um * y_um / UM2_PER_MM2


def _step_um(places: Iterable[tuple[int, float]]) -> float | None:
    lines: dict[int, list[float]] = {}
    for line, place_um in places:
        lines.setdefault(line, []).append(place_um)
    middles = sorted((line, median(values)) for line, values in lines.items())
    steps = [abs(after - before) / (second - first) for (first, before), (second, after) in pairwise(middles)]
    return median(steps) if steps and median(steps) > 0 else None


@dataclass(frozen=True, slots=True)
class CellDensity:
    """Analysable cells per area, learnt from the fields of a scan.

    Counts of a field are taken as Poisson, with a Gamma distributed rate that they tell of (Jeffreys' prior).
    Cells lie in patches: where fields differ more than chance alone would have it, everything is as uncertain as
    that many fewer fields would leave it (quasi-Poisson; McCullagh & Nelder 1989, chapter 9).

    Attributes
    ----------
    cells
        Expected number on all fields together.
    fields
        How many were looked at; at least one.
    field_mm2
        Area of one.
    dispersion
        Variance of a field's count over its mean; at least 1.
    """

    cells: float
    fields: int
    field_mm2: float
    dispersion: float = 1.0

    @property
    def per_field(self) -> float:
        """Expected number on one field."""
        return (self.cells + 0.5) / self.fields

    @property
    def per_mm2(self) -> Expected:
        """Cells per mm2 of such slides, over a large area."""
        rate = gamma((self.cells + 0.5) / self.dispersion, scale=self.dispersion / self.fields / self.field_mm2)
        low, high = rate.interval(LEVEL)
        return Expected(self.per_field / self.field_mm2, float(low), float(high))

    def on(self, area_mm2: float) -> Expected:
        """Cells on an area that was not looked at, of this slide or one like it."""
        if area_mm2 <= 0:
            return Expected(0.0, 0.0, 0.0)
        counts = self._counts(area_mm2 / self.field_mm2)
        low, high = counts.interval(LEVEL)
        return Expected(float(counts.mean()), float(low), float(high))

    def area_for(self, cells: int, probability: float, *, at_most_mm2: float) -> float | None:
        """Area on which at least so many cells lie with that probability; None where the most is too little.

        Parameters
        ----------
        cells
            How many analysable cells are wanted.
        probability
            With which they have to lie on the area, in (0, 1).
        at_most_mm2
            The whole area, mm2.
        """
        if self._probability(cells, at_most_mm2) < probability:
            return None
        low_mm2, high_mm2 = 0.0, at_most_mm2
        while high_mm2 - low_mm2 > 0.5 * self.field_mm2:
            middle_mm2 = (low_mm2 + high_mm2) / 2
            if self._probability(cells, middle_mm2) < probability:
                low_mm2 = middle_mm2
            else:
                high_mm2 = middle_mm2
        return high_mm2

    def _probability(self, cells: int, area_mm2: float) -> float:
        return float(self._counts(area_mm2 / self.field_mm2).sf(cells - 1)) if area_mm2 > 0 else 0.0

    def _counts(self, fields: float) -> Any:  # noqa: ANN401 - scipy's distributions have no types
        mean = self.per_field * fields
        variance = self.dispersion * mean * (1.0 + fields / self.fields)
        if variance <= mean * (1 + ROUNDING):
            return poisson(mean)
        return nbinom(mean * mean / (variance - mean), mean / variance)


def density_of(yields: Mapping[int, FieldYield], field_mm2: float) -> CellDensity | None:
    """Cells per area; None where no field was looked at.

    Parameters
    ----------
    yields
        Of each field. Fields that were chosen because cells were expected there make the density of the slide too
        large.
    field_mm2
        What one field adds to the scanned area.
    """
    if not yields:
        return None
    cells = np.array([one.cells for one in yields.values()])
    mean = float(cells.mean())
    if len(cells) < 2 or mean <= 0:
        return CellDensity(float(cells.sum()), len(cells), field_mm2)
    # The cells of a field are there or not: that adds to what differs between fields.
    variance = float(cells.var(ddof=1)) + float(np.mean([one.variance for one in yields.values()]))
    return CellDensity(float(cells.sum()), len(cells), field_mm2, max(1.0, variance / mean))


@dataclass(frozen=True, slots=True)
class Forecast:
    """The analysable cells of an area that was not scanned yet, on a slide like one that was.

    Attributes
    ----------
    expected
        On the whole area.
    per_mm2
        On such slides.
    enough_fraction
        Share of the area on which the stop rule is likely to find what it wants; None where there is no such rule,
        or the whole area is too small.
    """

    expected: Expected
    per_mm2: Expected
    enough_fraction: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        share = None if self.enough_fraction is None else round(self.enough_fraction, 3)
        return {
            "expected": self.expected.to_json(), "per_mm2": self.per_mm2.to_json(), "enough_share_of_area": share,
        }  # fmt: skip


def forecast(density: CellDensity, area_mm2: float, stop: Stop) -> Forecast:
    """What to expect of an area.

    Parameters
    ----------
    density
        Of a slide like it.
    area_mm2
        To be scanned.
    stop
        Rule of the protocol.
    """
    needed_mm2 = (
        None if stop.cells is None else density.area_for(stop.cells, stop.probability, at_most_mm2=area_mm2)
    )
    share = None if needed_mm2 is None else min(1.0, needed_mm2 / area_mm2)
    return Forecast(density.on(area_mm2), density.per_mm2, share)


@dataclass(frozen=True, slots=True)
class CellFigures:
    """The analysable cells of a scan.

    Attributes
    ----------
    expected
        On the fields that were scanned.
    density
        Per area; None where the grid of the fields does not tell their area.
    """

    expected: Expected
    density: CellDensity | None


def cell_figures(fields: Sequence[FieldRecord], candidates: Sequence[CandidateRecord]) -> CellFigures:
    """What a scan says of its analysable cells.

    Parameters
    ----------
    fields, candidates
        Of one run, as the casebook gives them; candidates that a reviewer rejected left out.
    """
    area_mm2 = step_mm2(fields)
    density = None if area_mm2 is None else density_of(yields_of(fields, candidates), area_mm2)
    return CellFigures(expected_cells([chance_of(candidate) for candidate in candidates]), density)

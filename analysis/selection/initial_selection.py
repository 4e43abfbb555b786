"""The first pass: which of a cell's proposals are chromosomes, decided for the whole cell.

A proposal speaks for itself by its score. Against it speak proposals that explain the same pixels, the more so
if they are of the same class, for two chromosomes that lie across each other are seldom homologues; a piece of
stain that is already explained, by the areas its chromosomes should have; and, mildly, a third chromosome of a
class. Nothing speaks for a number: a class without any proposal is no reason to believe a poor one, so that a
cell of 45 stays one.

Classes count only where the detector is certain of them. Of a stain it wasn't trained on it is unsure of most,
takes several chromosomes for the same class, and a price for the third would cost whole chromosomes. The less sure
it is of the cell's classes, the more every chromosome counts as a bit of each: what is left is a price for more
than 48.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import load_parameters
from analysis.selection.measurements import ProposalMeasurements
from analysis.selection.search import improve_selection
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.relative_length import RELATIVE_LENGTH

RELATIVE_LENGTHS: Final = np.asarray([RELATIVE_LENGTH[name] for name in CLASS_NAMES], np.float64)
"""Shape (24,): in the order of `CLASS_NAMES`."""

LEAST_PROBABILITY: Final = 1e-4
"""Scores are kept this far from 0 and 1: log odds stay finite, and no single proposal outweighs all others."""

_MAX_CHANGES: Final = 400
"""Several times the chromosomes of a cell: the search ends by itself long before."""

_MIN_SINGLES: Final = 6
"""Chromosomes that lie alone, from which a cell's typical area is measured."""

_LEAST_SPAN: Final = 1e-6
"""Keeps the slope between uncertain and certain classes finite where both settings are equal."""


@dataclass(frozen=True, slots=True)
class SelectionSettings:
    """Prices of the objective: the parameter set ``selection``.

    Attributes
    ----------
    nms_iou
        Of proposals that overlap by more than this only the best is kept (non-maximum suppression).
    threshold
        Score at which a proposal that nothing speaks against is as likely right as wrong.
    slope
        Gain of a unit of the score's logit.
    overlap_start, overlap_price
        Boxes that overlap by more cost, and what full overlap costs.
    other_class
        Part of that price where the classes surely differ.
    area_price
        Price of a piece's area too much or too little, in units of the cell's typical chromosome.
    third_price
        Price of a third chromosome of a class.
    unsure_at, sure_at
        Certainty of a cell's classes (see `class_certainty`) up to which they say nothing, and from which they
        count in full. Of the val split's cells 92 in 100 are surer than the latter; of 43 pictures of other
        laboratories, most of them stained without bands, one is.
    """

    nms_iou: float
    threshold: float
    slope: float
    overlap_start: float
    overlap_price: float
    other_class: float
    area_price: float
    third_price: float
    unsure_at: float
    sure_at: float


@cache
def load_selection_settings() -> SelectionSettings:
    """The settings that come with the product.

    Raises
    ------
    WeightsError
        Where they are missing or damaged.
    """
    return load_parameters(ParameterSetName.SELECTION).coefficients(SelectionSettings)


def select_proposals(measurements: ProposalMeasurements, settings: SelectionSettings) -> NDArray[np.intp]:
    """Select the chromosomes among a cell's proposals.

    Parameters
    ----------
    measurements
        Of the cell's n proposals.
    settings
        Prices of the objective.

    Returns
    -------
    NDArray[np.intp]
        Shape (chromosomes,): rows of the selected proposals, best score first.
    """
    objective = _Objective(measurements, settings)
    selected = improve_selection(objective, objective.start(), max_changes=_MAX_CHANGES)
    rows = np.flatnonzero(selected)
    return rows[np.argsort(-measurements.score[rows], kind="stable")]


def class_certainty(measurements: ProposalMeasurements, settings: SelectionSettings) -> float:
    """Compute how certain the detector is of a cell's classes.

    Parameters
    ----------
    measurements
        Of the cell's proposals.
    settings
        Prices of the objective.

    Returns
    -------
    float
        Median of the best class's probability over good proposals, in [0, 1]; low where the picture is of another
        kind than those it learned from, 0 where nothing is proposed.
    """
    return _Objective(measurements, settings).certainty


def expected_areas(
    measurements: ProposalMeasurements, settings: SelectionSettings
) -> tuple[NDArray[np.float64], float]:
    """Compute the areas that proposals should have by their classes.

    Parameters
    ----------
    measurements
        Of the cell's n proposals.
    settings
        Prices of the objective.

    Returns
    -------
    tuple
        float64, shape (n,): areas in units of the cell's typical chromosome; and that unit in px, infinite where
        there is too little to measure the cell by: areas are 0 then.
    """
    objective = _Objective(measurements, settings)
    return objective.areas, objective.unit_px


class _Objective:
    """Log odds of a cell's proposals less the prices of what speaks against them."""

    def __init__(self, measurements: ProposalMeasurements, settings: SelectionSettings) -> None:
        self._measurements = measurements
        self._settings = settings
        score = np.clip(measurements.score, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
        even = np.log(settings.threshold / (1.0 - settings.threshold))
        self._log_odds = settings.slope * (np.log(score / (1.0 - score)) - even)
        beyond = np.clip(measurements.overlap - settings.overlap_start, 0.0, None) / (1.0 - settings.overlap_start)
        same_class = measurements.classes @ measurements.classes.T
        self._pair_prices = (
            settings.overlap_price * beyond * (settings.other_class + (1.0 - settings.other_class) * same_class)
        )
        start = self.start()
        self.areas, self.unit_px = self._expected_areas(start)
        self.certainty = float(np.median(measurements.classes[start].max(axis=1))) if start.any() else 0.0
        span = max(settings.sure_at - settings.unsure_at, _LEAST_SPAN)
        trust = float(np.clip((self.certainty - settings.unsure_at) / span, 0.0, 1.0))
        self._class_counts = trust * measurements.classes + (1.0 - trust) / len(CLASS_NAMES)

    def start(self) -> NDArray[np.bool_]:
        """Select what has a good score and no better one over it."""
        selected = np.zeros(len(self._log_odds), np.bool_)
        for row in np.argsort(-self._measurements.score, kind="stable"):
            price = self._pair_prices[row, selected].sum()
            if self._log_odds[row] > 0.0 and self._log_odds[row] > price:
                selected[row] = True
        return selected

    def gains(self, selected: NDArray[np.bool_]) -> NDArray[np.float64]:
        """See `SelectionObjective.gains`."""
        settings = self._settings
        sign = np.where(selected, -1.0, 1.0)
        gain = sign * (self._log_odds - self._pair_prices[:, selected].sum(axis=1))
        if settings.third_price > 0.0:
            per_class = self._class_counts[selected].sum(axis=0)
            after = per_class[None] + sign[:, None] * self._class_counts
            cost = np.clip(after - 2.0, 0.0, None).sum(axis=1) - np.clip(per_class - 2.0, 0.0, None).sum()
            gain -= settings.third_price * cost
        if settings.area_price > 0.0:
            gain -= settings.area_price * self._area_costs(selected, sign)
        return np.asarray(gain, dtype=np.float64)

    def replacements(self, selected: NDArray[np.bool_]) -> tuple[tuple[float, NDArray[np.intp]], ...]:
        """See `SelectionObjective.replacements`: this pass takes single changes alone."""
        return ()

    def _area_costs(self, selected: NDArray[np.bool_], sign: NDArray[np.float64]) -> NDArray[np.float64]:
        measurements = self._measurements
        cost = np.zeros(len(sign))
        inside = measurements.piece >= 0
        explained = np.bincount(
            measurements.piece[selected & inside],
            weights=self.areas[selected & inside],
            minlength=len(measurements.piece_areas),
        )
        rest = (measurements.piece_areas / self.unit_px - explained)[measurements.piece[inside]]
        cost[inside] = np.abs(rest - sign[inside] * self.areas[inside]) - np.abs(rest)
        return cost

    def _expected_areas(self, start: NDArray[np.bool_]) -> tuple[NDArray[np.float64], float]:
        """Areas by class, and the unit: measured on pieces of stain that hold one good proposal."""
        measurements = self._measurements
        lengths = measurements.classes @ RELATIVE_LENGTHS / float(np.median(RELATIVE_LENGTHS))
        start = start & (measurements.piece >= 0)
        per_piece = np.bincount(measurements.piece[start], minlength=len(measurements.piece_areas) + 1)
        alone = start & (per_piece[measurements.piece] == 1)
        if np.count_nonzero(alone) < _MIN_SINGLES:
            return np.zeros_like(lengths), float("inf")
        unit_px = float(np.median(measurements.piece_areas[measurements.piece[alone]] / lengths[alone]))
        return np.asarray(lengths, dtype=np.float64), unit_px

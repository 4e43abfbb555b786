"""Features of each proposal of a cell, given which others are selected.

They are computed twice: with the detector's classes alone, and with classes fused of the detector and the
classifier, which has the chromosome itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.selection.initial_selection import (
    LEAST_PROBABILITY,
    RELATIVE_LENGTHS,
    SelectionSettings,
    expected_areas,
    load_selection_settings,
)
from analysis.selection.measurements import ProposalMeasurements
from analysis.structures.classes import AUTOSOMES

FEATURE_NAMES: Final = (
    "constant",
    "score",
    "overlap above .3",
    "overlap above .5",
    "overlap above .67",
    "overlap of one class",
    "inside another",
    "holds another",
    "holds another whole",
    "inside several",
    "area explained",
    "area too much",
    "area change",
    "explained already",
    "odd size",
    "too small",
    "stained fraction",
    "unsure of class",
    "third of class",
    "fills a place",
)
"""Columns of `ProposalFeatures.table`; the parameter set ``rescoring`` names them."""

_AUTOSOME_COUNT: Final = len(AUTOSOMES)
_LEAST_CLASS_PROBABILITY: Final = 1e-9
"""Keeps entropies finite."""

_TINY: Final = 1e-6
"""Keeps ratios finite."""


@dataclass(frozen=True, slots=True)
class ProposalFeatureSettings:
    """Where features begin to count: set by hand, unlike their weights.

    Attributes
    ----------
    overlaps
        Intersections over union above which the overlap with others counts, one feature each: side by side at a
        slant, much of each other, the same stain.
    min_class_overlap
        Overlap above which it counts whether two are of one class.
    whole
        Fraction of a box within another from which it counts as whole.
    half
        The same for one that lies within several.
    free
        Fraction of a box's stain, that no other explains, below which it counts as explained already.
    competing_overlap, competing_inside
        Overlap, and fraction of either box within the other, above which two stand for the same stain.
    good_score
        Of proposals that a cell's typical size is taken from.
    min_good
        Such proposals; with fewer all of them are taken.
    size_limits
        Of a box's diagonal over the expected one: what is farther off says no more.
    """

    overlaps: tuple[float, float, float] = (0.3, 0.5, 0.67)
    min_class_overlap: float = 0.2
    whole: float = 0.7
    half: float = 0.5
    free: float = 0.3
    competing_overlap: float = 0.3
    competing_inside: float = 0.6
    good_score: float = 0.7
    min_good: int = 9
    size_limits: tuple[float, float] = (0.2, 5.0)


PROPOSAL_FEATURES: Final = ProposalFeatureSettings()


@dataclass(frozen=True, slots=True)
class ProposalFeatures:
    """A cell's n proposals, ready for their features.

    Attributes
    ----------
    measurements
        Of the proposals.
    boxes_px
        int64, shape (n, 4): close-fitting boxes within the picture.
    mask
        bool, shape (h, w): stain.
    stain_px
        Shape (n,): stain in each box.
    inside
        Shape (n, n): fraction of the row's box within the column's, 0 on the diagonal.
    size_deviation
        Shape (n,): natural logarithm of a box's diagonal over what its class should have in this cell.
    areas, unit_px
        See `expected_areas`.
    settings
        Where features begin to count.
    """

    measurements: ProposalMeasurements
    boxes_px: NDArray[np.int64]
    mask: NDArray[np.bool_]
    stain_px: NDArray[np.float64]
    inside: NDArray[np.float64]
    size_deviation: NDArray[np.float64]
    areas: NDArray[np.float64]
    unit_px: float
    settings: ProposalFeatureSettings = PROPOSAL_FEATURES

    def __len__(self) -> int:
        return len(self.stain_px)

    def table(
        self, selected: NDArray[np.bool_], class_scores: NDArray[np.float64], rows: NDArray[np.intp] | None = None
    ) -> NDArray[np.float64]:
        """Compute features of proposals, given what else is selected.

        Parameters
        ----------
        selected
            bool, shape (n,); or (m, n): what else is selected for each of them.
        class_scores
            float64, shape (n, 24): probabilities; rows of NaN count as all classes alike.
        rows
            Shape (m,): proposals whose features are computed; all where it is None.

        Returns
        -------
        NDArray[np.float64]
            Shape (m, features), columns as `FEATURE_NAMES`.
        """
        rows = np.arange(len(self)) if rows is None else rows
        settings, measurements = self.settings, self.measurements
        selected = np.broadcast_to(selected, (len(rows), len(self)))
        score = np.clip(measurements.score[rows], LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
        overlap = measurements.overlap[rows] * selected
        inside, holds = self.inside[rows] * selected, self.inside.T[rows] * selected
        same_class = measurements.classes[rows] @ measurements.classes.T
        most_inside, most_held = inside.max(axis=1, initial=0.0), holds.max(axis=1, initial=0.0)
        probability = np.where(np.isnan(class_scores), 1.0 / class_scores.shape[1], class_scores)
        third, fills = class_places(probability, selected, rows)
        sides = np.maximum((self.boxes_px[rows, 2:] - self.boxes_px[rows, :2]).prod(axis=1), 1)
        own = np.clip(probability[rows], _LEAST_CLASS_PROBABILITY, None)
        columns = (
            np.ones(len(rows)),
            np.log(score / (1.0 - score)),
            *(np.clip(overlap - start, 0.0, None).sum(axis=1) for start in settings.overlaps),
            (np.clip(overlap - settings.min_class_overlap, 0.0, None) * same_class).sum(axis=1),
            np.clip(most_inside - settings.whole, 0.0, None),
            most_held,
            np.clip(most_held - settings.whole, 0.0, None),
            np.clip(inside - settings.half, 0.0, None).sum(axis=1),
            *self._unexplained_areas(selected, rows),
            np.clip(settings.free - self._unexplained(selected, rows), 0.0, None),
            np.abs(self.size_deviation[rows]),
            np.clip(-self.size_deviation[rows], 0.0, None),
            self.stain_px[rows] / sides,
            -(own * np.log(own)).sum(axis=1),
            third,
            fills,
        )
        return np.stack(columns, axis=1)

    def competing(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Mark which of all proposals stand for the same stain as those of the rows: bool, shape (m, n)."""
        contained = self.settings.competing_inside
        same = (
            (self.measurements.overlap > self.settings.competing_overlap)
            | (self.inside > contained)
            | (contained < self.inside.T)
        )
        return np.asarray(same[rows], np.bool_)

    def _unexplained_areas(
        self, selected: NDArray[np.bool_], rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], ...]:
        """How much of its piece of stain each explains, explains too much, and what that changes."""
        if not np.isfinite(self.unit_px):
            nothing = np.zeros(len(rows))
            return nothing, nothing, nothing
        piece, areas = self.measurements.piece, self.areas[rows]
        inside = piece[rows] >= 0
        explained = (selected & (piece == piece[rows, None])) @ self.areas
        whole = self.measurements.piece_areas[np.maximum(piece[rows], 0)] / self.unit_px if inside.any() else 0.0
        own = np.where(selected[np.arange(len(rows)), rows], areas, 0.0)
        rest = np.where(inside, whole - explained + own, 0.0)
        filled = np.clip(np.minimum(rest, areas), 0.0, None)
        change = np.abs(rest - areas) - np.abs(rest)
        return tuple(np.where(inside, values, 0.0) for values in (filled, areas - filled, change))

    def _unexplained(self, selected: NDArray[np.bool_], rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Fraction of the stain in each box that lies in no other selected box."""
        touched = (self.inside[rows] > 0.0) & selected
        free = np.zeros(len(rows))
        for place, row in enumerate(rows):
            x0, y0, x1, y1 = self.boxes_px[row]
            stain = self.mask[y0:y1, x0:x1]
            others = np.flatnonzero(touched[place])
            if len(others):
                stain = stain.copy()
                for left, top, right, bottom in self.boxes_px[others] - [x0, y0, x0, y0]:
                    stain[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = False
            free[place] = np.count_nonzero(stain)
        return free / np.maximum(self.stain_px[rows], 1.0)


def compute_proposal_features(
    measurements: ProposalMeasurements,
    tight_px: NDArray[np.float32],
    mask: NDArray[np.bool_],
    selection: SelectionSettings | None = None,
    settings: ProposalFeatureSettings = PROPOSAL_FEATURES,
) -> ProposalFeatures:
    """Prepare the features of a cell's proposals.

    Parameters
    ----------
    measurements
        Of the proposals.
    tight_px
        float32, shape (n, 4): close-fitting boxes, in px of the mask.
    mask
        bool, shape (h, w): stain.
    selection
        Prices of the first pass; those that come with the product where None.
    settings
        Where features begin to count.
    """
    high, wide = mask.shape
    boxes = np.clip(np.round(tight_px).astype(np.int64), 0, [wide, high, wide, high]).reshape(-1, 4)
    summed = np.pad(mask.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    x0, y0, x1, y1 = boxes.T
    stain = (summed[y1, x1] - summed[y0, x1] - summed[y1, x0] + summed[y0, x0]).astype(np.float64)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    top = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    sides = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)
    inside = np.clip(top - low, 0, None).prod(axis=2) / np.maximum(sides.prod(axis=1), 1.0)[:, None]
    np.fill_diagonal(inside, 0.0)
    ratio = np.hypot(sides[:, 0], sides[:, 1]) / (
        measurements.classes @ RELATIVE_LENGTHS / float(np.median(RELATIVE_LENGTHS))
    )
    good = measurements.score > settings.good_score
    if np.count_nonzero(good) < settings.min_good:
        good = np.ones(len(boxes), np.bool_)
    typical = float(np.median(ratio[good])) if len(boxes) else 1.0
    deviation = np.log(np.clip(ratio / max(typical, _TINY), *settings.size_limits))
    areas, unit = expected_areas(measurements, selection or load_selection_settings())
    return ProposalFeatures(
        measurements=measurements,
        boxes_px=boxes,
        mask=mask,
        stain_px=stain,
        inside=np.asarray(inside, np.float64),
        size_deviation=deviation,
        areas=areas,
        unit_px=unit,
        settings=settings,
    )


def class_places(
    probability: NDArray[np.float64], selected: NDArray[np.bool_], rows: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Measure how much of each proposal would be a third of its class, and how much fills a place that is empty.

    Parameters
    ----------
    probability
        Shape (n, 24): classes of the proposals.
    selected
        bool, shape (m, n): what else is selected for each of the rows.
    rows
        Shape (m,): proposals that are measured.

    Returns
    -------
    tuple
        float64, shape (m,) each.
    """
    own = probability[rows]
    mine = selected[np.arange(len(rows)), rows]
    held = selected @ probability - np.where(mine[:, None], own, 0.0)
    third = (np.clip(held + own - 2.0, 0.0, None) - np.clip(held - 2.0, 0.0, None)).sum(axis=1)
    free = 2.0 - held[:, :_AUTOSOME_COUNT]
    fills = np.clip(free, 0.0, None) - np.clip(free - own[:, :_AUTOSOME_COUNT], 0.0, None)
    sex = 2.0 - held[:, _AUTOSOME_COUNT:].sum(axis=1)
    both = np.clip(sex, 0.0, None) - np.clip(sex - own[:, _AUTOSOME_COUNT:].sum(axis=1), 0.0, None)
    return third, fills.sum(axis=1) + both

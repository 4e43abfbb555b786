"""What speaks for and against each proposal of a cell, given which others are chosen.

The same numbers are asked for twice: with the detector's classes alone, and with classes that somebody told who
looked at the chromosome itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.selection.initial_selection import (
    ProposalMeasurements,
    SelectionSettings,
    expected_areas,
    load_selection_settings,
)
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.relative_length import RELATIVE_LENGTH

TRAITS: Final = (
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
    "stained share",
    "unsure of class",
    "third of class",
    "fills a place",
)
_AUTOSOMES: Final = 22
_SURE_SCORE: Final = 0.7
_SURE_ENOUGH: Final = 9
_LENGTHS: Final = np.asarray([RELATIVE_LENGTH[name] for name in CLASS_NAMES], np.float64)


@dataclass(frozen=True, slots=True)
class ProposalFeatures:
    """Proposals of a cell, measured; n of them.

    Attributes
    ----------
    known
        What the selection knows of them.
    boxes_px
        int64, shape (n, 4): close-fitting boxes within the picture.
    mask
        bool, shape (h, w): stain.
    stain_px
        Shape (n,): stain in each box.
    inside
        Shape (n, n): share of the row's box within the column's, 0 on the diagonal.
    odd_size
        Shape (n,): natural logarithm of a box's diagonal over what its class should have in this cell.
    areas, unit_px
        See `expected_areas`.
    """

    known: ProposalMeasurements
    boxes_px: NDArray[np.int64]
    mask: NDArray[np.bool_]
    stain_px: NDArray[np.float64]
    inside: NDArray[np.float64]
    odd_size: NDArray[np.float64]
    areas: NDArray[np.float64]
    unit_px: float

    def __len__(self) -> int:
        return len(self.stain_px)

    def table(
        self, chosen: NDArray[np.bool_], classes: NDArray[np.float64], rows: NDArray[np.intp] | None = None
    ) -> NDArray[np.float64]:
        """Measure proposals against what else is chosen.

        Parameters
        ----------
        chosen
            Shape (n,); or (m, n): what else is chosen where each of them is measured.
        classes
            Shape (n, 24): probabilities; rows of NaN count as knowing nothing.
        rows
            Shape (m,): those that are measured; all where it is None.

        Returns
        -------
        NDArray[np.float64]
            Shape (m, traits), columns as `TRAITS`.
        """
        rows = np.arange(len(self)) if rows is None else rows
        known, chosen = self.known, np.broadcast_to(chosen, (len(rows), len(self)))
        score = np.clip(known.score[rows], 1e-4, 1.0 - 1e-4)
        overlap = known.overlap[rows] * chosen
        inside, holds = self.inside[rows] * chosen, self.inside.T[rows] * chosen
        alike = known.classes[rows] @ known.classes.T
        most_inside, most_held = inside.max(axis=1, initial=0.0), holds.max(axis=1, initial=0.0)
        told = np.where(np.isnan(classes), 1.0 / classes.shape[1], classes)
        third, fills = _slots(told, chosen, rows)
        sides = np.maximum((self.boxes_px[rows, 2:] - self.boxes_px[rows, :2]).prod(axis=1), 1)
        own = np.clip(told[rows], 1e-9, None)
        columns = (
            np.ones(len(rows)),
            np.log(score / (1.0 - score)),
            np.clip(overlap - 0.3, 0.0, None).sum(axis=1),
            np.clip(overlap - 0.5, 0.0, None).sum(axis=1),
            np.clip(overlap - 0.67, 0.0, None).sum(axis=1),
            (np.clip(overlap - 0.2, 0.0, None) * alike).sum(axis=1),
            np.clip(most_inside - 0.7, 0.0, None),
            most_held,
            np.clip(most_held - 0.7, 0.0, None),
            np.clip(inside - 0.5, 0.0, None).sum(axis=1),
            *self._areas_left(chosen, rows),
            np.clip(0.3 - self._unexplained(chosen, rows), 0.0, None),
            np.abs(self.odd_size[rows]),
            np.clip(-self.odd_size[rows], 0.0, None),
            self.stain_px[rows] / sides,
            -(own * np.log(own)).sum(axis=1),
            third,
            fills,
        )
        return np.stack(columns, axis=1)

    def against(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell which of all proposals stand for the same stain as those of the rows: bool, shape (m, n)."""
        same = (self.known.overlap > 0.3) | (self.inside > 0.6) | (self.inside.T > 0.6)
        return np.asarray(same[rows], np.bool_)

    def _areas_left(self, chosen: NDArray[np.bool_], rows: NDArray[np.intp]) -> tuple[NDArray[np.float64], ...]:
        """How much of its piece of stain each explains, explains too much, and what that changes."""
        if not np.isfinite(self.unit_px):
            nothing = np.zeros(len(rows))
            return nothing, nothing, nothing
        piece, areas = self.known.piece, self.areas[rows]
        inside = piece[rows] >= 0
        explained = (chosen & (piece == piece[rows, None])) @ self.areas
        whole = self.known.piece_areas[np.maximum(piece[rows], 0)] / self.unit_px if inside.any() else 0.0
        own = np.where(chosen[np.arange(len(rows)), rows], areas, 0.0)
        left = np.where(inside, whole - explained + own, 0.0)
        filled = np.clip(np.minimum(left, areas), 0.0, None)
        change = np.abs(left - areas) - np.abs(left)
        return tuple(np.where(inside, values, 0.0) for values in (filled, areas - filled, change))

    def _unexplained(self, chosen: NDArray[np.bool_], rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Share of the stain in each box that lies in no other chosen box."""
        touched = (self.inside[rows] > 0.0) & chosen
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
    known: ProposalMeasurements,
    tight_px: NDArray[np.float32],
    mask: NDArray[np.bool_],
    settings: SelectionSettings | None = None,
) -> ProposalFeatures:
    """Measure the proposals of a cell.

    Parameters
    ----------
    known
        What the selection knows of them.
    tight_px
        float32, shape (n, 4): close-fitting boxes, in px of the mask.
    mask
        bool, shape (h, w): stain.
    settings
        Of the selection.
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
    ratio = np.hypot(sides[:, 0], sides[:, 1]) / (known.classes @ _LENGTHS / float(np.median(_LENGTHS)))
    sure = known.score > _SURE_SCORE
    if np.count_nonzero(sure) < _SURE_ENOUGH:
        sure = np.ones(len(boxes), np.bool_)
    usual = float(np.median(ratio[sure])) if len(boxes) else 1.0
    odd = np.log(np.clip(ratio / max(usual, 1e-6), 0.2, 5.0))
    areas, unit = expected_areas(known, settings or load_selection_settings())
    return ProposalFeatures(known, boxes, mask, stain, np.asarray(inside, np.float64), odd, areas, unit)


def _slots(
    told: NDArray[np.float64], chosen: NDArray[np.bool_], rows: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much of each proposal would be a third of its class, and how much fills a place that is empty."""
    own = told[rows]
    mine = chosen[np.arange(len(rows)), rows]
    held = chosen @ told - np.where(mine[:, None], own, 0.0)
    third = (np.clip(held + own - 2.0, 0.0, None) - np.clip(held - 2.0, 0.0, None)).sum(axis=1)
    free = 2.0 - held[:, :_AUTOSOMES]
    fills = np.clip(free, 0.0, None) - np.clip(free - own[:, :_AUTOSOMES], 0.0, None)
    sex = 2.0 - held[:, _AUTOSOMES:].sum(axis=1)
    both = np.clip(sex, 0.0, None) - np.clip(sex - own[:, _AUTOSOMES:].sum(axis=1), 0.0, None)
    return third, fills.sum(axis=1) + both

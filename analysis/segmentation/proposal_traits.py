"""What speaks for and against each proposal of a cell, given which others are chosen.

The same numbers are asked for twice: with the detector's classes alone, and with classes that somebody told who
looked at the chromosome itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.classification.classes import CLASS_NAMES
from analysis.karyogram.size import RELATIVE_LENGTH
from analysis.segmentation.detector_selection import Evidence, SelectionSettings, expected_areas

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
class ProposalTraits:
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

    known: Evidence
    boxes_px: NDArray[np.int64]
    mask: NDArray[np.bool_]
    stain_px: NDArray[np.float64]
    inside: NDArray[np.float64]
    odd_size: NDArray[np.float64]
    areas: NDArray[np.float64]
    unit_px: float

    def __len__(self) -> int:
        return len(self.stain_px)

    def table(self, chosen: NDArray[np.bool_], classes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Measure every proposal against what else is chosen.

        Parameters
        ----------
        chosen
            Shape (n,).
        classes
            Shape (n, 24): probabilities; rows of NaN count as knowing nothing.

        Returns
        -------
        NDArray[np.float64]
            Shape (n, traits), columns as `TRAITS`.
        """
        known = self.known
        score = np.clip(known.score, 1e-4, 1.0 - 1e-4)
        overlap = known.overlap * chosen
        inside, holds = self.inside * chosen, self.inside.T * chosen
        alike = known.classes @ known.classes.T
        most_inside, most_held = inside.max(axis=1, initial=0.0), holds.max(axis=1, initial=0.0)
        told = np.where(np.isnan(classes), 1.0 / classes.shape[1], classes)
        third, fills = _slots(told, chosen)
        sides = np.maximum((self.boxes_px[:, 2:] - self.boxes_px[:, :2]).prod(axis=1), 1)
        columns = (
            np.ones(len(self)),
            np.log(score / (1.0 - score)),
            np.clip(overlap - 0.3, 0.0, None).sum(axis=1),
            np.clip(overlap - 0.5, 0.0, None).sum(axis=1),
            np.clip(overlap - 0.67, 0.0, None).sum(axis=1),
            (np.clip(overlap - 0.2, 0.0, None) * alike).sum(axis=1),
            np.clip(most_inside - 0.7, 0.0, None),
            most_held,
            np.clip(most_held - 0.7, 0.0, None),
            np.clip(inside - 0.5, 0.0, None).sum(axis=1),
            *self._areas_left(chosen),
            np.clip(0.3 - self._unexplained(chosen), 0.0, None),
            np.abs(self.odd_size),
            np.clip(-self.odd_size, 0.0, None),
            self.stain_px / sides,
            -(np.clip(told, 1e-9, None) * np.log(np.clip(told, 1e-9, None))).sum(axis=1),
            third,
            fills,
        )
        return np.stack(columns, axis=1)

    def _areas_left(self, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.float64], ...]:
        """How much of its piece of stain each explains, explains too much, and what that changes."""
        nothing = np.zeros(len(self))
        piece = self.known.piece
        inside = piece >= 0
        if not np.isfinite(self.unit_px):
            return nothing, nothing, nothing
        held = chosen & inside
        pieces = len(self.known.piece_areas)
        explained = np.bincount(piece[held], weights=self.areas[held], minlength=pieces)
        own = np.where(chosen, self.areas, 0.0)
        left = np.where(
            inside, (self.known.piece_areas / self.unit_px - explained)[np.maximum(piece, 0)] + own, 0.0
        )
        filled = np.clip(np.minimum(left, self.areas), 0.0, None)
        beyond = np.where(self.areas > filled, self.areas - filled, 0.0)
        change = np.abs(left - self.areas) - np.abs(left)
        return tuple(np.where(inside, values, 0.0) for values in (filled, beyond, change))

    def _unexplained(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Share of the stain in each box that lies in no other chosen box."""
        cover = np.zeros(self.mask.shape, np.int16)
        for x0, y0, x1, y1 in self.boxes_px[chosen]:
            cover[y0:y1, x0:x1] += 1
        free = np.zeros(len(self))
        for row, (x0, y0, x1, y1) in enumerate(self.boxes_px):
            mine = 1 if chosen[row] else 0
            free[row] = np.count_nonzero(self.mask[y0:y1, x0:x1] & (cover[y0:y1, x0:x1] <= mine))
        return free / np.maximum(self.stain_px, 1.0)


def traits_of_proposals(
    known: Evidence,
    tight_px: NDArray[np.float32],
    mask: NDArray[np.bool_],
    settings: SelectionSettings | None = None,
) -> ProposalTraits:
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
    areas, unit = expected_areas(known, settings or SelectionSettings())
    return ProposalTraits(known, boxes, mask, stain, np.asarray(inside, np.float64), odd, areas, unit)


def _slots(
    told: NDArray[np.float64], chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much of each proposal would be a third of its class, and how much fills a place that is empty."""
    held = told[chosen].sum(axis=0) - np.where(chosen[:, None], told, 0.0)
    third = (np.clip(held + told - 2.0, 0.0, None) - np.clip(held - 2.0, 0.0, None)).sum(axis=1)
    places = held[:, :_AUTOSOMES]
    fills = np.clip(2.0 - places, 0.0, None) - np.clip(2.0 - places - told[:, :_AUTOSOMES], 0.0, None)
    sex, own = held[:, _AUTOSOMES:].sum(axis=1), told[:, _AUTOSOMES:].sum(axis=1)
    both = np.clip(2.0 - sex, 0.0, None) - np.clip(2.0 - sex - own, 0.0, None)
    return third, fills.sum(axis=1) + both

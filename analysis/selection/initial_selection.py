"""Which of a cell's proposals are chromosomes: decided for the whole cell, not by a threshold for each.

A proposal speaks for itself by its score. Against it speak proposals that explain the same pixels, the more so
if they are of the same class, for two chromosomes that lie across each other are seldom homologues; a piece of
stain that is already explained, by the areas its chromosomes should have; and, mildly, a third chromosome of a
class. Nothing speaks for a number: a class without any proposal is no reason to believe a poor one, so that a
cell of 45 stays one.

Classes say that much only where the detector knows them. Of a stain it never saw it is unsure of most, takes
several chromosomes for the same class, and a price for the third would cost whole chromosomes. The less sure it is
of the cell's classes, the more every chromosome counts as a bit of each: what is left is a price for more than 48.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import load_parameters
from analysis.structures.box_proposals import BoxProposals, box_overlaps
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.relative_length import RELATIVE_LENGTH

_ROUNDS: Final = 400
_LENGTHS: Final = np.asarray([RELATIVE_LENGTH[name] for name in CLASS_NAMES], np.float64)
_MIN_SINGLES: Final = 6


@dataclass(frozen=True, slots=True)
class SelectionSettings:
    """How proposals are weighed: the parameter set ``selection``.

    Attributes
    ----------
    nms_iou
        Of proposals that overlap by more than this only the best is weighed at all.
    threshold
        Score at which a proposal that nothing speaks against is as likely right as wrong.
    slope
        What a unit of the score's logit is worth.
    overlap_start, overlap_price
        Boxes that overlap by more cost, and what full overlap costs.
    other_class
        Part of that price where the classes surely differ.
    area_price
        Price of a piece's area too much or too little, in units of the cell's typical chromosome.
    third_price
        Price of a third chromosome of a class.
    unsure_at, sure_at
        Certainty of a cell's classes (see `certainty`) up to which they say nothing, and from which they count in
        full. Of the val split's cells 92 in 100 are surer than the latter; of 43 pictures of other laboratories,
        most of them stained without bands, one is.
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


@dataclass(frozen=True, slots=True)
class ProposalMeasurements:
    """What is known of a cell's proposals.

    Attributes
    ----------
    score
        Shape (n,).
    overlap
        Shape (n, n): intersection over union, 0 on the diagonal.
    classes
        Shape (n, 24): probabilities.
    piece
        Shape (n,): index of the piece of stain each fills, -1 for none.
    piece_areas
        Shape (pieces,), in px.
    """

    score: NDArray[np.float64]
    overlap: NDArray[np.float64]
    classes: NDArray[np.float64]
    piece: NDArray[np.int64]
    piece_areas: NDArray[np.float64]


def select_proposals(
    found: BoxProposals, tight_px: NDArray[np.float32], mask: NDArray[np.bool_], settings: SelectionSettings
) -> NDArray[np.intp]:
    """Choose the chromosomes among a cell's proposals.

    Parameters
    ----------
    found
        Proposals.
    tight_px
        Shape (n, 4): their close-fitting boxes, in px of the mask.
    mask
        bool, shape (h, w): stained pixels outside nuclei.
    settings
        How to weigh.

    Returns
    -------
    NDArray[np.intp]
        Indices of the chosen, best score first.
    """
    return select_measured(measure_proposals(found, tight_px, mask), settings)


def measure_proposals(
    found: BoxProposals, tight_px: NDArray[np.float32], mask: NDArray[np.bool_]
) -> ProposalMeasurements:
    """Gather what is known of the proposals; parameters as in `select_proposals`."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    piece = np.full(len(found), -1, np.int64)
    for number, box in enumerate(tight_px):
        x0, y0, x1, y1 = (max(0, round(float(value))) for value in box)
        counts = np.bincount(labels[y0:y1, x0:x1].ravel(), minlength=1)
        counts[0] = 0
        if counts.max() > 0:
            piece[number] = int(counts.argmax()) - 1
    overlap = box_overlaps(found.boxes_px, found.boxes_px)
    np.fill_diagonal(overlap, 0.0)
    return ProposalMeasurements(
        found.score.astype(np.float64),
        overlap,
        found.class_probability.astype(np.float64),
        piece,
        stats[1:count, cv2.CC_STAT_AREA].astype(np.float64),
    )


def select_measured(known: ProposalMeasurements, settings: SelectionSettings) -> NDArray[np.intp]:
    """Choose by what is known: from a first choice on, take the best single change until none helps."""
    weighed = _Weighed(known, settings)
    chosen = weighed.first_choice()
    for _ in range(_ROUNDS):
        gains = weighed.gains(chosen)
        best = int(gains.argmax()) if len(gains) else 0
        if not len(gains) or gains[best] <= 1e-9:
            break
        chosen[best] = not chosen[best]
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(-known.score[rows], kind="stable")]


def certainty(known: ProposalMeasurements, settings: SelectionSettings) -> float:
    """Tell how sure the detector is of a cell's classes.

    That is the median of the best class's probability over good proposals; low where the picture is of another
    kind than those it learned from, 0 where nothing is proposed.
    """
    return _Weighed(known, settings).certainty


def expected_areas(known: ProposalMeasurements, settings: SelectionSettings) -> tuple[NDArray[np.float64], float]:
    """Tell the areas that the proposals should have by their classes.

    Returns
    -------
    tuple
        float64, shape (n,): areas in units of the cell's typical chromosome; and that unit in px, infinite where
        there is too little to measure the cell by: areas are 0 then.
    """
    weighed = _Weighed(known, settings)
    return weighed.areas, weighed.unit


class _Weighed:
    """Prices of one cell's proposals."""

    def __init__(self, known: ProposalMeasurements, settings: SelectionSettings) -> None:
        self._known = known
        self._settings = settings
        score = np.clip(known.score, 1e-4, 1.0 - 1e-4)
        even = np.log(settings.threshold / (1.0 - settings.threshold))
        self._worth = settings.slope * (np.log(score / (1.0 - score)) - even)
        beyond = np.clip(known.overlap - settings.overlap_start, 0.0, None) / (1.0 - settings.overlap_start)
        alike = known.classes @ known.classes.T
        self._pairs = (
            settings.overlap_price * beyond * (settings.other_class + (1.0 - settings.other_class) * alike)
        )
        first = self.first_choice()
        self.areas = self._expected_areas(first)
        self.certainty = float(np.median(known.classes[first].max(axis=1))) if first.any() else 0.0
        span = max(settings.sure_at - settings.unsure_at, 1e-6)
        trust = float(np.clip((self.certainty - settings.unsure_at) / span, 0.0, 1.0))
        self._counted = trust * known.classes + (1.0 - trust) / len(CLASS_NAMES)

    def first_choice(self) -> NDArray[np.bool_]:
        """Take what has a good score and no better one over it."""
        chosen = np.zeros(len(self._worth), np.bool_)
        for row in np.argsort(-self._known.score, kind="stable"):
            if self._worth[row] > 0.0 and self._worth[row] > self._pairs[row, chosen].sum():
                chosen[row] = True
        return chosen

    def gains(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """What taking or leaving each proposal would gain."""
        settings = self._settings
        sign = np.where(chosen, -1.0, 1.0)
        gain = sign * (self._worth - self._pairs[:, chosen].sum(axis=1))
        if settings.third_price > 0.0:
            held = self._counted[chosen].sum(axis=0)
            after = held[None] + sign[:, None] * self._counted
            cost = np.clip(after - 2.0, 0.0, None).sum(axis=1) - np.clip(held - 2.0, 0.0, None).sum()
            gain -= settings.third_price * cost
        if settings.area_price > 0.0:
            gain -= settings.area_price * self._area_costs(chosen, sign)
        return np.asarray(gain, dtype=np.float64)

    def _area_costs(self, chosen: NDArray[np.bool_], sign: NDArray[np.float64]) -> NDArray[np.float64]:
        known = self._known
        cost = np.zeros(len(sign))
        inside = known.piece >= 0
        explained = np.bincount(
            known.piece[chosen & inside],
            weights=self.areas[chosen & inside],
            minlength=len(known.piece_areas),
        )
        left = (known.piece_areas / self.unit - explained)[known.piece[inside]]
        cost[inside] = np.abs(left - sign[inside] * self.areas[inside]) - np.abs(left)
        return cost

    def _expected_areas(self, first: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Areas the proposals should have by their classes, in units of the typical chromosome."""
        known = self._known
        lengths = known.classes @ _LENGTHS / float(np.median(_LENGTHS))
        first = first & (known.piece >= 0)
        alone = first & (np.bincount(known.piece[first], minlength=len(known.piece_areas) + 1)[known.piece] == 1)
        if np.count_nonzero(alone) >= _MIN_SINGLES:
            self.unit = float(np.median(known.piece_areas[known.piece[alone]] / lengths[alone]))
        else:
            # Nothing to measure the cell by: areas say nothing then.
            self.unit = np.inf
            return np.zeros_like(lengths)
        return np.asarray(lengths, dtype=np.float64)

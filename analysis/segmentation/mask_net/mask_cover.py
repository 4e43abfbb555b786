"""Which masks together explain a pile: every pixel once, but for crossings."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import STORED_AS, load_parameters
from analysis.segmentation.mask_net.input import CROP_PX, MASK_NET_WIDTH_PX
from analysis.segmentation.mask_net.predictor import MaskPredictor, PromptedMask
from analysis.structures.region import Region

_ROUNDS: Final = 100
_SEED_DEPTH: Final = 0.25
"""Depth below the border, in widths, from which a point is well inside."""

_MOST_POINTS: Final = 40
_RIDGE_SLACK_PX: Final = 0.3
"""Discretisation of the distance transform: less below its neighbours a point is on the ridge still."""
_PROBE_SPACING: Final = 1.5
"""Distance of the points that probe a doubtful piece, in widths: one a chromosome arm is enough."""
_PROBES: Final = 3
_LEAST_GAIN: Final = 1e-6
"""Improvements below are rounding."""


@dataclass(frozen=True, slots=True)
class CoverSettings:
    """How masks are chosen among one another: the parameter set ``mask-cover``.

    Attributes
    ----------
    spacing
        Distance of the points asked for, in widths.
    same
        Of masks that overlap by more (intersection over union) the better one is kept.
    least_quality
        Expected overlap from which a mask speaks for itself.
    quality_gain, area_power
        Gain of a mask of full quality, in chromosomes explained: for a small mask less, by this power of its
        fraction of a typical chromosome. At 0 two halves gain more than their whole.
    free_overlap, overlap_price
        Fraction of the smaller mask that a crossing may hide, and the price of full overlap beyond.
    least_area
        Smallest chromosome, in squared widths.
    refined
        Most masks that points gave and that are asked for again by their boxes: what lies far from its point was
        cut off.
    """

    spacing: float
    same: float
    least_quality: float
    quality_gain: float = field(metadata={STORED_AS: "quality_worth"})
    area_power: float
    free_overlap: float
    overlap_price: float
    least_area: float
    refined: int = 16


@cache
def load_cover_settings() -> CoverSettings:
    """The settings that come with the product.

    Raises
    ------
    WeightsError
        Where they are missing or damaged.
    """
    return load_parameters(ParameterSetName.MASK_COVER).coefficients(CoverSettings)


@dataclass(frozen=True, slots=True)
class Covering:
    """The masks that explain a piece.

    Attributes
    ----------
    masks
        Of its chromosomes.
    left_out
        Boxes, float32, shape (4,), in px of the stream's picture, and expected overlaps of what was not chosen.
    """

    masks: list[PromptedMask]
    left_out: list[tuple[NDArray[np.float32], float]]


@dataclass(frozen=True, slots=True)
class _Candidate:
    answer: PromptedMask
    mask: NDArray[np.bool_]
    """In the frame of the piece."""

    area: int


def cover(
    level: NDArray[np.float32],
    piece: Region,
    proposer: MaskPredictor,
    settings: CoverSettings,
    *,
    typical_area: float,
) -> Covering:
    """Find the chromosomes of a piece.

    Points along its ridges are asked for; of the masks that come back those are chosen that explain the piece,
    each pixel once but for crossings.

    Parameters
    ----------
    level
        The stream's picture: float32, shape (height, width).
    piece
        In its px.
    proposer
        Answers points and boxes.
    settings
        How to choose.
    typical_area
        Area of a chromosome of this cell, in squared widths.
    """
    corner = np.asarray([piece.x0_px, piece.y0_px] * 2, np.float32)
    candidates = _candidates(proposer.at_points(level, ridge_points(piece, settings.spacing)), piece, settings)
    boxes = [_box(one) for one in candidates[: settings.refined]]
    if boxes:
        again = _candidates(proposer.at_boxes(level, np.stack(boxes) + corner), piece, settings)
        candidates = _distinct([*again, *candidates], settings.same)
    chosen = _chosen(candidates, piece, settings, typical_area * MASK_NET_WIDTH_PX**2)
    left_out = [(_box(candidates[k]) + corner, candidates[k].answer.quality) for k in np.flatnonzero(~chosen)]
    return Covering([candidates[k].answer for k in np.flatnonzero(chosen)], left_out)


def is_chromosome_after_all(
    level: NDArray[np.float32], piece: Region, proposer: MaskPredictor, *, quality: float
) -> bool:
    """Ask the mask net about a piece that looks like noise: on noise it expects no mask to fit.

    Parameters
    ----------
    level
        The stream's picture: float32, shape (height, width).
    piece
        In its px.
    proposer
        Answers points.
    quality
        Expected overlap from which the piece holds a chromosome.
    """
    answers = proposer.at_points(level, ridge_points(piece, _PROBE_SPACING)[:_PROBES])
    return any(
        answer.quality >= quality and np.count_nonzero(_in_frame(answer, piece)) >= 0.5 * piece.area_px
        for answer in answers
    )


def ridge_points(piece: Region, spacing: float) -> NDArray[np.float32]:
    """Place points along the ridges of a piece, the deepest first: float32, shape (n, 2), px of the picture.

    Parameters
    ----------
    piece
        In px of the stream's picture.
    spacing
        Least distance of two points, in widths.
    """
    depth = cv2.distanceTransform(piece.mask.astype(np.uint8), cv2.DIST_L2, 5)
    ridge = (depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8)) - _RIDGE_SLACK_PX) & (
        depth >= _SEED_DEPTH * MASK_NET_WIDTH_PX
    )
    if not ridge.any():
        ridge = depth >= depth.max()
    rows, columns = np.nonzero(ridge)
    # A point as deep as half a chromosome is surely on one; deeper ones lie where several meet.
    order = np.argsort(np.abs(depth[rows, columns] - 0.5 * MASK_NET_WIDTH_PX), kind="stable")
    apart = (spacing * MASK_NET_WIDTH_PX) ** 2
    chosen: list[tuple[int, int]] = []
    for at in order:
        x, y = int(columns[at]), int(rows[at])
        if all((x - a) ** 2 + (y - b) ** 2 >= apart for a, b in chosen):
            chosen.append((x, y))
            if len(chosen) == _MOST_POINTS:
                break
    return np.asarray(chosen, np.float32).reshape(-1, 2) + np.asarray([piece.x0_px, piece.y0_px], np.float32)


def _candidates(answers: list[PromptedMask], piece: Region, settings: CoverSettings) -> list[_Candidate]:
    """Keep what may be a chromosome, the best first, one of each."""
    least_px = settings.least_area * MASK_NET_WIDTH_PX**2
    made = []
    for answer in answers:
        mask = _in_frame(answer, piece)
        area = int(np.count_nonzero(mask))
        if area >= least_px and answer.quality > 0.5 * settings.least_quality:
            made.append(_Candidate(answer, mask, area))
    return _distinct(made, settings.same)


def _distinct(candidates: list[_Candidate], same: float) -> list[_Candidate]:
    kept: list[_Candidate] = []
    for one in sorted(candidates, key=lambda each: -each.answer.quality):
        if all(_iou(one, other) <= same for other in kept):
            kept.append(one)
    return kept


def _chosen(
    candidates: list[_Candidate], piece: Region, settings: CoverSettings, area_px: float
) -> NDArray[np.bool_]:
    """Choose by single changes, from nothing on, until none is an improvement."""
    count = len(candidates)
    chosen = np.zeros(count, np.bool_)
    if count == 0:
        return chosen
    masks = np.stack([one.mask.ravel() for one in candidates]).astype(np.int32)
    areas = masks.sum(axis=1)
    common = masks @ masks.T
    beyond = np.clip(common / np.minimum(areas[:, None], areas[None]) - settings.free_overlap, 0.0, None)
    np.fill_diagonal(beyond, 0.0)
    unit = min(area_px, float(np.count_nonzero(piece.mask)))
    quality = np.asarray([one.answer.quality for one in candidates])
    gain_alone = settings.quality_gain * (quality - settings.least_quality)
    gain_alone *= np.minimum(areas / unit, 1.0) ** settings.area_power
    for _ in range(_ROUNDS):
        covered = masks[chosen].sum(axis=0)
        alone = (masks @ np.where(covered == 0, 1, 0)).astype(np.float64)
        lost = (masks @ np.where(covered == 1, 1, 0)).astype(np.float64)
        pairs = settings.overlap_price * beyond[:, chosen].sum(axis=1)
        gain = np.where(chosen, pairs - gain_alone - lost / unit, gain_alone + alone / unit - pairs)
        best = int(gain.argmax())
        if gain[best] <= _LEAST_GAIN:
            break
        chosen[best] = not chosen[best]
    return chosen


def _in_frame(answer: PromptedMask, piece: Region) -> NDArray[np.bool_]:
    """The answer's mask within the piece, in the frame of the piece."""
    out = np.zeros(piece.mask.shape, np.bool_)
    x, y = answer.x0_px - piece.x0_px, answer.y0_px - piece.y0_px
    height, width = piece.mask.shape
    x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + CROP_PX), min(height, y + CROP_PX)
    if x1 > x0 and y1 > y0:
        out[y0:y1, x0:x1] = answer.probability[y0 - y : y1 - y, x0 - x : x1 - x] > 0.5
    return out & piece.mask


def _box(one: _Candidate) -> NDArray[np.float32]:
    rows, columns = np.flatnonzero(one.mask.any(axis=1)), np.flatnonzero(one.mask.any(axis=0))
    return np.asarray([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)


def _iou(first: _Candidate, second: _Candidate) -> float:
    common = int(np.count_nonzero(first.mask & second.mask))
    return common / max(first.area + second.area - common, 1)

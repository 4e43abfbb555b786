"""Crossings: two chromosomes over each other, both owning the shared area.

Where two chromosomes cross, the outline has four notches round the shared area and four arms between them.
Opposite arms belong together; each chromosome is its two arms and the shared area (amodal masks).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.contours.settings import CROSSINGS, CrossingSettings
from analysis.segmentation.contours.shape import Shape
from analysis.segmentation.contours.split import Split
from analysis.structures.instance import SegmentationRoute

_TINY: Final = 1e-6
"""Keeps directions finite."""


def propose_crossings(
    mask: NDArray[np.bool_],
    shape: Shape,
    width_px: float,
    min_area_px: float,
    settings: CrossingSettings = CROSSINGS,
) -> Iterator[Split]:
    """Propose the crossings of a piece, the squarest first.

    Parameters
    ----------
    mask
        bool, shape (h, w): the piece.
    shape
        Its measures.
    width_px
        Typical chromosome width.
    min_area_px
        Chromosomes smaller than this aren't proposed.
    settings
        Bounds of what is proposed.
    """
    outer = shape.outlines[0]
    deepest = np.argsort(-np.asarray(outer.notch_depths))[: settings.max_notches]
    notches = sorted(outer.notches[int(k)] for k in deepest)
    if len(notches) < 4:
        return
    fours = np.asarray(list(combinations(notches, 4)), np.intp).reshape(-1, 4)
    every = outer.points[fours]
    steps = np.roll(every, -1, axis=1) - every
    lengths = np.hypot(steps[..., 0], steps[..., 1]) / width_px
    shortest, longest = settings.side_widths
    fits = (lengths.min(axis=1) >= shortest) & (lengths.max(axis=1) <= longest)
    ranked = []
    for corners, sides in zip(every[fits], lengths[fits], strict=True):
        square = float(cv2.contourArea(corners)) / width_px**2
        if square < settings.min_shared or not cv2.isContourConvex(corners):
            continue
        ranked.append((float(sides.max() - sides.min() + sides.mean()), corners))
    ranked.sort(key=lambda entry: entry[0])
    for _, corners in ranked[: settings.max_proposals]:
        split = _cross(mask, corners, min_area_px, settings)
        if split is not None:
            yield split


def _cross(
    mask: NDArray[np.bool_], corners: NDArray[np.float32], min_area_px: float, settings: CrossingSettings
) -> Split | None:
    """Take the four-cornered shared area out and pair the arms on its opposite sides."""
    polygon = np.rint(corners).astype(np.int32)
    shared = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(shared, polygon, 1)
    # Corners lie a little inside the border: a thick rim parts the arms there too.
    frame = shared.copy()
    for corner, opposite in zip(corners, np.roll(corners, 2, axis=0), strict=True):
        out = (corner - opposite) / max(float(np.hypot(*(corner - opposite))), _TINY)
        start, end = np.rint(corner), np.rint(corner + settings.rim_px * out)
        cv2.line(frame, (int(start[0]), int(start[1])), (int(end[0]), int(end[1])), 1)
    count, labels = cv2.connectedComponents((mask & (frame == 0)).astype(np.uint8), connectivity=4)
    arms: list[int] = []
    for k in range(4):
        middle = (corners[k] + corners[(k + 1) % 4]) / 2.0
        centre = corners.mean(axis=0)
        out = (middle - centre) / max(float(np.hypot(*(middle - centre))), _TINY)
        arms.append(_label_towards(labels, middle, out, settings.arm_search_px))
    if 0 in arms or len(set(arms)) < 4 or count > settings.max_parts:
        return None
    inside = mask & (shared > 0)
    first = inside | (labels == arms[0]) | (labels == arms[2])
    second = inside | (labels == arms[1]) | (labels == arms[3])
    # Crumbs and the rim belong to the nearer chromosome.
    rest = mask & ~first & ~second
    if rest.any():
        to_first = cv2.distanceTransform((~first).astype(np.uint8), cv2.DIST_L2, 3)
        to_second = cv2.distanceTransform((~second).astype(np.uint8), cv2.DIST_L2, 3)
        first |= rest & (to_first <= to_second)
        second |= rest & (to_first > to_second)
    if min(np.count_nonzero(first), np.count_nonzero(second)) < min_area_px:
        return None
    return Split(first, second, SegmentationRoute.CROSSING, inside)


def _label_towards(
    labels: NDArray[np.int32],
    start: NDArray[np.float32],
    out: NDArray[np.float32],
    distances_px: tuple[float, ...],
) -> int:
    for distance in distances_px:
        x, y = (round(float(v)) for v in start + distance * out)
        if 0 <= y < labels.shape[0] and 0 <= x < labels.shape[1] and labels[y, x]:
            return int(labels[y, x])
    return 0

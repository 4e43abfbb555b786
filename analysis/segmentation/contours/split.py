"""A proposed split of one piece into two."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.structures.instance import SegmentationRoute

_NEAR_PX = 6
"""What a line leaves undecided is never farther than this from the part it belongs to."""

_CROSS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)


@dataclass(frozen=True, slots=True)
class Split:
    """Two parts of one piece, masks in the piece's frame.

    Attributes
    ----------
    first, second
        bool masks; together the whole piece; disjoint unless the route is a crossing.
    route
        How it was made.
    seam
        bool: the pixels on either side of the cut; for a crossing the shared pixels.
    """

    first: NDArray[np.bool_]
    second: NDArray[np.bool_]
    route: SegmentationRoute
    seam: NDArray[np.bool_]


def split_along(mask: NDArray[np.bool_], line: NDArray[np.bool_], min_area_px: float) -> Split | None:
    """Split a mask along a line of pixels.

    The pixels of the line, and crumbs cut off with it, go to the nearer part, so that nothing is lost.

    Parameters
    ----------
    mask, line
        bool, shape (h, w): the piece, and the pixels to cut along.
    min_area_px
        Of either part.

    Returns
    -------
    Split or None
        None where the line doesn't split the mask into two pieces of the least area.
    """
    rest = (mask & ~line).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(rest, connectivity=4)
    if count < 3:
        return None
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-areas)
    if areas[order[1]] < min_area_px or (len(order) > 2 and areas[order[2]] >= min_area_px):
        return None
    return _grown(mask, labels == order[0] + 1, labels == order[1] + 1)


def split_between(mask: NDArray[np.bool_], first: NDArray[np.bool_], route: SegmentationRoute) -> Split:
    """Make the split of a mask into a part and the rest of it.

    Parameters
    ----------
    mask, first
        bool, shape (h, w): the piece, and a part of it.
    route
        How the part was made.
    """
    second = mask & ~first
    return Split(first, second, route, _seam(first, second))


def _grown(mask: NDArray[np.bool_], first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Split:
    """Give what neither part has to the nearer one."""
    undecided = mask & ~first & ~second
    window = _about(undecided, _NEAR_PX)
    if not first[window].any() or not second[window].any():
        window = (slice(None), slice(None))
    # Only about the line is anything undecided, and only there do the parts meet.
    to_first = cv2.distanceTransform((~first[window]).astype(np.uint8), cv2.DIST_L2, 3)
    to_second = cv2.distanceTransform((~second[window]).astype(np.uint8), cv2.DIST_L2, 3)
    whole = first.copy()
    whole[window] |= undecided[window] & (to_first <= to_second)
    other = mask & ~whole
    seam = np.zeros_like(mask)
    seam[window] = _seam(whole[window], other[window])
    return Split(whole, other, SegmentationRoute.CUT, seam)


def _about(mask: NDArray[np.bool_], margin_px: int) -> tuple[slice, slice]:
    """Window round what a mask holds; all of it for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return slice(None), slice(None)
    return (
        slice(max(0, int(rows[0]) - margin_px), int(rows[-1]) + 1 + margin_px),
        slice(max(0, int(columns[0]) - margin_px), int(columns[-1]) + 1 + margin_px),
    )


def _seam(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> NDArray[np.bool_]:
    wide_first = cv2.dilate(first.astype(np.uint8), _CROSS) > 0
    wide_second = cv2.dilate(second.astype(np.uint8), _CROSS) > 0
    seam: NDArray[np.bool_] = (wide_first & second) | (wide_second & first)
    return seam

"""Masks in the pixels of the image: drawn from lines and outlines, combined, cropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.errors import OutsidePictureError
from analysis.structures.placement import PlacedMask

_SHIFT: Final = 4
"""Fractional bits of drawn points: a sixteenth of a pixel."""

Polyline = Sequence[tuple[float, float]]


def empty_picture(size: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask of the whole image, shape ``size`` (height, width), without a pixel."""
    return np.zeros(size, np.bool_)


def in_picture(placed: PlacedMask, size: tuple[int, int]) -> NDArray[np.bool_]:
    """A placed mask in the whole image, shape ``size`` (height, width)."""
    out = empty_picture(size)
    (x0, y0, x1, y1), mask = placed
    out[y0:y1, x0:x1] = mask
    return out


def cropped_mask(mask: NDArray[np.bool_]) -> PlacedMask | None:
    """A mask of the whole image cropped to its content; None where it has no pixel."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return (x0, y0, x1, y1), np.ascontiguousarray(mask[y0:y1, x0:x1])


def union(masks: Sequence[PlacedMask], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels that lie in any of the masks.

    Parameters
    ----------
    masks
        In image px.
    size
        (height, width) of the image.
    """
    out = empty_picture(size)
    for (x0, y0, x1, y1), mask in masks:
        out[y0:y1, x0:x1] |= mask
    return out


def mask_iou(first: PlacedMask, second: PlacedMask) -> float:
    """Intersection over union of two masks."""
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = first[0], second[0]
    x0, y0, x1, y1 = max(ax0, bx0), max(ay0, by0), min(ax1, bx1), min(ay1, by1)
    if x1 <= x0 or y1 <= y0:
        return 0.0
    ours = first[1][y0 - ay0 : y1 - ay0, x0 - ax0 : x1 - ax0]
    theirs = second[1][y0 - by0 : y1 - by0, x0 - bx0 : x1 - bx0]
    shared = int(np.count_nonzero(ours & theirs))
    return shared / max(int(np.count_nonzero(first[1])) + int(np.count_nonzero(second[1])) - shared, 1)


def drawn_line(points_px: Polyline, size: tuple[int, int], thickness_px: int) -> NDArray[np.bool_]:
    """Draw a polyline.

    Parameters
    ----------
    points_px
        x and y in image px; may lie outside of the image.
    size
        (height, width) of the image.
    thickness_px
        Of the line.
    """
    canvas = np.zeros(size, np.uint8)
    cv2.polylines(canvas, [_fixed_point(points_px)], False, (1,), thickness_px, cv2.LINE_8, _SHIFT)
    return canvas > 0


def filled_polygon(points_px: Polyline, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill an outline.

    Parameters
    ----------
    points_px
        x and y in image px.
    size
        (height, width) of the image.
    """
    canvas = np.zeros(size, np.uint8)
    cv2.fillPoly(canvas, [_fixed_point(points_px)], (1,), cv2.LINE_8, _SHIFT)
    return canvas > 0


def distance_to_line(points_px: Polyline, size: tuple[int, int]) -> NDArray[np.float32]:
    """Distance of every pixel from a polyline.

    Parameters
    ----------
    points_px
        x and y in image px.
    size
        (height, width) of the image.

    Returns
    -------
    NDArray[np.float32]
        Shape ``size``, in px.
    """
    line = drawn_line(points_px, size, 1)
    return np.asarray(cv2.distanceTransform((~line).astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def components(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """4-connected parts of a mask, largest first; each bool, the mask's shape."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    order = sorted(range(1, count), key=lambda label: -int(stats[label, cv2.CC_STAT_AREA]))
    return [np.asarray(labels == label, np.bool_) for label in order]


def require_inside(points_px: Polyline, size: tuple[int, int], operation: str) -> None:
    """Make sure that all points lie in the picture.

    Parameters
    ----------
    points_px
        x and y in image px.
    size
        (height, width) of the image.
    operation
        The edit's, for the message.

    Raises
    ------
    OutsidePictureError
        One of them doesn't.
    """
    height, width = size
    for x, y in points_px:
        if not (0.0 <= x <= width and 0.0 <= y <= height):
            raise OutsidePictureError(
                operation, f"the point ({x:.0f}, {y:.0f}) lies outside of the picture of {width} x {height} px"
            )


def _fixed_point(points_px: Polyline) -> NDArray[np.int32]:
    # Far beyond any picture nothing is drawn, and numbers would overflow.
    limit = 2.0 ** (30 - _SHIFT)
    points = np.clip(np.asarray(points_px, np.float64), -limit, limit)
    return np.round(points * 2**_SHIFT).astype(np.int32)

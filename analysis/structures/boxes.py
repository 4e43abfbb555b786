"""Pairing what was found with what is there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

MATCH_IOU = 0.5
"""Intersection over union from which a find counts as its chromosome."""


def box_intersections(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shared areas of boxes (n, 4) and (m, 4), in squared px: shape (n, m)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    return np.asarray(np.clip(high - low, 0.0, None).prod(axis=2), dtype=np.float64)


def box_areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the areas of boxes (n, 4)."""
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), dtype=np.float64)


def overlap_ratio(
    shared: NDArray[np.float64], first_areas: NDArray[np.float64], second_areas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return intersection over union from shared areas (n, m) and the areas of either side."""
    union = first_areas[:, None] + second_areas[None, :] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), dtype=np.float64)


def box_iou(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the intersection over union of boxes (n, 4) and (m, 4): shape (n, m)."""
    return overlap_ratio(box_intersections(first, second), box_areas(first), box_areas(second))


def match(
    iou: NDArray[np.float64], least: float = MATCH_IOU, *, preferred: NDArray[np.bool_] | None = None
) -> list[tuple[int, int]]:
    """Pair rows and columns one to one.

    Parameters
    ----------
    iou
        Shape (n, m).
    least
        Least overlap of a pair. As many such pairs as possible are made; among these ways the one with most
        overlap.
    preferred
        Shape (n, m): pairs to prefer where overlaps are equal.
    """
    if iou.size == 0:
        return []
    worth = np.where(iou >= least, 1.0 + iou / (min(iou.shape) + 1.0), 0.0)
    if preferred is not None:
        worth += 1e-9 * preferred
    rows, columns = linear_sum_assignment(-worth)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if iou[i, j] >= least]

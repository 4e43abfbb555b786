"""Overlaps of boxes, and the pairing of boxes with those of the truth."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

MATCH_IOU: Final = 0.5
"""Intersection over union from which a proposal counts as its chromosome."""
_LEAST_UNION_PX: Final = 1e-9
"""Bound that keeps the ratio finite, in squared px: below any box."""
_PREFERENCE: Final = 1e-9
"""Gain of a preferred pair: it decides between equal overlaps and nothing else."""


def box_intersections(
    first_px: NDArray[np.float32] | NDArray[np.float64], second_px: NDArray[np.float32] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Areas that boxes have in common.

    Parameters
    ----------
    first_px, second_px
        Shapes (n, 4) and (m, 4): xmin, ymin, xmax, ymax.

    Returns
    -------
    NDArray[np.float64]
        Shape (n, m), in squared px.
    """
    first, second = first_px.astype(np.float64)[:, None], second_px.astype(np.float64)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    return np.asarray(np.clip(sides, 0.0, None).prod(axis=2), dtype=np.float64)


def box_areas(boxes_px: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas of boxes (n, 4) in squared px: float64, shape (n,)."""
    boxes = boxes_px.astype(np.float64)
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), dtype=np.float64)


def overlap_ratio(
    intersections: NDArray[np.float64], first_areas: NDArray[np.float64], second_areas: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Intersection over union from areas.

    Parameters
    ----------
    intersections
        Shape (n, m): areas in common, in squared px.
    first_areas, second_areas
        Shapes (n,) and (m,): areas of either side.

    Returns
    -------
    NDArray[np.float64]
        Shape (n, m), in [0, 1].
    """
    union = first_areas[:, None] + second_areas[None, :] - intersections
    return np.asarray(intersections / np.maximum(union, _LEAST_UNION_PX), dtype=np.float64)


def box_iou(
    first_px: NDArray[np.float32] | NDArray[np.float64], second_px: NDArray[np.float32] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Intersection over union of boxes.

    Parameters
    ----------
    first_px, second_px
        Shapes (n, 4) and (m, 4): xmin, ymin, xmax, ymax.

    Returns
    -------
    NDArray[np.float64]
        Shape (n, m), in [0, 1].
    """
    return overlap_ratio(box_intersections(first_px, second_px), box_areas(first_px), box_areas(second_px))


def match(
    iou: NDArray[np.float64], least: float = MATCH_IOU, *, preferred: NDArray[np.bool_] | None = None
) -> list[tuple[int, int]]:
    """Pair rows and columns one to one.

    Parameters
    ----------
    iou
        Shape (n, m).
    least
        Least overlap of a pair. As many such pairs as possible are made; among these pairings the one
        with most overlap.
    preferred
        Shape (n, m): pairs to prefer where overlaps are equal.

    Returns
    -------
    list of tuple of int
        Row and column of each pair.
    """
    if iou.size == 0:
        return []
    gain = np.where(iou >= least, 1.0 + iou / (min(iou.shape) + 1.0), 0.0)
    if preferred is not None:
        gain += _PREFERENCE * preferred
    rows, columns = linear_sum_assignment(-gain)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if iou[i, j] >= least]

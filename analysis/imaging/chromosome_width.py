"""How wide a chromosome is on this image: the yardstick of everything that follows.

Magnification, camera and preparation differ by a factor of eight between laboratories; the width of a chromatid
pair hardly differs within a cell. All sizes in the segmentation are therefore given in chromosome widths.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_MIN_RIDGE_PX: Final = 1.4
_BODY_TO_WIDTH: Final = 2.0
"""A body this many times thicker than the typical one is no chromosome; it mustn't take part in the estimate."""


def estimate_width(foreground: NDArray[np.bool_]) -> float:
    """Estimate the typical thickness of the elongated bodies in a mask.

    The ridge of the distance transform runs along the middle of each body; its height is half the local
    thickness. The median over all ridge pixels is the chromosomes', as they have more length than all debris,
    once bodies far thicker (nuclei) are left out.

    Parameters
    ----------
    foreground
        bool, shape (h, w).

    Returns
    -------
    float
        Width in px; 0 where there is no body thick enough, or nothing else.
    """
    if foreground.all():
        return 0.0
    mask = foreground.astype(np.uint8)
    distance = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 5), dtype=np.float32)
    ridge = (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8)) - 1e-3) & (distance >= _MIN_RIDGE_PX)
    if not ridge.any():
        return 0.0
    count, found = cv2.connectedComponents(mask, connectivity=4)
    labels = np.asarray(found, dtype=np.int32)
    thickest = np.zeros(count, np.float32)
    np.maximum.at(thickest, labels[ridge], distance[ridge])
    heights, bodies = distance[ridge], thickest[labels[ridge]]
    half = float(np.median(heights))
    for _ in range(8):
        # Weighted by itself, as debris has much ridge but little of it high.
        used = bodies <= _BODY_TO_WIDTH * half
        if np.count_nonzero(used) < 10:
            break
        before, half = half, _weighted_median(heights[used], heights[used])
        if abs(half - before) < 0.01 * before:
            break
    # Ridge pixels near the rounded ends and at narrow bands lower the median by about a tenth.
    return 2.2 * half


def _weighted_median(values: NDArray[np.float32], weights: NDArray[np.float32]) -> float:
    order = np.argsort(values)
    cumulated = np.cumsum(weights[order], dtype=np.float64)
    return float(values[order][np.searchsorted(cumulated, cumulated[-1] / 2.0)])

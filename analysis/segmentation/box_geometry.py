"""Boxes and masks in the px of the working image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.settings import DETECTOR_SCALE


def tight_boxes(boxes_px: NDArray[np.float32], padding_px: float) -> NDArray[np.float32]:
    """Take the slide off boxes, but no more than a third of a side.

    Parameters
    ----------
    boxes_px
        float32, shape (n, 4): xmin, ymin, xmax, ymax.
    padding_px
        Slide on every side, in the same px.
    """
    size = boxes_px[:, 2:] - boxes_px[:, :2]
    off = np.minimum(padding_px, size / DETECTOR_SCALE.padding_parts)
    return np.asarray(np.concatenate([boxes_px[:, :2] + off, boxes_px[:, 2:] - off], axis=1), dtype=np.float32)


def sides_of(row: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Return the sides of a box, shape (4,), as plain numbers."""
    return float(row[0]), float(row[1]), float(row[2]), float(row[3])


def window_of(box: NDArray[np.float32]) -> tuple[slice, slice]:
    """Index the pixels of a box, shape (4,): rows and columns, one px at least."""
    x0, y0, x1, y1 = (max(0, round(float(value))) for value in box)
    return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))


def distance_to_mask(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of every px from a mask: float32, the mask's shape."""
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3), dtype=np.float32)


def largest_component(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest 8-connected part of a mask: bool, the mask's shape."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 3:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), dtype=np.bool_)

"""Regions of the working image placed in the image's own pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.structures.region import Region

PlacedMask = tuple[tuple[int, int, int, int], NDArray[np.bool_]]
"""Box (xmin, ymin, xmax, ymax) in image px, half open, and the mask in it: bool, the shape of the box."""


def place_region(region: Region, factor: float, size: tuple[int, ...]) -> PlacedMask | None:
    """Bring a region of the working image to the image's own pixels.

    Parameters
    ----------
    region
        In working px.
    factor
        Working px a px of the image.
    size
        (height, width) of the image.

    Returns
    -------
    PlacedMask or None
        Box and mask; None where the region lies outside of the image.
    """
    mask = region.mask
    x0, y0 = float(region.x0_px), float(region.y0_px)
    if factor != 1.0:
        height, width = mask.shape
        x1, y1 = round((x0 + width) / factor), round((y0 + height) / factor)
        left, top = round(x0 / factor), round(y0 / factor)
        soft = cv2.resize(
            mask.astype(np.float32), (max(1, x1 - left), max(1, y1 - top)), interpolation=cv2.INTER_LINEAR
        )
        mask = soft >= 0.5
        x0, y0 = left, top
    rows, columns = np.nonzero(mask)
    rows, columns = rows + int(y0), columns + int(x0)
    inside = (rows >= 0) & (columns >= 0) & (rows < size[0]) & (columns < size[1])
    rows, columns = rows[inside], columns[inside]
    if rows.size == 0:
        return None
    box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    out = np.zeros((box[3] - box[1], box[2] - box[0]), np.bool_)
    out[rows - box[1], columns - box[0]] = True
    return box, out


def touching_instances(placed: list[PlacedMask]) -> list[tuple[int, ...]]:
    """List for each placed mask the indices of those that have pixels or a border in common with it."""
    neighbours: list[list[int]] = [[] for _ in placed]
    for i, (first, first_mask) in enumerate(placed):
        for j in range(i + 1, len(placed)):
            second, second_mask = placed[j]
            x0, y0 = max(first[0], second[0]) - 1, max(first[1], second[1]) - 1
            x1, y1 = min(first[2], second[2]) + 1, min(first[3], second[3]) + 1
            if x1 <= x0 or y1 <= y0:
                continue
            first_part = _window(first, first_mask, (x0, y0, x1, y1))
            second_part = _window(second, second_mask, (x0, y0, x1, y1))
            if np.any((cv2.dilate(first_part, np.ones((3, 3), np.uint8)) > 0) & (second_part > 0)):
                neighbours[i].append(j)
                neighbours[j].append(i)
    return [tuple(indices) for indices in neighbours]


def _window(
    box: tuple[int, int, int, int], mask: NDArray[np.bool_], window: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    out = np.zeros((window[3] - window[1], window[2] - window[0]), np.uint8)
    x0, y0, x1, y1 = max(box[0], window[0]), max(box[1], window[1]), min(box[2], window[2]), min(box[3], window[3])
    if x1 > x0 and y1 > y0:
        out[y0 - window[1] : y1 - window[1], x0 - window[0] : x1 - window[0]] = mask[
            y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]
        ]
    return out

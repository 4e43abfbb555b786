"""A piece of foreground in its own small frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Region:
    """A connected piece of foreground, cropped.

    Attributes
    ----------
    x0_px, y0_px
        Place of the crop's upper left corner in the working image.
    mask
        bool, cropped to the piece plus a margin of empty pixels.
    """

    x0_px: int
    y0_px: int
    mask: NDArray[np.bool_]

    @property
    def area_px(self) -> int:
        """Pixels of the piece."""
        return int(np.count_nonzero(self.mask))

    def crop_of(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Cut this piece's frame out of the working image (height, width); what lies outside is 0."""
        height, width = self.mask.shape
        y0, x0 = max(0, self.y0_px), max(0, self.x0_px)
        y1, x1 = min(image.shape[0], self.y0_px + height), min(image.shape[1], self.x0_px + width)
        if (y1 - y0, x1 - x0) == (height, width):
            return image[y0:y1, x0:x1]
        out = np.zeros((height, width), np.float32)
        out[y0 - self.y0_px : y1 - self.y0_px, x0 - self.x0_px : x1 - self.x0_px] = image[y0:y1, x0:x1]
        return out

    def part(self, mask: NDArray[np.bool_]) -> Region:
        """Make a region of a mask in this region's frame, of the same shape, cropped anew."""
        return cropped(mask, self.x0_px, self.y0_px)


MARGIN_PX = 2
"""Empty pixels round a piece, so that contours and distances see its border everywhere."""


def cropped(mask: NDArray[np.bool_], x0_px: int = 0, y0_px: int = 0) -> Region:
    """Crop a non-empty mask to its content plus the margin.

    Parameters
    ----------
    mask
        bool, shape (h, w).
    x0_px, y0_px
        Place of its upper left corner in the working image.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    inner = np.pad(mask[top:bottom, left:right], MARGIN_PX)
    return Region(x0_px + left - MARGIN_PX, y0_px + top - MARGIN_PX, inner)


def connected_regions(mask: NDArray[np.bool_], *, min_area_px: float) -> list[Region]:
    """Split a mask of the whole image into its 4-connected pieces.

    Parameters
    ----------
    mask
        bool, shape (height_px, width_px).
    min_area_px
        Smaller pieces are left out.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    regions = []
    for label in range(1, count):
        x, y, width, height, area = (int(value) for value in stats[label])
        if area >= min_area_px:
            inner = labels[y : y + height, x : x + width] == label
            regions.append(Region(x - MARGIN_PX, y - MARGIN_PX, np.pad(inner, MARGIN_PX)))
    return regions

"""Borders that another system painted black or white round a picture: no light fell there."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MaskedBorderSettings:
    """What is taken for a painted border.

    Attributes
    ----------
    tolerance
        Grey levels that JPEG lets a uniform black or white border vary by.
    least_field
        Fraction of the picture that the field within the border has at least: smaller, it holds no metaphase.
    least_solidity
        Area of the field over that of its convex hull: fields are rectangles and discs (0.99 with a jagged rim); a
        cell on a uniform ground is neither.
    least_whole
        Fraction of all that isn't border which lies in the one field: chromosomes on a uniform ground are many.
    rim_px
        Border px next to the field that JPEG mixes with it, and that count as border.
    """

    tolerance: int = 6
    least_field: float = 0.04
    least_solidity: float = 0.97
    least_whole: float = 0.98
    rim_px: int = 4


def find_masked_border(
    levels: NDArray[np.uint8], settings: MaskedBorderSettings | None = None
) -> NDArray[np.bool_] | None:
    """Find a uniform black or white border of any width round a rectangular or round field.

    Parameters
    ----------
    levels
        uint8, shape (h, w).
    settings
        What is taken for a border.

    Returns
    -------
    NDArray[np.bool_] or None
        bool, shape (h, w), True on the border; None where there is none.
    """
    settings = settings or MaskedBorderSettings()
    for painted in (levels <= settings.tolerance, levels >= np.iinfo(np.uint8).max - settings.tolerance):
        border = _connected_to_corners(painted)
        if border is None:
            continue
        field = _single_field(~border, settings)
        if field is not None:
            kernel = np.ones((2 * settings.rim_px + 1,) * 2, np.uint8)
            # What lies outside of the array is no border: a side without one keeps its pixels.
            inner = cv2.erode(field.astype(np.uint8), kernel, borderType=cv2.BORDER_REPLICATE)
            return np.asarray(inner == 0, np.bool_)
    return None


def _connected_to_corners(painted: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    """Painted px that hang together with a corner; None where no corner is painted."""
    corners = (painted[0, 0], painted[0, -1], painted[-1, 0], painted[-1, -1])
    if not any(corners) or painted.all():
        return None
    _, labels = cv2.connectedComponents(painted.astype(np.uint8), connectivity=4)
    at_corners = {int(labels[row, column]) for row in (0, -1) for column in (0, -1)} - {0}
    return np.isin(labels, list(at_corners))


def _single_field(outside: NDArray[np.bool_], settings: MaskedBorderSettings) -> NDArray[np.bool_] | None:
    """The one solid field within a border; None where what is left is something else."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(outside.astype(np.uint8), connectivity=4)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    area = float(stats[largest, cv2.CC_STAT_AREA])
    if area < settings.least_whole * np.count_nonzero(outside) or area < settings.least_field * outside.size:
        return None
    field = np.asarray(labels == largest, np.bool_)
    contours, _ = cv2.findContours(field.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(contours))
    filled = cv2.fillConvexPoly(np.zeros(field.shape, np.uint8), hull, 1) > 0
    return filled if area >= settings.least_solidity * np.count_nonzero(filled) else None

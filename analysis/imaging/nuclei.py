"""Interphase nuclei and other bodies too thick to be chromosomes.

They are masked before anything else is measured: they outweigh all chromosomes in any histogram.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_MIN_THICKNESS: Final = 3.6
"""A disc of this many chromosome widths fits into a nucleus (4 um in diameter at the least), but hardly into a
pile of chromosomes, which lets the slide through between them."""

_LEAST_WIDTH_PX: Final = 7.0

_MAX_HOLE: Final = 0.5
"""Holes up to this many squared widths are paled chromatin, not slide."""


def find_nuclei(density: NDArray[np.float32], threshold: float, width_px: float) -> NDArray[np.bool_]:
    """Mark bodies thicker than chromosomes can be.

    Parameters
    ----------
    density
        float32, shape (h, w): optical density.
    threshold
        Optical density above which a pixel is stained; nuclei are often paler than chromosomes, so half of it
        is used.
    width_px
        Typical width of a chromosome.

    Returns
    -------
    NDArray[np.bool_]
        Shape (h, w).
    """
    # Bodies of several widths need no finer pixels than a seventh of a width.
    step = max(1, int(width_px / _LEAST_WIDTH_PX))
    height, width = density.shape
    size = (max(1, width // step), max(1, height // step))
    small = (
        density if step == 1 else np.asarray(cv2.resize(density, size, interpolation=cv2.INTER_AREA), np.float32)
    )
    width_px /= step
    nuclei = _bodies(small, threshold, width_px) | _bodies(small, 0.55 * threshold, width_px)
    if not nuclei.any():
        return np.zeros(density.shape, np.bool_)
    # The rim: a nucleus fades over about half a width.
    rim = _disc(0.35 * width_px)
    found = cv2.dilate(nuclei.astype(np.uint8), rim)
    return cv2.resize(found, (width, height), interpolation=cv2.INTER_NEAREST) > 0


def _bodies(density: NDArray[np.float32], threshold: float, width_px: float) -> NDArray[np.bool_]:
    smooth = cv2.GaussianBlur(density, (0, 0), max(0.8, 0.15 * width_px))
    mask = _fill_small_holes(smooth > threshold, _MAX_HOLE * width_px**2)
    padded = np.pad(mask.astype(np.uint8), 1, mode="edge")
    distance = _distance_to_slide(padded, width_px)
    core = distance >= _MIN_THICKNESS / 2.0 * width_px
    if not core.any():
        return np.zeros(density.shape, np.bool_)
    # Opening by a disc: everything within reach of a core, which leaves chromosomes attached to the nucleus
    # outside.
    away = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5)
    body = (away <= _MIN_THICKNESS / 2.0 * width_px) & (padded > 0)
    return body[1:-1, 1:-1]


def _distance_to_slide(padded: NDArray[np.uint8], width_px: float) -> NDArray[np.float32]:
    """Distance to the slide, the picture continued beyond its border: a nucleus cut by it is one still."""
    reach = int(np.ceil(_MIN_THICKNESS * width_px))
    wide = np.pad(padded, reach, mode="edge")
    distance = cv2.distanceTransform(wide, cv2.DIST_L2, 5)
    return np.asarray(distance[reach:-reach, reach:-reach], dtype=np.float32)


def _fill_small_holes(mask: NDArray[np.bool_], max_area_px: float) -> NDArray[np.bool_]:
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] <= max_area_px
    small[0] = False
    return np.asarray(mask | small[labels], dtype=np.bool_)


def _disc(radius_px: float) -> NDArray[np.uint8]:
    size = 2 * max(1, round(radius_px)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), dtype=np.uint8)

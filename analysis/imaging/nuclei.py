"""Interphase nuclei and other bodies too thick to be chromosomes.

They are masked before anything else is measured: they outweigh all chromosomes in any histogram.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class NucleusSettings:
    """How nuclei differ from chromosomes and piles of them.

    Attributes
    ----------
    min_thickness
        A disc of this many chromosome widths fits into a nucleus (4 um in diameter at the least), but hardly into
        a pile of chromosomes, which lets the slide through between them.
    coarse_width_px
        Px of a chromosome's width after reduction: bodies of several widths need no finer pixels.
    pale_level
        Of the threshold: nuclei are often paler than chromosomes, and a second search at about half finds them.
    rim_widths
        Over which a nucleus fades out.
    blur_widths, min_blur_px
        Sigma that closes the grain of chromatin.
    max_hole
        Holes up to this many squared widths are paled chromatin, not slide.
    """

    min_thickness: float = 3.6
    coarse_width_px: float = 7.0
    pale_level: float = 0.55
    rim_widths: float = 0.35
    blur_widths: float = 0.15
    min_blur_px: float = 0.8
    max_hole: float = 0.5


DEFAULT_NUCLEI: Final = NucleusSettings()


def find_nuclei(
    density: NDArray[np.float32],
    threshold: float,
    width_px: float,
    settings: NucleusSettings = DEFAULT_NUCLEI,
) -> NDArray[np.bool_]:
    """Mark bodies thicker than chromosomes can be.

    Parameters
    ----------
    density
        float32, shape (h, w): optical density.
    threshold
        Optical density above which a pixel is stained.
    width_px
        Typical width of a chromosome.
    settings
        How nuclei differ from chromosomes.

    Returns
    -------
    NDArray[np.bool_]
        Shape (h, w).
    """
    step = max(1, int(width_px / settings.coarse_width_px))
    height, width = density.shape
    size = (max(1, width // step), max(1, height // step))
    small = (
        density if step == 1 else np.asarray(cv2.resize(density, size, interpolation=cv2.INTER_AREA), np.float32)
    )
    width_px /= step
    nuclei = _bodies(small, threshold, width_px, settings)
    nuclei = nuclei | _bodies(small, settings.pale_level * threshold, width_px, settings)
    if not nuclei.any():
        return np.zeros(density.shape, np.bool_)
    with_rim = cv2.dilate(nuclei.astype(np.uint8), _disc(settings.rim_widths * width_px))
    return cv2.resize(with_rim, (width, height), interpolation=cv2.INTER_NEAREST) > 0


def _bodies(
    density: NDArray[np.float32], threshold: float, width_px: float, settings: NucleusSettings
) -> NDArray[np.bool_]:
    sigma = max(settings.min_blur_px, settings.blur_widths * width_px)
    smooth = cv2.GaussianBlur(density, (0, 0), sigma)
    mask = _fill_small_holes(smooth > threshold, settings.max_hole * width_px**2)
    padded = np.pad(mask.astype(np.uint8), 1, mode="edge")
    distance = _distance_to_slide(padded, settings.min_thickness * width_px)
    radius_px = settings.min_thickness / 2.0 * width_px
    core = distance >= radius_px
    if not core.any():
        return np.zeros(density.shape, np.bool_)
    # Opening by a disc: everything within reach of a core, which leaves chromosomes attached to the nucleus
    # outside.
    away = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5)
    body = (away <= radius_px) & (padded > 0)
    return body[1:-1, 1:-1]


def _distance_to_slide(padded: NDArray[np.uint8], reach_px: float) -> NDArray[np.float32]:
    """Distance to the slide, the picture continued beyond its border: a nucleus cut by it is one still."""
    reach = int(np.ceil(reach_px))
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

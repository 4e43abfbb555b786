"""The empty slide under the cell, and the stain on it.

Grey levels are turned into optical density, because transmittances multiply: uneven light drops out by
division, and where two chromosomes overlap their densities add.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

SATURATED_LEVEL: Final = 253
"""From here on a pixel was clipped to white by the camera or by another system's background correction."""

SATURATED_SHARE: Final = 0.3
"""Share of clipped pixels above which the background is white: more than half of the exported pictures are so."""

_COARSE_PX: Final = 160
"""Long side of the reduced image the light is estimated on; light varies over far larger distances than
chromosomes."""

_ROUNDS: Final = 3


def estimate_background(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Estimate the grey level of the empty slide under every pixel.

    A saturated background is white everywhere. Otherwise the light is the local level of what isn't stained: on
    a much reduced image whatever is darker than the surroundings (chromosomes and, being large, above all
    nuclei) is masked, the holes are filled from around, and the rest is smoothed. White polygons, pasted in
    around chromosomes from elsewhere, are brighter than the light and are ignored as well.

    Parameters
    ----------
    pixels
        uint8, shape (h, w), dark on bright.

    Returns
    -------
    NDArray[np.float32]
        Shape (h, w), in grey levels, at least 1.
    """
    height, width = pixels.shape
    if np.count_nonzero(pixels >= SATURATED_LEVEL) >= SATURATED_SHARE * pixels.size:
        return np.full((height, width), 255.0, np.float32)
    factor = min(1.0, _COARSE_PX / max(height, width))
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    # The median of the full image keeps single dark or hot pixels out of the coarse one.
    coarse = cv2.resize(cv2.medianBlur(pixels, 3), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    level = _mode_level(coarse)
    light = np.full_like(coarse, level)
    for _ in range(_ROUNDS):
        residual = coarse - light
        free = residual > -0.04 * light
        spread = max(
            2.0, 1.5 * float(np.median(np.abs(residual[free] - np.median(residual[free])))) if free.any() else 2.0
        )
        empty = (residual > -3.0 * spread) & (residual < 4.0 * spread)
        empty = cv2.erode(empty.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        if np.count_nonzero(empty) < 0.05 * empty.size:
            break
        light = _fill_smooth(coarse, empty, sigma=max(size) / 10.0, fallback=level)
    full = cv2.resize(light, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.maximum(full, 1.0).astype(np.float32)


def optical_density(pixels: NDArray[np.uint8], background: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the optical density over the background: float32, 0 on the empty slide, never negative."""
    density = np.log10((background + 1.0) / (pixels.astype(np.float32) + 1.0))
    return np.maximum(density, 0.0).astype(np.float32)


def _mode_level(coarse: NDArray[np.float32]) -> float:
    """Return the commonest level of the brighter half."""
    values = coarse[coarse >= np.median(coarse) * 0.9]
    counts, edges = np.histogram(values, bins=64)
    smooth = np.convolve(counts, (1, 2, 3, 2, 1), mode="same")
    at = int(np.argmax(smooth))
    return float((edges[at] + edges[at + 1]) / 2.0)


def _fill_smooth(
    values: NDArray[np.float32], known: NDArray[np.bool_], *, sigma: float, fallback: float
) -> NDArray[np.float32]:
    """Smooth over the known pixels alone (normalised convolution): masked bodies darken nothing."""
    weight = known.astype(np.float32)
    blurred = cv2.GaussianBlur(values * weight, (0, 0), sigma)
    weights = cv2.GaussianBlur(weight, (0, 0), sigma)
    prior = 1e-3
    return ((blurred + prior * fallback) / (weights + prior)).astype(np.float32)

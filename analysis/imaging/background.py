"""The empty slide under the cell, and the stain on it.

Grey levels are turned into optical density, because transmittances multiply: uneven light drops out by
division, and where two chromosomes overlap their densities add.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

WHITE_LEVEL: Final = 255.0
"""Highest grey level of 8 bits."""

SATURATED_LEVEL: Final = 253
"""From here on a pixel was clipped to white by the camera or by another system's background correction."""

SATURATED_FRACTION: Final = 0.3
"""Of an image's pixels: with more of them clipped the background is white, as in most exported
pictures."""


@dataclass(frozen=True, slots=True)
class BackgroundSettings:
    """How empty slide is told from what is stained or pasted in.

    Attributes
    ----------
    coarse_px
        Long side of the reduced image the light is estimated on; light varies over far larger distances than
        chromosomes.
    rounds
        Of masking and smoothing.
    max_shade
        Of the light: darker pixels are stained and don't take part in the measure of the noise.
    spread_factor
        Standard deviation over median absolute deviation of a normal distribution, rounded.
    min_spread
        Grey levels: compression alone makes as much.
    darker, brighter
        Spreads below and above the light within which a pixel is empty slide; narrower below, where stain is.
    min_empty
        Fraction of the image: with less empty slide the estimate before stays.
    sigma_sides
        Long sides in one sigma of the smoothing: light varies over a tenth of the image and more.
    mode_from
        Of the median, above which levels take part in the search for the commonest: the slide is bright.
    prior_weight
        Of the commonest level where no empty slide is near.
    """

    coarse_px: int = 160
    rounds: int = 3
    max_shade: float = 0.04
    spread_factor: float = 1.5
    min_spread: float = 2.0
    darker: float = 3.0
    brighter: float = 4.0
    min_empty: float = 0.05
    sigma_sides: float = 10.0
    mode_from: float = 0.9
    prior_weight: float = 1e-3


DEFAULT_BACKGROUND: Final = BackgroundSettings()


def estimate_background(
    pixels: NDArray[np.uint8], settings: BackgroundSettings = DEFAULT_BACKGROUND
) -> NDArray[np.float32]:
    """Estimate the grey level of the empty slide under every pixel.

    A saturated background is white everywhere. Otherwise the light is the local level of what isn't stained: on
    a much reduced image whatever is darker than the surroundings (chromosomes and, being large, above all
    nuclei) is masked, the holes are filled from around, and the rest is smoothed. White polygons, pasted in
    around chromosomes from elsewhere, are brighter than the light and are ignored as well.

    Parameters
    ----------
    pixels
        uint8, shape (h, w), dark on bright.
    settings
        How empty slide is told from the rest.

    Returns
    -------
    NDArray[np.float32]
        Shape (h, w), in grey levels, at least 1.
    """
    height, width = pixels.shape
    if np.count_nonzero(pixels >= SATURATED_LEVEL) >= SATURATED_FRACTION * pixels.size:
        return np.full((height, width), WHITE_LEVEL, np.float32)
    factor = min(1.0, settings.coarse_px / max(height, width))
    size = (max(8, round(width * factor)), max(8, round(height * factor)))
    # The median of the full image keeps single dark or hot pixels out of the coarse one.
    coarse = cv2.resize(cv2.medianBlur(pixels, 3), size, interpolation=cv2.INTER_AREA).astype(np.float32)
    level = _mode_level(coarse, settings)
    light = np.full_like(coarse, level)
    for _ in range(settings.rounds):
        residual = coarse - light
        free = residual > -settings.max_shade * light
        spread = settings.min_spread
        if free.any():
            deviation = float(np.median(np.abs(residual[free] - np.median(residual[free]))))
            spread = max(spread, settings.spread_factor * deviation)
        empty = (residual > -settings.darker * spread) & (residual < settings.brighter * spread)
        empty = cv2.erode(empty.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        if np.count_nonzero(empty) < settings.min_empty * empty.size:
            break
        sigma = max(size) / settings.sigma_sides
        light = _fill_smooth(coarse, empty, sigma=sigma, fallback=level, fallback_weight=settings.prior_weight)
    full = cv2.resize(light, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.maximum(full, 1.0).astype(np.float32)


def optical_density(pixels: NDArray[np.uint8], background: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the optical density over the background.

    Parameters
    ----------
    pixels
        uint8, shape (h, w), dark on bright.
    background
        float32, shape (h, w): grey level of the empty slide.

    Returns
    -------
    NDArray[np.float32]
        Shape (h, w): 0 on the empty slide, never negative.
    """
    density = np.log10((background + 1.0) / (pixels.astype(np.float32) + 1.0))
    return np.maximum(density, 0.0).astype(np.float32)


def _mode_level(coarse: NDArray[np.float32], settings: BackgroundSettings) -> float:
    """Return the commonest level of the brighter half."""
    values = coarse[coarse >= np.median(coarse) * settings.mode_from]
    counts, edges = np.histogram(values, bins=64)
    smooth = np.convolve(counts, (1, 2, 3, 2, 1), mode="same")
    at = int(np.argmax(smooth))
    return float((edges[at] + edges[at + 1]) / 2.0)


def _fill_smooth(
    values: NDArray[np.float32],
    empty: NDArray[np.bool_],
    *,
    sigma: float,
    fallback: float,
    fallback_weight: float,
) -> NDArray[np.float32]:
    """Smooth over the empty pixels alone (normalised convolution): masked bodies darken nothing."""
    weight = empty.astype(np.float32)
    blurred = cv2.GaussianBlur(values * weight, (0, 0), sigma)
    weights = cv2.GaussianBlur(weight, (0, 0), sigma)
    return ((blurred + fallback_weight * fallback) / (weights + fallback_weight)).astype(np.float32)

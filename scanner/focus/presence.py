"""Whether a picture shows anything to focus on, told before the focus moves.

Out of focus a body grows and pales, but the light that it absorbs stays the same: blur only spreads it. Looked for
at one resolution, a body that is far out of focus is missed and the field called blank. The picture is therefore
reduced step by step: at the resolution that suits its blur, a body stands out of the noise however far off it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

REDUCTIONS = (2, 4, 8, 16, 32)
GRID_PX = 4
"""Masks are kept on blocks of so many pixels."""

# A body stands out of the photon noise by so many deviations, ...
_NOISE_FACTOR = 6.0
# ... and by this share of the background: paler than that are stains, and the light's own unevenness.
_LEAST_CONTRAST = 0.01
# Sides of the boxes, in reduced pixels, whose means are compared: a body, and its surroundings.
_INNER, _OUTER = 3, 13
_LEAST_PIXELS = 4
_ROBUST_SCALE = 1.4826
_LIGHT_BLOCK_PX = 32
_LIGHT_ROUNDS = 6
_LIGHT_CLEAN_SHARE = 0.015


@dataclass(frozen=True, slots=True)
class Presence:
    """What a picture shows.

    Attributes
    ----------
    mask
        bool, shape (h // GRID_PX, w // GRID_PX): blocks in or near something.
    blank
        Nothing stands out at any resolution.
    strongest
        Contrast of the most conspicuous body over the least that counts; 0 where there is none.
    variance
        float32, shape of the mask: squared local contrast of the picture reduced to the blocks.
    noise
        Standard deviation of the noise of one pixel.
    """

    mask: NDArray[np.bool_]
    blank: bool
    strongest: float
    variance: NDArray[np.float32]
    noise: float

    @property
    def coarse_floor(self) -> float:
        """What `variance` is of noise alone: that of the inner box's mean less that of the outer's."""
        return (self.noise / GRID_PX) ** 2 * (1.0 / _INNER**2 - 1.0 / _OUTER**2)


def even_out(pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Picture over the light of the field: a paraboloid through what is not covered by bodies.

    Parameters
    ----------
    pixels
        Any unsigned integer type, shape (h, w).

    Returns
    -------
    ndarray
        float32, shape (h, w), about 1 where there is nothing. The same everywhere on a black picture.
    """
    grey = np.asarray(pixels, dtype=np.float32)
    height, width = grey.shape
    size = (max(width // _LIGHT_BLOCK_PX, 1), max(height // _LIGHT_BLOCK_PX, 1))
    blocks = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float64)
    constant, across, down, across2, product, down2 = _fit_light(blocks)
    x, y = (_middles(number).astype(np.float32) for number in (width, height))
    light = np.float32(product) * y[:, None] * x
    light += (constant + x * (across + x * across2)).astype(np.float32)
    light += (y * (down + y * down2)).astype(np.float32)[:, None]
    np.maximum(light, np.float32(1.0), out=light)
    return np.asarray(np.divide(grey, light, out=light), dtype=np.float32)


def _middles(number: int) -> NDArray[np.float64]:
    """Middles of so many equal parts of -1 .. 1."""
    return np.asarray((np.arange(number) + 0.5) * (2.0 / number) - 1.0, dtype=np.float64)


def _fit_light(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients of 1, x, y, x^2, xy, y^2, with x and y from -1 to 1."""
    across, down = (part.ravel() for part in np.meshgrid(_middles(blocks.shape[1]), _middles(blocks.shape[0])))
    terms = np.column_stack([np.ones_like(across), across, down, across**2, across * down, down**2])
    values = blocks.ravel()
    found = np.zeros(terms.shape[1])
    found[0] = max(float(np.median(values)), 1.0)
    for _ in range(_LIGHT_ROUNDS):
        # Bodies absorb, or emit: what is off the light by much is one, and tells nothing of the light.
        light = terms @ found
        off = np.abs(values - light) / np.maximum(light, 1.0)
        kept = off <= max(_LIGHT_CLEAN_SHARE, float(np.median(off)))
        if np.count_nonzero(kept) < 2 * terms.shape[1]:
            break
        found = np.asarray(np.linalg.lstsq(terms[kept], values[kept], rcond=None)[0], dtype=np.float64)
    return found


def noise_of(picture: NDArray[np.float32]) -> float:
    """Standard deviation of the noise of one pixel, from differences of neighbours, which bodies hardly enter.

    Parameters
    ----------
    picture
        float32, shape (h, w): light over that of the empty background.
    """
    sample = picture[::29]
    differences = np.abs(sample[:, 1:] - sample[:, :-1])
    return float(_ROBUST_SCALE * np.median(differences) / np.sqrt(2.0))


def find_presence(picture: NDArray[np.float32]) -> Presence:
    """Look for bodies at every resolution.

    Parameters
    ----------
    picture
        float32, shape (h, w), grey levels over the field's own level: about 1 where there is nothing. Bodies may
        be darker than the field or, where they emit, brighter.
    """
    noise = noise_of(picture)
    height, width = picture.shape
    grid = (width // GRID_PX, height // GRID_PX)
    mask = np.zeros((grid[1], grid[0]), bool)
    variance = np.zeros((grid[1], grid[0]), np.float32)
    strongest = 0.0
    reduced = picture
    for reduction in REDUCTIONS:
        size = (width // reduction, height // reduction)
        if min(size) < 2 * _OUTER:
            break
        reduced = np.asarray(cv2.resize(reduced, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
        least = max(_LEAST_CONTRAST, _NOISE_FACTOR * noise / (reduction * _INNER))
        contrast = _contrast(reduced)
        if reduction == GRID_PX:
            variance = contrast**2
        found = contrast > least
        if np.count_nonzero(found) < _LEAST_PIXELS:
            continue
        # The fourth strongest pixel, not the strongest: one pixel may be a hot one.
        strongest = max(
            strongest, float(np.partition(contrast, -_LEAST_PIXELS, axis=None)[-_LEAST_PIXELS]) / least
        )
        grown = cv2.resize(found.view(np.uint8), grid, interpolation=cv2.INTER_NEAREST)
        mask |= cv2.dilate(grown, np.ones((5, 5), np.uint8)).view(np.bool_)
    return Presence(mask, strongest == 0.0, strongest, variance, noise)


def _contrast(reduced: NDArray[np.float32]) -> NDArray[np.float32]:
    inner = cv2.blur(reduced, (_INNER, _INNER), borderType=cv2.BORDER_REFLECT)
    outer = cv2.blur(reduced, (_OUTER, _OUTER), borderType=cv2.BORDER_REFLECT)
    return np.asarray(np.abs(inner - outer), dtype=np.float32)

"""From density (light) to grey levels: blur, uneven light, noise."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.training.synthesis.conditions import SlideConditions
from analysis.training.synthesis.truth import FLUORESCENCE

_BIAS_SHARE = 0.01
_SMALLEST_SIGMA_PX = 0.25


def expose(
    matter: NDArray[np.float32],
    conditions: SlideConditions,
    domain: str,
    blur_um: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Take the picture of a field.

    Parameters
    ----------
    matter
        float32, shape (height_px, width_px): optical density, or light in units of a chromosome's.
    conditions
        Of the slide.
    domain
        ``"brightfield"`` or ``"fluorescence"``.
    blur_um
        Standard deviation of all blur.
    rng
        Source of the noise.

    Returns
    -------
    ndarray
        uint8 or uint16 of the same shape.
    """
    if domain == FLUORESCENCE:
        seen = np.maximum(matter, 0.0) + np.float32(conditions.background)
    else:
        seen = np.asarray(cv2.exp(-matter), np.float32)
    sigma_px = blur_um / conditions.um_per_px
    if sigma_px > _SMALLEST_SIGMA_PX:
        blurred = cv2.GaussianBlur(seen, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT)
        seen = np.asarray(blurred, np.float32)
    electrons = seen * light_field(conditions)
    electrons *= np.float32(conditions.level * conditions.electrons)
    noise = np.sqrt(np.maximum(electrons, 0.0) + np.float32(conditions.read_noise**2))
    noise *= rng.standard_normal(electrons.shape, dtype=np.float32)
    full_scale = float(2**conditions.bits - 1)
    levels = (electrons + noise) * np.float32(full_scale / conditions.electrons)
    levels += np.float32(_BIAS_SHARE * full_scale + 0.5)
    np.clip(levels, 0.0, full_scale, out=levels)
    if conditions.bits == 8:
        return np.asarray(levels, np.uint8)
    return np.asarray(levels, np.uint16)


def light_field(conditions: SlideConditions) -> NDArray[np.float32]:
    """Light over the field, 1 at its brightest: float32, shape (height, width)."""
    y = np.linspace(-1.0, 1.0, conditions.height_px, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, conditions.width_px, dtype=np.float32)[None, :]
    along = x * np.float32(math.cos(conditions.tilt_rad)) + y * np.float32(math.sin(conditions.tilt_rad))
    light = 1.0 - conditions.fall_off * (x * x + y * y) / 2.0 - conditions.tilt * (along + 1.0) / 2.0
    return np.asarray(light / light.max(), np.float32)

"""The input of the detector: stain relative to the cell's dark bands, at a fixed size."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.imaging.background import estimate_background, optical_density
from analysis.nets.detector_net import SIDE_STRIDE_PX

SCALE: Final = 0.667
"""Input px a px of the Tseng set, whose chromosomes are all of much the same size."""

TOP: Final = 1.7
"""Relative densities are clipped here: what is darker is dirt or several chromosomes on one another."""

_DARK_PERCENTILE: Final = 98.5
"""Of the density: the darkest few per cent of a metaphase picture are bands, with nuclei beside it or not."""

_MIN_SPAN: Final = 0.05
"""Optical density of dark bands at the least: an empty picture stays empty."""

_DENOISE_SIGMA_PX: Final = 0.7
"""As of the working image."""


def density_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Optical density of a picture, noise smoothed: float32, the picture's shape."""
    density = optical_density(pixels, estimate_background(pixels))
    return np.asarray(cv2.GaussianBlur(density, (0, 0), _DENOISE_SIGMA_PX), dtype=np.float32)


def relative_density(density: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the density in units of the picture's dark bands: float32 in [0, TOP], shape (h, w) as given."""
    dark = float(np.percentile(density[::2, ::2], _DARK_PERCENTILE))
    return np.asarray(np.clip(density / max(dark, _MIN_SPAN), 0.0, TOP), dtype=np.float32)


def resized(relative: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """Bring a picture to the detector's size.

    Parameters
    ----------
    relative
        float32, shape (h, w): see `relative_density`.
    scale
        Input px a px of the picture.
    """
    height, width = relative.shape
    size = (max(SIDE_STRIDE_PX, round(width * scale)), max(SIDE_STRIDE_PX, round(height * scale)))
    method = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(relative, size, interpolation=method), dtype=np.float32)


def filled_up(relative: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pad a picture, shape (h, w), with empty slide to the right and below, to multiples of the stride."""
    height, width = relative.shape
    return np.pad(relative, ((0, -height % SIDE_STRIDE_PX), (0, -width % SIDE_STRIDE_PX)))

"""How far the bands of chromosomes stand out."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from analysis.straightening.band_profile import profiles

NO_BANDS_BELOW: Final = 0.06
"""G-bands of gband612 (val) have 0.26 to 0.38, drawn cells 0.12 to 0.17, drawn ones without bands 0.02 to 0.03."""
NO_BANDS_BELOW_FLUORESCENT: Final = 0.03
"""DAPI bands have 0.04 to 0.06."""
_BINS: Final = 64
_TIPS: Final = 5
"""Bins at each tip that depend more on the outline than on the bands."""
_TREND_BINS: Final = 12
"""Standard deviation of the trend: wider than a large band."""
_LEAST_MEAN: Final = 1e-6
"""Keeps the contrast of an empty crop finite."""


def band_contrast(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Spread of each banding profile about its own trend, over its mean; tips are left out.

    Parameters
    ----------
    images
        float32, shape (n, rows, columns): straightened relative densities.

    Returns
    -------
    NDArray[np.float64]
        Shape (n,).
    """
    profile = profiles(images, _BINS)[:, 0, _TIPS:-_TIPS].astype(np.float64)
    trend = gaussian_filter1d(profile, _TREND_BINS, axis=1, mode="nearest")
    return np.asarray((profile - trend).std(axis=1) / np.maximum(profile.mean(axis=1), _LEAST_MEAN))

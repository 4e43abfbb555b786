"""How far the bands of chromosomes stand out."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from analysis.straightening.band_profile import profiles

# G-bands of gband612 (val) 0.26 .. 0.38, of drawn cells 0.12 .. 0.17, drawn without bands 0.02 .. 0.03;
# DAPI 0.04 .. 0.06.
NO_BANDS_BELOW: Final = 0.06

NO_BANDS_BELOW_FLUORESCENT: Final = 0.03


def band_contrast(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Spread of each banding profile about its own trend, over its mean; tips are left out.

    Parameters
    ----------
    images
        float32, shape (n, rows, columns): straightened relative densities.
    """
    profile = profiles(images, 64)[:, 0, 5:-5].astype(np.float64)
    trend = gaussian_filter1d(profile, 12, axis=1, mode="nearest")
    return np.asarray((profile - trend).std(axis=1) / np.maximum(profile.mean(axis=1), 1e-6))

"""Fluorescence as if it were bright field: light adds as densities do."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.structures.grey_image import GreyImage

_STRENGTH: Final = 0.7
"""Density of the brightest pixel: about that of dark bands in Giemsa."""

_WHITE: Final = 255.0
_LEVELS: Final = 256.0
"""Highest level of 8 bits, and their number: densities are those of `optical_density` over white."""


def as_absorbing(image: GreyImage) -> GreyImage:
    """Turn an inverted fluorescence picture into one whose optical density is proportional to the dye.

    Where chromosomes lie on one another their light adds. Inverted grey levels taken for transmitted light would
    make densities of it that rise without bound towards the brightest pixels; here they are proportional.

    Parameters
    ----------
    image
        Any picture; bright-field ones are returned as they are.
    """
    if not image.inverted:
        return image
    levels = _LEVELS * 10 ** (-_STRENGTH * (_WHITE - np.arange(_LEVELS)) / _WHITE) - 1.0
    curve = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return replace(image, pixels=curve[image.pixels], inverted=False)


def fluorescence_levels(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn grey levels of an `as_absorbing` picture back into the inverted one's: float32, the same shape."""
    density = np.log10(_LEVELS / (np.asarray(levels, np.float64) + 1.0))
    return np.asarray(np.clip(_WHITE * (1.0 - density / _STRENGTH), 0.0, _WHITE), dtype=np.float32)

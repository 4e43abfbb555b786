"""Focus measures on the pixels that hold something; all grow towards focus.

Usual measures over a whole frame fail on a metaphase slide, which is mostly empty: noise then weighs more than
the few chromosomes. The mask is therefore part of every measure.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# Grey levels, as a share of the local background, below which a pixel counts as part of an object.
OBJECT_TRANSMISSION = 0.93
_BACKGROUND_BLOCK_PX = 16
_TWO_APART = np.array([[-1.0, 0.0, 1.0]], np.float32)


def relative_transmission(pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Picture divided by its local background.

    Parameters
    ----------
    pixels
        Any unsigned integer type, shape (h, w).

    Returns
    -------
    ndarray
        float32, shape (h, w), about 1 on empty slide, below 1 on stained objects.
    """
    grey = cv2.GaussianBlur(pixels.astype(np.float32), (0, 0), 1.0)
    height, width = grey.shape
    small = cv2.resize(
        grey,
        (max(1, width // _BACKGROUND_BLOCK_PX), max(1, height // _BACKGROUND_BLOCK_PX)),
        interpolation=cv2.INTER_AREA,
    )
    # Dilation takes the brightest neighbourhood as background: objects are dark and small against it.
    background = cv2.GaussianBlur(cv2.dilate(small, np.ones((5, 5), np.uint8)), (0, 0), 2.0)
    full = cv2.resize(background, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(grey / np.maximum(full, 1.0), dtype=np.float32)


def object_mask(transmission: NDArray[np.float32], *, grow_px: int = 9) -> NDArray[np.bool_]:
    """Pixels in or near stained objects, of shape (h, w).

    Parameters
    ----------
    transmission
        float32, shape (h, w): light over that of the empty background.
    grow_px
        Side of the square by which objects are grown.
    """
    dark = (transmission < OBJECT_TRANSMISSION).astype(np.uint8)
    # Single noisy pixels are no object.
    opened = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    return np.asarray(cv2.dilate(opened, np.ones((grow_px, grow_px), np.uint8)) > 0)


def masked_mean(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Mean of the masked pixels; 0 where there is none.

    Parameters
    ----------
    values
        float32, shape (h, w).
    mask
        bool, shape (h, w): pixels that count.
    """
    return float(cv2.mean(values, mask.view(np.uint8))[0])


def brenner_energy(transmission: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared differences of pixels two apart, along both axes; float32, shape (h, w)."""
    # Mirrored at the border, differences across it are none.
    across = cv2.filter2D(transmission, cv2.CV_32F, _TWO_APART, borderType=cv2.BORDER_REFLECT_101)
    down = cv2.filter2D(transmission, cv2.CV_32F, _TWO_APART.T, borderType=cv2.BORDER_REFLECT_101)
    np.multiply(across, across, out=across)
    np.multiply(down, down, out=down)
    return np.asarray(np.add(across, down, out=across), dtype=np.float32)


def brenner(transmission: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Brenner gradient: mean squared difference of pixels two apart, along both axes (Brenner et al. 1976).

    Parameters
    ----------
    transmission
        float32, shape (h, w): light over that of the empty background.
    mask
        bool, shape (h, w): pixels that count.
    """
    return masked_mean(brenner_energy(transmission), mask)


def tenengrad(transmission: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Tenengrad: mean squared Sobel gradient (Tenenbaum 1970; Krotkov 1987).

    Parameters
    ----------
    transmission
        float32, shape (h, w): light over that of the empty background.
    mask
        bool, shape (h, w): pixels that count.
    """
    across = cv2.Sobel(transmission, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(transmission, cv2.CV_32F, 0, 1)
    return masked_mean(np.asarray(across**2 + down**2, dtype=np.float32), mask)


def normalised_variance(transmission: NDArray[np.float32], mask: NDArray[np.bool_]) -> float:
    """Variance over the mean of the masked pixels (Groen et al. 1985): broad, for the coarse search.

    Parameters
    ----------
    transmission
        float32, shape (h, w): light over that of the empty background.
    mask
        bool, shape (h, w): pixels that count.
    """
    values = transmission[mask]
    if values.size == 0:
        return 0.0
    mean = float(np.mean(values, dtype=np.float64))
    return float(np.var(values, dtype=np.float64)) / max(mean, 1e-6)

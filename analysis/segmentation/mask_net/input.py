"""Inputs of the mask net and the blob net: stain of typical strength is 1, chromosomes are 9 px wide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

MASK_NET_WIDTH_PX: Final = 9.0
CROP_PX: Final = 112
"""Side of the mask net's crop: twelve widths, more than the longest chromosome."""

BLOB_PX: Final = 64
_BLOB_WIDTHS: Final = 7.0
"""Pieces up to this many widths are cropped as they are; larger ones are reduced to fit."""

_BLOB_MARGIN: Final = 1.15
"""Side of a crop over that of its piece: some surroundings on every side."""

_SMOOTH_BELOW: Final = 0.7
"""Reduction from which a piece is smoothed first, against aliasing."""

_TOP: Final = 3.0
"""Of the level: more is dirt or many chromosomes on one another."""

_SEED_SIGMA_PX: Final = 2.5
"""Of a point prompt: within a chromosome's width."""

_LEAST_DENSITY: Final = 1e-3
"""Keeps the level of an empty picture finite."""


@dataclass(frozen=True, slots=True)
class MaskNetPicture:
    """A metaphase at the mask net's scale.

    Attributes
    ----------
    level
        float32, shape (h, w), in [0, 3]: density over the typical stain of its chromosomes.
    scale
        Its px a px of the picture it was made of.
    """

    level: NDArray[np.float32]
    scale: float


def mask_net_picture(density: NDArray[np.float32], typical: float, width_px: float) -> MaskNetPicture:
    """Bring a picture to the mask net's scale.

    Parameters
    ----------
    density
        float32, shape (h, w).
    typical
        Median density of what is stained.
    width_px
        Typical width of a chromosome.
    """
    scale = MASK_NET_WIDTH_PX / width_px
    height, width = density.shape
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
    small = cv2.resize(density, size, interpolation=method)
    level = np.clip(small / np.float32(max(typical, _LEAST_DENSITY)), 0.0, _TOP)
    return MaskNetPicture(np.asarray(level, dtype=np.float32), scale)


def crop_at(level: NDArray[np.float32], x_px: float, y_px: float) -> tuple[NDArray[np.float32], int, int]:
    """Cut the mask net's crop round a point; what lies outside is empty slide.

    Parameters
    ----------
    level
        float32, shape (h, w): see `MaskNetPicture`.
    x_px, y_px
        The point, in its px.

    Returns
    -------
    tuple
        float32, shape (CROP_PX, CROP_PX), and the place of its upper left corner.
    """
    left, top = round(x_px) - CROP_PX // 2, round(y_px) - CROP_PX // 2
    out = np.zeros((CROP_PX, CROP_PX), np.float32)
    height, width = level.shape
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + CROP_PX), min(height, top + CROP_PX)
    if x1 > x0 and y1 > y0:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = level[y0:y1, x0:x1]
    return out, left, top


def box_channel(box_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """Draw a box, shape (4,), in px of the crop, with soft borders: float32, shape (CROP_PX, CROP_PX)."""
    at = np.arange(CROP_PX, dtype=np.float32)
    x0, y0, x1, y1 = (np.float32(value) for value in box_px)
    across = np.clip(at + 1.0 - x0, 0.0, 1.0) * np.clip(x1 - at, 0.0, 1.0)
    down = np.clip(at + 1.0 - y0, 0.0, 1.0) * np.clip(y1 - at, 0.0, 1.0)
    return np.asarray(down[:, None] * across[None, :], dtype=np.float32)


def seed_channel() -> NDArray[np.float32]:
    """Draw the point in the middle of a crop: float32, shape (CROP_PX, CROP_PX)."""
    away = np.arange(CROP_PX, dtype=np.float32) - np.float32(CROP_PX // 2)
    bell = np.exp(-0.5 * (away / np.float32(_SEED_SIGMA_PX)) ** 2)
    return np.asarray(bell[:, None] * bell[None, :], dtype=np.float32)


def blob_crop(
    level: NDArray[np.float32], mask: NDArray[np.bool_], x0_px: int, y0_px: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cut the crop of a piece for the blob net.

    Parameters
    ----------
    level
        float32, shape (h, w): see `MaskNetPicture`.
    mask
        bool: the piece.
    x0_px, y0_px
        Place of the mask's upper left corner.

    Returns
    -------
    tuple
        float32, shape (2, BLOB_PX, BLOB_PX): stain and piece; float32, shape (2,): logarithms of how much it was
        reduced, and of its area in squared widths.
    """
    height, width = mask.shape
    reach = max(_BLOB_WIDTHS * MASK_NET_WIDTH_PX, _BLOB_MARGIN * height, _BLOB_MARGIN * width)
    zoom = BLOB_PX / reach
    centre_x, centre_y = x0_px + width / 2.0, y0_px + height / 2.0
    matrix = np.asarray(
        [[zoom, 0.0, BLOB_PX / 2.0 - zoom * centre_x], [0.0, zoom, BLOB_PX / 2.0 - zoom * centre_y]], np.float64
    )
    local = matrix.copy()
    local[:, 2] += zoom * np.asarray([x0_px, y0_px])
    # A large piece is smoothed before it is reduced.
    x_low, y_low = max(0, int(centre_x - reach / 2.0) - 2), max(0, int(centre_y - reach / 2.0) - 2)
    window = level[y_low : int(centre_y + reach / 2.0) + 3, x_low : int(centre_x + reach / 2.0) + 3]
    matrix[:, 2] += zoom * np.asarray([x_low, y_low])
    soft = cv2.GaussianBlur(window, (0, 0), 0.5 / zoom) if zoom < _SMOOTH_BELOW else window
    crop = np.zeros((2, BLOB_PX, BLOB_PX), np.float32)
    size = (BLOB_PX, BLOB_PX)
    crop[0] = cv2.warpAffine(soft, matrix, size, flags=cv2.INTER_LINEAR)
    crop[1] = cv2.warpAffine(mask.astype(np.float32), local, size, flags=cv2.INTER_LINEAR)
    area = max(1.0, float(np.count_nonzero(mask))) / MASK_NET_WIDTH_PX**2
    return crop, np.asarray([np.log(zoom), np.log(area)], np.float32)

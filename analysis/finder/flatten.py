"""A field of any depth and polarity as optical density over a flat background, at the finder's own resolution."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.errors import ImageError

# The finder works at a 10x field's resolution, whatever the objective: a chromatid pair is then about 2 px wide.
WORK_UM_PER_PX = 0.645
# Pixels outside this range hold either no detail of a chromosome or far more than is needed.
MIN_UM_PER_PX = 0.02
MAX_UM_PER_PX = 2.0
# Bodies up to a nucleus' size must not pull the background down.
_BACKGROUND_BLOCK_UM = 10.0
_BACKGROUND_WINDOW_UM = 90.0
_MAX_OD = 2.0


@dataclass(frozen=True, slots=True)
class FlatField:
    """A field ready for the search.

    Attributes
    ----------
    od
        float32, shape (h, w): optical density above the background, in [-0.2, 2].
    scale
        Pixels of the given image per pixel of `od`.
    noise_od
        Standard deviation of the empty background.
    """

    od: NDArray[np.float32]
    scale: float
    noise_od: float


def flatten(pixels: NDArray[np.uint8] | NDArray[np.uint16], um_per_px: float) -> FlatField:
    """Flatten a grey field.

    Parameters
    ----------
    pixels
        uint8 or uint16, shape (height_px, width_px); dark objects on bright background or the reverse.
    um_per_px
        Size of a pixel on the specimen, 0.02 to 2.

    Raises
    ------
    ImageError
        Not a grey image of a supported type, or a pixel size that can't be right.
    """
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"a grey image of 8 or 16 bit is needed, found shape {pixels.shape} {pixels.dtype}")
    if not MIN_UM_PER_PX <= um_per_px <= MAX_UM_PER_PX:
        raise ImageError(f"pixel size {um_per_px} um is outside {MIN_UM_PER_PX} .. {MAX_UM_PER_PX} um")
    grey = pixels.astype(np.float32)
    scale = WORK_UM_PER_PX / um_per_px
    height, width = (max(1, round(side / scale)) for side in grey.shape)
    if (height, width) != grey.shape:
        shrink = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        grey = np.asarray(cv2.resize(grey, (width, height), interpolation=shrink), dtype=np.float32)
    if _is_fluorescence(grey):
        grey = float(grey.max()) + float(np.percentile(grey, 1)) - grey
    background = _background(grey)
    floor = max(1.0, 0.02 * float(np.percentile(background, 50)))
    od = np.log(np.maximum(background, floor) / np.maximum(grey, floor))
    od -= np.float32(np.median(od[::2, ::2]))
    od = np.clip(od, -0.2, _MAX_OD).astype(np.float32)
    return FlatField(od, scale, _noise(od))


def _is_fluorescence(grey: NDArray[np.float32]) -> bool:
    """Bright objects on a dark background: the long tail of the histogram is on the bright side."""
    low, middle, high = np.percentile(grey[::4, ::4], (0.5, 50, 99.5))
    return bool(high - middle > 2.0 * (middle - low) and middle < 0.35 * high)


def _background(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = grey.shape
    block = max(1, round(_BACKGROUND_BLOCK_UM / WORK_UM_PER_PX))
    small = cv2.resize(grey, (max(1, width // block), max(1, height // block)), interpolation=cv2.INTER_AREA)
    window = max(1, round(_BACKGROUND_WINDOW_UM / _BACKGROUND_BLOCK_UM))
    # The closing fills dark bodies smaller than the window; the blur takes the closing's steps out again.
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, np.ones((window, window), np.uint8))
    smooth = cv2.GaussianBlur(closed, (0, 0), window / 3)
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def _noise(od: NDArray[np.float32]) -> float:
    # Differences of neighbours hold the noise and hardly any structure.
    step = np.abs(np.diff(od[::2, ::2], axis=1))
    if step.size == 0:
        return 1e-4
    return float(np.median(step)) * 1.4826 / 2**0.5 + 1e-4

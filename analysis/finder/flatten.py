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
MIN_OD = -0.2
MAX_OD = 2.0
# What is decided about a field as a whole is decided on means over this many px a side.
_REDUCTION = 4
# Bodies up to a nucleus' size must not pull the background down.
_BACKGROUND_BLOCK_UM = 10.0
_BACKGROUND_WINDOW_UM = 90.0
# Share of the field that one cell may take: extremes are means over that many pixels, and hot ones don't decide.
_CELL_SHARE = 0.0005
# Light of bodies against the background's, and their brightness against their darkness, from which a field glows.
_GLOW_OVER_BACKGROUND = 0.15
_GLOW_OVER_SHADE = 1.5
# The brightness that glowing chromosomes are measured by never falls below so many times the noise.
_NOISE_OF_GLOW = 20.0


@dataclass(frozen=True, slots=True)
class FlattenedField:
    """A field ready for the search.

    Attributes
    ----------
    od
        float32, shape (h, w): optical density above the background, in [-0.2, 2]; of fluorescence the logarithm of
        one plus brightness over that of thin bodies, so that bodies stand out alike in both.
    scale
        Pixels of the given image per pixel of `od`.
    noise_od
        Standard deviation of the empty background.
    background
        Grey level of the background in the middle of the levels found over the field.
    fluorescence
        Whether bodies are bright on dark.
    """

    od: NDArray[np.float32]
    scale: float
    noise_od: float
    background: float = 0.0
    fluorescence: bool = False


def flatten(pixels: NDArray[np.uint8] | NDArray[np.uint16], um_per_px: float) -> FlattenedField:
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
        Not a grey image of a supported type, an empty one, or a pixel size that can't be right.
    """
    if pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16) or pixels.size == 0:
        raise ImageError(f"a grey image of 8 or 16 bit is needed, found shape {pixels.shape} {pixels.dtype}")
    if not MIN_UM_PER_PX <= um_per_px <= MAX_UM_PER_PX:
        raise ImageError(f"pixel size {um_per_px} um is outside {MIN_UM_PER_PX} .. {MAX_UM_PER_PX} um")
    grey = pixels.astype(np.float32)
    scale = WORK_UM_PER_PX / um_per_px
    height, width = (max(1, round(side / scale)) for side in grey.shape)
    if (height, width) != grey.shape:
        shrink = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        grey = np.asarray(cv2.resize(grey, (width, height), interpolation=shrink), dtype=np.float32)
    small = _reduced(grey, _REDUCTION)
    fluorescence = _is_fluorescence(small)
    blocks = _background(small, fluorescence=fluorescence)
    od = _glow(grey, blocks) if fluorescence else _density(grey, blocks)
    od -= np.median(od[::8, ::4])
    np.clip(od, MIN_OD, MAX_OD, out=od)
    return FlattenedField(od, scale, noise_of(od) + 1e-4, float(np.median(blocks)), fluorescence)


def _reduced(grey: NDArray[np.float32], fold: int) -> NDArray[np.float32]:
    size = tuple(max(1, side // fold) for side in reversed(grey.shape))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _is_fluorescence(small: NDArray[np.float32]) -> bool:
    """Bright objects on a dark background: what stands out most does so on the bright side."""
    window = max(1, round(_BACKGROUND_WINDOW_UM / (WORK_UM_PER_PX * _REDUCTION)))
    relief = small - cv2.blur(small, (window, window))
    count = max(4, round(_CELL_SHARE * relief.size))
    if relief.size <= 2 * count:
        return False
    ordered = np.partition(relief.ravel(), (count, relief.size - count))
    shade, glow = -float(ordered[:count].mean()), float(ordered[-count:].mean())
    level = float(np.median(small[::2, ::2]))
    return glow > _GLOW_OVER_SHADE * shade and glow > max(2.0, _GLOW_OVER_BACKGROUND * level)


def _background(small: NDArray[np.float32], *, fluorescence: bool) -> NDArray[np.float32]:
    """Background in blocks: bodies smaller than the window are closed, or opened where they glow."""
    blocks = _reduced(small, round(_BACKGROUND_BLOCK_UM / (WORK_UM_PER_PX * _REDUCTION)))
    window = max(1, round(_BACKGROUND_WINDOW_UM / _BACKGROUND_BLOCK_UM))
    operation = cv2.MORPH_OPEN if fluorescence else cv2.MORPH_CLOSE
    level = cv2.morphologyEx(blocks, operation, np.ones((window, window), np.uint8))
    # The blur takes the steps out again that the closing leaves.
    return np.asarray(cv2.GaussianBlur(level, (0, 0), window / 3), dtype=np.float32)


def _over_field(blocks: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(blocks, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _density(grey: NDArray[np.float32], blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logarithm of the background over the light that passed; `grey` is used up."""
    floor = max(1.0, 0.02 * float(np.median(blocks)))
    np.maximum(grey, floor, out=grey)
    cv2.log(grey, dst=grey)
    light = _over_field(np.log(np.maximum(blocks, floor)), grey.shape)
    return np.subtract(light, grey, out=light)


def _glow(grey: NDArray[np.float32], blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logarithm of one plus brightness over that of the thin bodies that shine most.

    Nuclei may be ten times as bright as chromosomes; neither they nor the exposure may decide how far the
    chromosomes stand out. `grey` is used up.
    """
    noise = noise_of(grey)
    signal = np.subtract(grey, _over_field(blocks, grey.shape), out=grey)
    half = _reduced(signal, 2)
    thin = half - cv2.morphologyEx(half, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
    count = max(4, round(_CELL_SHARE / 2 * thin.size))
    brightest = np.partition(thin.ravel(), max(0, thin.size - count))[-count:]
    unit = max(float(brightest.mean()), _NOISE_OF_GLOW * noise, 1.0)
    signal *= 1.0 / unit
    signal += 1.0
    np.maximum(signal, 0.8, out=signal)
    cv2.log(signal, dst=signal)
    return signal


def noise_of(values: NDArray[np.float32]) -> float:
    """Standard deviation of the background's noise; 0 where there are too few pixels to tell."""
    # Differences of neighbours hold the noise and hardly any structure.
    step = np.abs(np.diff(values[::16, ::2], axis=1))
    return float(np.median(step)) * 1.4826 / 2**0.5 if step.size else 0.0

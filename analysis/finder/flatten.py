"""A field of any depth and polarity as optical density over a flat background, at the finder's own resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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


@dataclass(frozen=True, slots=True)
class FlattenSettings:
    """Background and polarity of a field.

    Attributes
    ----------
    reduction
        What is decided about a field as a whole is decided on means over this many px a side.
    block_um, window_um
        Blocks of the background, and the window in which bodies up to a nucleus' size don't pull it down.
    cell_fraction
        Of the field, that one cell may take: extremes are means over that many pixels, and hot ones don't decide.
    glow_over_background, glow_over_shade
        Light of bodies against the background's, and their brightness against their darkness, from which a field
        is fluorescence.
    min_glow
        Grey levels that bodies of fluorescence stand out by at the least.
    noise_of_glow
        The brightness that glowing chromosomes are measured by never falls below so many times the noise.
    min_light
        Of the background: darker pixels count as this dark.
    min_signal
        Of one plus the brightness: darker than the background by more is a defect.
    noise_floor_od
        Added to the noise, so that a field without any has a finite threshold.
    """

    reduction: int = 4
    block_um: float = 10.0
    window_um: float = 90.0
    cell_fraction: float = 0.0005
    glow_over_background: float = 0.15
    glow_over_shade: float = 1.5
    min_glow: float = 2.0
    noise_of_glow: float = 20.0
    min_light: float = 0.02
    min_signal: float = 0.8
    noise_floor_od: float = 1e-4


_SETTINGS: Final = FlattenSettings()

_SIGMA_OF_MAD: Final = 1.4826
"""Standard deviation over median absolute deviation of a normal distribution."""


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
    small = _reduced(grey, _SETTINGS.reduction)
    fluorescence = _is_fluorescence(small)
    blocks = _background(small, fluorescence=fluorescence)
    od = _glow(grey, blocks) if fluorescence else _density(grey, blocks)
    od -= np.median(od[::8, ::4])
    np.clip(od, MIN_OD, MAX_OD, out=od)
    return FlattenedField(
        od, scale, noise_of(od) + _SETTINGS.noise_floor_od, float(np.median(blocks)), fluorescence
    )


def _reduced(grey: NDArray[np.float32], fold: int) -> NDArray[np.float32]:
    size = tuple(max(1, side // fold) for side in reversed(grey.shape))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _is_fluorescence(small: NDArray[np.float32]) -> bool:
    """Bright objects on a dark background: what stands out most does so on the bright side."""
    window = max(1, round(_SETTINGS.window_um / (WORK_UM_PER_PX * _SETTINGS.reduction)))
    relief = small - cv2.blur(small, (window, window))
    count = max(4, round(_SETTINGS.cell_fraction * relief.size))
    if relief.size <= 2 * count:
        return False
    ordered = np.partition(relief.ravel(), (count, relief.size - count))
    shade, glow = -float(ordered[:count].mean()), float(ordered[-count:].mean())
    level = float(np.median(small[::2, ::2]))
    return glow > _SETTINGS.glow_over_shade * shade and glow > max(
        _SETTINGS.min_glow, _SETTINGS.glow_over_background * level
    )


def _background(small: NDArray[np.float32], *, fluorescence: bool) -> NDArray[np.float32]:
    """Background in blocks: bodies smaller than the window are closed, or opened where they glow."""
    blocks = _reduced(small, round(_SETTINGS.block_um / (WORK_UM_PER_PX * _SETTINGS.reduction)))
    window = max(1, round(_SETTINGS.window_um / _SETTINGS.block_um))
    operation = cv2.MORPH_OPEN if fluorescence else cv2.MORPH_CLOSE
    level = cv2.morphologyEx(blocks, operation, np.ones((window, window), np.uint8))
    # The blur takes the steps out again that the closing leaves.
    return np.asarray(cv2.GaussianBlur(level, (0, 0), window / 3), dtype=np.float32)


def _over_field(blocks: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    size = (shape[1], shape[0])
    return np.asarray(cv2.resize(blocks, size, interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _density(grey: NDArray[np.float32], blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logarithm of the background over the light that passed; `grey` is used up."""
    floor = max(1.0, _SETTINGS.min_light * float(np.median(blocks)))
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
    count = max(4, round(_SETTINGS.cell_fraction / 2 * thin.size))
    brightest = np.partition(thin.ravel(), max(0, thin.size - count))[-count:]
    unit = max(float(brightest.mean()), _SETTINGS.noise_of_glow * noise, 1.0)
    signal *= 1.0 / unit
    signal += 1.0
    np.maximum(signal, _SETTINGS.min_signal, out=signal)
    cv2.log(signal, dst=signal)
    return signal


def noise_of(values: NDArray[np.float32]) -> float:
    """Standard deviation of the noise of a picture, shape (h, w); 0 where there are too few pixels."""
    # Differences of neighbours hold the noise and hardly any structure.
    step = np.abs(np.diff(values[::16, ::2], axis=1))
    return float(np.median(step)) * _SIGMA_OF_MAD / 2**0.5 if step.size else 0.0

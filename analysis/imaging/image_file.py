"""One canonical grey image, whatever the file was.

A metaphase picture reaches the analysis from a 12-bit camera, from a colour photograph, as the JPEG another system
exported or as a DAPI image with bright chromosomes. Everything behind this module sees one form only: 8 bit, dark
chromosomes on a bright background.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import ImageError
from analysis.imaging.masked_border import find_masked_border
from analysis.imaging.samples import MAX_PIXELS, read_samples
from analysis.structures.grey_image import GreyImage

MIN_SIDE_PX: Final = 64
"""Below this not even one chromosome of a metaphase can be told."""

# The weights of blue, green, red. Giemsa (azure B and eosin) absorbs most near 550-650 nm: green carries the
# bands, red some of them, blue hardly any and most of the noise.
_STAIN_WEIGHTS_BGR: Final = (0.05, 0.75, 0.20)


_WHITE: Final = 255


@dataclass(frozen=True, slots=True)
class GreyImageSettings:
    """How samples become grey levels.

    Attributes
    ----------
    scaled_percentiles
        Of more than 8 bits, what becomes black and white: a tenth of a per mille keeps hot and dead pixels out
        without touching a small dark chromosome.
    light_percentiles
        Dark end, middle and bright end of a field's levels, robust against half a per cent of dirt or glare.
    dark_ground
        Fraction of that range below which the middle lies near the dark end: fluorescence. Nuclei and chromosomes
        never fill half of a metaphase picture, so that the middle is the ground.
    least_contrast
        Grey levels of that range below which nothing is to be seen, so that nothing glows.
    """

    scaled_percentiles: tuple[float, float] = (0.01, 99.99)
    light_percentiles: tuple[float, float, float] = (0.5, 50.0, 99.5)
    dark_ground: float = 0.35
    least_contrast: float = 12.0


_SETTINGS: Final = GreyImageSettings()


def read_image(path: Path, plane: int | None = None, *, single_as_it_is: bool = False) -> GreyImage:
    """Read an image file into canonical form.

    See `read_samples` for the kinds of files and which of several planes is taken, `to_grey` for how samples
    become grey levels.

    Parameters
    ----------
    path
        The file.
    plane
        Which plane to take, counted from 1; the sharpest where it is None.
    single_as_it_is
        Whether a file of one plane is read whichever plane is wanted.

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated, not an image, shows nothing, or is too small or too large.
    """
    samples = read_samples(path, plane, single_as_it_is=single_as_it_is)
    if samples.array.min() == samples.array.max():
        raise ImageError(
            "all pixels have the same value, so that nothing can be detected; check the light and the exposure",
            path=path,
        )
    return replace(to_grey(samples.array, str(path), samples.remarks), plane=samples.plane)


def to_grey(array: NDArray[Any], source: str, remarks: tuple[str, ...] = ()) -> GreyImage:
    """Bring samples into canonical form: 8 bit, dark on bright.

    Parameters
    ----------
    array
        uint8, uint16, bool or float; shape (h, w), (h, w, 1), (h, w, 2: grey + alpha), (h, w, 3: BGR) or
        (h, w, 4: BGRA). More than 8 bits are scaled between robust percentiles, so that 12 bits in a 16-bit file
        keep their contrast. Transparent pixels and painted borders become background.
    source
        Path or name for messages.
    remarks
        What was chosen or changed before, for people.

    Raises
    ------
    ImageError
        If the array can't be an image, or is too small or too large.
    """
    bit_depth = 8 if array.dtype in (np.uint8, np.bool_) else 16
    levels, opaque, colour = grey_levels(array, source)
    border = find_masked_border(levels)
    if border is not None:
        opaque = ~border if opaque is None else opaque & ~border
        remarks = (*remarks, "a painted border is left out")
    inverted = _is_bright_on_dark(levels, opaque if border is not None else None)
    if inverted:
        levels = 255 - levels
    if opaque is not None and not opaque.all():
        # The empty slide is most of a field; transparent px of a cut-out lie round the brightest of it.
        background = 50 if border is not None else 99
        light = levels[opaque]
        levels = np.where(opaque, levels, np.percentile(light, background) if light.size else 255)
    pixels = np.ascontiguousarray(levels, dtype=np.uint8)
    return GreyImage(
        pixels,
        source,
        inverted=inverted,
        bit_depth=bit_depth,
        colour=colour,
        remarks=remarks,
        field_px=None if border is None else _box_of(~border),
    )


def _box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def grey_levels(
    array: NDArray[Any], source: str, *, min_side_px: int = MIN_SIDE_PX
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None, bool]:
    """Bring samples to one channel of 8 bits, bright where they are bright.

    Parameters
    ----------
    array
        See `to_grey`.
    source
        Path or name for messages.
    min_side_px
        Smaller pictures are refused.

    Returns
    -------
    levels, opaque, colour
        uint8, shape (h, w); bool of the same shape (None: all of it); whether there were colour channels.

    Raises
    ------
    ImageError
        If the array can't be an image, or is too small or too large.
    """
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 2, 3, 4)):
        raise ImageError(f"{source}: not a picture: an array of shape {array.shape}")
    height, width = array.shape[:2]
    if min(height, width) < min_side_px:
        raise ImageError(f"{source}: {width} x {height} px is too small, {min_side_px} px a side is the least")
    if height * width > MAX_PIXELS:
        raise ImageError(f"{source}: {width} x {height} px is too large, {MAX_PIXELS // 10**6} Mpx is the most")
    grey, opaque, colour = _one_channel(array, source)
    return _eight_bit(grey, 8 if array.dtype in (np.uint8, np.bool_) else 16), opaque, colour


def _one_channel(array: NDArray[Any], source: str) -> tuple[NDArray[Any], NDArray[np.bool_] | None, bool]:
    """Return the grey channel, where it is opaque (None: everywhere), and whether there was colour."""
    if array.ndim == 2:
        return array, None, False
    channels = array.shape[2]
    alpha = array[..., channels - 1] > 0 if channels in (2, 4) else None
    if channels < 3:
        return array[..., 0], alpha, False
    bgr = array[..., :3]
    if (bgr[..., 0] == bgr[..., 1]).all() and (bgr[..., 1] == bgr[..., 2]).all():
        return bgr[..., 1], alpha, False
    if _is_bright_on_dark(_eight_bit(bgr.max(axis=2), 8 if bgr.dtype == np.uint8 else 16)):
        # Fluorescence colours only the channels of its dye (DAPI: blue): the brightest channel has the signal.
        return bgr.max(axis=2), alpha, True
    if not np.isfinite(bgr).all():
        raise ImageError(f"{source}: holds values that aren't numbers")
    grey = bgr.astype(np.float32) @ np.asarray(_STAIN_WEIGHTS_BGR, np.float32)
    return grey.astype(bgr.dtype) if bgr.dtype.kind == "u" else grey, alpha, True


def _eight_bit(grey: NDArray[Any], bit_depth: int) -> NDArray[np.uint8]:
    """Scale to 0..255; 8-bit levels stay as they are."""
    if grey.dtype == np.bool_:
        return grey.astype(np.uint8) * 255
    if bit_depth == 8:
        return grey.astype(np.uint8)
    values = np.nan_to_num(grey.astype(np.float32), copy=False, posinf=0.0, neginf=0.0)
    low, high = np.percentile(values, _SETTINGS.scaled_percentiles)
    if high <= low:
        return np.full(values.shape, 255, np.uint8)
    scaled = np.clip(np.rint((values - low) * (float(_WHITE) / (high - low))), 0, _WHITE)
    return np.asarray(scaled.astype(np.uint8))


def _is_bright_on_dark(levels: NDArray[np.uint8], lit: NDArray[np.bool_] | None = None) -> bool:
    """Tell fluorescence: the background, which is most of the picture, lies near the dark end of the levels.

    Nuclei and chromosomes together never fill half of a metaphase picture, so the median is background. It is
    compared with the ends of the range and not with their middle: dim bright-field pictures have a grey
    background whose brightest pixels are hardly brighter.
    """
    if lit is not None and lit.any():
        values = levels[lit]
    else:
        # Some systems export a thin frame round the field; it says nothing about the light.
        frame = max(2, min(levels.shape) // 40)
        values = levels[frame:-frame, frame:-frame]
    low, median, high = np.percentile(values, _SETTINGS.light_percentiles)
    dark = median - low < _SETTINGS.dark_ground * (high - low)
    return bool(high - low > _SETTINGS.least_contrast and dark)

"""One canonical grey image, whatever the file was.

A metaphase picture reaches the analysis from a 12-bit camera, from a colour photograph, as the JPEG another system
exported or as a DAPI image with bright chromosomes. Everything behind this module sees one form only: 8 bit, dark
chromosomes on a bright background.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from analysis.errors import ImageError
from analysis.structures.grey_image import GreyImage

MIN_SIDE_PX: Final = 64
"""Below this not even one chromosome of a metaphase can be told."""

MAX_PIXELS: Final = 100_000_000
"""100 Mpx: ten times the largest metaphase camera; more is a whole-slide picture and would exhaust the memory."""

_TIFF_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC: Final = b"\xff\xd8\xff"

# The weights of blue, green, red. Giemsa (azure B and eosin) absorbs most near 550-650 nm: green carries the
# bands, red some of them, blue hardly any and most of the noise.
_STAIN_WEIGHTS_BGR: Final = (0.05, 0.75, 0.20)


def read_image(path: Path) -> GreyImage:
    """Read an image file into canonical form.

    JPEG, PNG, BMP and TIFF (OME-TIFF: its first plane), 8 or 16 bit, grey or colour, with or without alpha.
    See `to_grey` for how samples become grey levels.

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated, not an image, too small or too large.
    """
    return to_grey(read_samples(path), str(path))


def read_samples(path: Path) -> NDArray[Any]:
    """Read an image file's samples as they are; colour as BGR. `to_grey` says which shapes there can be.

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated or not an image.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ImageError("no such file", path=path) from error
    except OSError as error:
        raise ImageError(f"can't be read: {error.strerror or error}", path=path) from error
    if not data:
        raise ImageError("the file is empty", path=path)
    if data[:4] in _TIFF_MAGIC:
        return _read_tiff(path)
    _refuse_truncated(data, path)
    array = _decode(data)
    if array is None:
        raise ImageError("not an image that can be read", path=path)
    return array


def to_grey(array: NDArray[Any], source: str) -> GreyImage:
    """Bring samples into canonical form: 8 bit, dark on bright.

    Parameters
    ----------
    array
        uint8, uint16, bool or float; shape (h, w), (h, w, 1), (h, w, 2: grey + alpha), (h, w, 3: BGR) or
        (h, w, 4: BGRA). More than 8 bits are scaled between robust percentiles, so that 12 bits in a 16-bit file
        keep their contrast. Transparent pixels become background.
    source
        Path or name for messages.

    Raises
    ------
    ImageError
        If the array can't be an image, or is too small or too large.
    """
    bit_depth = 8 if array.dtype in (np.uint8, np.bool_) else 16
    levels, alpha, colour = grey_levels(array, source)
    inverted = _is_bright_on_dark(levels)
    if inverted:
        levels = 255 - levels
    if alpha is not None and not alpha.all():
        opaque = levels[alpha]
        levels = np.where(alpha, levels, np.percentile(opaque, 99) if opaque.size else 255)
    pixels = np.ascontiguousarray(levels, dtype=np.uint8)
    return GreyImage(pixels, source, inverted=inverted, bit_depth=bit_depth, colour=colour)


def grey_levels(
    array: NDArray[Any], source: str, *, min_side_px: int = MIN_SIDE_PX
) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None, bool]:
    """Bring samples to one channel of 8 bits, bright where they are bright.

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


def _decode(data: bytes) -> NDArray[Any] | None:
    """Decode by OpenCV, colour as BGR; None where it can't."""
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return None if array is None else np.asarray(array)


def _read_tiff(path: Path) -> NDArray[Any]:
    """Return the first plane of a TIFF, colour as BGR."""
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            array = np.asarray(page.asarray())
            planar = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1
            inverse = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    # tifffile raises whatever a broken tag leads to: zlib, struct, index and its own errors alike.
    except Exception as error:
        # LZW and JPEG need a package it doesn't bring along; OpenCV has them built in.
        decoded = _decode(path.read_bytes()) if "imagecodecs" in str(error) else None
        if decoded is None:
            raise ImageError("a TIFF that can't be read, truncated or damaged", path=path) from error
        return decoded
    if planar:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[2] >= 3:
        array = array[..., [2, 1, 0, *range(3, min(array.shape[2], 4))]]
    if inverse and array.dtype.kind == "u":
        array = np.iinfo(array.dtype).max - array
    return array


def _refuse_truncated(data: bytes, path: Path) -> None:
    """Refuse what OpenCV would fill with grey in silence: a JPEG or PNG cut short."""
    if data.startswith(_JPEG_MAGIC):
        complete = b"\xff\xd9" in data[-4096:] and _jpeg_ends(data)
    elif data.startswith(_PNG_MAGIC):
        complete = _png_ends(data)
    elif data[:2] == b"BM":
        complete = len(data) >= int.from_bytes(data[2:6], "little")
    else:
        complete = True
    if not complete:
        raise ImageError("the file is truncated", path=path)


def _jpeg_ends(data: bytes) -> bool:
    """Tell whether the main picture's end marker is there.

    The header segments are walked first, so that the end marker of a thumbnail inside them doesn't count.
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            return data.rfind(b"\xff\xd9") >= at
    return False


def _png_ends(data: bytes) -> bool:
    """Walk the chunks to IEND."""
    at = len(_PNG_MAGIC)
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        at += 12 + length
        if kind == b"IEND":
            return at <= len(data)
    return False


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
    # A tenth of a per mille keeps hot and dead pixels out without touching a small dark chromosome.
    low, high = np.percentile(values, (0.01, 99.99))
    if high <= low:
        return np.full(values.shape, 255, np.uint8)
    scaled = np.clip(np.rint((values - low) * (255.0 / (high - low))), 0, 255)
    return np.asarray(scaled.astype(np.uint8))


def _is_bright_on_dark(levels: NDArray[np.uint8]) -> bool:
    """Tell fluorescence: the background, which is most of the picture, lies near the dark end of the levels.

    Nuclei and chromosomes together never fill half of a metaphase picture, so the median is background. It is
    compared with the ends of the range and not with their middle: dim bright-field pictures have a grey
    background whose brightest pixels are hardly brighter.
    """
    # Some systems export a white frame round the field; it says nothing about the light.
    frame = max(2, min(levels.shape) // 40)
    low, median, high = np.percentile(levels[frame:-frame, frame:-frame], (0.5, 50.0, 99.5))
    return bool(high - low > 12.0 and median - low < 0.35 * (high - low))

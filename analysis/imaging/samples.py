"""An image file's samples as they are: size checked before anything is unpacked, the right plane, upright."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from analysis.errors import ImageError

MAX_PIXELS: Final = 100_000_000
"""100 Mpx: ten times the largest metaphase camera; more is a whole-slide picture and would exhaust the memory."""

MAX_BYTES: Final = 2_000_000_000
"""A stack of 100 planes of the largest metaphase camera, uncompressed, has 1.7 GB."""

MAX_PLANES: Final = 512
"""Ten times the planes of a generous z-stack in four channels; more is a film."""

_TIFF_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC: Final = b"\xff\xd8\xff"
_JPEG_END: Final = b"\xff\xd9"
_START_OF_SCAN: Final = 0xDA
_NOISE_SIGMA_PX: Final = 1.5
"""Blur that takes the noise of a camera off and leaves the edges of chromosomes."""

_INKS: Final = 4
"""Cyan, magenta, yellow and black."""
_REDUCED: Final = 1
"""Bit of a TIFF page's NewSubfileType: a thumbnail or a level of a pyramid."""


@dataclass(frozen=True, slots=True)
class Samples:
    """The samples of one picture of a file.

    Attributes
    ----------
    array
        uint8, uint16, bool or float; shape (h, w) or (h, w, channels), colour as BGR or BGRA.
    remarks
        What was chosen or changed on the way, for people: which plane, how it was turned.
    plane
        Which of several planes it is, counted from 1; None where there is one.
    """

    array: NDArray[Any]
    remarks: tuple[str, ...] = ()
    plane: int | None = None


def read_samples(path: Path, plane: int | None = None, *, single_as_it_is: bool = False) -> Samples:
    """Read an image file's samples.

    JPEG, PNG, BMP and TIFF. Of a file of several pictures of one size (z-stack, channels, composite) the sharpest
    is taken, of a pyramid the full resolution; thumbnails are passed over. Indexed colours are looked up, and the
    orientation that the file names is carried out.

    Parameters
    ----------
    path
        The file.
    plane
        Which plane to take, counted from 1; the sharpest where it is None.
    single_as_it_is
        Whether a file of one plane is read whichever plane is wanted: for folders of both kinds.

    Raises
    ------
    ImageError
        If the file is missing, no regular file, empty, truncated, too large, not an image, or has no such plane.
    """
    data = _read_bytes(path)
    if data[:4] in _TIFF_MAGIC:
        return _read_tiff(data, path, plane, single_as_it_is=single_as_it_is)
    if plane not in (None, 1) and not single_as_it_is:
        raise ImageError(f"has one plane, so that there is no plane {plane}", path=path)
    _refuse_truncated(data, path)
    orientation = _checked_header(data, path)
    array = _decode(data)
    if array is None:
        raise ImageError("not an image that can be read", path=path)
    return _upright(array, orientation, ())


def _read_bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise ImageError("not a regular file", path=path)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ImageError("no such file", path=path) from error
    except OSError as error:
        raise ImageError(f"can't be read: {error.strerror or error}", path=path) from error
    if not data:
        raise ImageError("the file is empty", path=path)
    if len(data) > MAX_BYTES:
        raise ImageError(f"more than {MAX_BYTES // 10**9} GB: no picture of a metaphase", path=path)
    return data


def _refuse_oversized(width_px: int, height_px: int, path: Path) -> None:
    if width_px * height_px > MAX_PIXELS:
        raise ImageError(
            f"{width_px} x {height_px} px is too large, {MAX_PIXELS // 10**6} Mpx is the most", path=path
        )


def _checked_header(data: bytes, path: Path) -> int:
    """Refuse by the header what would be too large unpacked; tell the EXIF orientation (1 upright to 8)."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            _refuse_oversized(picture.width, picture.height, path)
            return int(picture.getexif().get(ExifTags.Base.Orientation, 1))
    except Image.DecompressionBombError as error:
        raise ImageError(f"too large, {MAX_PIXELS // 10**6} Mpx is the most", path=path) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, struct.error, TypeError):
        # What Pillow doesn't know may still be an image for OpenCV, which tells by itself.
        return 1


def _decode(data: bytes) -> NDArray[Any] | None:
    """Decode by OpenCV, colour as BGR, not turned; None where it can't."""
    try:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    return None if array is None else np.asarray(array)


def _upright(array: NDArray[Any], orientation: int, remarks: tuple[str, ...]) -> Samples:
    """Carry out an EXIF orientation, which says how the stored picture has to be mirrored and turned."""
    if orientation not in range(2, 9):
        return Samples(array, remarks)
    if orientation in (5, 6, 7, 8):
        array = np.swapaxes(array, 0, 1)
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    return Samples(np.ascontiguousarray(array), (*remarks, "turned as the orientation in the file says"))


def _read_tiff(data: bytes, path: Path, plane: int | None, *, single_as_it_is: bool) -> Samples:
    """Read the wanted or the sharpest plane of a TIFF, colour as BGR."""
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            pages = _full_pages(tiff, path)
            plane = None if single_as_it_is and len(pages) == 1 else plane
            if plane is not None and not 1 <= plane <= len(pages):
                raise ImageError(f"has {len(pages)} planes, so that there is no plane {plane}", path=path)
            if plane is not None:
                number, chosen = plane - 1, _page_samples(pages[plane - 1])
            else:
                number, chosen = _sharpest(pages)
            orientation = pages[number].tags.get("Orientation")
            remarks: tuple[str, ...] = ()
            if len(pages) > 1:
                how = "as asked" if plane is not None else "the sharpest"
                remarks = (f"plane {number + 1} of {len(pages)}, {how}",)
            upright = _upright(chosen, int(orientation.value) if orientation else 1, remarks)
            return replace(upright, plane=number + 1 if len(pages) > 1 else None)
    except ImageError:
        raise
    # tifffile raises whatever a broken tag leads to: zlib, struct, index and its own errors alike.
    except Exception as error:
        # LZW and JPEG need a package it doesn't bring along; OpenCV has them built in.
        lacks_codec = "imagecodecs" in str(error)
        decoded = _decode(data) if lacks_codec else None
        if decoded is None and lacks_codec:
            raise ImageError(
                "a TIFF in a compression that can't be read here; save it uncompressed, or as LZW or deflate",
                path=path,
            ) from error
        if decoded is None:
            raise ImageError("a TIFF that can't be read, truncated or damaged", path=path) from error
        return Samples(decoded)


def _full_pages(tiff: tifffile.TiffFile, path: Path) -> list[tifffile.TiffPage]:
    """Pages of the largest size, without thumbnails and levels of pyramids; refused where there is too much."""
    pages: list[tifffile.TiffPage] = []
    for number, page in enumerate(tiff.pages):
        if number >= MAX_PLANES:
            raise ImageError(f"more than {MAX_PLANES} planes: no picture of a metaphase", path=path)
        whole = page.aspage()
        _refuse_oversized(whole.imagewidth, whole.imagelength, path)
        pages.append(whole)
    full = [page for page in pages if not page.subfiletype & _REDUCED] or pages
    largest = max(page.imagewidth * page.imagelength for page in full)
    same = [page for page in full if page.imagewidth * page.imagelength == largest]
    # Volumes of some systems have all their planes in one page.
    if any(page.imagedepth > 1 for page in same):
        raise ImageError("a TIFF with a volume in one page; save its planes as pages", path=path)
    return same


def _sharpest(pages: list[tifffile.TiffPage]) -> tuple[int, NDArray[Any]]:
    """Choose the plane with most structure, the first of equals: one out of focus and an empty one have little."""
    best = (0, _page_samples(pages[0]))
    if len(pages) == 1:
        return best
    most = _structure(best[1])
    for number, page in enumerate(pages[1:], start=1):
        samples = _page_samples(page)
        structure = _structure(samples)
        if structure > most:
            best, most = (number, samples), structure
    return best


def _structure(samples: NDArray[Any]) -> float:
    """Energy of the gradient (Tenengrad), of details larger than the noise."""
    grey = np.nan_to_num(samples.astype(np.float32), posinf=0.0, neginf=0.0)
    if samples.dtype.kind in "ui":
        # Planes of one file may have other numbers of bits.
        grey /= np.iinfo(samples.dtype).max
    smooth = cv2.GaussianBlur(grey.mean(axis=2) if grey.ndim == 3 else grey, (0, 0), _NOISE_SIGMA_PX)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return float((across**2 + down**2).mean())


def _page_samples(page: tifffile.TiffPage) -> NDArray[Any]:
    """Samples of a page: indexed colours looked up, colours interleaved as BGR, bright where it is bright."""
    array = np.asarray(page.asarray())
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        return _looked_up(array, np.asarray(page.colormap))
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.samplesperpixel > 1:
        array = np.moveaxis(array, 0, -1)
    if page.photometric == tifffile.PHOTOMETRIC.SEPARATED and array.ndim == 3 and array.shape[2] == _INKS:
        return _of_inks(array)
    if array.ndim == 3 and array.shape[2] >= 3:
        array = array[..., [2, 1, 0, *range(3, min(array.shape[2], 4))]]
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and array.dtype.kind == "u":
        array = np.iinfo(array.dtype).max - array
    return array


def _of_inks(inks: NDArray[Any]) -> NDArray[Any]:
    """Colours of a picture for printing, shape (h, w, 3), BGR; inks: cyan, magenta, yellow, black, 0 for none."""
    full = float(np.iinfo(inks.dtype).max)
    left = 1.0 - inks.astype(np.float32) / full
    light = left[..., :3] * left[..., 3:] * full
    return np.ascontiguousarray(np.rint(light[..., ::-1]).astype(inks.dtype))


def _looked_up(indices: NDArray[Any], colormap: NDArray[Any]) -> NDArray[np.uint8]:
    """Colours of an indexed picture: uint8, shape (h, w, 3), BGR.

    TIFF colour maps have 16 bits; some programs write 8 bits into them all the same.
    """
    table = colormap.astype(np.uint16)
    if table.max() > np.iinfo(np.uint8).max:
        table = (table >> 8).astype(np.uint16)
    return np.ascontiguousarray(np.moveaxis(table.astype(np.uint8)[::-1, indices], 0, -1))


def _refuse_truncated(data: bytes, path: Path) -> None:
    """Refuse what OpenCV would fill with grey in silence: a JPEG, PNG or BMP cut short.

    Bytes after the end of a picture are no harm: cameras and archives append records of their own.
    """
    if data.startswith(_JPEG_MAGIC):
        complete = _jpeg_ends(data)
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
        if marker == _START_OF_SCAN:
            return data.find(_JPEG_END, at) >= at
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

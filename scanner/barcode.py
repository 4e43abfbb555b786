"""Barcodes in the picture of a slide's label: who the slide is.

A slide that goes by the wrong name is worse than one without a name. So a picture is read in several ways, what
all of them have found is put together, and anything but one plain text is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import cv2
import numpy as np
import zxingcpp
from numpy.typing import NDArray

from scanner.errors import LabelError

# Between two multiples of 90 degrees, which the decoder tries by itself; matrix codes are read at any angle.
_TURNS_DEG = (0.0, 30.0, 60.0)
# A code printed small on a label that fills the picture has modules of two or three pixels.
_ENLARGEMENTS = (1.0, 2.0)
# Percentiles that become black and white: the frame of the picture is darker than any ink, dust is brighter.
_STRETCH = (2.0, 98.0)
_LARGEST_PX = 8_000
_SURE_SIGHTINGS = 2
_LONGEST_TEXT = 200

PointPx = tuple[float, float]


class BarcodeFormat(StrEnum):
    """What labels of slides are printed with."""

    DATA_MATRIX = "DataMatrix"
    QR = "QR"
    CODE_128 = "Code128"


_OURS = {
    zxingcpp.BarcodeFormat.DataMatrix: BarcodeFormat.DATA_MATRIX,
    zxingcpp.BarcodeFormat.QRCode: BarcodeFormat.QR,
    zxingcpp.BarcodeFormat.QRCodeModel2: BarcodeFormat.QR,
    zxingcpp.BarcodeFormat.Code128: BarcodeFormat.CODE_128,
}


@dataclass(frozen=True, slots=True)
class Barcode:
    """One barcode.

    Attributes
    ----------
    text
        What it says, control characters included.
    format
        How it is printed.
    corners_px
        Its four corners, (x, y) in px of the picture, in the code's own order from its upper left.
    sightings
        In how many of the ways in which the picture is read it was found.
    """

    text: str
    format: BarcodeFormat
    corners_px: tuple[PointPx, PointPx, PointPx, PointPx]
    sightings: int = 1


def read_barcodes(picture: NDArray[np.uint8]) -> tuple[Barcode, ...]:
    """All DataMatrix, QR and Code 128 codes of a picture, each text and format once.

    Parameters
    ----------
    picture
        Grey levels, shape (height, width).

    Returns
    -------
    tuple[Barcode, ...]
        In the order in which they were found; empty where there is none that can be read.

    Raises
    ------
    ValueError
        This is no picture.
    """
    if picture.ndim != 2 or picture.dtype != np.uint8 or not picture.size or max(picture.shape) > _LARGEST_PX:
        raise ValueError(
            f"a picture of a label is uint8 (height, width) of at most {_LARGEST_PX} px, got {picture.dtype} "
            f"{picture.shape}"
        )
    found: dict[tuple[str, BarcodeFormat], Barcode] = {}
    for view, to_picture in _views(picture):
        for code in zxingcpp.read_barcodes(
            view, formats=zxingcpp.BarcodeFormats([*_OURS]), text_mode=zxingcpp.TextMode.Plain, try_invert=True
        ):
            if code.valid and code.format in _OURS:
                key = (code.text, _OURS[code.format])
                known = found.get(key)
                found[key] = (
                    Barcode(*key, _corners(code.position, to_picture))
                    if known is None
                    else replace(known, sightings=known.sightings + 1)
                )
    return tuple(found.values())


def the_barcode(picture: NDArray[np.uint8], device: str = "label camera") -> Barcode:
    """The one barcode of a label.

    Several codes that say the same, such as a DataMatrix beside a Code 128, are one.

    Parameters
    ----------
    picture
        Grey levels, shape (height, width).
    device
        Label used in errors.

    Raises
    ------
    LabelError
        There is none, there are several that differ, or it says nothing that can be a name; with what was seen.
    """
    try:
        barcodes = read_barcodes(picture)
    except ValueError as error:
        raise LabelError(f"no picture of the label: {error}", device=device) from error
    texts = list(dict.fromkeys(barcode.text for barcode in barcodes))
    wanted = "one DataMatrix, QR or Code 128"
    if not texts:
        raise LabelError("no barcode that can be read", device=device, wanted=wanted, actual="none")
    if len(texts) > 1:
        seen = ", ".join(f"{barcode.format} {barcode.text!r}" for barcode in barcodes)
        raise LabelError("several barcodes that differ", device=device, wanted=wanted, actual=seen)
    text = texts[0]
    # One check character lets one of a hundred misread Code 128 pass; DataMatrix and QR correct what they read.
    if all(code.format is BarcodeFormat.CODE_128 and code.sightings < _SURE_SIGHTINGS for code in barcodes):
        raise LabelError(
            "the Code 128 can hardly be read", device=device, wanted=wanted, actual=f"{text!r}, read once"
        )
    # A name with blanks at its ends, or with a character nobody sees, is taken for another one sooner or later.
    if not text or not text.isprintable() or text != text.strip() or len(text) > _LONGEST_TEXT:
        raise LabelError(
            "the barcode holds no name",
            device=device,
            wanted=f"1 to {_LONGEST_TEXT} printable characters without blanks at the ends",
            actual=f"{barcodes[0].format} {text[:40]!r}",
        )
    return barcodes[0]


def _views(picture: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float64]]]:
    """Pictures to try, each with the affine matrix, shape (2, 3), that leads back to the picture's pixels."""
    yield picture, np.eye(2, 3)
    stretched = _stretched(picture)
    for scale in _ENLARGEMENTS:
        for turn_deg in _TURNS_DEG:
            view, back = _turned(stretched, turn_deg, scale)
            yield view, back


def _stretched(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    black, white = np.percentile(picture, _STRETCH)
    if white - black < 1.0:
        return picture
    levels = (np.arange(256) - black) * (255 / (white - black))
    table = np.clip(levels, 0.0, 255).astype(np.uint8)
    return np.ascontiguousarray(table[picture])


def _turned(
    picture: NDArray[np.uint8], turn_deg: float, scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    height, width = picture.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2.0, (height - 1) / 2.0), turn_deg, scale)
    there = np.asarray(turn, dtype=np.float64)
    cosine, sine = abs(there[0, 0]), abs(there[0, 1])
    size = (int(np.ceil(width * cosine + height * sine)), int(np.ceil(width * sine + height * cosine)))
    there[:, 2] += (np.array(size) - (width, height)) / 2.0
    border = int(np.median(picture))
    view = cv2.warpAffine(
        picture, there, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=(border,)
    )
    return np.asarray(view, dtype=np.uint8), np.asarray(cv2.invertAffineTransform(there), dtype=np.float64)


def _corners(
    position: zxingcpp.Position, to_picture: NDArray[np.float64]
) -> tuple[PointPx, PointPx, PointPx, PointPx]:
    points = (position.top_left, position.top_right, position.bottom_right, position.bottom_left)
    mapped = [to_picture @ (float(point.x), float(point.y), 1.0) for point in points]
    first, second, third, fourth = ((float(x), float(y)) for x, y in mapped)
    return first, second, third, fourth

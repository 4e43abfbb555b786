"""Pictures as data URIs, small enough for a page."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.errors import StorageError
from acquisition.storage import read_capture

CAPTURE_WIDTH_PX = 700
KARYOGRAM_WIDTH_PX = 1200
THUMBNAIL_WIDTH_PX = 400
JPEG_QUALITY = 82
# A few dead or hot pixels must not decide the contrast of the whole picture.
STRETCH_PERCENT = (0.1, 99.9)
_BAR_SHARE = 0.2
_BAR_STEPS_UM = (100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture to embed, or the reason why there is none.

    Attributes
    ----------
    uri
        ``data:`` URI; None where the picture can't be shown.
    reason
        Why not.
    width_px, height_px
        Size of the embedded picture.
    bar_um, bar_percent
        Length of a scale bar in um, and in percent of the picture's width; None where the scale is not known.
    """

    uri: str | None
    reason: str | None = None
    width_px: int = 0
    height_px: int = 0
    bar_um: float | None = None
    bar_percent: float | None = None


def capture_picture(folder: Path, relative: str) -> Picture:
    """A capture with its contrast stretched, as JPEG of at most `CAPTURE_WIDTH_PX`.

    Parameters
    ----------
    folder
        Folder of the run.
    relative
        Path of the capture in it.
    """
    try:
        capture = read_capture(_inside(folder, relative))
    except StorageError as error:
        return Picture(None, str(error))
    width_um = capture.pixels.shape[1] * capture.metadata.um_per_px
    bar_um = scale_bar_um(width_um)
    small = at_most(stretch(capture.pixels), CAPTURE_WIDTH_PX)
    return _encode(small, ".jpg", bar_um=bar_um, bar_percent=None if bar_um is None else 100 * bar_um / width_um)


def scale_bar_um(width_um: float) -> float | None:
    """Length of the scale bar for a picture so wide; None where it is too narrow for any."""
    return next((step for step in _BAR_STEPS_UM if step <= _BAR_SHARE * width_um), None)


def plain_picture(folder: Path, relative: str | None, *, width_px: int, stretched: bool = False) -> Picture:
    """A PNG or JPEG of the run folder as PNG.

    Parameters
    ----------
    folder
        Folder of the run.
    relative
        Path of the picture in it; None where none was recorded.
    width_px
        Greatest width.
    stretched
        Whether contrast is stretched.
    """
    if relative is None:
        return Picture(None, "none was recorded")
    try:
        path = _inside(folder, relative)
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    except OSError as error:
        return Picture(None, f"{relative}: {error.strerror}")
    except (StorageError, cv2.error) as error:
        return Picture(None, f"{relative}: {error}")
    if pixels is None:
        return Picture(None, f"{relative}: not a picture")
    shown = np.asarray(pixels)
    if shown.dtype != np.uint8 or stretched:
        shown = stretch(shown)
    return _encode(at_most(shown.astype(np.uint8, copy=False), width_px), ".png")


def stretch(pixels: NDArray[np.generic], percent: tuple[float, float] = STRETCH_PERCENT) -> NDArray[np.uint8]:
    """Spread the grey values of a picture over 0..255.

    Parameters
    ----------
    pixels
        Any number type, shape (height, width) or (height, width, channels).
    percent
        Percentiles that become 0 and 255; what lies beyond is clipped.

    Returns
    -------
    NDArray[np.uint8]
        Same shape; a picture of one grey value becomes mid-grey.
    """
    values = pixels.astype(np.float32)
    low, high = np.percentile(values, percent)
    if high <= low:
        return np.full(values.shape, 128, np.uint8)
    spread = np.clip((values - low) * (255.0 / (high - low)) + 0.5, 0, 255)
    return np.asarray(spread, dtype=np.uint8)


def array_picture(pixels: NDArray[np.uint8], *, width_px: int) -> Picture:
    """A picture in memory as PNG.

    Parameters
    ----------
    pixels
        uint8, shape (height_px, width_px).
    width_px
        Greatest width.
    """
    return _encode(at_most(pixels, width_px), ".png")


def _inside(folder: Path, relative: str) -> Path:
    path = (folder / relative).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise StorageError("lies outside the run folder", path=path)
    return path


def at_most(pixels: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
    """Reduce a picture that is wider than it may be.

    Parameters
    ----------
    pixels
        uint8, shape (height, width) or (height, width, channels).
    width_px
        Greatest width.
    """
    height, width = pixels.shape[:2]
    if width <= width_px:
        return pixels
    size = (width_px, max(1, round(height * width_px / width)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _encode(
    pixels: NDArray[np.uint8], suffix: str, *, bar_um: float | None = None, bar_percent: float | None = None
) -> Picture:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == ".jpg" else []
    done, encoded = cv2.imencode(suffix, pixels, options)
    if not done:
        return Picture(None, "can't be encoded")
    kind = "jpeg" if suffix == ".jpg" else "png"
    uri = f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"
    return Picture(uri, None, int(pixels.shape[1]), int(pixels.shape[0]), bar_um=bar_um, bar_percent=bar_percent)

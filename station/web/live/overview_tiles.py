"""Tiles of a run's overview for a slide map, also while the scan still fills it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from acquisition.storage.overview import DEADLINE_S, EMPTY, LEVELS
from acquisition.storage.run_folder import OVERVIEW_NAME
from station.report.pictures import JPEG_QUALITY
from station.web.problems import ProblemError

TILE_PX: Final = 512
"""As the overview's own chunks, so that a tile of the full size is one of them."""
_MOST_SAMPLES_PX: Final = 4096
"""A tile of a coarse level is made from so many pixels a side at most: beyond, every n-th stands for its
neighbours until the run has built the smaller sizes itself."""


@dataclass(frozen=True, slots=True)
class OverviewGeometry:
    """Pixels of an overview over the slide.

    Attributes
    ----------
    x_min_um, y_min_um
        Upper left corner, slide um.
    um_per_px
        Size of a pixel.
    width_px, height_px
        Full size.
    """

    x_min_um: float
    y_min_um: float
    um_per_px: float
    width_px: int
    height_px: int

    @property
    def max_level(self) -> int:
        """Level of the full size; at level 0 the whole overview is one pixel, and each further one doubles it."""
        return math.ceil(math.log2(max(self.width_px, self.height_px, 1)))


def read_geometry(folder: Path) -> OverviewGeometry | None:
    """Where the overview of a run lies on the slide; None where there is none, or it can't be read.

    Parameters
    ----------
    folder
        Of the run.
    """
    path = folder / OVERVIEW_NAME
    try:
        group = json.loads((path / "zarr.json").read_text("utf-8"))
        full = json.loads((path / "0" / "zarr.json").read_text("utf-8"))
        first = group["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
        um_per_px = float(first[0]["scale"][1])
        y_um, x_um = (float(value) for value in first[1]["translation"])
        height_px, width_px = (int(side) for side in full["shape"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    return OverviewGeometry(x_um - um_per_px / 2, y_um - um_per_px / 2, um_per_px, width_px, height_px)


def read_tile(folder: Path, level: int, column: int, row: int) -> bytes:
    """A tile as JPEG.

    Parameters
    ----------
    folder
        Of the run.
    level, column, row
        Of the tile, see `OverviewGeometry.max_level`.

    Raises
    ------
    ProblemError
        There is no overview, or no such tile.
    """
    geometry = read_geometry(folder)
    if geometry is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-overview", "the protocol of this run keeps no overview")
    if not 0 <= level <= geometry.max_level or column < 0 or row < 0:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-such-tile", f"there is no tile {level}/{column}/{row}")
    fold = 2 ** (geometry.max_level - level)
    left, upper = column * TILE_PX * fold, row * TILE_PX * fold
    right = min(left + TILE_PX * fold, geometry.width_px)
    lower = min(upper + TILE_PX * fold, geometry.height_px)
    if left >= right or upper >= lower:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no-such-tile", f"there is no tile {level}/{column}/{row}")
    size = (math.ceil((right - left) / fold), math.ceil((lower - upper) / fold))
    pixels = _region(folder / OVERVIEW_NAME, fold, (upper, lower), (left, right))
    if (pixels.shape[1], pixels.shape[0]) != size:
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return encoded_jpeg(pixels)


def read_place(folder: Path, x_um: float, y_um: float, width_um: float, height_um: float) -> bytes | None:
    """Part of the overview as JPEG; None where there is no overview.

    Parameters
    ----------
    folder
        Of the run.
    x_um, y_um
        Centre, slide um.
    width_um, height_um
        Size.
    """
    geometry = read_geometry(folder)
    if geometry is None:
        return None
    scale = geometry.um_per_px
    left = max(0, math.floor((x_um - width_um / 2 - geometry.x_min_um) / scale))
    upper = max(0, math.floor((y_um - height_um / 2 - geometry.y_min_um) / scale))
    right = min(geometry.width_px, left + max(1, math.ceil(width_um / scale)))
    lower = min(geometry.height_px, upper + max(1, math.ceil(height_um / scale)))
    if left >= right or upper >= lower:
        return None
    return encoded_jpeg(_region(folder / OVERVIEW_NAME, 1, (upper, lower), (left, right)))


def encoded_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """A picture as JPEG.

    Parameters
    ----------
    pixels
        uint8, shape (height, width) or (height, width, channels).
    """
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "not-encoded", "the picture can't be encoded")
    return bytes(encoded.tobytes())


def _region(path: Path, fold: int, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.uint8]:
    """Pixels of a part of the full size, from the smallest array that still has them in the wanted size."""
    level = min(int(math.log2(fold)), LEVELS - 1) if _is_built(path) else 0
    shrink = 2**level
    array = _open(path / str(level))
    height, width = array.shape
    upper, lower = rows[0] // shrink, min(math.ceil(rows[1] / shrink), height)
    left, right = columns[0] // shrink, min(math.ceil(columns[1] / shrink), width)
    step = max(1, math.ceil(max(lower - upper, right - left) / _MOST_SAMPLES_PX))
    try:
        pixels = array[upper:lower:step, left:right:step].read().result(DEADLINE_S)
    except (ValueError, OSError) as error:
        raise ProblemError(
            HTTPStatus.INTERNAL_SERVER_ERROR, "overview-unreadable", f"the overview can't be read: {error}"
        ) from error
    return np.asarray(pixels, np.uint8) if pixels.size else np.full((1, 1), EMPTY, np.uint8)


def _is_built(path: Path) -> bool:
    """Whether the smaller sizes have been made, which a run does at the end of its scan."""
    chunks = path / str(LEVELS - 1) / "c"
    return chunks.is_dir() and any(chunks.iterdir())


def _open(path: Path) -> Any:  # noqa: ANN401 - the library has no public type for it
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    try:
        return ts.open(spec, open=True, read=True).result(DEADLINE_S)
    except (ValueError, OSError) as error:
        raise ProblemError(
            HTTPStatus.NOT_FOUND, "overview-unreadable", f"the overview can't be read: {error}"
        ) from error

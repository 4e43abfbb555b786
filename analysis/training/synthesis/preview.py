"""Contact sheets of composed fields with their truth drawn in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.parameters.weights import write_whole
from analysis.training.synthesis.truth import ComposedField

_GREEN, _YELLOW, _RED = (80, 200, 60), (40, 190, 230), (60, 60, 230)
_TEXT_PX = 18
_NAME_SCALE, _TITLE_SCALE = 0.4, 0.42
_SHOWN_PERCENT = (0.1, 99.9)
"""Levels between which a picture is drawn: hot pixels and dust don't darken it."""

_WHITE = 255.0


def draw_field(field: ComposedField, *, names: bool = True) -> NDArray[np.uint8]:
    """Picture of a field: metaphases that can be analysed green, others yellow, hard negatives red.

    Returns
    -------
    ndarray
        uint8, shape (height_px, width_px, 3), BGR.
    """
    low, high = np.percentile(field.pixels[::4, ::4], _SHOWN_PERCENT)
    grey = np.clip((field.pixels.astype(np.float32) - low) * (_WHITE / max(high - low, 1.0)), 0.0, _WHITE)
    picture = cv2.cvtColor(grey.astype(np.uint8), cv2.COLOR_GRAY2BGR)
    for cell in field.truth:
        colour = _RED if not cell.is_metaphase else _GREEN if cell.analysable else _YELLOW
        centre = (round(cell.x_px), round(cell.y_px))
        cv2.circle(picture, centre, max(round(cell.radius_px), 3), colour, 1, cv2.LINE_AA)
        if names:
            place = (centre[0] - 24, centre[1] - max(round(cell.radius_px), 3) - 3)
            cv2.putText(picture, cell.kind, place, cv2.FONT_HERSHEY_SIMPLEX, _NAME_SCALE, colour, 1, cv2.LINE_AA)
    return np.asarray(picture, np.uint8)


def write_contact_sheet(
    fields: Iterable[ComposedField], path: Path, *, columns: int = 3, width_px: int = 680
) -> None:
    """Write pictures of fields beside one another as a PNG, each titled with slide, number and pixel size.

    Raises
    ------
    AnalysisError
        There is no field, or the file can't be written.
    """
    tiles = [_tile(field, width_px) for field in fields]
    if not tiles:
        raise AnalysisError("no field to draw", path=path)
    height = max(tile.shape[0] for tile in tiles)
    tiles = [np.pad(tile, ((0, height - tile.shape[0]), (0, 4), (0, 0))) for tile in tiles]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    done, encoded = cv2.imencode(".png", np.vstack(rows))
    if not done:
        raise AnalysisError("the sheet can't be encoded", path=path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, encoded.tobytes())
    except OSError as error:
        raise AnalysisError(f"can't be written ({error.strerror})", path=path) from error


def _tile(field: ComposedField, width_px: int) -> NDArray[np.uint8]:
    picture = draw_field(field)
    height_px = round(picture.shape[0] * width_px / picture.shape[1])
    small = cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_AREA)
    title = np.zeros((_TEXT_PX, width_px, 3), np.uint8)
    text = f"{field.slide} field {field.number}, {field.um_per_px:.2f} um/px"
    cv2.putText(title, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, _TITLE_SCALE, (255, 255, 255), 1, cv2.LINE_AA)
    return np.asarray(np.vstack([title, small]), np.uint8)

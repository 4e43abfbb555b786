"""Paint a karyogram's sheet as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.banding.ideogram import IdeogramBand
from analysis.karyogram.sheet_geometry import (
    ChromosomeTile,
    DrawnIdeogram,
    Ink,
    KaryogramSheet,
    MarkSign,
    ReviewMark,
    SheetText,
)
from analysis.karyogram.text import Bgr, draw_text, text_size

INKS: Final[Mapping[Ink, Bgr]] = MappingProxyType(
    {Ink.BLACK: (20, 20, 20), Ink.PALE: (125, 125, 125), Ink.WARNING: (0, 94, 213), Ink.ALARM: (40, 30, 190)}
)
"""BGR. The vermilion of Okabe and Ito's palette for warnings: colour-blind eyes tell it from grey."""
_WHITE: Final = 255
_ROUND: Final = 4
"""Binary digits of a px that shapes are drawn at."""
RING_RADIUS_PX: Final = 4.0
TRIANGLE_PX: Final = (6.0, 5.5, 4.0)
"""From the middle of the triangle up to its tip, to either side, and down to its base."""


def paint(sheet: KaryogramSheet) -> NDArray[np.uint8]:
    """Paint a sheet.

    Returns
    -------
    NDArray[np.uint8]
        Shape (height, width, 3), BGR, a px of the sheet each.
    """
    size = (int(np.ceil(sheet.height)), int(np.ceil(sheet.width)), 3)
    page = np.full(size, _WHITE, np.uint8)
    for tile in sheet.tiles:
        _put(page, tile)
    for drawn in sheet.ideograms:
        _ideogram(page, drawn)
    for rule in sheet.rules:
        ends = (round(rule.x0), round(rule.y0)), (round(rule.x1), round(rule.y1))
        cv2.line(page, *ends, INKS[rule.ink], 1)
    for sign in sheet.marks:
        _mark(page, sign)
    for text in sheet.texts:
        _write(page, text)
    return page


def band_grey(band: IdeogramBand) -> int:
    """Grey level an ideogram's band is drawn with."""
    return round(255 - 215 * band.darkness)


def _put(page: NDArray[np.uint8], tile: ChromosomeTile) -> None:
    height, width = max(1, round(tile.box.height)), max(1, round(tile.box.width))
    shrinks = height < tile.item.picture.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    picture = cv2.resize(tile.item.picture, (width, height), interpolation=method)
    x, y = round(tile.box.x), round(tile.box.y)
    if tile.centromere_y is not None:
        # Rounded as a whole the centromeres of a row would be off their line by one.
        y = round(tile.centromere_y) - round(tile.centromere_y - tile.box.y)
    y, x = min(max(y, 0), page.shape[0] - height), min(max(x, 0), page.shape[1] - width)
    window = page[y : y + height, x : x + width]
    window[...] = np.minimum(window, picture[:, :, None])


def _ideogram(page: NDArray[np.uint8], drawn: DrawnIdeogram) -> None:
    """Bands in a rounded outline, waisted at the centromere."""
    scale = 4
    width, height = round(drawn.box.width), max(4, round(drawn.box.height))
    inside = np.zeros((height * scale, width * scale), np.uint8)
    split = drawn.bands.centromere * height * scale
    radius = width * scale // 3
    for top, bottom in ((0.0, split), (split, float(height * scale))):
        _arm(inside, round(top), round(bottom), min(radius, max(1, round((bottom - top) / 2))))
    rows = (np.arange(height * scale) + 0.5) / (height * scale)
    edges = np.array([band.stop for band in drawn.bands.bands])
    levels = np.array([band_grey(band) for band in drawn.bands.bands])
    grey = levels[np.minimum(np.searchsorted(edges, rows), len(levels) - 1)]
    inner = cv2.erode(np.pad(inside, scale), np.ones((scale + 1, scale + 1), np.uint8))[scale:-scale, scale:-scale]
    rim = inside - inner
    picture = np.where(inside > 0, grey[:, None], _WHITE).astype(np.uint8)
    picture[rim > 0] = 70
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    y = round(drawn.centromere_y) - round(drawn.bands.centromere * height)
    y, x = min(max(y, 0), page.shape[0] - height), round(drawn.box.x)
    page[y : y + height, x : x + width] = small[:, :, None]


def _arm(canvas: NDArray[np.uint8], top: int, bottom: int, radius: int) -> None:
    width = canvas.shape[1]
    cv2.rectangle(canvas, (0, top + radius), (width - 1, max(bottom - 1 - radius, top)), 1, cv2.FILLED)
    cv2.rectangle(canvas, (radius, top), (width - 1 - radius, max(bottom - 1, top)), 1, cv2.FILLED)
    for x in (radius, width - 1 - radius):
        for y in (top + radius, bottom - 1 - radius):
            cv2.circle(canvas, (x, y), radius, 1, cv2.FILLED)


def _mark(page: NDArray[np.uint8], sign: MarkSign) -> None:
    """A ring to check, a filled triangle to review: shapes tell them apart, not colours alone."""
    unit = 2**_ROUND
    x, y = sign.x * unit, sign.y * unit
    if sign.mark is ReviewMark.CHECK:
        centre = (round(x), round(y))
        cv2.circle(page, centre, round(RING_RADIUS_PX * unit), INKS[Ink.WARNING], 2, cv2.LINE_AA, _ROUND)
        return
    up, side, down = (size * unit for size in TRIANGLE_PX)
    points = [(x, y - up), (x + side, y + down), (x - side, y + down)]
    cv2.fillPoly(page, [np.array(points).round().astype(np.int32)], INKS[Ink.ALARM], cv2.LINE_AA, _ROUND)


def _write(page: NDArray[np.uint8], text: SheetText) -> None:
    width, _ = text_size(text.text, text.size_px)
    at = (round(text.x - text.anchor * width), round(text.y))
    draw_text(page, text.text, at, text.size_px, INKS[text.ink])

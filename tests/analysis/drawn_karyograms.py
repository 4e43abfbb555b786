"""A drawn metaphase and the karyogram sheet that a laboratory's system would have made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from simulators.specimen.chromosome import ChromosomeAppearance, render_chromosome

UM_PER_PX = 0.1
PITCH_PX = 160
"""Of the grid that the metaphase's chromosomes lie on: the longest is 145 px."""
PAPER = 250
ROWS: tuple[tuple[str, ...], ...] = (
    ("1", "2", "3", "4", "5"),
    ("6", "7", "8", "9", "10", "11", "12"),
    ("13", "14", "15", "16", "17", "18"),
    ("19", "20", "21", "22", "X", "Y"),
)
ROW_PX = 230
PLACE_PX = 150


@dataclass(frozen=True)
class DrawnChromosome:
    """One chromosome: its picture in the metaphase, and where it lies."""

    class_name: str
    levels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    x_px: int
    y_px: int
    angle_deg: float

    @property
    def box_px(self) -> tuple[int, int, int, int]:
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        return (
            self.x_px + int(columns[0]),
            self.y_px + int(rows[0]),
            self.x_px + int(columns[-1]) + 1,
            self.y_px + int(rows[-1]) + 1,
        )


@dataclass(frozen=True)
class DrawnCell:
    """A metaphase with what is on it."""

    metaphase: NDArray[np.uint8]
    chromosomes: tuple[DrawnChromosome, ...]


def draw_cell(names: Sequence[str], seed: int = 5) -> DrawnCell:
    """Chromosomes at any angle, side by side on a bright slide."""
    rng = np.random.default_rng(seed)
    columns = int(np.ceil(np.sqrt(len(names))))
    rows = -(-len(names) // columns)
    page = np.full((rows * PITCH_PX + 20, columns * PITCH_PX + 20), PAPER, np.uint8)
    chromosomes = []
    for place, name in enumerate(names):
        angle = float(rng.uniform(0.0, 360.0))
        body = render_chromosome(
            name, rng, um_per_px=UM_PER_PX, appearance=ChromosomeAppearance(), angle_deg=angle, bend_deg=10.0
        )
        xmin, ymin, xmax, ymax = body.box_px
        window = np.s_[max(ymin - 4, 0) : ymax + 4, max(xmin - 4, 0) : xmax + 4]
        density = cv2.GaussianBlur(body.od, (0, 0), 0.9)[window]
        levels = np.clip(np.rint(PAPER * 10.0**-density), 0, 255).astype(np.uint8)
        y = 10 + (place // columns) * PITCH_PX + (PITCH_PX - levels.shape[0]) // 2
        x = 10 + (place % columns) * PITCH_PX + (PITCH_PX - levels.shape[1]) // 2
        page[y : y + levels.shape[0], x : x + levels.shape[1]] = levels
        chromosomes.append(DrawnChromosome(name, levels, levels < PAPER - 8, x, y, angle))
    return DrawnCell(page, tuple(chromosomes))


@dataclass(frozen=True)
class SheetPrint:
    """How a sheet is printed."""

    rows: tuple[tuple[str, ...], ...] = ROWS
    scale: float = 1.3
    lines: bool = True
    headline: str = ""
    mirrored: frozenset[str] = frozenset()
    misprinted: tuple[tuple[str, str], ...] = ()


def draw_sheet(chromosomes: Sequence[DrawnChromosome], style: SheetPrint | None = None) -> NDArray[np.uint8]:
    """Chromosomes upright above printed classes, those of class ``tray`` to the right of all places."""
    style = style or SheetPrint()
    misprinted = dict(style.misprinted)
    width = 40 + PLACE_PX * (max(len(row) for row in style.rows) + 1)
    page = np.full((ROW_PX * len(style.rows) + 60, width), 255, np.uint8)
    if style.headline:
        _print(page, style.headline, 20, 30)
    for row, names in enumerate(style.rows):
        base = 40 + (row + 1) * ROW_PX - 45
        for column, name in enumerate(names):
            left = 20 + column * PLACE_PX
            if style.lines:
                cv2.line(page, (left, base), (left + PLACE_PX - 20, base), 0, 1)
            printed = misprinted.get(name, name)
            (text_px, _), _ = cv2.getTextSize(printed, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1)
            _print(page, printed, left + (PLACE_PX - 20 - text_px) // 2, base + 24)
            own = [each for each in chromosomes if each.class_name == name]
            step = (PLACE_PX - 30) // max(2, len(own))
            for position, each in enumerate(own):
                picture = upright(each, style.scale, mirrored=name in style.mirrored)
                _paste(page, picture, left + 10 + position * step, base - 5 - picture.shape[0])
    return page


def upright(chromosome: DrawnChromosome, scale: float, *, mirrored: bool = False) -> NDArray[np.uint8]:
    """A chromosome as a system cuts it out: turned upright, resampled, white around."""
    height, width = chromosome.levels.shape
    cut = np.where(chromosome.mask, chromosome.levels, 255).astype(np.uint8)
    side = int(np.ceil(np.hypot(height, width) * scale)) + 4
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), chromosome.angle_deg, scale)
    matrix[:, 2] += (side - 1) / 2 - np.array([(width - 1) / 2, (height - 1) / 2])
    turned = cv2.warpAffine(cut, matrix, (side, side), flags=cv2.INTER_CUBIC, borderValue=255)
    inside = turned < 250
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    turned = turned[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned, dtype=np.uint8)


def _print(page: NDArray[np.uint8], text: str, x: int, y: int) -> None:
    cv2.putText(page, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 0, 1, cv2.LINE_AA)


def _paste(page: NDArray[np.uint8], picture: NDArray[np.uint8], x: int, y: int) -> None:
    window = page[y : y + picture.shape[0], x : x + picture.shape[1]]
    np.minimum(window, picture, out=window)

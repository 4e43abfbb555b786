"""A cell as a picture to check it by: the sheet beside the metaphase, each chromosome numbered in one colour."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.karyogram.metaphase_overlay import class_colours
from analysis.karyogram.text import Bgr, draw_text, draw_text_on_picture
from analysis.karyogram_import.imported_cell import ImportedCell, ImportedChromosome
from analysis.karyotyping.run_lengths import decode_run_lengths
from analysis.structures.classes import UNCLASSIFIED
from analysis.structures.grey_image import GreyImage

HEIGHT_PX: Final = 1100
"""Of either picture: labels of neighbouring chromosomes don't cover each other."""
_HEADER_PX: Final = 70
_LETTERS_PX: Final = 15
_HEADER_LETTERS_PX: Final = 22
_BLACK: Final[Bgr] = (0, 0, 0)
_RED: Final[Bgr] = (0, 0, 220)
_LINE_PX: Final = 2
_CELL_MARGIN_PX: Final = 20
"""Round the cell in px of the metaphase: room for labels."""


def draw_overview(cell: ImportedCell, sheet: GreyImage, metaphase: GreyImage) -> NDArray[np.uint8]:
    """Draw a cell.

    Parameters
    ----------
    cell
        As imported.
    sheet, metaphase
        Its two pictures.

    Returns
    -------
    NDArray[np.uint8]
        Shape (h, w, 3), BGR. What is unmatched, or covered by no picture of the sheet, has a red frame.
    """
    left, left_scale = _enlarged(sheet)
    page, scale, place = _enlarged_cell(cell, metaphase)
    for chromosome in cell.chromosomes:
        _draw_on_sheet(left, chromosome, left_scale)
        _draw_on_metaphase(page, chromosome, scale, metaphase)
    for stain in cell.unexplained:
        _frame(page, stain.box_px, scale, _RED)
        draw_text_on_picture(page, "?", _corner(stain.box_px, scale), _LETTERS_PX, _RED)
    right = page[place]
    header = np.full((_HEADER_PX, left.shape[1] + right.shape[1], 3), 255, np.uint8)
    draw_text(header, _summary(cell), (12, 44), _HEADER_LETTERS_PX, _BLACK)
    return np.vstack([header, np.hstack([left, right])])


def _summary(cell: ImportedCell) -> str:
    unmatched = len(cell.chromosomes) - len(cell.matched)
    unclassified = sum(each.class_name == UNCLASSIFIED for each in cell.chromosomes)
    return (
        f"{cell.name}: {len(cell.chromosomes)} chromosomes on the sheet ({cell.layout or 'no layout fits'}), "
        f"{len(cell.matched)} matched, {unmatched} unmatched, {unclassified} without a class, "
        f"{len(cell.unexplained)} pieces of stain unexplained (red)"
    )


def _draw_on_sheet(page: NDArray[np.uint8], chromosome: ImportedChromosome, scale: float) -> None:
    colour = _RED if chromosome.place is None else class_colours()[chromosome.class_name]
    _frame(page, chromosome.sheet_box_px, scale, colour)
    draw_text_on_picture(
        page, str(chromosome.number), _corner(chromosome.sheet_box_px, scale), _LETTERS_PX, colour
    )


def _draw_on_metaphase(
    page: NDArray[np.uint8], chromosome: ImportedChromosome, scale: float, metaphase: GreyImage
) -> None:
    if chromosome.place is None:
        return
    colour = class_colours()[chromosome.class_name]
    mask = decode_run_lengths(chromosome.place.mask, metaphase.height_px, metaphase.width_px)
    size = (round(metaphase.width_px * scale), round(metaphase.height_px * scale))
    enlarged = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.polylines(page, list(contours), True, colour, _LINE_PX, cv2.LINE_AA)
    name = f"{chromosome.number}: {chromosome.class_name}"
    draw_text_on_picture(page, name, _corner(chromosome.place.box_px, scale), _LETTERS_PX, colour)


def _enlarged(image: GreyImage) -> tuple[NDArray[np.uint8], float]:
    scale = HEIGHT_PX / image.height_px
    size = (max(1, round(image.width_px * scale)), HEIGHT_PX)
    method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_CUBIC
    grey = cv2.resize(image.pixels, size, interpolation=method)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8), scale


def _enlarged_cell(
    cell: ImportedCell, metaphase: GreyImage
) -> tuple[NDArray[np.uint8], float, tuple[slice, slice]]:
    """The metaphase, enlarged until its cell is as high as the page, and where the cell lies on it."""
    boxes = [each.place.box_px for each in cell.chromosomes if each.place is not None]
    boxes += [each.box_px for each in cell.unexplained]
    if not boxes:
        page, scale = _enlarged(metaphase)
        return page, scale, (slice(None), slice(None))
    edges = np.array(boxes)
    left, top = np.maximum(edges[:, :2].min(axis=0) - _CELL_MARGIN_PX, 0)
    right, bottom = np.minimum(
        edges[:, 2:].max(axis=0) + _CELL_MARGIN_PX, (metaphase.width_px, metaphase.height_px)
    )
    scale = HEIGHT_PX / float(bottom - top)
    size = (round(metaphase.width_px * scale), round(metaphase.height_px * scale))
    grey = cv2.resize(metaphase.pixels, size, interpolation=cv2.INTER_CUBIC)
    page = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    y_px = min(round(top * scale), max(0, size[1] - HEIGHT_PX))
    return page, scale, (slice(y_px, y_px + HEIGHT_PX), slice(round(left * scale), round(right * scale)))


def _frame(page: NDArray[np.uint8], box_px: tuple[int, int, int, int], scale: float, colour: Bgr) -> None:
    xmin, ymin, xmax, ymax = (round(value * scale) for value in box_px)
    cv2.rectangle(page, (xmin, ymin), (xmax, ymax), colour, _LINE_PX)


def _corner(box_px: tuple[int, int, int, int], scale: float) -> tuple[int, int]:
    return round(box_px[0] * scale), max(_LETTERS_PX, round(box_px[1] * scale) - 3)

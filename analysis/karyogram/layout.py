"""Where everything of a karyogram stands: groups A to G, short arms up, centromeres of a row on one line.

Nothing is drawn here: a `KaryogramSheet` is plain geometry, which `paint` makes a picture of and others a page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from analysis.karyogram.captions import Captions, place_footer, place_header
from analysis.karyogram.rows import KaryogramRow, ScaledCell, ScaledChromosome, place_chromosome
from analysis.karyogram.sheet_geometry import Ink, KaryogramItem, KaryogramSheet, SheetDraft, SheetLine, SheetText
from analysis.karyogram.sheet_settings import SHEET
from analysis.structures.classes import CLASS_NAMES, MARKER, UNCLASSIFIED

ROWS: Final[tuple[tuple[tuple[str, ...], ...], ...]] = (
    (("1", "2", "3"), ("4", "5")),
    (("6", "7", "8", "9", "10", "11", "12"),),
    (("13", "14", "15"), ("16", "17", "18")),
    (("19", "20"), ("21", "22"), ("X", "Y")),
)
"""Rows from the top, each of groups: A B, C, D E, F G and the sex chromosomes, which stand apart, last. Markers
have their place below the Y."""


def lay_out(
    items: Sequence[KaryogramItem],
    captions: Captions | None = None,
    *,
    ideograms: int | None = None,
    notes: Mapping[str, str] | None = None,
) -> KaryogramSheet:
    """Place the chromosomes of one cell.

    The longest chromosome fills its row; all others are to the same scale. In a row whose centromeres are all
    measured they lie on one line. A row with many chromosomes widens the sheet; nothing is left out.

    Parameters
    ----------
    items
        Chromosomes in any order: of one class, the longer stands left, a derivative right.
    captions
        Texts above and below.
    ideograms
        Bands (400, 550, 850) of the ideograms left of the pairs; None for none.
    notes
        Class to a short note, written under its label.

    Raises
    ------
    ValueError
        There is no such class, or no ideogram of so many bands.
    """
    allowed = {*CLASS_NAMES, MARKER, UNCLASSIFIED}
    unplaced = sorted({item.class_name for item in items} - allowed)
    if unplaced:
        raise ValueError(f"there is no place for class {unplaced[0]!r}")
    cell = ScaledCell(items, ideograms, notes or {})
    rows = [KaryogramRow(cell, groups) for groups in ROWS]
    markers = KaryogramRow(cell, ((MARKER,),)) if cell.members(MARKER) or cell.members(UNCLASSIFIED) else None
    all_rows = rows if markers is None else [*rows, markers]
    width = max([float(SHEET.width_px), *(row.least_width + 2 * SHEET.margin_px for row in all_rows)])
    sheet = SheetDraft()
    y = place_header(sheet, captions or Captions(), width)
    for row in rows:
        drawn, height = row.draw(width - 2 * SHEET.margin_px)
        sheet.take(drawn, SHEET.margin_px, y)
        y += height + SHEET.row_gap_px
    if markers is not None:
        y = _below_y(sheet, cell, markers, width, y)
    y = place_footer(sheet, captions or Captions(), width, y, marks={item.mark for item in items})
    sheet.texts = [text for text in sheet.texts if text.text]
    return KaryogramSheet(
        width,
        y,
        tuple(sheet.tiles),
        tuple(sheet.ideograms),
        tuple(sheet.rules),
        tuple(sheet.marks),
        tuple(sheet.texts),
    )


def _below_y(sheet: SheetDraft, scaled_cell: ScaledCell, markers: KaryogramRow, width: float, y: float) -> float:
    """Markers at the right, and beside them what has no class; returns where the next thing begins.

    The place is there without a marker too where something has no class: it may be one.
    """
    x = width - SHEET.margin_px - markers.least_width
    drawn, height = markers.draw(markers.least_width)
    sheet.take(drawn, x, y)
    below = y + height + SHEET.row_gap_px
    beside = x - SHEET.group_gap_px
    if beside - SHEET.margin_px < SHEET.least_tray_px:
        return _tray(sheet, scaled_cell, width - SHEET.margin_px, below)
    return max(below, _tray(sheet, scaled_cell, beside, y))


def _tray(sheet: SheetDraft, scaled_cell: ScaledCell, right: float, y: float) -> float:
    """Objects without a class, in as many lines as they need; returns where the next thing begins."""
    members = scaled_cell.members(UNCLASSIFIED)
    if not members:
        return y
    left = SHEET.margin_px + SHEET.tray_indent_px
    sheet.rules.append(SheetLine(SHEET.margin_px, y, right, y, Ink.PALE))
    sheet.texts.append(
        SheetText("without a class", SHEET.margin_px, y + SHEET.tray_text_y_px, SHEET.footer_text_px, Ink.PALE)
    )
    lines: list[list[ScaledChromosome]] = [[]]
    x = left
    for member in members:
        if x + member.width > right and lines[-1]:
            lines.append([])
            x = left
        lines[-1].append(member)
        x += member.width + 2 * SHEET.pair_gap_px
    y += SHEET.tray_gap_px
    for line in lines:
        tallest = max(member.height for member in line)
        x = left
        for member in line:
            place_chromosome(sheet, member, x, y + tallest - member.height, y + tallest + SHEET.tray_mark_px)
            x += member.width + 2 * SHEET.pair_gap_px
        y += tallest + SHEET.tray_step_px
    return y

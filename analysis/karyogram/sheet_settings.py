"""Sizes and distances of the karyogram sheet, all in px of the sheet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class SheetSettings:
    """Sizes and distances of a karyogram sheet; only proportions matter in print.

    Attributes
    ----------
    width_px
        Width of a sheet: seven slots of a C group with a pair each. Rows with more widen it.
    margin_px
        Left and right of everything.
    longest_px
        Height of the longest chromosome: four rows and the captions then fill a page of A4.
    tall_percentile
        Of the chromosomes' heights, which fills its row: one odd object must not make all others small.
    oversize
        Largest height or width of anything over ``longest_px``.
    max_enlargement
        Px of the sheet a px of the metaphase: beyond, one only sees the interpolation.
    slots_a_row
        Slots of the row with most classes.
    pair_gap_px, slot_gap_px, group_gap_px, row_gap_px
        Between homologues, classes, groups and rows: each clearly wider than the one before.
    slot_padding_px
        Least room left and right of a pair within its slot, together.
    empty_row_px
        Height of a row without a chromosome.
    label_px
        Height of the strip with line, marks and class names below the chromosomes.
    line_gap_px
        From the lowest chromosome to the line below it.
    tick_px
        Height of the ticks at both ends of that line.
    mark_offset_px
        From that line to the middle of a mark.
    baseline_px
        From the lower edge of the strip up to the names' base line.
    class_text_px, group_text_px, title_text_px, caption_text_px, footer_text_px, note_text_px
        Sizes of letters: class names and title are read from afar, notes are for who looks closely.
    ideogram_width_px
        As wide as a chromatid pair looks beside the longest chromosome.
    note_gap_px
        From the strip to the first line of a note, and below the last.
    note_ascent
        Part of a letter's size that stands above its base line.
    line_spacing
        Distance of base lines over the size of letters.
    letter_width
        Mean width of a letter over its size, on the wide side, for breaking lines.
    shortest_line
        Letters that a line has at least, however narrow its room.
    title_y_px, title_step_px
        First base line of the title, and from line to line.
    side_y_px, side_with_accession_y_px
        Base lines of the texts at the right of the head: name of the cell and what is asked of a person; with an
        accession, that above them.
    side_room_px
        Width that the title leaves for them.
    head_px
        Height of a head with a title of one line.
    least_tray_px
        Where markers leave less room, what has no class stands below them and not beside.
    tray_indent_px, tray_text_y_px, tray_gap_px, tray_mark_px, tray_step_px
        Left of the objects without a class (for their heading), the heading's base line, above the objects, from
        them to their marks, and to the next line of objects.
    footer_first_px, footer_step_px, footer_end_px
        From the rule to the first base line, from line to line, below the last.
    legend_mark_px, legend_mark_up_px, legend_indent_px, legend_gap_px
        In the legend: middle of a mark, its height over the base line, the text's indent, from text to next mark.
    """

    width_px: int = 1200
    margin_px: int = 28
    longest_px: int = 225
    tall_percentile: float = 0.97
    oversize: float = 1.5
    max_enlargement: float = 5.0
    slots_a_row: int = 7
    pair_gap_px: int = 10
    slot_gap_px: int = 20
    group_gap_px: int = 40
    row_gap_px: int = 16
    slot_padding_px: float = 12.0
    empty_row_px: int = 60
    label_px: int = 42
    line_gap_px: float = 6.0
    tick_px: int = 4
    mark_offset_px: float = 10.0
    baseline_px: int = 9
    class_text_px: int = 21
    group_text_px: int = 14
    title_text_px: int = 26
    caption_text_px: int = 15
    footer_text_px: int = 14
    note_text_px: int = 12
    ideogram_width_px: int = 13
    note_gap_px: tuple[float, float] = (3.0, 4.0)
    note_ascent: float = 0.6
    line_spacing: float = 1.3
    letter_width: float = 0.56
    shortest_line: int = 8
    title_y_px: int = 42
    title_step_px: int = 32
    side_y_px: tuple[int, ...] = (34, 54)
    side_with_accession_y_px: tuple[int, ...] = (26, 44, 62)
    side_room_px: int = 330
    head_px: float = 76.0
    least_tray_px: int = 500
    tray_indent_px: float = 110.0
    tray_text_y_px: int = 22
    tray_gap_px: int = 14
    tray_mark_px: int = 8
    tray_step_px: int = 18
    footer_first_px: int = 22
    footer_step_px: int = 20
    footer_end_px: float = 16.0
    legend_mark_px: int = 5
    legend_mark_up_px: int = 4
    legend_indent_px: int = 16
    legend_gap_px: int = 18


SHEET: Final = SheetSettings()

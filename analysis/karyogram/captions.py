"""What is written round a karyogram: its head, and the foot with the legend of the marks."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from analysis.karyogram.sheet_geometry import Ink, MarkSign, ReviewMark, SheetDraft, SheetLine, SheetText
from analysis.karyogram.sheet_settings import SHEET


@dataclass(frozen=True, slots=True)
class Captions:
    """Texts round a karyogram.

    Attributes
    ----------
    title
        Such as the ISCN string.
    name
        Of the cell.
    accession
        Of the case; empty where none is given.
    level
        What the proposal asks of a person.
    remark
        Why.
    figures
        Counts and confidence.
    footer
        What the sheet is and isn't.
    """

    title: str = ""
    name: str = ""
    accession: str = ""
    level: str = ""
    remark: str = ""
    figures: str = ""
    footer: str = ""


def place_header(draft: SheetDraft, captions: Captions, width: float) -> float:
    """Place title, name, accession and what the proposal asks.

    Parameters
    ----------
    draft
        Takes the texts.
    captions
        What is written.
    width
        Of the sheet, in px.

    Returns
    -------
    float
        Where the rows begin, in px from the top.
    """
    if not (captions.title or captions.name):
        return float(SHEET.margin_px)
    room = width - 2 * SHEET.margin_px - SHEET.side_room_px
    lines = broken_lines(captions.title, room, SHEET.title_text_px)
    for number, text in enumerate(lines):
        y = SHEET.title_y_px + SHEET.title_step_px * number
        draft.texts.append(SheetText(text, SHEET.margin_px, y, SHEET.title_text_px))
    ink = (
        Ink.ALARM
        if captions.level == ReviewMark.REVIEW
        else Ink.WARNING
        if captions.level == ReviewMark.CHECK
        else Ink.PALE
    )
    side = [(captions.name, Ink.PALE), (captions.level, ink)]
    places = SHEET.side_y_px
    if captions.accession:
        side.insert(0, (captions.accession, Ink.BLACK))
        places = SHEET.side_with_accession_y_px
    for (text, colour), y in zip(side, places, strict=True):
        right = width - SHEET.margin_px
        draft.texts.append(SheetText(text, right, y, SHEET.caption_text_px, colour, 1.0))
    return SHEET.head_px + SHEET.title_step_px * max(len(lines) - 1, 0)


def place_footer(
    draft: SheetDraft, captions: Captions, width: float, y: float, *, marks: set[ReviewMark]
) -> float:
    """Place the reasons, the legend of the marks, the figures and what the sheet is.

    Parameters
    ----------
    draft
        Takes the texts.
    captions
        What is written.
    width
        Of the sheet, in px.
    y
        Where the foot begins, in px from the top.
    marks
        Those on the sheet, which the legend explains.

    Returns
    -------
    float
        The lower end of the sheet, in px from the top.
    """
    right = width - SHEET.margin_px
    draft.rules.append(SheetLine(SHEET.margin_px, y, right, y, Ink.PALE))
    y += SHEET.footer_first_px
    for text in broken_lines(captions.remark, width - 2 * SHEET.margin_px, SHEET.caption_text_px):
        draft.texts.append(SheetText(text, SHEET.margin_px, y, SHEET.caption_text_px))
        y += SHEET.footer_step_px
    x = float(SHEET.margin_px)
    for mark in (ReviewMark.CHECK, ReviewMark.REVIEW):
        if mark in marks:
            draft.marks.append(MarkSign(mark, x + SHEET.legend_mark_px, y - SHEET.legend_mark_up_px))
            x += SHEET.legend_indent_px
            draft.texts.append(SheetText(mark.value, x, y, SHEET.footer_text_px, Ink.PALE))
            x += len(mark.value) * SHEET.footer_text_px * SHEET.letter_width + SHEET.legend_gap_px
    draft.texts.append(SheetText(captions.figures, x, y, SHEET.footer_text_px, Ink.PALE))
    draft.texts.append(SheetText(captions.footer, right, y, SHEET.footer_text_px, Ink.PALE, 1.0))
    return y + SHEET.footer_end_px


def broken_lines(text: str, width: float, size_px: float) -> list[str]:
    """Break a text into lines.

    Parameters
    ----------
    text
        May be empty: then there is no line.
    width
        Room in px.
    size_px
        Of the letters.
    """
    if not text:
        return []
    letters = max(SHEET.shortest_line, int(width / (size_px * SHEET.letter_width)))
    return textwrap.wrap(text, letters, break_long_words=True)

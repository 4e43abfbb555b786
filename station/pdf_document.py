"""What the PDFs of the product have in common: an embedded font, true metadata and no paths.

Noto Sans (SIL Open Font License) has Latin, Greek and Cyrillic. Chinese, Japanese and Korean letters are written
in the fonts that PDF readers have for them (Adobe's character collections), which aren't embedded. What neither
has is printed as U+FFFD.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import metadata, resources
from itertools import groupby
from typing import Final

from reportlab import rl_config
from reportlab.lib.fonts import addMapping
from reportlab.lib.styles import ParagraphStyle, StyleSheet1, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, SimpleDocTemplate

from analysis.karyogram.text import REPLACEMENT, drawable

FONT: Final = "NotoSans"
_FONT_PACKAGE: Final = "fontpkg_noto_sans"
_FONT_FILE: Final = "NotoSans[wdth,wght].ttf"
_CHINESE: Final = "STSong-Light"
_JAPANESE: Final = "HeiseiMin-W3"
_KOREAN: Final = "HYSMyeongJo-Medium"
_KANA: Final = (0x3040, 0x30FF)
_HANGUL: Final = ((0x1100, 0x11FF), (0x3130, 0x318F), (0xAC00, 0xD7A3))
_EAST_ASIAN: Final = ((0x2E80, 0x9FFF), (0xF900, 0xFAFF), (0xFE30, 0xFE4F), (0xFF00, 0xFFEF), *_HANGUL)
"""Blocks of Unicode that the East Asian fonts have, radicals to ideographs and full-width forms; their encodings
reach the first 65,536 letters."""
_SMALL_PT: Final = (8.0, 10.0)
"""Size and leading of small print: the least that is read without effort on paper."""

PageDrawer = Callable[[Canvas, SimpleDocTemplate], None]


@dataclass(frozen=True, slots=True)
class PdfPage:
    """Paper and margins.

    Attributes
    ----------
    size_pt
        Width and height.
    margin_mm
        On all sides.
    """

    size_pt: tuple[float, float]
    margin_mm: float


@cache
def embedded_font() -> str:
    """Register the font with the PDF library, once a process; returns its name."""
    with resources.as_file(resources.files(_FONT_PACKAGE).joinpath("files", _FONT_FILE)) as path:
        pdfmetrics.registerFont(TTFont(FONT, str(path)))
    # There is one weight: what is emphasised stands out by its size.
    for bold in (0, 1):
        for italic in (0, 1):
            addMapping(FONT, bold, italic, FONT)
    return FONT


@cache
def printable(text: str) -> str:
    """Text in letters that one of the fonts has; others, and what can't be drawn, are replaced by U+FFFD."""
    return "".join(letters for _, letters in _runs(text))


def paragraph_text(text: str) -> str:
    """Any text as the markup of a paragraph, each letter in a font that has it."""
    return "".join(
        escape(letters) if font == FONT else f'<font name="{font}">{escape(letters)}</font>'
        for font, letters in _runs(text)
    )


def draw_line(canvas: Canvas, at: tuple[float, float], text: str, size: float, *, anchor: float = 0.0) -> None:
    """Write a line, each letter in a font that has it.

    Parameters
    ----------
    canvas
        Page to write on.
    at
        Where on the base line, x and y in units of the canvas.
    text
        Any string.
    size
        Of the letters, in units of the canvas.
    anchor
        Which part of the text lies at x: 0 its left end, 0.5 its middle, 1 its right end.
    """
    runs = _runs(text)
    widths = [canvas.stringWidth(letters, font, size) for font, letters in runs]
    x = at[0] - anchor * sum(widths)
    for (font, letters), width in zip(runs, widths, strict=True):
        canvas.setFont(font, size)
        canvas.drawString(x, at[1], letters)
        x += width


@cache
def _runs(text: str) -> tuple[tuple[str, str], ...]:
    """Letters that follow one another in the same font, with its name."""
    embedded = pdfmetrics.getFont(embedded_font()).face.charToGlyph
    east_asian = _east_asian_font(text)

    def font_of(letter: str) -> str:
        return east_asian if ord(letter) not in embedded and _is_within(letter, _EAST_ASIAN) else FONT

    return tuple(
        (font, "".join(letter if font != FONT or ord(letter) in embedded else REPLACEMENT for letter in letters))
        for font, letters in groupby(drawable(text), key=font_of)
    )


def _east_asian_font(text: str) -> str:
    """Which font writes the ideographs of a text: the script that stands beside them tells the language."""
    if any(_is_within(letter, _HANGUL) for letter in text):
        name = _KOREAN
    elif any(_is_within(letter, (_KANA,)) for letter in text):
        name = _JAPANESE
    else:
        name = _CHINESE
    _register_east_asian(name)
    return name


@cache
def _register_east_asian(name: str) -> None:
    pdfmetrics.registerFont(UnicodeCIDFont(name))
    for bold in (0, 1):
        for italic in (0, 1):
            addMapping(name, bold, italic, name)


def _is_within(letter: str, blocks: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= ord(letter) <= last for first, last in blocks)


def paragraph_styles() -> StyleSheet1:
    """Styles of headings and text in the embedded font, and "Small" for small print."""
    styles = getSampleStyleSheet()
    for style in styles.byName.values():
        if isinstance(style, ParagraphStyle):
            style.fontName = embedded_font()
    size, leading = _SMALL_PT
    styles.add(ParagraphStyle("Small", parent=styles["Normal"], fontSize=size, leading=leading))
    return styles


def build_pdf(
    story: Sequence[Flowable], page: PdfPage, *, title: str, subject: str, draw_page: PageDrawer | None = None
) -> bytes:
    """Build a PDF with true metadata.

    The creation date is the present time. Where ``SOURCE_DATE_EPOCH`` is set it is that time, and the same story
    gives the same bytes (https://reproducible-builds.org/specs/source-date-epoch/).

    Parameters
    ----------
    story
        What follows one another on the pages.
    page
        Paper and margins.
    title, subject
        Of the document; any string.
    draw_page
        Draws what every page has.
    """
    content = io.BytesIO()
    margin = page.margin_mm * mm
    document = SimpleDocTemplate(
        content,
        pagesize=page.size_pt,
        leftMargin=margin,
        rightMargin=margin,
        topMargin=margin,
        bottomMargin=margin,
        title=drawable(title),
        subject=drawable(subject),
        author="KaryoScan",
        creator=f"KaryoScan {metadata.version('karyoscan')}",
        invariant=int(bool(os.environ.get("SOURCE_DATE_EPOCH", "").strip())),
    )
    draw = draw_page or _nothing
    with _binary_streams():
        document.build(list(story), onFirstPage=draw, onLaterPages=draw)
    return content.getvalue()


@contextmanager
def _binary_streams() -> Iterator[None]:
    """Have pictures written into PDFs as they are; as text, which is the library's default, they take seconds."""
    before = rl_config.useA85
    rl_config.useA85 = 0
    try:
        yield
    finally:
        rl_config.useA85 = before


def _nothing(_canvas: Canvas, _document: SimpleDocTemplate) -> None:
    """Draw nothing on a page."""

"""What the PDFs of the product have in common: an embedded font, true metadata and no paths.

Noto Sans (SIL Open Font License) has Latin, Greek and Cyrillic; a letter that it lacks is printed as U+FFFD.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from typing import Final

from reportlab import rl_config
from reportlab.lib.fonts import addMapping
from reportlab.lib.styles import ParagraphStyle, StyleSheet1, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, SimpleDocTemplate

from analysis.karyogram.text import REPLACEMENT, drawable

FONT: Final = "NotoSans"
_FONT_PACKAGE: Final = "fontpkg_noto_sans"
_FONT_FILE: Final = "NotoSans[wdth,wght].ttf"
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
    """Text in letters that the embedded font has; others, and what can't be drawn, are replaced by U+FFFD."""
    letters = pdfmetrics.getFont(embedded_font()).face.charToGlyph
    return "".join(letter if ord(letter) in letters else REPLACEMENT for letter in drawable(text))


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

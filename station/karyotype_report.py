"""One cell's karyotype proposal as a PDF to file: karyogram, metaphase, and every chromosome in a table.

Words, lines, marks and ideograms are vectors; chromosomes are pictures at twice the resolution of the screen.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Final
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray
from reportlab import rl_config
from reportlab.lib import colors
from reportlab.lib.colors import Color
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from analysis.karyogram.metaphase_overlay import class_colours, label_places, outlines
from analysis.karyogram.paint import INKS, band_grey
from analysis.karyogram.sheet import SheetOptions, footer_of, karyogram_sheet, mark_of
from analysis.karyogram.sheet_geometry import (
    ChromosomeTile,
    DrawnIdeogram,
    Ink,
    KaryogramSheet,
    MarkSign,
    ReviewMark,
    SheetText,
)
from analysis.structures.classes import CLASS_NAMES, MARKER, UNCLASSIFIED
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome

_MARGIN_MM: Final = 12
_FONT: Final = "Helvetica"
_PAGE: Final = A4
_COLUMNS: Final = 2
_PX_A_POINT: Final = 1600 / 480
"""Labels of the metaphase are placed on a page of 1600 px, printed about 480 points wide."""


def _colour(bgr: tuple[int, int, int]) -> Color:
    blue, green, red = (value / 255.0 for value in bgr)
    return Color(red, green, blue)


_INKS: Final[Mapping[Ink, Color]] = MappingProxyType({ink: _colour(bgr) for ink, bgr in INKS.items()})


# The library has no types.
class KaryogramFlowable(Flowable):  # type: ignore[misc]
    """A karyogram's sheet, fitted into a room of a page.

    Parameters
    ----------
    sheet
        Its geometry.
    width_pt, height_pt
        The room; the sheet keeps its proportions.
    """

    def __init__(self, sheet: KaryogramSheet, width_pt: float, height_pt: float) -> None:
        super().__init__()
        self._sheet = sheet
        self._scale = min(width_pt / sheet.width, height_pt / sheet.height)
        self.width, self.height = sheet.width * self._scale, sheet.height * self._scale
        self.hAlign = "CENTER"

    def draw(self) -> None:
        """Draw on the page; called by the document."""
        canvas: Canvas = self.canv
        canvas.saveState()
        # From here on a unit is a px of the sheet; y still rises upwards, as letters have to.
        canvas.scale(self._scale, self._scale)
        for tile in self._sheet.tiles:
            self._tile(canvas, tile)
        for drawn in self._sheet.ideograms:
            self._ideogram(canvas, drawn)
        for rule in self._sheet.rules:
            canvas.setStrokeColor(_INKS[rule.ink])
            canvas.setLineWidth(1.0)
            canvas.line(rule.x0, self._up(rule.y0), rule.x1, self._up(rule.y1))
        for sign in self._sheet.marks:
            self._mark(canvas, sign)
        for word in self._sheet.texts:
            self._word(canvas, word)
        canvas.restoreState()

    def _up(self, y: float) -> float:
        return self._sheet.height - y

    def _tile(self, canvas: Canvas, tile: ChromosomeTile) -> None:
        box = tile.box
        canvas.drawImage(_reader(tile.item.picture), box.x, self._up(box.bottom), box.width, box.height)

    def _ideogram(self, canvas: Canvas, drawn: DrawnIdeogram) -> None:
        box, split = drawn.box, drawn.centromere_y
        canvas.saveState()
        path = canvas.beginPath()
        for top, bottom in ((box.y, split), (split, box.bottom)):
            radius = max(0.1, min(box.width / 3.0, (bottom - top) / 2.0))
            path.roundRect(box.x, self._up(bottom), box.width, max(bottom - top, 0.2), radius)
        canvas.clipPath(path, stroke=0, fill=0)
        for band in drawn.bands.bands:
            canvas.setFillGray(band_grey(band) / 255.0)
            bottom = box.y + band.stop * box.height
            height = (band.stop - band.start) * box.height
            canvas.rect(box.x, self._up(bottom), box.width, height, stroke=0, fill=1)
        canvas.restoreState()
        canvas.setStrokeGray(0.3)
        canvas.setLineWidth(0.7)
        canvas.drawPath(path, stroke=1, fill=0)

    def _mark(self, canvas: Canvas, sign: MarkSign) -> None:
        y = self._up(sign.y)
        if sign.mark is ReviewMark.CHECK:
            canvas.setStrokeColor(_INKS[Ink.WARNING])
            canvas.setLineWidth(2.0)
            canvas.circle(sign.x, y, 4.0, stroke=1, fill=0)
            return
        canvas.setFillColor(_INKS[Ink.ALARM])
        path = canvas.beginPath()
        path.moveTo(sign.x, y + 6.0)
        path.lineTo(sign.x + 5.5, y - 4.0)
        path.lineTo(sign.x - 5.5, y - 4.0)
        path.close()
        canvas.drawPath(path, stroke=0, fill=1)

    def _word(self, canvas: Canvas, word: SheetText) -> None:
        canvas.setFont(_FONT, word.size_px)
        canvas.setFillColor(_INKS[word.ink])
        text = _printable(word.text)
        canvas.drawString(
            word.x - word.anchor * canvas.stringWidth(text, _FONT, word.size_px), self._up(word.y), text
        )


class MetaphaseFlowable(Flowable):  # type: ignore[misc]
    """The metaphase with numbered outlines, fitted into a room of a page.

    Parameters
    ----------
    karyotype
        The proposal.
    width_pt, height_pt
        The room.
    """

    def __init__(self, karyotype: Karyotype, width_pt: float, height_pt: float) -> None:
        super().__init__()
        image = karyotype.image
        self._karyotype = karyotype
        self._scale = min(width_pt / image.width_px, height_pt / image.height_px)
        self.width, self.height = image.width_px * self._scale, image.height_px * self._scale

    def draw(self) -> None:
        """Draw on the page; called by the document."""
        canvas: Canvas = self.canv
        entries = self._karyotype.chromosomes
        paper = _reader(self._karyotype.image.pixels)
        canvas.drawImage(paper, 0, 0, self.width, self.height)
        canvas.setStrokeGray(0.8)
        canvas.rect(0, 0, self.width, self.height, stroke=1, fill=0)
        colours = {name: _colour(bgr) for name, bgr in class_colours().items()}
        canvas.setLineWidth(0.6)
        for entry in entries:
            canvas.setStrokeColor(colours.get(entry.class_name, colours[UNCLASSIFIED]))
            for line in outlines(entry.instance):
                self._outline(canvas, line)
        words = [str(entry.id) for entry in entries]
        scale = self._scale * _PX_A_POINT
        size = round(self.height * _PX_A_POINT), round(self.width * _PX_A_POINT)
        places = label_places([entry.instance for entry in entries], words, scale, size)
        canvas.setFont(_FONT, 5.5)
        for entry, word, (x, y) in zip(entries, words, places, strict=True):
            canvas.setFillColor(colours.get(entry.class_name, colours[UNCLASSIFIED]))
            canvas.drawString(x / _PX_A_POINT, self.height - y / _PX_A_POINT, word)

    def _outline(self, canvas: Canvas, line: NDArray[np.float64]) -> None:
        path = canvas.beginPath()
        for number, (x, y) in enumerate(line + 0.5):
            at = float(x) * self._scale, self.height - float(y) * self._scale
            if number == 0:
                path.moveTo(*at)
            else:
                path.lineTo(*at)
        path.close()
        canvas.drawPath(path, stroke=1, fill=0)


def karyotype_pdf(
    karyotype: Karyotype, options: SheetOptions | None = None, sheet: KaryogramSheet | None = None
) -> bytes:
    """PDF of one cell: karyogram, metaphase with verdict and notes, table of the chromosomes.

    The same proposal gives the same bytes.

    Parameters
    ----------
    karyotype
        The proposal, fresh or edited.
    options
        Ideograms and notes.
    sheet
        The karyogram by these options where it is laid out already, which takes half of the time.
    """
    styles = getSampleStyleSheet()
    width, height = _PAGE[0] - 2 * _MARGIN_MM * mm - 12, _PAGE[1] - 2 * _MARGIN_MM * mm - 14
    notes = karyotype.bands.notes() if options is None or options.notes is None else options.notes
    story: list[Flowable] = [
        KaryogramFlowable(sheet or karyogram_sheet(karyotype, options), width, height - 2),
        PageBreak(),
        MetaphaseFlowable(karyotype, width, 0.68 * height),
        *_findings(karyotype, notes),
    ]
    if karyotype.chromosomes:
        story += [
            PageBreak(),
            Paragraph("Chromosomes", styles["Heading3"]),
            Paragraph(
                "Numbers are those of the outlines. Certainty: that the class is right, given the whole cell. "
                "Short arm: its end in the metaphase. Beside: those it touches or crosses.",
                _small(),
            ),
            Spacer(1, 2 * mm),
            _table(karyotype.chromosomes, width),
        ]
    content = io.BytesIO()
    margin = _MARGIN_MM * mm
    document = SimpleDocTemplate(
        content,
        pagesize=_PAGE,
        leftMargin=margin,
        rightMargin=margin,
        topMargin=margin,
        bottomMargin=margin,
        title=_printable(f"Karyotype proposal {karyotype.image.source}"),
        author="KaryoScan",
        invariant=1,
    )
    with binary_streams():
        foot = partial(_foot, words=footer_of(karyotype))
        document.build(story, onFirstPage=foot, onLaterPages=foot)
    return content.getvalue()


@contextmanager
def binary_streams() -> Iterator[None]:
    """Have pictures written into PDFs as they are; as text, which is the library's default, they take seconds."""
    before = rl_config.useA85
    rl_config.useA85 = 0
    try:
        yield
    finally:
        rl_config.useA85 = before


def _foot(canvas: Canvas, document: SimpleDocTemplate, words: str) -> None:
    canvas.saveState()
    canvas.setFont(_FONT, 7)
    canvas.setFillGray(0.45)
    canvas.drawString(_MARGIN_MM * mm, 6 * mm, words)
    canvas.drawRightString(_PAGE[0] - _MARGIN_MM * mm, 6 * mm, str(document.page))
    canvas.restoreState()


def _findings(karyotype: Karyotype, notes: Mapping[str, str]) -> list[Flowable]:
    """What is said of the cell."""
    styles = getSampleStyleSheet()
    verdict = karyotype.verdict
    level = verdict.level.value, karyotype.bands.summary
    said: list[Flowable] = [
        Paragraph(escape(_printable(karyotype.iscn.text or "no ISCN")), styles["Heading2"]),
        Paragraph(f"<b>{escape('; '.join(filter(None, level)))}</b>", styles["Normal"]),
    ]
    reasons = [reason.text for reason in verdict.reasons]
    if karyotype.iscn.text is None and karyotype.iscn.reason not in reasons:
        reasons.insert(0, karyotype.iscn.reason)
    said += [Paragraph(f"- {escape(_printable(reason))}", _small()) for reason in reasons]
    if notes:
        said += [Spacer(1, 2 * mm), Paragraph("Notes", styles["Heading4"])]
        said += [Paragraph(escape(_printable(f"{name}: {words}")), _small()) for name, words in notes.items()]
    return [*said, Spacer(1, 2 * mm), *(Paragraph(escape(line), _small()) for line in _figures(karyotype))]


def _figures(karyotype: Karyotype) -> list[str]:
    image, entries = karyotype.image, karyotype.chromosomes
    left_out = sum(entry.class_name == UNCLASSIFIED for entry in entries)
    kind = [f"{image.bit_depth} bit", *(["colour"] * image.colour), *(["fluorescence"] * image.inverted)]
    lines = [
        f"Picture: {_printable(image.source)}",
        f"{image.width_px} x {image.height_px} px, {', '.join(kind)}",
        f"{len(entries) - left_out} chromosomes with a class, {left_out} objects without",
    ]
    if karyotype.bands.level is not None:
        lines.append(f"Bands a haploid set: about {karyotype.bands.level.bands}")
    if karyotype.bands.comparison_summary:
        lines.append(f"Homologues: {karyotype.bands.comparison_summary}")
    return [*lines, f"Time: {karyotype.seconds:.2f} s"]


def _table(entries: Sequence[KaryotypedChromosome], width: float) -> Table:
    """Chromosomes by class, in columns beside each other."""
    order = {name: place for place, name in enumerate((*CLASS_NAMES, MARKER))}
    ordered = sorted(entries, key=lambda entry: (order.get(entry.class_name, len(order)), entry.id))
    rows = max(1, -(-len(ordered) // _COLUMNS))
    head = ["no.", "class", "certainty", "mark", "short arm", "beside", ""]
    lines: list[list[str]] = [head * _COLUMNS]
    for row in range(rows):
        cells: list[str] = []
        for column in range(_COLUMNS):
            at = column * rows + row
            cells += [*_words_of(ordered[at]), ""] if at < len(ordered) else [""] * len(head)
        lines.append(cells)
    shares = (0.1, 0.12, 0.18, 0.2, 0.18, 0.17, 0.05)
    table = Table(lines, colWidths=[share * width / _COLUMNS for share in shares] * _COLUMNS, repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("FONT", (0, 0), (-1, -1), _FONT, 7.5),
                ("TEXTCOLOR", (0, 0), (-1, 0), colors.grey),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
                ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.lightgrey),
            ]
        )
    )
    return table


def _words_of(entry: KaryotypedChromosome) -> list[str]:
    sure = (
        ""
        if entry.class_name == UNCLASSIFIED
        else "a person's"
        if entry.touched
        else f"{100 * entry.probability:.1f} %"
    )
    beside = ", ".join(str(other) for other in entry.instance.overlaps[:4])
    return [
        str(entry.id),
        entry.class_name,
        sure,
        mark_of(entry).value,
        "below" if entry.flipped else "above",
        beside + (" ..." if len(entry.instance.overlaps) > 4 else ""),
    ]


def _small() -> ParagraphStyle:
    return ParagraphStyle("small", parent=getSampleStyleSheet()["Normal"], fontSize=8, leading=10)


def _printable(text: str) -> str:
    """Text in what the PDF's built-in fonts can show."""
    return text.encode("cp1252", "replace").decode("cp1252")


def _reader(picture: NDArray[np.uint8]) -> ImageReader:
    done, encoded = cv2.imencode(".png", picture)
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} can't be encoded")
    return ImageReader(io.BytesIO(encoded.tobytes()))

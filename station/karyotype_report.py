"""One cell's karyotype proposal as a PDF to file: karyogram, metaphase, and every chromosome in a table.

Texts, lines, marks and ideograms are vectors; chromosomes are pictures at twice the resolution of the screen.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray
from reportlab.lib import colors
from reportlab.lib.colors import Color
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from analysis.karyogram.metaphase_overlay import (
    UNEXPLAINED_SIGN,
    class_colours,
    label_places,
    outlines,
    unexplained_label,
)
from analysis.karyogram.paint import INKS, RING_RADIUS_PX, TRIANGLE_PX, band_grey
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
from analysis.segmentation.mask_extent import short_masks
from analysis.structures.classes import CLASS_NAMES, MARKER, UNCLASSIFIED
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome
from scanner.counted import counted
from station.pdf_document import PdfPage, build_pdf, draw_line, embedded_font, paragraph_styles, paragraph_text


@dataclass(frozen=True, slots=True)
class KaryotypeReportSettings:
    """Sizes of the PDF of a cell.

    Attributes
    ----------
    frame_pt
        Room that the document's frame takes beside its margins, across and down.
    metaphase_height
        Part of the page's height that the metaphase takes; the rest is for the findings.
    px_a_point
        Labels of the metaphase are placed on a page of 1600 px, printed about 480 points wide.
    label_pt, outline_pt
        Labels and outlines on the metaphase: bands stay visible below them.
    dash_pt
        Dashes of the frames round unexplained stain: no chromosome has a broken outline.
    table_columns
        Tables of chromosomes beside each other.
    column_fractions
        Widths of a table's columns, and of the gap after it.
    table_pt, cell_padding_pt, rule_pt
        Letters, padding and rules of the table: 50 chromosomes on one page.
    most_neighbours
        Neighbours of a chromosome that are listed; a pile has more than fit.
    foot_pt, foot_grey, foot_mm
        Letters, grey and height above the edge of what stands under every page.
    frame_grey
        Of the line round the metaphase.
    ideogram_line_grey, ideogram_line_pt
        Outline of an ideogram.
    least_arm_px, least_radius_px
        Floors of an ideogram's arm and of its rounding, which PDF viewers need above 0.
    rule_px, ring_px
        Widths of the sheet's lines and rings.
    """

    frame_pt: tuple[float, float] = (12.0, 14.0)
    metaphase_height: float = 0.68
    px_a_point: float = 1600 / 480
    label_pt: float = 5.5
    outline_pt: float = 0.6
    dash_pt: float = 2.0
    table_columns: int = 2
    column_fractions: tuple[float, ...] = (0.1, 0.12, 0.18, 0.2, 0.18, 0.17, 0.05)
    table_pt: float = 7.5
    cell_padding_pt: float = 1.5
    rule_pt: float = 0.25
    most_neighbours: int = 4
    foot_pt: float = 7.0
    foot_grey: float = 0.45
    foot_mm: float = 6.0
    frame_grey: float = 0.8
    ideogram_line_grey: float = 0.3
    ideogram_line_pt: float = 0.7
    least_arm_px: float = 0.2
    least_radius_px: float = 0.1
    rule_px: float = 1.0
    ring_px: float = 2.0


_SETTINGS: Final = KaryotypeReportSettings()
_PAGE: Final = PdfPage(A4, margin_mm=12)
_WHITE: Final = 255
_ROUNDING: Final = 3
"""Width of an ideogram over the radius of its ends."""


def _colour(bgr: tuple[int, int, int]) -> Color:
    blue, green, red = (value / _WHITE for value in bgr)
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
            canvas.setLineWidth(_SETTINGS.rule_px)
            canvas.line(rule.x0, self._up(rule.y0), rule.x1, self._up(rule.y1))
        for sign in self._sheet.marks:
            self._mark(canvas, sign)
        for text in self._sheet.texts:
            self._text(canvas, text)
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
            radius = max(_SETTINGS.least_radius_px, min(box.width / _ROUNDING, (bottom - top) / 2.0))
            path.roundRect(box.x, self._up(bottom), box.width, max(bottom - top, _SETTINGS.least_arm_px), radius)
        canvas.clipPath(path, stroke=0, fill=0)
        for band in drawn.bands.bands:
            canvas.setFillGray(band_grey(band) / _WHITE)
            bottom = box.y + band.stop * box.height
            height = (band.stop - band.start) * box.height
            canvas.rect(box.x, self._up(bottom), box.width, height, stroke=0, fill=1)
        canvas.restoreState()
        canvas.setStrokeGray(_SETTINGS.ideogram_line_grey)
        canvas.setLineWidth(_SETTINGS.ideogram_line_pt)
        canvas.drawPath(path, stroke=1, fill=0)

    def _mark(self, canvas: Canvas, sign: MarkSign) -> None:
        y = self._up(sign.y)
        if sign.mark is ReviewMark.CHECK:
            canvas.setStrokeColor(_INKS[Ink.WARNING])
            canvas.setLineWidth(_SETTINGS.ring_px)
            canvas.circle(sign.x, y, RING_RADIUS_PX, stroke=1, fill=0)
            return
        canvas.setFillColor(_INKS[Ink.ALARM])
        path = canvas.beginPath()
        up, side, down = TRIANGLE_PX
        path.moveTo(sign.x, y + up)
        path.lineTo(sign.x + side, y - down)
        path.lineTo(sign.x - side, y - down)
        path.close()
        canvas.drawPath(path, stroke=0, fill=1)

    def _text(self, canvas: Canvas, text: SheetText) -> None:
        canvas.setFillColor(_INKS[text.ink])
        draw_line(canvas, (text.x, self._up(text.y)), text.text, text.size_px, anchor=text.anchor)


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
        canvas.setStrokeGray(_SETTINGS.frame_grey)
        canvas.rect(0, 0, self.width, self.height, stroke=1, fill=0)
        colours = {name: _colour(bgr) for name, bgr in class_colours().items()}
        canvas.setLineWidth(_SETTINGS.outline_pt)
        for entry in entries:
            canvas.setStrokeColor(colours.get(entry.class_name, colours[UNCLASSIFIED]))
            for line in outlines(entry.instance):
                self._outline(canvas, line)
        labels = [str(entry.id) for entry in entries]
        scale = self._scale * _SETTINGS.px_a_point
        size = round(self.height * _SETTINGS.px_a_point), round(self.width * _SETTINGS.px_a_point)
        places = label_places([entry.instance for entry in entries], labels, scale, size)
        canvas.setFont(embedded_font(), _SETTINGS.label_pt)
        for entry, label, (x, y) in zip(entries, labels, places, strict=True):
            canvas.setFillColor(colours.get(entry.class_name, colours[UNCLASSIFIED]))
            canvas.drawString(x / _SETTINGS.px_a_point, self.height - y / _SETTINGS.px_a_point, label)

        self._frame_unexplained(canvas)

    def _frame_unexplained(self, canvas: Canvas) -> None:
        """Broken frames round stain that no chromosome explains, as on the outlined metaphase."""
        canvas.setStrokeColor(_colour(UNEXPLAINED_SIGN.colour))
        canvas.setFillColor(_colour(UNEXPLAINED_SIGN.colour))
        canvas.setDash(_SETTINGS.dash_pt)
        for each in self._karyotype.open_unexplained:
            xmin, ymin, xmax, ymax = (side * self._scale for side in each.box_px)
            canvas.rect(xmin, self.height - ymax, xmax - xmin, ymax - ymin, stroke=1, fill=0)
            canvas.drawString(xmin, self.height - ymin + 1, unexplained_label(each))
        canvas.setDash()

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

    See `build_pdf` for its date. Of the picture only the file's name is written.

    Parameters
    ----------
    karyotype
        The proposal, fresh or edited.
    options
        Ideograms, notes and accession.
    sheet
        The karyogram by these options where it is laid out already, which takes half of the time.
    """
    styles = paragraph_styles()
    across, down = (side + 2 * _PAGE.margin_mm * mm for side in _SETTINGS.frame_pt)
    width, height = _PAGE.size_pt[0] - across, _PAGE.size_pt[1] - down
    notes = karyotype.bands.notes() if options is None or options.notes is None else options.notes
    story: list[Flowable] = [
        KaryogramFlowable(sheet or karyogram_sheet(karyotype, options), width, height - 2),
        PageBreak(),
        MetaphaseFlowable(karyotype, width, _SETTINGS.metaphase_height * height),
        *_findings(karyotype, notes),
    ]
    if karyotype.chromosomes:
        story += [
            PageBreak(),
            Paragraph("Chromosomes", styles["Heading3"]),
            Paragraph(
                "Numbers are those of the outlines. Certainty: that the class is right, given the whole cell. "
                "Short arm: its end in the metaphase. Beside: those it touches or crosses.",
                styles["Small"],
            ),
            Spacer(1, 2 * mm),
            _table(karyotype.chromosomes, width),
        ]
    title = f"Karyotype proposal {Path(karyotype.image.source).name}"
    if options is not None and options.accession:
        title = f"{options.accession}: {title}"
    return build_pdf(
        story,
        _PAGE,
        title=title,
        subject=footer_of(karyotype),
        draw_page=partial(_foot, text=footer_of(karyotype)),
    )


def _foot(canvas: Canvas, document: SimpleDocTemplate, text: str) -> None:
    canvas.saveState()
    canvas.setFillGray(_SETTINGS.foot_grey)
    draw_line(canvas, (_PAGE.margin_mm * mm, _SETTINGS.foot_mm * mm), text, _SETTINGS.foot_pt)
    right = _PAGE.size_pt[0] - _PAGE.margin_mm * mm
    draw_line(canvas, (right, _SETTINGS.foot_mm * mm), str(document.page), _SETTINGS.foot_pt, anchor=1.0)
    canvas.restoreState()


def _findings(karyotype: Karyotype, notes: Mapping[str, str]) -> list[Flowable]:
    """ISCN string, level and reasons, notes and figures of the cell."""
    styles = paragraph_styles()
    small = styles["Small"]
    verdict = karyotype.verdict
    level = verdict.level.value, karyotype.bands.summary
    findings: list[Flowable] = [
        Paragraph(paragraph_text(karyotype.iscn.text or "no ISCN"), styles["Heading2"]),
        Paragraph(escape("; ".join(filter(None, level))), styles["Heading4"]),
    ]
    reasons = [reason.text for reason in verdict.reasons]
    if karyotype.iscn.text is None and karyotype.iscn.reason not in reasons:
        reasons.insert(0, karyotype.iscn.reason)
    findings += [Paragraph(f"- {paragraph_text(reason)}", small) for reason in reasons]
    if notes:
        findings += [Spacer(1, 2 * mm), Paragraph("Notes", styles["Heading4"])]
        findings += [Paragraph(paragraph_text(f"{name}: {note}"), small) for name, note in notes.items()]
    return [
        *findings,
        Spacer(1, 2 * mm),
        *(Paragraph(paragraph_text(line), small) for line in _figures(karyotype)),
    ]


def _figures(karyotype: Karyotype) -> list[str]:
    image, entries = karyotype.image, karyotype.chromosomes
    left_out = sum(entry.class_name == UNCLASSIFIED for entry in entries)
    kind = [f"{image.bit_depth} bit", *(["colour"] * image.colour), *(["fluorescence"] * image.inverted)]
    lines = [
        f"Picture: {Path(image.source).name}",
        f"{image.width_px} x {image.height_px} px, {', '.join(kind)}",
        *([f"Read with: {'; '.join(image.remarks)}"] if image.remarks else []),
        f"{counted(len(entries) - left_out, 'chromosome')} with a class, {counted(left_out, 'object')} without",
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
    short = set(short_masks([entry.instance for entry in ordered]))
    rows = max(1, -(-len(ordered) // _SETTINGS.table_columns))
    head = ["no.", "class", "certainty", "mark", "short arm", "beside", ""]
    lines: list[list[str]] = [head * _SETTINGS.table_columns]
    for row in range(rows):
        cells: list[str] = []
        for column in range(_SETTINGS.table_columns):
            at = column * rows + row
            cells += [*_row_of(ordered[at], short=at in short), ""] if at < len(ordered) else [""] * len(head)
        lines.append(cells)
    columns = _SETTINGS.table_columns
    widths = [fraction * width / columns for fraction in _SETTINGS.column_fractions]
    table = Table(lines, colWidths=widths * columns, repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("FONT", (0, 0), (-1, -1), embedded_font(), _SETTINGS.table_pt),
                ("TEXTCOLOR", (0, 0), (-1, 0), colors.grey),
                ("TOPPADDING", (0, 0), (-1, -1), _SETTINGS.cell_padding_pt),
                ("BOTTOMPADDING", (0, 0), (-1, -1), _SETTINGS.cell_padding_pt),
                ("LINEBELOW", (0, 0), (-1, -1), _SETTINGS.rule_pt, colors.lightgrey),
            ]
        )
    )
    return table


def _row_of(chromosome: KaryotypedChromosome, *, short: bool) -> list[str]:
    certainty = (
        ""
        if chromosome.class_name == UNCLASSIFIED
        else "a person's"
        if chromosome.set_by_person
        else f"{100 * chromosome.probability:.1f} %"
    )
    beside = ", ".join(str(other) for other in chromosome.instance.overlaps[: _SETTINGS.most_neighbours])
    return [
        str(chromosome.id),
        chromosome.class_name,
        certainty,
        mark_of(chromosome, short=short).value,
        "below" if chromosome.flipped else "above",
        beside + (" ..." if len(chromosome.instance.overlaps) > _SETTINGS.most_neighbours else ""),
    ]


def _reader(picture: NDArray[np.uint8]) -> ImageReader:
    done, encoded = cv2.imencode(".png", picture)
    if not done:
        raise ValueError(f"a picture of shape {picture.shape} can't be encoded")
    return ImageReader(io.BytesIO(encoded.tobytes()))

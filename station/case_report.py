"""The summary of a case for people: one HTML page, and a PDF to file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

import jinja2
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Image, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from acquisition.storage.atomic import write_bytes_atomic
from analysis.case.summary import CaseCell, CaseSummary, CellRole
from analysis.karyogram.text import drawable
from scanner.counted import counted
from station.pdf_document import PdfPage, build_pdf, draw_line, embedded_font, paragraph_styles, paragraph_text

NOTICE: Final = "Proposal by software, for research use only. Not reviewed."


@dataclass(frozen=True, slots=True)
class CaseReportSettings:
    """Sizes of the PDF of a case.

    Attributes
    ----------
    column_mm
        Widths of the table's columns.
    head_pt, rule_pt
        Letters of the table's head, and its rules.
    frame_mm
        Room beside the margins that a laid out cell leaves, across and down: for its heading and its line.
    foot_pt, foot_grey, foot_mm
        Letters, grey and height above the edge of what stands under every page.
    """

    column_mm: tuple[float, ...] = (42, 22, 50, 24, 14, 16, 24, 74)
    head_pt: float = 8
    rule_pt: float = 0.25
    frame_mm: tuple[float, float] = (2, 14)
    foot_pt: float = 7.0
    foot_grey: float = 0.45
    foot_mm: float = 6.0


_SETTINGS: Final = CaseReportSettings()
_PAPER: Final = PdfPage(landscape(A4), margin_mm=14)

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Case {{ case.name }}</title>
<style>
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 74rem;
  padding: 0 1rem; color: #1a1a1a }
h1 { font-size: 1.3rem; margin-bottom: 0 }
.iscn { font-size: 1.7rem; margin: .3rem 0; overflow-wrap: anywhere }
.pale { color: #666 }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
th.number, td.number { text-align: right; width: 1%; font-variant-numeric: tabular-nums }
.excluded { color: #888 }
.files { font-size: .8rem; white-space: nowrap; display: block } .files a { color: #666 }
.note { color: #a33a00 }
.review { color: #a33a00; font-weight: 600 }
figure { margin: 1.5rem 0 } img { max-width: 100%; border: 1px solid #ddd }
</style></head><body>
<h1>Case {{ case.name }}</h1>
<p class="iscn">{{ case.clones.text or "no karyotype" }}</p>
<p class="pale">{{ figures }}. {{ notice }}</p>
{% if case.clones.clones %}<table><tr><th>clone</th><th class="number">cells</th><th>which</th></tr>
{% for clone in case.clones.clones %}<tr><td>{{ clone.text }}</td><td class="number">{{ clone.cells|length }}</td>
<td>{{ clone.cells|join(", ") }}</td></tr>{% endfor %}</table>{% endif %}
{% if case.clones.nonclonal %}<p>In too few cells to be a clone:
{% for finding in case.clones.nonclonal %}{{ finding.item }} ({{ finding.cells|join(", ") }}){{
"" if loop.last else "; " }}{% endfor %}.</p>{% endif %}
{% for candidate in case.candidates %}<p class="review">Candidate: {{ candidate.text }} ({{
candidate.cells|join(", ") }}).</p>
{% endfor %}<table><tr><th>cell</th><th>used as</th><th>ISCN</th><th class="number">chromosomes</th>
<th class="number">bands</th><th class="number">quality</th>
<th>proposal</th><th>why</th></tr>
{% for cell in case.cells %}<tr{% if cell.role == "excluded" %} class="excluded"{% endif %}>
<td>{% if cell.name in pictures %}{% set stem = stems[cell.name] %}
<a href="{{ pictures[cell.name] | link }}">{{ cell.name }}</a>
<span class="files"><a href="{{ stem | link }}.metaphase.png">metaphase</a>
<a href="{{ stem | link }}.pdf">PDF</a></span>{% else %}{{ cell.name }}{% endif %}</td>
<td>{{ cell.role.value }}</td><td>{{ cell.iscn or "" }}</td>
<td class="number">{{ cell.chromosomes }}{% if cell.unclassified %} + {{ cell.unclassified }} ?{% endif %}</td>
<td class="number">{{ cell.bands or "" }}</td><td class="number">{{ "%.2f"|format(cell.quality) }}</td>
<td{% if cell.level == "must review" %} class="review"{% endif %}>{{ cell.level }}</td>
<td>{{ cell.remark }}{% for pair in cell.homologues if pair.flagged %}<br>
<span class="note">{{ pair.text }}</span>
{% endfor %}{% if cell.edited %}<br><span class="pale">edited by a person</span>{% endif %}
{% for picture in cell.further_pictures %}<br>
<span class="pale">not counted again: {{ picture.file }} ({{ picture.kind.value }})</span>{% endfor %}
{% if cell.picture_remarks %}<br>
<span class="pale">picture: {{ cell.picture_remarks|join("; ") }}</span>{% endif %}</td></tr>
{% endfor %}</table>
{% for cell in case.cells if cell.role == "karyotyped" and cell.name in pictures %}
<figure><img src="{{ pictures[cell.name] | link }}" alt="karyogram of {{ cell.name }}">
<figcaption class="pale">{{ cell.name }}: {{ cell.iscn or "no ISCN" }}, {{ cell.level }}</figcaption></figure>
{% endfor %}
</body></html>
"""


def case_page(case: CaseSummary, pictures: Mapping[str, str]) -> str:
    """HTML page of a case.

    Parameters
    ----------
    case
        The summary.
    pictures
        Karyogram of a cell, as a path relative to the page.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, finalize=_finalized)
    environment.filters["link"] = _link
    template = environment.from_string(_PAGE)
    stems = {name: file.removesuffix(".karyogram.png") for name, file in pictures.items()}
    return template.render(case=case, pictures=dict(pictures), stems=stems, figures=_figures(case), notice=NOTICE)


def case_pdf(case: CaseSummary, pictures: Mapping[str, Path]) -> bytes:
    """PDF of a case: the summary, then a page for every cell that is laid out.

    Parameters
    ----------
    case
        The summary.
    pictures
        Karyogram (PNG) of a cell.
    """
    styles = paragraph_styles()
    small = styles["Small"]
    story: list[Flowable] = [
        Paragraph(f"Case {paragraph_text(case.name)}", styles["Heading2"]),
        Paragraph(paragraph_text(case.clones.text or "no karyotype"), styles["Heading1"]),
        Paragraph(paragraph_text(f"{_figures(case)}. {NOTICE}"), styles["Normal"]),
        Spacer(1, 4 * mm),
    ]
    if case.clones.nonclonal:
        changes = "; ".join(f"{change.item} ({', '.join(change.cells)})" for change in case.clones.nonclonal)
        story += [
            Paragraph(paragraph_text(f"In too few cells to be a clone: {changes}."), small),
            Spacer(1, 4 * mm),
        ]
    for candidate in case.candidates:
        line = f"Candidate: {candidate.text} ({', '.join(candidate.cells)})."
        story += [Paragraph(paragraph_text(line), small), Spacer(1, 4 * mm)]
    story.append(_table(case.cells, small))
    for cell in case.cells:
        if cell.role is CellRole.KARYOTYPED and cell.name in pictures:
            story += [PageBreak(), Paragraph(paragraph_text(f"{case.name}, cell {cell.name}"), styles["Heading3"])]
            story += [_fitted(pictures[cell.name]), Paragraph(paragraph_text(_remark(cell)), small)]
    return build_pdf(
        story, _PAPER, title=f"Case {case.name}", subject=NOTICE, draw_page=partial(_foot, name=case.name)
    )


def write_case(case: CaseSummary, folder: Path, pictures: Mapping[str, str]) -> None:
    """Write ``case.html`` and ``case.pdf``, each whole or not at all.

    Parameters
    ----------
    case
        The summary.
    folder
        Where.
    pictures
        Karyogram (PNG) of a cell, by its name: a file in the folder.
    """
    write_bytes_atomic(folder / "case.html", case_page(case, pictures).encode("utf-8"))
    write_bytes_atomic(
        folder / "case.pdf", case_pdf(case, {name: folder / file for name, file in pictures.items()})
    )


def _figures(case: CaseSummary) -> str:
    counted_cells = case.count(CellRole.COUNTED, CellRole.ANALYSED, CellRole.KARYOTYPED)
    parts = [
        counted(len(case.cells), "cell"),
        f"{counted_cells} counted",
        f"{case.count(CellRole.ANALYSED, CellRole.KARYOTYPED)} analysed",
        f"{case.count(CellRole.KARYOTYPED)} karyotyped",
        f"{case.count(CellRole.EXCLUDED)} excluded",
        *([f"{case.edited} edited by a person"] if case.edited else []),
        *([_further(case.further_pictures)] if case.further_pictures else []),
        f"{case.to_review} to review",
        *([f"{case.bands} bands"] if case.bands is not None else []),
    ]
    return ", ".join(parts)


def _further(count: int) -> str:
    return f"{counted(count, 'more picture')} of the same cells"


def _table(case_cells: tuple[CaseCell, ...], style: ParagraphStyle) -> Table:
    rows: list[list[object]] = [["cell", "used as", "ISCN", "chromosomes", "bands", "quality", "proposal", "why"]]
    for cell in case_cells:
        count = f"{cell.chromosomes} + {cell.unclassified} ?" if cell.unclassified else str(cell.chromosomes)
        texts = (
            cell.name,
            cell.role.value,
            cell.iscn or "",
            count,
            "" if cell.bands is None else str(cell.bands),
            f"{cell.quality:.2f}",
            cell.level,
            _why(cell),
        )
        rows.append([Paragraph(paragraph_text(text), style) for text in texts])
    widths = [width * mm for width in _SETTINGS.column_mm]
    table = Table(rows, colWidths=widths, repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("FONT", (0, 0), (-1, 0), embedded_font(), _SETTINGS.head_pt),
                ("LINEBELOW", (0, 0), (-1, -1), _SETTINGS.rule_pt, colors.lightgrey),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ]
        )
    )
    return table


def _fitted(path: Path) -> Image:
    width, height = ImageReader(str(path)).getSize()
    across, down = (2 * (_PAPER.margin_mm + room) * mm for room in _SETTINGS.frame_mm)
    scale = min((_PAPER.size_pt[0] - across) / width, (_PAPER.size_pt[1] - down) / height)
    return Image(str(path), width * scale, height * scale)


def _remark(case_cell: CaseCell) -> str:
    return f"{case_cell.iscn or 'no ISCN'}; {case_cell.level}{': ' + case_cell.remark if case_cell.remark else ''}"


def _why(case_cell: CaseCell) -> str:
    """The remark, and what else a reader of the table has to know."""
    parts = [case_cell.remark, *(["edited by a person"] if case_cell.edited else [])]
    if case_cell.picture_remarks:
        parts.append(f"picture: {'; '.join(case_cell.picture_remarks)}")
    parts += [
        f"not counted again: {picture.file} ({picture.kind.value})" for picture in case_cell.further_pictures
    ]
    return "; ".join(part for part in parts if part)


def _foot(canvas: Canvas, document: SimpleDocTemplate, name: str) -> None:
    canvas.saveState()
    canvas.setFillGray(_SETTINGS.foot_grey)
    draw_line(canvas, (_PAPER.margin_mm * mm, _SETTINGS.foot_mm * mm), f"Case {name}. {NOTICE}", _SETTINGS.foot_pt)
    right = _PAPER.size_pt[0] - _PAPER.margin_mm * mm
    draw_line(canvas, (right, _SETTINGS.foot_mm * mm), str(document.page), _SETTINGS.foot_pt, anchor=1.0)
    canvas.restoreState()


def _finalized(value: object) -> object:
    """What a page shows of a value: strings without what can't be written."""
    return drawable(value) if isinstance(value, str) else value


def _link(file_name: str) -> str:
    """Address of a file beside the page, whatever bytes its name has."""
    return quote(os.fsencode(file_name))

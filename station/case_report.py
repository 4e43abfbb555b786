"""The summary of a case for people: one HTML page, and a PDF to file."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

import jinja2
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle, getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.platypus import Flowable, Image, PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from acquisition.storage.atomic import write_bytes_atomic
from analysis.case.summary import CaseCell, CaseSummary, Role
from station.karyotype_report import binary_streams

NOTICE: Final = "Proposal by software, for research use only. Not reviewed."
_MARGIN_MM: Final = 14

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
td.number { text-align: right; font-variant-numeric: tabular-nums }
.excluded { color: #888 }
.files { font-size: .8rem; white-space: nowrap; display: block } .files a { color: #666 }
.note { color: #a33a00 }
.review { color: #a33a00; font-weight: 600 }
figure { margin: 1.5rem 0 } img { max-width: 100%; border: 1px solid #ddd }
</style></head><body>
<h1>Case {{ case.name }}</h1>
<p class="iscn">{{ case.clones.text or "no karyotype" }}</p>
<p class="pale">{{ figures }}. {{ notice }}</p>
{% if case.clones.clones %}<table><tr><th>clone</th><th>cells</th><th>which</th></tr>
{% for clone in case.clones.clones %}<tr><td>{{ clone.text }}</td><td class="number">{{ clone.cells|length }}</td>
<td>{{ clone.cells|join(", ") }}</td></tr>{% endfor %}</table>{% endif %}
{% if case.clones.single %}<p>In too few cells to be a clone:
{% for finding in case.clones.single %}{{ finding.item }} ({{ finding.cells|join(", ") }}){{
"" if loop.last else "; " }}{% endfor %}.</p>{% endif %}
{% for candidate in case.candidates %}<p class="review">Candidate: {{ candidate.text }} ({{
candidate.cells|join(", ") }}).</p>
{% endfor %}<table><tr><th>cell</th><th>used as</th><th>ISCN</th><th>chromosomes</th><th>bands</th><th>quality</th>
<th>proposal</th><th>why</th></tr>
{% for cell in case.cells %}<tr{% if cell.role == "excluded" %} class="excluded"{% endif %}>
<td>{% if cell.name in pictures %}<a href="{{ pictures[cell.name] | urlencode }}">{{ cell.name }}</a>
<span class="files"><a href="{{ cell.name | urlencode }}.metaphase.png">metaphase</a>
<a href="{{ cell.name | urlencode }}.pdf">PDF</a></span>{% else %}{{ cell.name }}{% endif %}</td>
<td>{{ cell.role.value }}</td><td>{{ cell.iscn or "" }}</td>
<td class="number">{{ cell.chromosomes }}{% if cell.unclassified %} + {{ cell.unclassified }} ?{% endif %}</td>
<td class="number">{{ cell.bands or "" }}</td><td class="number">{{ "%.2f"|format(cell.quality) }}</td>
<td{% if cell.level == "must review" %} class="review"{% endif %}>{{ cell.level }}</td>
<td>{{ cell.remark }}{% for pair in cell.homologues if pair.flagged %}<br>
<span class="note">{{ pair.text }}</span>
{% endfor %}</td></tr>
{% endfor %}</table>
{% for cell in case.cells if cell.role == "karyotyped" and cell.name in pictures %}
<figure><img src="{{ pictures[cell.name] | urlencode }}" alt="karyogram of {{ cell.name }}">
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
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(_PAGE)
    return template.render(case=case, pictures=dict(pictures), figures=_figures(case), notice=NOTICE)


def case_pdf(case: CaseSummary, pictures: Mapping[str, Path]) -> bytes:
    """PDF of a case: the summary, then a page for every cell that is laid out.

    Parameters
    ----------
    case
        The summary.
    pictures
        Karyogram (PNG) of a cell.
    """
    styles = getSampleStyleSheet()
    small = ParagraphStyle("small", parent=styles["Normal"], fontSize=8, leading=10)
    story: list[Flowable] = [
        Paragraph(f"Case {escape(case.name)}", styles["Heading2"]),
        Paragraph(escape(case.clones.text or "no karyotype"), styles["Heading1"]),
        Paragraph(escape(f"{_figures(case)}. {NOTICE}"), styles["Normal"]),
        Spacer(1, 4 * mm),
    ]
    if case.clones.single:
        said = "; ".join(f"{finding.item} ({', '.join(finding.cells)})" for finding in case.clones.single)
        story += [Paragraph(escape(f"In too few cells to be a clone: {said}."), small), Spacer(1, 4 * mm)]
    for candidate in case.candidates:
        said = f"Candidate: {candidate.text} ({', '.join(candidate.cells)})."
        story += [Paragraph(escape(said), small), Spacer(1, 4 * mm)]
    story.append(_table(case.cells, small))
    for cell in case.cells:
        if cell.role is Role.KARYOTYPED and cell.name in pictures:
            story += [PageBreak(), Paragraph(escape(f"{case.name}, cell {cell.name}"), styles["Heading3"])]
            story += [_fitted(pictures[cell.name]), Paragraph(escape(_remark(cell)), small)]
    content = io.BytesIO()
    margin = _MARGIN_MM * mm
    document = SimpleDocTemplate(
        content,
        pagesize=landscape(A4),
        leftMargin=margin,
        rightMargin=margin,
        topMargin=margin,
        bottomMargin=margin,
        title=f"Case {case.name}",
        author="KaryoScan",
        invariant=1,
    )
    with binary_streams():
        document.build(story)
    return content.getvalue()


def write_case(case: CaseSummary, folder: Path, pictures: Mapping[str, str]) -> None:
    """Write ``case.html`` and ``case.pdf``, each whole or not at all."""
    write_bytes_atomic(folder / "case.html", case_page(case, pictures).encode("utf-8"))
    write_bytes_atomic(
        folder / "case.pdf", case_pdf(case, {name: folder / file for name, file in pictures.items()})
    )


def _figures(case: CaseSummary) -> str:
    counted = case.count(Role.COUNTED, Role.ANALYSED, Role.KARYOTYPED)
    parts = [
        f"{len(case.cells)} cells",
        f"{counted} counted",
        f"{case.count(Role.ANALYSED, Role.KARYOTYPED)} analysed",
        f"{case.count(Role.KARYOTYPED)} karyotyped",
        f"{case.count(Role.EXCLUDED)} excluded",
        f"{case.to_review} to review",
        *([f"{case.bands} bands"] if case.bands is not None else []),
    ]
    return ", ".join(parts)


def _table(cells: tuple[CaseCell, ...], style: ParagraphStyle) -> Table:
    rows: list[list[object]] = [["cell", "used as", "ISCN", "chromosomes", "bands", "quality", "proposal", "why"]]
    for cell in cells:
        count = f"{cell.chromosomes} + {cell.unclassified} ?" if cell.unclassified else str(cell.chromosomes)
        words = (
            cell.name,
            cell.role.value,
            cell.iscn or "",
            count,
            "" if cell.bands is None else str(cell.bands),
            f"{cell.quality:.2f}",
            cell.level,
            cell.remark,
        )
        rows.append([Paragraph(escape(word), style) for word in words])
    widths = [width * mm for width in (42, 22, 50, 24, 14, 16, 24, 74)]
    table = Table(rows, colWidths=widths, repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("FONTSIZE", (0, 0), (-1, 0), 8),
                ("LINEBELOW", (0, 0), (-1, -1), 0.25, colors.lightgrey),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ]
        )
    )
    return table


def _fitted(path: Path) -> Image:
    width, height = ImageReader(str(path)).getSize()
    page_width, page_height = landscape(A4)
    room_width, room_height = page_width - 2 * (_MARGIN_MM + 2) * mm, page_height - 2 * (_MARGIN_MM + 14) * mm
    scale = min(room_width / width, room_height / height)
    return Image(str(path), width * scale, height * scale)


def _remark(cell: CaseCell) -> str:
    return f"{cell.iscn or 'no ISCN'}; {cell.level}{': ' + cell.remark if cell.remark else ''}"

"""The PDF of one cell, and the files a cell is written to."""

from __future__ import annotations

import re
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from reportlab import rl_config

from analysis.karyogram.sheet import FOOTER, REVIEW_BELOW, SheetOptions
from analysis.karyotyping.proposal_file import read_proposal
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.iscn import IscnResult
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome
from analysis.structures.review import ReviewFinding, ReviewReason, ReviewVerdict
from station.cell_files import ENDINGS, write_cell
from station.karyotype_report import karyotype_pdf
from station.pdf_document import paragraph_text, printable


@pytest.fixture(scope="module")
def cell(tmp_path_factory) -> Karyotype:
    """A small cell with chromosomes of every level of certainty."""
    rng = np.random.default_rng(5)
    pixels = np.full((160, 240), 230, np.uint8)
    entries = []
    for k, (name, sure) in enumerate((("1", 0.99), ("1", 0.7), ("X", 0.3), ("?", 0.1))):
        x, y, height = 15 + 55 * k, 20, 100 - 15 * k
        pixels[y : y + height, x : x + 14] = rng.integers(60, 160, (height, 1))
        instance = Instance(
            (x, y, x + 14, y + height), np.ones((height, 14), np.bool_), 1.0, SegmentationRoute.SINGLE
        )
        entries.append(KaryotypedChromosome(k, name, sure, instance, flipped=k == 1))
    path = tmp_path_factory.mktemp("cell") / "Zelle 7.png"
    cv2.imwrite(str(path), pixels)
    verdict = ReviewVerdict((ReviewReason(ReviewFinding.TOO_FEW, "3 chromosomes are no whole cell", True),))
    background = np.full(pixels.shape, 230, np.float32)
    iscn = IscnResult(None, "too few <chromosomes>")
    return Karyotype(GreyImage(pixels, str(path)), background, tuple(entries), iscn, "XX", 0.0, 0.5, verdict)


def text_of(content: bytes) -> str:
    """Everything that is written on the pages of one of our PDFs."""
    said = []
    for stream in re.findall(rb"(?<!end)stream\r?\n(.*?)endstream", content, re.DOTALL):
        try:
            page = zlib.decompressobj().decompress(stream)
        except zlib.error:
            continue
        said += re.findall(rb"\((.*?)(?<!\\)\) Tj", page)
    return "\n".join(part.decode("cp1252") for part in said)


def test_the_pdf_says_what_the_proposal_says(cell):
    content = karyotype_pdf(cell, SheetOptions(ideograms=400, notes={"1": "bands differ at 1p31"}))
    assert content.startswith(b"%PDF-")
    assert content.count(b"/Type /Page\n") == 3
    said = text_of(content)
    for words in ("no ISCN", "must review", "3 chromosomes are no whole cell", "too few <chromosomes>", FOOTER):
        assert words in said
    assert said.count("bands differ at 1p31") >= 2
    for words in ("99.0 %", "70.0 %", "check", "30.0 %", "Zelle 7.png"):
        assert words in said


def test_the_same_proposal_gives_the_same_bytes_and_leaves_the_library_as_it_was(cell, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    before = rl_config.useA85
    assert karyotype_pdf(cell) == karyotype_pdf(cell)
    assert rl_config.useA85 == before


def test_the_pdf_has_its_true_date_and_names_no_folder(cell, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    before = datetime.now(UTC).replace(microsecond=0)
    content = karyotype_pdf(cell, SheetOptions(accession="A-26/0815"))
    stamp = re.search(rb"/CreationDate \(D:(\d{14})([+-]\d\d)'(\d\d)'\)", content)
    assert stamp is not None
    made = datetime.strptime(b"".join(stamp.groups()).decode(), "%Y%m%d%H%M%S%z")
    assert before <= made <= datetime.now(UTC)
    assert b"KaryoScan" in content
    assert str(Path(cell.image.source).parent) not in text_of(content)
    assert str(Path(cell.image.source).parent).encode() not in content
    assert text_of(content).count("A-26/0815") == 1
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert b"/CreationDate (D:20231114221320+00'00')" in karyotype_pdf(cell)


@pytest.mark.parametrize(
    "name", ["Żółć.png", "Ωμέγα.png", "Клетка.png", "細胞-一.png", "さいぼう細胞.png", "세포 1.png"]
)
def test_european_and_east_asian_letters_are_printed(name):
    assert printable(name) == name


@pytest.mark.parametrize(
    ("text", "font"),
    [("胞", "STSong-Light"), ("さ胞", "HeiseiMin-W3"), ("세胞", "HYSMyeongJo-Medium"), ("A&B", None)],
)
def test_a_paragraph_names_the_font_of_letters_that_the_embedded_one_lacks(text, font):
    assert paragraph_text(text) == ("A&amp;B" if font is None else f'<font name="{font}">{text}</font>')


def test_an_accession_in_chinese_stands_on_sheet_foot_and_findings(cell):
    content = karyotype_pdf(replace(cell, iscn=IscnResult(None, "胞 <1>")), SheetOptions(accession="細胞 7"))
    assert b"STSong-Light" in content
    assert b"UniGB-UCS2-H" in content
    assert "\N{REPLACEMENT CHARACTER}" not in text_of(content)


def test_what_the_font_lacks_and_what_cannot_be_drawn_is_replaced(cell):
    assert printable("\N{COPTIC SMALL LETTER ALFA}𠀀\udcfc\n") == "\N{REPLACEMENT CHARACTER}" * 4
    odd = replace(cell, image=replace(cell.image, source="/somewhere/uml_\udcfc.png"))
    assert karyotype_pdf(odd).startswith(b"%PDF-")


def test_a_cell_without_chromosomes_has_a_pdf_too(cell):
    assert "no ISCN" in text_of(karyotype_pdf(replace(cell, chromosomes=())))


def test_an_edited_proposal_is_written_with_everything(cell, tmp_path):
    said = write_cell(cell, tmp_path, "cell", SheetOptions(ideograms=850))
    assert said.endswith("cell.{json,karyogram.png,metaphase.png,pdf}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"cell.{ending}" for ending in ENDINGS)
    edited = tmp_path / "cell.json"
    edited.write_text(edited.read_text().replace('"class": "?"', '"class": "2"'))
    again = read_proposal(edited)
    write_cell(again, tmp_path, "edited", SheetOptions(ideograms=850))
    first, second = (cv2.imread(str(tmp_path / f"{name}.karyogram.png")) for name in ("cell", "edited"))
    assert not np.array_equal(first.shape, second.shape) or (first != second).any()
    metaphase = cv2.imread(str(tmp_path / "edited.metaphase.png"))
    assert metaphase.shape[0] / metaphase.shape[1] == pytest.approx(160 / 240, rel=0.01)
    # Outlines are coloured; the picture itself is grey.
    assert (np.ptp(metaphase.astype(int), axis=2) > 60).sum() > 500
    assert REVIEW_BELOW < 0.9

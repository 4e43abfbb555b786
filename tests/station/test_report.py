"""The report shows what the record says, and nothing from outside."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from acquisition.casebook import Casebook, open_casebook
from acquisition.errors import CasebookError, StorageError
from acquisition.records import (
    CandidateRecord,
    CandidateStatus,
    CaptureRecord,
    EventLevel,
    FieldRecord,
    FieldStatus,
    KaryotypeRecord,
    KaryotypeStatus,
    RunEvent,
    RunRecord,
    RunStatus,
)
from acquisition.storage import (
    CaptureMetadata,
    Immersion,
    ObjectiveMetadata,
    write_capture,
    write_json_atomic,
    write_png_atomic,
)
from station.report import build_report
from station.report.pictures import stretch
from station.report.record import read_run
from station.report.slide_map import draw_map

START = datetime(2026, 3, 4, 20, 0, 0, tzinfo=UTC)
OIL = ObjectiveMetadata("63x/1.4 oil", 63.0, 1.4, Immersion.OIL)
RUN_UID = "run-1"
NOT_REACHED = "stage.x: at rest, but elsewhere"
COLUMNS, ROWS = 4, 3
STEP_X_UM, STEP_Y_UM = 830.0, 627.0
VOID = {"meta", "img", "br", "link", "input", "hr"}


@dataclass(frozen=True)
class Sizes:
    """Pictures of a made-up run, in px."""

    thumbnail: int = 24
    capture: tuple[int, int] = (48, 64)
    karyogram: tuple[int, int] = (40, 60)


class Page(HTMLParser):
    """Elements of a page, with a check that what is opened is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def count(self, class_name: str) -> int:
        return sum(class_name in (attrs.get("class") or "").split() for _, attrs in self.elements)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.text))


def make_run(
    folder: Path, *, slide: str = "S 26/017", finds: int = 6, truth: bool = True, sizes: Sizes | None = None
) -> None:
    """Write the record of a made-up run: the first finds are captured, one is false, one cell is missed."""
    for part in ("captures", "karyograms", "finds"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    with open_casebook(folder / "casebook.sqlite") as book:
        book.begin_run(RunRecord(RUN_UID, slide, "simulated", "version: 1", "demo", "version: 1", "0.1.0", START))
        _record_fields(book, finds)
        _record_finds(book, folder, finds, sizes or Sizes())
        book.record_event(RUN_UID, RunEvent(START, EventLevel.INFO, "run_started", "12 fields planned"))
        book.record_event(
            RUN_UID,
            RunEvent(
                START + timedelta(seconds=9), EventLevel.WARNING, "field_failed", NOT_REACHED,
                {"field": 7, "wanted_um": 100.0, "actual_um": 93.5},
            ),
        )  # fmt: skip
        book.finish_run(RUN_UID, RunStatus.COMPLETED_WITH_ERRORS, START + timedelta(seconds=95))
    write_json_atomic(folder / "run.json", run_json(slide, finds, truth=truth))
    if truth:
        write_json_atomic(folder / "truth.json", truth_json(finds))


def run_json(slide: str, finds: int, *, truth: bool) -> dict[str, object]:
    captured = captured_of(finds)
    return {
        "run_uid": RUN_UID, "slide": slide, "accession": "17-0042", "specimen": "rendered", "seed": 7,
        "rig": "simulated", "protocol": "demo", "software_version": "0.1.0", "status": "completed_with_errors",
        "error": None,
        "area_um": [10_000.0, 5_000.0, 10_000 + COLUMNS * STEP_X_UM, 5_000 + ROWS * STEP_Y_UM],
        "planted": finds if truth else None, "found": finds, "captured": captured,
        "karyotyped": max(captured - 1, 0),
        "false_finds": min(finds, 1) if truth else None,
        "chromosomes_true": 46 * captured if truth else None,
        "chromosomes_right": 43 * captured if truth else None,
        "seconds": {"scan": 31.25, "capture": 40.0, "karyotype": 3725.0},
    }  # fmt: skip


def truth_json(finds: int) -> dict[str, object]:
    cells = [
        {
            "uid": f"cell-{number}", "slide_x_um": place_um(number)[0] + 1, "slide_y_um": place_um(number)[1] - 1,
            "radius_um": 24.0, "iscn": "47,XX,+21" if number % 3 == 0 else "46,XY",
        }
        for number in range(max(finds, 1))
    ]  # fmt: skip
    # The last find belongs to no cell and the last cell to no find.
    matches = [{"cell_uid": f"cell-{number}", "candidate_uid": f"c{number:04d}"} for number in range(finds - 1)]
    cells[-1] |= {"slide_x_um": 11_000.0, "slide_y_um": 6_700.0}
    return {"cells": cells, "matches": matches}


def captured_of(finds: int) -> int:
    return max(finds - 2, 0)


def place_um(number: int) -> tuple[float, float]:
    return 10_150 + (number * 1_237.0) % (COLUMNS * STEP_X_UM - 300), 5_120 + (number * 557.0) % 1_600


def _record_fields(book: Casebook, finds: int) -> None:
    for index in range(COLUMNS * ROWS):
        row, column = divmod(index, COLUMNS)
        failed = index == 7
        x_um, y_um = 10_000 + (column + 0.5) * STEP_X_UM, 5_000 + (row + 0.5) * STEP_Y_UM
        book.record_field(
            RUN_UID,
            FieldRecord(
                index, row, column, x_um, y_um, x_um, y_um, 3.0,
                FieldStatus.FAILED if failed else FieldStatus.DONE,
                START + timedelta(seconds=index), 35.0 + index, 120.0 - index, 10.0, 80.0 + 3 * index,
                0 if failed else finds, NOT_REACHED if failed else None,
            ),
        )  # fmt: skip


def _record_finds(book: Casebook, folder: Path, finds: int, sizes: Sizes) -> None:
    rng = np.random.default_rng(5)
    for number in range(finds):
        uid, (x_um, y_um) = f"c{number:04d}", place_um(number)
        write_png_atomic(folder / f"finds/{uid}.png", picture(rng, (sizes.thumbnail, sizes.thumbnail), 2.0))
        captured = number < captured_of(finds)
        status = CandidateStatus.CAPTURED if captured else CandidateStatus.NOT_SELECTED
        if number == captured_of(finds):
            status = CandidateStatus.FAILED
        book.record_candidates(
            RUN_UID,
            [
                CandidateRecord(
                    uid, number, x_um, y_um, 22.0, 0.97 - 0.03 * number, number + 1, status, f"finds/{uid}.png",
                    "no plausible focus" if status is CandidateStatus.FAILED else None,
                )
            ],
        )  # fmt: skip
        if captured:
            _record_capture(book, folder, number, rng, sizes)


def _record_capture(book: Casebook, folder: Path, number: int, rng: np.random.Generator, sizes: Sizes) -> None:
    uid, (x_um, y_um) = f"p{number:04d}", place_um(number)
    taken_at = START + timedelta(seconds=40 + number)
    um_per_px = 0.1024 * 1360 / sizes.capture[1]
    metadata = CaptureMetadata(
        uid, RUN_UID, f"c{number:04d}", "slide", um_per_px, x_um, y_um, 4.0, x_um, y_um, 12.5, taken_at, OIL
    )
    path = f"captures/{uid}.ome.tiff"
    pixels = (picture(rng, sizes.capture, 5.0).astype(np.uint16) << 3) + 900
    sha256 = write_capture(folder / path, pixels, metadata)
    book.record_capture(
        RUN_UID,
        CaptureRecord(
            uid, f"c{number:04d}", path, sha256, x_um, y_um, x_um, y_um, 4.0, OIL.name, um_per_px, 12.5,
            300.0, 0.6, taken_at,
        ),
    )  # fmt: skip
    if number == 1:
        refused = KaryotypeRecord(uid, KaryotypeStatus.REFUSED, 0.5, error="no metaphase on the picture")
        book.record_karyotype(RUN_UID, refused)
        return
    karyogram = f"karyograms/{uid}.png"
    write_png_atomic(folder / karyogram, picture(rng, sizes.karyogram, 8.0))
    book.record_karyotype(
        RUN_UID,
        KaryotypeRecord(uid, KaryotypeStatus.PROPOSED, 4.25, "46,XY", 46, f"karyograms/{uid}.json", karyogram),
    )


def picture(rng: np.random.Generator, shape: tuple[int, int], thickness: float) -> NDArray[np.uint8]:
    """Dark rods on a bright ground."""
    height, width = shape
    ground = np.full(shape, 225, np.uint8)
    for _ in range(46):
        x, y = rng.normal(0.5, 0.13, 2) * (width, height)
        angle, length = rng.uniform(0, np.pi), rng.uniform(0.02, 0.05) * min(shape)
        dx, dy = length * np.cos(angle), length * np.sin(angle)
        ends = (round(x - dx), round(y - dy)), (round(x + dx), round(y + dy))
        cv2.line(
            ground, *ends, int(rng.integers(40, 110)), max(1, round(thickness * min(shape) / 400)), cv2.LINE_AA
        )
    noisy = cv2.GaussianBlur(ground, (0, 0), 1.0).astype(float) + rng.normal(0, 3, shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def build(folder: Path) -> str:
    path = build_report(folder)
    assert path == folder / "report.html"
    return path.read_text("utf-8")


def markers(page: Page) -> int:
    return page.count("marker")


def test_the_page_needs_nothing_from_outside(tmp_path: Path) -> None:
    make_run(tmp_path)
    html = build(tmp_path)
    page = Page(html)
    for tag, attrs in page.elements:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        for name in ("src", "href", "xlink:href", "srcset", "data", "action", "poster"):
            value = attrs.get(name)
            assert value is None or value.startswith(("data:image/", "#")), (tag, name, value)
    assert not re.search(r"https?://|@import|url\((?!#)", html)
    policies = [attrs["content"] for tag, attrs in page.elements if tag == "meta" and "http-equiv" in attrs]
    assert policies == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_every_link_of_the_page_has_its_target(tmp_path: Path) -> None:
    make_run(tmp_path)
    page = Page(build(tmp_path))
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    targets = {attrs["href"] for tag, attrs in page.elements if tag == "a"}
    assert len(ids) == len(set(ids))
    assert targets
    assert targets <= {f"#{item}" for item in ids}


def test_the_map_counts_what_the_record_holds(tmp_path: Path) -> None:
    make_run(tmp_path, finds=6)
    page = Page(build(tmp_path))
    svg_legend = 1
    assert page.count("field") == COLUMNS * ROWS - 1 + svg_legend
    assert page.count("field-failed") == 1 + svg_legend
    assert markers(page) == 6 + 1
    assert page.count("m-captured") == 4 + svg_legend
    assert page.count("m-failed") == 1 + svg_legend
    assert page.count("m-false") == 1 + svg_legend
    assert page.count("m-missed") == 1 + svg_legend
    assert "captured: 4" in page.words
    assert "missed cell: 1" in page.words


def test_the_map_keeps_proportions(tmp_path: Path) -> None:
    make_run(tmp_path)
    drawing = draw_map(read_run(tmp_path))
    assert drawing is not None
    assert drawing.width / drawing.height == pytest.approx(COLUMNS * STEP_X_UM / (ROWS * STEP_Y_UM), rel=1e-2)
    assert drawing.bar_label == "500 µm"
    assert drawing.bar_px == pytest.approx(500 * drawing.width / (COLUMNS * STEP_X_UM), abs=0.1)
    assert (drawing.fields[0].x, drawing.fields[0].y) == (0.0, 0.0)
    last = drawing.fields[-1]
    assert (last.x + last.width, last.y + last.height) == pytest.approx((drawing.width, drawing.height), abs=0.3)
    for marker in drawing.markers:
        assert 0 < marker.x < drawing.width
        assert 0 < marker.y < drawing.height


def test_gallery_and_karyograms_show_every_capture(tmp_path: Path) -> None:
    make_run(tmp_path, finds=6)
    page = Page(build(tmp_path))
    pictures = [attrs for tag, attrs in page.elements if tag == "img"]
    assert len(pictures) == 4 * 2 + 3
    assert all(attrs["alt"] for attrs in pictures)
    assert page.count("karyogram") == 3
    for word in ("46,XY", "47,XX,+21", "46 chromosomes", "no metaphase on the picture", "research use only"):
        assert word in page.words


def test_figures_times_and_events_are_told(tmp_path: Path) -> None:
    make_run(tmp_path, finds=6)
    words = Page(build(tmp_path)).words
    for word in (
        "completed with errors", "172", "of 184 (93.5 %)", "2026-03-04 20:00:00 UTC", "1 min 35 s", "1 h 02 min",
        "over 11 fields that succeeded", "wanted_um = 100.0", "All events (2)", "(seed 7)", "17-0042",
        "KaryoScan 0.1.0",
    ):  # fmt: skip
        assert word in words, word


def judge(folder: Path) -> None:
    """As if the run's finder had judged its finds, and a reviewer as well."""
    with open_casebook(folder / "casebook.sqlite") as book:
        found = book.candidates(RUN_UID)
        # The made-up finds lie on fields 0, 1, 2, ...: two more on the first.
        more = [
            replace(
                found[0], uid=f"more-{number}", rank=50 + number, status=CandidateStatus.NOT_SELECTED,
                analysable=0.9, rank_score=0.8, spread=0.7, overlap=0.25, completeness=1.0, contrast=0.5,
                chromosomes=45.7,
            )
            for number in range(2)
        ]  # fmt: skip
        book.record_candidates(RUN_UID, more)
        book.decide(RUN_UID, "c0000", accepted=True, reviewer="kim", at=START)
        book.decide(RUN_UID, "c0005", accepted=False, reviewer="lee <b>", at=START, reason="a bubble")
        drift = {"statistic": "noise_od", "found": 0.05, "usual_low": 0.01, "usual_high": 0.02}
        book.record_event(RUN_UID, RunEvent(START, EventLevel.WARNING, "drift", "noise od is 0.05", drift))


def test_sessions_tell_versions_and_a_duration_that_no_clock_spoils(tmp_path: Path) -> None:
    make_run(tmp_path)
    values = json.loads((tmp_path / "run.json").read_text())
    sessions = [
        {"software_version": "0.1.0", "started_at": "2026-03-04T20:00:00+00:00", "elapsed_s": 60.0},
        {"software_version": "0.2.0", "started_at": "2026-03-01T20:00:00+00:00", "elapsed_s": 25.0},
    ]
    (tmp_path / "run.json").write_text(json.dumps(values | {"sessions": sessions}))
    words = Page(build(tmp_path)).words
    assert "KaryoScan 0.1.0, then 0.2.0" in words
    assert "1 min 25 s in 2 sessions" in words
    (tmp_path / "run.json").write_text(json.dumps(values | {"sessions": ["?", {"elapsed_s": "long"}]}))
    assert "KaryoScan 0.1.0" in Page(build(tmp_path)).words


def test_what_the_finder_thinks_and_reviewers_decided_is_told(tmp_path: Path) -> None:
    make_run(tmp_path)
    judge(tmp_path)
    html = build(tmp_path)
    words = Page(html).words
    assert "accepted by kim" in words
    assert "rejected by lee <b>: a bubble" in words
    assert "Unusual slide: noise od is 0.05" in words
    assert "0.90" in words
    assert "<b>" not in html


def test_the_density_of_the_slide_counts_chances_and_leaves_out_what_was_rejected(tmp_path: Path) -> None:
    make_run(tmp_path)
    before = read_run(tmp_path)
    assert before.cells is not None
    assert before.cells.expected.mean == pytest.approx(sum(0.97 - 0.03 * number for number in range(6)))
    judge(tmp_path)
    run = read_run(tmp_path)
    assert run.cells is not None
    assert run.cells.density is not None
    # One was rejected (0.97 - 0.15); two came, metaphases with 0.97 and then analysable with 0.9.
    more = 2 * 0.97 * 0.9
    assert run.cells.expected.mean == pytest.approx(before.cells.expected.mean - 0.82 + more)
    assert run.cells.density.field_mm2 == pytest.approx(STEP_X_UM * STEP_Y_UM / 1e6)
    drawn = draw_map(run)
    assert drawn is not None
    assert drawn.density[0].cells == pytest.approx(0.97 + more)
    assert drawn.most_cells == drawn.density[0].cells
    assert drawn.density[5].cells == 0.0
    # The failed field tells nothing.
    assert len(drawn.density) == COLUMNS * ROWS - 1
    page = Page(build(tmp_path))
    # A rectangle a field, and three of the legend.
    assert page.count("cells") == COLUMNS * ROWS - 1 + 3
    assert "its score stands in" not in page.words


def test_every_table_has_headers(tmp_path: Path) -> None:
    make_run(tmp_path)
    html = build(tmp_path)
    tables = re.findall(r"<table.*?</table>", html, re.DOTALL)
    assert len(tables) >= 5
    assert all('scope="col"' in table for table in tables)


def test_a_nasty_slide_name_stays_text(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>\"'&</title> \ud800"
    make_run(tmp_path, slide="x")
    values = json.loads((tmp_path / "run.json").read_text("utf-8"))
    (tmp_path / "casebook.sqlite").unlink()
    (tmp_path / "run.json").write_text(json.dumps({**values, "slide": nasty, "error": nasty, "rig": nasty}))
    html = build(tmp_path)
    assert "<script" not in html
    page = Page(html)
    assert "<script>alert(1)</script>\"'&</title>" in page.words


def test_a_nasty_slide_name_in_the_casebook_stays_text(tmp_path: Path) -> None:
    make_run(tmp_path, slide='"><img src=x onerror=alert(1)> {{ 7 * 7 }}')
    page = Page(build(tmp_path))
    assert not any("onerror" in attrs for _, attrs in page.elements)
    assert "{{ 7 * 7 }}" in page.words


def test_unknown_truth_is_a_dash_not_a_zero(tmp_path: Path) -> None:
    make_run(tmp_path, truth=False)
    html = build(tmp_path)
    page = Page(html)
    assert page.count("m-missed") == page.count("m-false") == 0
    for label in ("Planted", "False finds", "Chromosomes right"):
        assert re.search(rf"<dt>{label}</dt><dd>—</dd>", html), label
    assert "not known beforehand" in page.words


def test_a_run_that_found_nothing(tmp_path: Path) -> None:
    make_run(tmp_path, finds=0)
    page = Page(build(tmp_path))
    assert markers(page) == 1
    assert "No metaphase was captured." in page.words
    assert "There is no karyogram." in page.words
    assert "0 of 0" in page.words


def test_a_run_that_broke_off(tmp_path: Path) -> None:
    with open_casebook(tmp_path / "casebook.sqlite") as book:
        book.begin_run(RunRecord(RUN_UID, "S", "rig", "", "protocol", "", "0.1.0", START))
        book.record_event(RUN_UID, RunEvent(START, EventLevel.ERROR, "lamp_off", "the lamp went out"))
        book.finish_run(RUN_UID, RunStatus.FAILED, START + timedelta(seconds=2), "the lamp went out")
    page = Page(build(tmp_path))
    for word in ("failed", "The run ended with an error", "the lamp went out", "Nothing was scanned.", "No times"):
        assert word in page.words, word


def test_a_run_still_going_on(tmp_path: Path) -> None:
    with open_casebook(tmp_path / "casebook.sqlite") as book:
        book.begin_run(RunRecord(RUN_UID, "S", "rig", "", "protocol", "", "0.1.0", START))
    assert "running" in Page(build(tmp_path)).words


def test_missing_and_damaged_pictures_are_named(tmp_path: Path) -> None:
    make_run(tmp_path)
    (tmp_path / "captures/p0000.ome.tiff").unlink()
    (tmp_path / "karyograms/p0000.png").write_bytes(b"no picture")
    (tmp_path / "finds/c0000.png").write_bytes(b"")
    page = Page(build(tmp_path))
    assert page.count("nothing") == 3
    assert "No such file" in page.words
    assert "karyograms/p0000.png: not a picture" in page.words


def test_a_picture_outside_the_folder_is_not_shown(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make_run(folder, finds=0)
    write_png_atomic(tmp_path / "secret.png", np.zeros((4, 4), np.uint8))
    with open_casebook(folder / "casebook.sqlite") as book:
        book.record_candidates(
            RUN_UID,
            [CandidateRecord("c", 0, 10_100, 5_100, 20, 0.5, 1, CandidateStatus.CAPTURED, "../secret.png")],
        )
        capture = CaptureRecord(
            "p", "c", "../p.tiff", "0" * 64, 0, 0, 0, 0, 0, "63x", 0.1, 10, 1, 0, START
        )  # fmt: skip
        book.record_capture(RUN_UID, capture)
    page = Page(build(folder))
    assert not any(tag == "img" for tag, _ in page.elements)
    assert page.words.count("outside the run folder") == 2


def test_no_record_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no record of a run"):
        build_report(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("run.json", b"{", StorageError),
        ("run.json", b"[]", StorageError),
        ("run.json", b"\xff", StorageError),
        ("truth.json", b'{"cells": [{}], "matches": []}', StorageError),
        ("truth.json", b'{"cells": 3}', StorageError),
        ("casebook.sqlite", b"no database at all", CasebookError),
    ],
)
def test_a_damaged_record_is_one_line(tmp_path: Path, name: str, content: bytes, error: type[Exception]) -> None:
    make_run(tmp_path, finds=0)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=re.escape(str(tmp_path / name))) as caught:
        build_report(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_figures_of_the_wrong_kind_are_absent(tmp_path: Path) -> None:
    make_run(tmp_path, finds=0)
    values = run_json("S", 0, truth=True) | {
        "planted": "many",
        "found": True,
        "area_um": [1, 2],
        "seconds": {"a": "b"},
    }
    write_json_atomic(tmp_path / "run.json", values)
    run = read_run(tmp_path)
    assert (run.figures.planted, run.figures.detected, run.area, run.seconds) == (None, None, None, {})
    assert draw_map(run) is not None


def test_the_map_of_a_single_field(tmp_path: Path) -> None:
    make_run(tmp_path, finds=0)
    run = read_run(tmp_path)
    alone = replace(run, fields=run.fields[:1], truth=None)
    drawing = draw_map(alone)
    assert drawing is not None
    assert drawing.fields == ()
    drawn = draw_map(replace(alone, field_um=(877.0, 660.0)))
    assert drawn is not None
    assert len(drawn.fields) == 1


def test_stretch_uses_the_whole_range() -> None:
    ramp = np.linspace(900, 2900, 10_000).reshape(100, 100).astype(np.uint16)
    assert (stretch(ramp).min(), stretch(ramp).max()) == (0, 255)
    assert (stretch(np.full((4, 4), 7, np.uint16)) == 128).all()

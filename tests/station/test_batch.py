"""``karyoscan batch`` on the twin with a feeder, from the labels to the runs."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from acquisition.batch.report import BatchReport, SlideReport, SlideStatus, write_report
from acquisition.batch.worklist import load_worklist
from acquisition.casebook import open_casebook
from acquisition.errors import DiskFullError, ResumeError, StorageError
from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from station.cli import app
from station.errors import UsageError
from station.exit_codes import ExitCode
from station.report.batch_page import build_batch_page
from station.run.batch import require_same_case, run_batch
from station.run.batch_check import check_batch
from station.run.batch_request import BatchRequest
from station.run.scan import ScanRequest

RIG = Path(__file__).parents[2] / "hardware_configs" / "simulated-feeder"
PROTOCOL = """\
version: 1
name: quick
banding: G
tissue: lymphocyte
scan:
  objective: 10x
  area: {x_min_um: 30000, y_min_um: 11000, x_max_um: 31600, y_max_um: 12200}
  exposure_ms: 5
  focus: {points: 3, range_um: 40}
capture: {objective: 63x, oil: allowed, number: 1, exposure_ms: 40, focus_range_um: 6}
karyotype: {enabled: false}
notify:
  - {type: file, path: told.jsonl}
"""


@pytest.fixture
def asked(tmp_path: Path) -> BatchRequest:
    """Three wanted slides: one with a cell, one empty, one that carries another name."""
    (tmp_path / "quick.yaml").write_text(PROTOCOL)
    (tmp_path / "night.csv").write_text(
        "barcode,accession,protocol,priority\n"
        "KS-1,case-1,quick.yaml,\nKS-2,case-2,quick.yaml,\nKS-3,case-3,quick.yaml,\n"
    )
    (tmp_path / "tray.csv").write_text("slot,barcode,cells,seed\n1,KS-1,1,5\n2,KS-2,0,6\n7,KS-8,1,7\n")
    return BatchRequest(RIG, tmp_path / "night.csv", tmp_path / "out", tmp_path / "tray.csv")


def run(asked: BatchRequest) -> BatchReport:
    return run_batch(asked, RunControl(), SilentListener())


def told(folder: Path) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in (folder / "told.jsonl").read_text().splitlines()]
    return [(line["occasion"], line["status"]) for line in lines]


def test_a_night_leaves_a_run_for_every_known_slide_and_a_reason_for_every_other(asked):
    # The first run can't begin; the third record of the batch is the one after the second slide.
    with pytest.raises(DiskFullError, match=r"batch\.json"):
        run(replace(asked, faults="disk_full@slot-1-KS-1/journal.log; disk_full@batch.json:3"))
    summaries = {path.parent.name: path.read_bytes() for path in asked.out.glob("slot-*/run.json")}
    assert sorted(summaries) == ["slot-2-KS-2"]
    assert told(asked.out) == [("parked", "parked"), ("parked", "parked"), ("failed", "failed")]
    assert "not finished" in (asked.out / "batch.html").read_text()

    report = run(asked)
    assert {(slide.slot, slide.barcode): slide.status for slide in report.slides} == {
        ("1", "KS-1"): SlideStatus.FINISHED,
        ("2", "KS-2"): SlideStatus.FINISHED,
        ("7", "KS-8"): SlideStatus.PARKED,
        (None, "KS-3"): SlideStatus.MISSING,
    }
    by_slot = {slide.slot: slide for slide in report.slides}
    assert (by_slot["1"].cells, by_slot["1"].poor) == (1, False)
    assert (by_slot["2"].cells, by_slot["2"].poor) == (0, True)
    for slot in ("1", "2"):
        text = (asked.out / by_slot[slot].folder / "run.json").read_bytes()
        assert text == summaries.get(by_slot[slot].folder, text), "a run that was through was taken up again"
        summary = json.loads(text)
        assert summary["slide"] == by_slot[slot].barcode
        assert summary["accession"] == by_slot[slot].accession
        assert summary["status"] == "completed"
        assert told(asked.out / by_slot[slot].folder) == [("finished", "completed")]
    assert [path.name for path in asked.out.glob("*-not-begun-*")] == ["slot-1-KS-1-not-begun-1"]
    assert told(asked.out)[3:] == [("parked", "parked"), ("finished", "finished")]
    page = (asked.out / "batch.html").read_text()
    for words in ("KS-8 is not on the worklist", "slot-1-KS-1/report.html", "slot-2-KS-2/report.html", "missing"):
        assert words in page
    again = run(asked)
    assert again.slides == report.slides


class Messages(SilentListener):
    """Keeps what a person is to read."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


def test_a_slide_is_finished_only_where_its_folder_says_so(asked):
    asked.out.mkdir()
    (asked.out / "other").mkdir()
    finished = [
        SlideReport("1", "KS-1", "case-1", SlideStatus.FINISHED, "9 metaphases", "slot-1-KS-1", 9),
        SlideReport("2", "KS-2", "case-2", SlideStatus.FINISHED, "9 metaphases", "../elsewhere", 9),
    ]
    write_report(asked.out, BatchReport(tuple(finished)))
    messages = Messages()
    by_barcode = {slide.barcode: slide for slide in run_batch(asked, RunControl(), messages).slides}
    assert (by_barcode["KS-1"].status, by_barcode["KS-1"].cells) == (SlideStatus.FINISHED, 1)
    assert (by_barcode["KS-2"].status, by_barcode["KS-2"].cells) == (SlideStatus.FINISHED, 0)
    for barcode in ("KS-1", "KS-2"):
        assert any(text.startswith(f"{barcode}: batch.json calls it finished") for text in messages.texts)

    (asked.out / "slot-2-KS-2" / "report.html").unlink()
    shutil.rmtree(asked.out / "slot-1-KS-1")
    shutil.copytree(asked.out / "slot-2-KS-2", asked.out / "slot-1-KS-1")
    (asked.out / "slot-1-KS-1" / "journal.log").unlink()
    messages = Messages()
    again = {slide.barcode: slide for slide in run_batch(asked, RunControl(), messages).slides}
    assert (again["KS-1"].status, again["KS-1"].cells) == (SlideStatus.FINISHED, 1)
    assert (again["KS-2"].status, again["KS-2"].cells) == (SlideStatus.FINISHED, 0)
    assert any("slot-1-KS-1 holds no run" in text for text in messages.texts)
    assert any("lacks report.html" in text for text in messages.texts)
    assert (asked.out / "slot-2-KS-2" / "report.html").is_file()


def test_the_command_prints_what_became_of_every_slide(asked):
    arguments = ["batch", "--rig", str(asked.rig), "--worklist", str(asked.worklist), "--out", str(asked.out)]
    (asked.tray).write_text("slot,barcode,cells,seed\n4,KS-9,1,5\n")
    result = CliRunner().invoke(app, [*arguments, "--tray", str(asked.tray)], env={"COLUMNS": "200"})
    assert result.exit_code == ExitCode.NOTHING_DONE, result.output
    assert "no slide was scanned" in result.output
    assert "KS-9 is not on the worklist" in result.output
    assert result.output.count("missing: ") == 3
    assert result.output.count(" missing ") == 3


@pytest.mark.parametrize(
    ("statuses", "ended", "code"),
    [
        (["finished", "not_needed"], "", ExitCode.DONE),
        (["finished", "parked"], "", ExitCode.PARTLY_DONE),
        (["finished", "missing"], "", ExitCode.PARTLY_DONE),
        (["parked", "missing"], "", ExitCode.NOTHING_DONE),
        (["missing"], "", ExitCode.NOTHING_DONE),
        ([], "", ExitCode.NOTHING_DONE),
        (["finished", "not_reached"], "slot 2: jam", ExitCode.FAILED),
    ],
)
def test_the_exit_code_says_how_the_night_went(asked, monkeypatch, statuses, ended, code):
    slides = [SlideReport(str(n), f"KS-{n}", "case", SlideStatus(status)) for n, status in enumerate(statuses)]
    report = BatchReport(tuple(slides), ended)
    monkeypatch.setattr("station.run.batch.run_batch", lambda *_, **_options: report)
    arguments = ["--rig", str(asked.rig), "--worklist", str(asked.worklist), "--out", str(asked.out)]
    assert CliRunner().invoke(app, ["batch", *arguments]).exit_code == code


def test_a_batch_goes_on_with_the_protocols_that_it_began_with_or_is_refused(asked, monkeypatch):
    """A value that was changed meanwhile is refused by name, before anything moves; a remark is none."""
    protocol = asked.worklist.with_name("quick.yaml")
    control = RunControl()
    control.request_stop()
    assert run_batch(asked, control, SilentListener()).ended
    protocol.write_text("# a remark\n" + PROTOCOL)
    checked = check_batch(asked)
    assert not any("protocol" in text for text in checked.refusals)

    protocol.write_text(PROTOCOL.replace("number: 1", "number: 2"))
    words = r"quick\.yaml: the protocol was changed \(capture\.number\) since the batch began.*--recorded-protocol"
    with monkeypatch.context() as patch:
        patch.setattr("station.run.batch.open_instrument", lambda *_: pytest.fail("the instrument was opened"))
        with pytest.raises(ResumeError, match=words):
            run(asked)
    assert any(re.search(words, text) for text in check_batch(asked).refusals)

    messages = Messages()
    report = run_batch(asked, RunControl(), messages, recorded_protocol=True)
    assert report.count(SlideStatus.FINISHED) == 2
    assert any("--trust-notices" in text for text in messages.texts)
    assert not (asked.out / "told.jsonl").exists(), "a text of the folder is not of this machine"
    with open_casebook(asked.out / "slot-1-KS-1" / "casebook.sqlite", create=False) as casebook:
        assert casebook.runs()[0].record.protocol_yaml == PROTOCOL


def test_the_record_of_a_slide_has_the_protocol_it_was_scanned_by(asked):
    """A file that is edited in the middle of the night changes no slide, and no record of one."""

    class Editor(SilentListener):
        def phase(self, name, total):
            if name == "scan":
                asked.worklist.with_name("quick.yaml").write_text(PROTOCOL.replace("number: 1", "number: 2"))

    run_batch(asked, RunControl(), Editor())
    for folder in ("slot-1-KS-1", "slot-2-KS-2"):
        with open_casebook(asked.out / folder / "casebook.sqlite", create=False) as casebook:
            assert casebook.runs()[0].record.protocol_yaml == PROTOCOL


def test_a_damaged_request_of_a_batch_is_one_line(asked):
    asked.out.mkdir()
    (asked.out / "request.json").write_text('{"protocols": [1]}')
    with pytest.raises(StorageError, match=r"request\.json: the request of the batch can't be read"):
        run(asked)


def test_a_run_is_not_gone_on_with_under_another_accession(asked):
    folder = asked.out / "slot-1-KS-1"
    folder.mkdir(parents=True)
    (folder / "journal.log").write_text("")
    scan = ScanRequest(asked.rig, asked.worklist.with_name("quick.yaml"), folder, accession="case-7")
    (folder / "request.json").write_text(json.dumps(scan.as_json()))
    entry = load_worklist(asked.worklist).find("KS-1")
    with pytest.raises(ResumeError, match="was begun as case-7, the worklist says case-1 now"):
        require_same_case(folder, entry)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slot,barcode\n", r"tray\.csv:1: wanted the heading"),
        ("slot,barcode,cells,seed\n1,A,many,1\n", r"tray\.csv:2"),
        ("slot,barcode,cells,seed\n1,A,1,1\n1,B,1,1\n", r"tray\.csv:3: slot 1 stands there twice"),
        ("slot,barcode,cells,seed\n81,A,1,1\n", "slots 1 .. 80"),
    ],
)
def test_a_wrong_tray_is_named_with_its_line(asked, text, words):
    asked.tray.write_text(text)
    with pytest.raises(UsageError, match=words):
        run(asked)


def test_a_folder_with_something_else_is_not_written_into(asked):
    asked.out.mkdir()
    (asked.out / "thesis.doc").write_text("dear")
    with pytest.raises(UsageError, match="something else than a batch"):
        run(asked)


def test_the_page_escapes_what_labels_say_and_links_only_into_its_own_folder(tmp_path):
    (tmp_path / "slot-1" / "report.html").parent.mkdir()
    (tmp_path / "slot-1" / "report.html").write_text("")
    slides = (
        SlideReport("1", "<script>", "a&b", SlideStatus.FINISHED, "20 metaphases", "slot-1", 20, at="yesterday"),
        SlideReport("2", "KS-2", None, SlideStatus.PARKED, "the label reads <b>", "../slot-1", seconds=75.0),
    )
    write_report(tmp_path, BatchReport(slides, "slot 3: jam", failed_notices=("ward: no such program",)))
    page = build_batch_page(tmp_path).read_text()
    assert "&lt;script&gt;" in page
    assert "<b>" not in page
    assert page.count('href="slot-1/report.html"') == page.count("href=") == 1
    assert "1 min 15 s" in page
    assert "slot 3: jam" in page
    assert "ward: no such program" in page


def test_without_a_record_there_is_no_page(tmp_path):
    with pytest.raises(StorageError, match="no record of a batch"):
        build_batch_page(tmp_path)
    (tmp_path / "batch.json").write_text("{}")
    with pytest.raises(StorageError, match="can't be read"):
        build_batch_page(tmp_path)

"""The dry run of a night: every row with what becomes of it, the time and the room, and nothing is touched."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from acquisition.batch.report import BatchReport, SlideReport, SlideStatus, write_report
from acquisition.dry_run import estimate
from acquisition.errors import WorklistError
from acquisition.protocol import load_protocol
from scanner.rig import load_rig
from station.cli import app
from station.errors import UsageError
from station.exit_codes import ExitCode
from station.run import batch_check
from station.run.batch_check import RowOutcome, check_batch
from station.run.batch_request import BatchRequest

ROOT = Path(__file__).parents[2]
RIG = ROOT / "hardware_configs" / "simulated-feeder"
FRAME = ROOT / "hardware_configs" / "simulated-frame"
PROTOCOL = (ROOT / "protocols" / "demo.yaml").read_text(encoding="utf-8")


@pytest.fixture
def asked(tmp_path: Path) -> BatchRequest:
    (tmp_path / "blood.yaml").write_text(PROTOCOL)
    rows = ["KS-1,case-1,blood.yaml,", "KS-2,case-1,blood.yaml,", "KS-3,case-3,blood.yaml,1"]
    (tmp_path / "night.csv").write_text("\n".join(["barcode,accession,protocol,priority", *rows]))
    (tmp_path / "tray.csv").write_text("slot,barcode,cells,seed\n1,KS-1,1,5\n2,KS-2,1,6\n7,KS-8,1,7\n")
    return BatchRequest(RIG, tmp_path / "night.csv", tmp_path / "out", tmp_path / "tray.csv")


def outcomes(request: BatchRequest) -> dict[str, str]:
    return {row.entry.barcode: row.outcome.value for row in check_batch(request).rows}


def test_every_row_says_what_becomes_of_it_and_nothing_is_written(asked):
    assert outcomes(asked) == {"KS-3": "not_in_tray", "KS-1": "scanned", "KS-2": "if_needed"}
    check = check_batch(asked)
    assert check.strangers == {"7": "KS-8"}
    assert not check.refused
    assert not asked.out.exists()


def test_time_and_room_are_those_of_the_slides_together(asked):
    check = check_batch(asked)
    rig, _ = load_rig(RIG)
    one = estimate(load_protocol(asked.worklist.with_name("blood.yaml")), rig)
    assert check.seconds == pytest.approx(2 * one.seconds + 2 * 4 * rig.loader.change_s)
    assert check.stored_bytes == 2 * one.stored_bytes
    assert check.needed_bytes == one.stored_bytes + one.needed_bytes


def test_what_lies_in_a_real_tray_is_not_guessed(asked):
    check = check_batch(replace(asked, tray=None))
    assert check.labels is None
    assert check.count(RowOutcome.NOT_IN_TRAY) == 0
    assert check.strangers == {}


def test_a_finished_slide_takes_no_time(asked):
    (asked.out / "slot-1-KS-1").mkdir(parents=True)
    done = SlideReport("1", "KS-1", "case-1", SlideStatus.FINISHED, "", "slot-1-KS-1", 20)
    gone = SlideReport("2", "KS-2", "case-1", SlideStatus.FINISHED, "", "slot-2-KS-2", 20)
    write_report(asked.out, BatchReport((done, gone)))
    before = {path: path.read_bytes() for path in asked.out.rglob("*") if path.is_file()}
    assert outcomes(asked) == {"KS-3": "not_in_tray", "KS-1": "finished_before", "KS-2": "if_needed"}
    assert {path: path.read_bytes() for path in asked.out.rglob("*") if path.is_file()} == before


def test_what_the_rig_refuses_is_named_with_file_and_line(asked):
    path = asked.worklist.with_name("blood.yaml")
    path.write_text(PROTOCOL.replace("objective: 63x", "objective: 40x"))
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "objective: 40x" in text)
    arguments = ["batch", "--check", "--rig", str(RIG), "--worklist", str(asked.worklist), "--out", str(asked.out)]
    result = CliRunner().invoke(app, [*arguments, "--json", str(path.with_name("check.json"))])
    assert result.exit_code == ExitCode.FAILED
    assert f"refused  {path}:{line}: capture.objective: found 40x" in result.output.replace("\n", "")
    content = json.loads(path.with_name("check.json").read_text())
    assert content["counts"]["refused"] == 3
    assert content["findings"][0]["where"] == f"{path}:{line}"
    assert content["rows"][0]["outcome"] == "refused"


def test_a_protocol_that_can_not_be_read_is_named_with_file_and_line(asked):
    path = asked.worklist.with_name("blood.yaml")
    path.write_text(PROTOCOL.replace("banding: G", "banding: Z"))
    check = check_batch(asked)
    assert check.refused
    assert f"{path}:" in check.protocols[0].error
    assert {row.outcome for row in check.rows} == {RowOutcome.REFUSED}
    assert check.seconds == 0


def test_a_disk_without_room_is_told_before_the_night(asked, monkeypatch):
    monkeypatch.setattr(batch_check, "free_bytes", lambda _folder: 1_000)
    check = check_batch(asked)
    assert check.refused
    assert any("no room for the night" in text for text in check.refusals)


def test_more_slides_than_the_frame_holds_are_refused(asked):
    rows = [f"F-{number},case-{number},blood.yaml," for number in range(9)]
    asked.worklist.write_text("\n".join(["barcode,accession,protocol,priority", *rows]))
    check = check_batch(replace(asked, rig=FRAME, tray=None))
    assert any("9 slides wanted, rig simulated-frame holds 8" in text for text in check.refusals)


def test_a_rig_that_can_read_no_label_is_refused(asked):
    check = check_batch(replace(asked, rig=ROOT / "hardware_configs" / "simulated", tray=None))
    assert any("no label camera" in text for text in check.refusals)


def test_warnings_of_the_worklist_and_the_sum_are_printed(asked):
    rows = ["00123,case-1,blood.yaml,", "00124,case-2,blood.yaml,", "125,case-3,blood.yaml,"]
    asked.worklist.write_text("\n".join(["barcode,accession,protocol,priority", *rows]))
    arguments = ["--rig", str(RIG), "--worklist", str(asked.worklist), "--out", str(asked.out)]
    result = CliRunner().invoke(app, ["batch", "--check", *arguments])
    assert result.exit_code == ExitCode.DONE, result.output
    assert "warning  night.csv: line 4: barcode 125 is shorter than the others" in result.output
    assert "Time: at most" in result.output
    assert "for 3 slides" in result.output


def test_a_wrong_tray_is_one_line_with_its_place(asked):
    asked.tray.write_text("slot,barcode,cells,seed\n99,KS-1,1,5\n")
    with pytest.raises(UsageError, match=r"tray\.csv:2: found slot 99"):
        check_batch(asked)


def test_a_wrong_worklist_is_one_line_with_its_place(asked):
    asked.worklist.write_text("barcode,accession,protocol\nKS-1,case-1,none.yaml\n")
    with pytest.raises(WorklistError, match=r"night\.csv:2"):
        check_batch(asked)


def test_json_without_check_is_refused(asked):
    arguments = ["--rig", str(RIG), "--worklist", str(asked.worklist), "--out", str(asked.out), "--json", "x.json"]
    result = CliRunner().invoke(app, ["batch", *arguments])
    assert isinstance(result.exception, UsageError)
    assert not asked.out.exists()

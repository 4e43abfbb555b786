"""``karyoscan batch`` on the twin with a feeder, from the labels to the runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from acquisition.batch.report import BatchReport, SlideStatus
from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from station.batch import BatchRequest, run_batch
from station.cli import app
from station.errors import UsageError

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


def test_a_night_leaves_a_run_for_every_known_slide_and_a_reason_for_every_other(asked):
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
        summary = json.loads((asked.out / by_slot[slot].folder / "run.json").read_text())
        assert summary["slide"] == by_slot[slot].barcode
        assert summary["status"] == "completed"
    again = run(asked)
    assert again.slides == report.slides


def test_the_command_prints_what_became_of_every_slide(asked):
    arguments = ["batch", "--rig", str(asked.rig), "--worklist", str(asked.worklist), "--out", str(asked.out)]
    (asked.tray).write_text("slot,barcode,cells,seed\n4,KS-9,1,5\n")
    result = CliRunner().invoke(app, [*arguments, "--tray", str(asked.tray)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    assert "KS-9 is not on the worklist" in result.output
    assert result.output.count("missing") == 3


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

"""``karyoscan status``: how far a run or a batch is, from its record alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from acquisition.journal import read_journal
from acquisition.run.control import RunCommand, RunControl
from acquisition.run.listener import SilentListener
from acquisition.storage.run_folder import CONTROL_NAME, RUN_JSON_NAME
from station.cli import app
from station.errors import UsageError
from station.run.batch import run_batch
from station.run.batch_request import BatchRequest
from station.run.remote_control import send_and_wait
from station.run.scan import ScanRequest, run_scan
from station.run.status import BatchProgress, RunProgress, read_status

RIGS = Path(__file__).parents[2] / "hardware_configs"
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
capture: {objective: 63x, oil: allowed, number: 2, exposure_ms: 40, focus_range_um: 6}
karyotype: {enabled: false}
"""


class Watcher(SilentListener):
    """Asks for the status of a folder at every step of a phase."""

    def __init__(self, folder: Path, phase: str) -> None:
        self.folder, self.phase_name = folder, phase
        self.seen: list[RunProgress | BatchProgress] = []

    def step(self, name: str, note: str = "") -> None:
        if name == self.phase_name:
            self.seen.append(read_status(self.folder))


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    path = tmp_path / "quick.yaml"
    path.write_text(PROTOCOL)
    return path


def test_a_run_is_followed_while_it_goes_on_and_after_it_has_ended(tmp_path, protocol):
    out = tmp_path / "run"
    watcher = Watcher(out, "capture")
    run_scan(ScanRequest(RIGS / "simulated", protocol, out, seed=3, cells=2), RunControl(), watcher)
    first = watcher.seen[0]
    assert isinstance(first, RunProgress)
    assert first.running
    assert (first.status, first.state) == ("running", "capturing")
    assert (first.fields_done, first.fields_planned) == (4, 4)
    assert (first.candidates, first.captured, first.captures_wanted) == (2, 1, 2)
    assert first.remaining_s is not None
    assert first.remaining_s > 0

    runner = CliRunner()
    ended = runner.invoke(app, ["status", str(out), "--json", str(tmp_path / "status.json")])
    assert ended.exit_code == 0
    assert "completed" in ended.output
    written = json.loads((tmp_path / "status.json").read_text())
    assert (written["kind"], written["running"], written["captured"]) == ("run", False, 2)
    assert written["remaining_s"] is None
    told_to_ended = runner.invoke(app, ["control", str(out), "pause"])
    assert isinstance(told_to_ended.exception, UsageError)
    assert not (out / CONTROL_NAME).exists()
    assert json.loads((out / RUN_JSON_NAME).read_text())["remark"] == ""


def test_a_run_that_was_cut_off_says_how_to_go_on(tmp_path, protocol):
    out, copy = tmp_path / "run", tmp_path / "copy"

    class Copier(SilentListener):
        def step(self, name: str, note: str = "") -> None:
            # What a kill leaves: the record as it stood, and nobody who holds the lock.
            if name == "capture" and not copy.exists():
                shutil.copytree(out, copy, ignore=shutil.ignore_patterns("run.lock*"))

    run_scan(ScanRequest(RIGS / "simulated", protocol, out, seed=3, cells=2), RunControl(), Copier())
    state = read_status(copy)
    assert isinstance(state, RunProgress)
    assert state.is_cut_off
    assert f"continue with: karyoscan resume {copy}" in state.lines()
    assert len(read_journal(copy / "journal.log")) < len(read_journal(out / "journal.log"))


def test_a_slide_without_cells_ends_with_a_remark(tmp_path, protocol):
    out = tmp_path / "run"
    arguments = ["scan", "--rig", "simulated", "--protocol", str(protocol), "--out", str(out), "--cells", "0"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 3, result.output
    assert "no metaphase was detected" in result.output
    assert "no metaphase was detected" in (out / "report.html").read_text()


def test_a_batch_is_followed_and_stopped_from_outside(tmp_path, protocol):
    (tmp_path / "night.csv").write_text(
        "barcode,accession,protocol,priority\nKS-1,case-1,quick.yaml,\nKS-2,case-2,quick.yaml,\n"
    )
    (tmp_path / "tray.csv").write_text("slot,barcode,cells,seed\n1,KS-1,1,5\n2,KS-2,1,6\n")
    out = tmp_path / "out"

    class Stopper(Watcher):
        def step(self, name: str, note: str = "") -> None:
            super().step(name, note)
            if name == "scan" and len(self.seen) == 1:
                send_and_wait(out, RunCommand.STOP, timeout_s=0)

    watcher = Stopper(out, "scan")
    rig = RIGS / "simulated-feeder"
    request = BatchRequest(rig, tmp_path / "night.csv", out, tmp_path / "tray.csv")
    report = run_batch(request, RunControl(), watcher)
    state = watcher.seen[0]
    assert isinstance(state, BatchProgress)
    assert (state.running, state.slides_left) == (True, 2)
    assert state.current is not None
    assert state.current.slide == "KS-1"
    assert "to come     2" in state.lines()
    assert report.ended == "stopped by a person"
    assert not (out / CONTROL_NAME).exists(), "the command was taken up"
    ended = read_status(out)
    assert ended.to_json()["running"] is False
    assert "ended early" in ended.lines()[0]


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(UsageError, match="neither a run nor a batch"):
        read_status(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        read_status(tmp_path / "none")

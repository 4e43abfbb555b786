"""A device that hangs in the middle of a run: told, made safe from outside, recorded, and the process ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from acquisition.records import RunStatus
from acquisition.run import hanging
from scanner.microscope import Microscope
from simulators.faults import TwinFault, TwinFaultKind
from tests.conftest import ROOT, SIMULATED_RIG

HANG_S = 4.0
"""More than drawing a field takes on a busy machine."""


class Ending:
    """Stands for the end of the process: notes what is then, and lets the call go."""

    def __init__(self, bench, path: Path) -> None:
        self._bench, self._path = bench, path
        self.lamp_open = self.z_um = None
        self.journal = ""

    def __call__(self) -> None:
        self.lamp_open = self._bench.twin._state.lamp_open
        self.z_um = self._bench.twin.focus_um()
        self.journal = self._path.read_text(encoding="utf-8")
        self._bench.twin._state.hang_is_over.set()


@pytest.fixture
def hanging_bench(bench):
    camera = bench.rig.camera.model_copy(update={"hang_s": HANG_S})
    bench.rig = bench.rig.model_copy(update={"camera": camera})
    bench.microscope = Microscope(bench.core, bench.rig)
    return bench


def run_until_it_hangs(bench, run_in, tmp_path, kind):
    bench.twin.faults.add(TwinFault(kind, "Camera", 6))
    ending = Ending(bench, tmp_path / "run" / "journal.log")
    concluded = []
    session = run_in(
        "run", protocol=run_in.protocol(number=0), end_process=ending, conclude=lambda o: concluded.append(o.error)
    )
    return session, ending, concluded


def test_the_instrument_is_safe_and_the_record_says_why_before_the_process_ends(hanging_bench, run_in, tmp_path):
    session, ending, concluded = run_until_it_hangs(
        hanging_bench, run_in, tmp_path, TwinFaultKind.CAMERA_SNAP_HANGS
    )
    assert ending.lamp_open is False
    assert ending.z_um == pytest.approx(hanging_bench.rig.focus.down_um)
    (event,) = (event for event in session.events if event.kind == "device_hangs")
    assert "Camera: exposure has not returned" in event.message
    assert "light off, stage halted, focus down" in event.message
    assert event.context["not_done"] == ""
    assert '"kind":"ended"' in ending.journal
    assert '"status":"failed"' in ending.journal
    assert "the device hangs" in concluded[0]


def test_what_could_not_be_made_safe_is_in_the_record(hanging_bench, run_in, tmp_path, monkeypatch):
    monkeypatch.setattr(hanging, "STEP_PATIENCE_S", 0.3)
    session, ending, _ = run_until_it_hangs(hanging_bench, run_in, tmp_path, TwinFaultKind.LIBRARY_HANGS)
    assert ending.lamp_open is True
    (event,) = (event for event in session.events if event.kind == "device_hangs")
    assert "NOT SAFE: light off: no answer for 0.3 s" in event.message
    assert "focus down: no answer" in event.context["not_done"]


def test_a_run_after_a_hang_goes_on(hanging_bench, run_in, tmp_path):
    run_until_it_hangs(hanging_bench, run_in, tmp_path, TwinFaultKind.CAMERA_SNAP_HANGS)
    session = run_in("run", protocol=run_in.protocol(number=0))
    # The hang stays among the errors of the run.
    assert session.outcome.status is RunStatus.COMPLETED_WITH_ERRORS
    assert sum(record.kind == "found" for record in session.records) == 4


@pytest.mark.slow
def test_the_command_ends_with_a_code_of_its_own(tmp_path):
    rig = tmp_path / "rig"
    rig.mkdir()
    for path in SIMULATED_RIG.iterdir():
        (rig / path.name).write_bytes(path.read_bytes())
    text = (rig / "rig.yaml").read_text(encoding="utf-8")
    (rig / "rig.yaml").write_text(text.replace("  read_out_ms: 83", f"  read_out_ms: 83\n  hang_s: {HANG_S}"))
    protocol = yaml.safe_load((ROOT / "protocols" / "quick.yaml").read_text(encoding="utf-8"))
    protocol["karyotype"] = {"enabled": False}
    (tmp_path / "protocol.yaml").write_text(yaml.safe_dump(protocol), encoding="utf-8")
    command = [
        "scan",
        "--rig",
        str(rig),
        "--protocol",
        str(tmp_path / "protocol.yaml"),
        "--out",
        str(tmp_path / "run"),
    ]
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "from station.entry import main; main()",
            *command,
            "--faults",
            "camera_snap_hangs@Camera:3",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 5, result.stderr[-2000:]
    assert "the device hangs" in result.stdout + result.stderr
    assert "light off, stage halted, focus down" in result.stdout + result.stderr

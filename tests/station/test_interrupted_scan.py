"""``karyoscan scan`` in a process of its own, and whatever a terminal or a person does to it meanwhile.

The process writes down how its microscope stood when the run let go of it, as the twin itself has it.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from acquisition.journal import read_journal
from station.cli import main
from station.exit_codes import ExitCode

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals to other processes")

ROOT = Path(__file__).parents[2]
RIG = ROOT / "hardware_configs" / "simulated"
AREA = {"x_min_um": 30_000, "y_min_um": 11_000, "x_max_um": 31_600, "y_max_um": 12_200}
RECORDING = """
import json, sys
from contextlib import contextmanager
from pathlib import Path
from station.cli import main
from station.run import scan

open_instrument = scan.open_instrument

@contextmanager
def recorded(*arguments, **keywords):
    with open_instrument(*arguments, **keywords) as instrument:
        try:
            yield instrument
        finally:
            twin, down_um = instrument.twin, instrument.rig.focus.down_um
            state = {"lamp_open": twin.lamp_open, "is_down": abs(twin.focus_um() - down_um) < 1.0}
            Path(sys.argv[1]).write_text(json.dumps(state))

scan.open_instrument = recorded
main(sys.argv[2:])
"""


@pytest.fixture
def scan(tmp_path):
    """Start a scan of four fields with one cell."""
    data = yaml.safe_load((ROOT / "protocols" / "demo.yaml").read_text())
    data["scan"]["area"] = AREA
    data["scan"]["focus"]["points"] = 1
    data["find"]["model"] = "rules"
    data["capture"]["number"] = 1
    data["karyotype"]["enabled"] = False
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(data))
    arguments = ["--rig", str(RIG), "--protocol", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "run")]
    arguments += ["--cells", "1", "--seed", "3"]
    processes = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", RECORDING, str(tmp_path / "twin.json"), "scan", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def read_until(process, start):
    for line in process.stdout:
        if line.startswith(start):
            return
    raise AssertionError(f"no line starts with {start}")


def require_safe(folder, status):
    assert json.loads((folder / "twin.json").read_text()) == {"lamp_open": False, "is_down": True}
    last = read_journal(folder / "run" / "journal.log")[-1]
    assert (last.kind, last.values["status"]) == ("ended", status)
    run = json.loads((folder / "run" / "run.json").read_text())
    assert (run["status"], run["safe_state_faults"]) == (status, [])


def require_resumable(folder):
    with pytest.raises(SystemExit) as caught:
        main(["resume", str(folder / "run")])
    assert int(caught.value.code or 0) == 0
    run = json.loads((folder / "run" / "run.json").read_text())
    assert (run["status"], run["planted"], run["captured"]) == ("completed", 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("phase", "names", "code", "status"),
    [
        ("Scan:", ["SIGHUP"], ExitCode.STOPPED, "stopped"),
        ("Capture:", ["SIGTERM"], ExitCode.STOPPED, "stopped"),
        ("Scan:", ["SIGINT", "SIGINT"], ExitCode.FAILED, "aborted"),
    ],
)
def test_a_signal_ends_a_scan_safe_and_resumable_in_every_phase(scan, tmp_path, phase, names, code, status):
    process = scan()
    read_until(process, phase)
    for name in names:
        process.send_signal(getattr(signal, name))
        # Two signals of one kind that come together are one to the system: the first has been taken in by now.
        read_until(process, f"! {name}")
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == code, rest
    require_safe(tmp_path, status)
    require_resumable(tmp_path)


@pytest.mark.slow
def test_a_reader_that_leaves_after_the_first_line_breaks_no_scan(scan, tmp_path):
    process = scan()
    process.stdout.readline()
    process.stdout.close()
    process.wait(timeout=60)
    require_safe(tmp_path, "completed")
    assert (tmp_path / "run" / "report.html").is_file()

"""A scan from the command line, killed with its workers at work, and resumed from the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from acquisition.casebook import open_casebook
from acquisition.journal import read_journal
from acquisition.records import FieldStatus, RunStatus
from acquisition.storage import RunFolder
from station.cli import main

ROOT = Path(__file__).parents[2]
RIG = ROOT / "hardware_configs" / "simulated"
AREA = {"x_min_um": 30_000, "y_min_um": 11_000, "x_max_um": 33_000, "y_max_um": 12_700}


def write_protocol(folder: Path) -> Path:
    data = yaml.safe_load((ROOT / "protocols" / "demo.yaml").read_text())
    data["scan"]["area"] = AREA
    data["scan"]["focus"]["points"] = 2
    data["capture"]["number"] = 1
    data["karyotype"]["enabled"] = False
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def command(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return int(caught.value.code or 0)


def searched(out: Path) -> int:
    path = out / "journal.log"
    return sum(record.kind == "found" for record in read_journal(path)) if path.exists() else 0


def descendants(pid: int) -> set[int]:
    """Processes below one, as the system tells."""
    below: set[int] = set()
    edge = [pid]
    while edge:
        for task in Path(f"/proc/{edge.pop()}/task").glob("*/children"):
            found = {int(child) for child in task.read_text().split()} - below
            below |= found
            edge.extend(found)
    return below


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(holds, what: str, deadline_s: float = 120.0) -> None:
    end_s = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end_s, what
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_scan_is_resumed_on_its_own_slide_and_on_no_other(tmp_path, capsys):
    out = tmp_path / "run"
    arguments = ["--rig", str(RIG), "--protocol", str(write_protocol(tmp_path)), "--out", str(out)]
    process = subprocess.Popen(
        [sys.executable, "-m", "station.cli", "scan", *arguments, "--cells", "2", "--seed", "3"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: searched(out) >= 3, "no field was searched")
        workers = descendants(process.pid)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert workers
    wait_until(lambda: not any(is_alive(pid) for pid in workers), "workers outlive the run", 30.0)
    before = searched(out)

    assert command("resume", str(out), "--seed", "9") == 1
    assert "another slide" in capsys.readouterr().err
    assert command("resume", str(out)) == 0
    run = json.loads((out / "run.json").read_text())
    assert run["status"] == "completed"
    assert (run["planted"], run["found"], run["captured"]) == (2, 2, 1)
    with open_casebook(out / "casebook.sqlite", create=False) as casebook:
        (summary,) = casebook.runs()
        assert summary.status is RunStatus.COMPLETED
        fields = casebook.fields(summary.record.uid)
        assert [field.index for field in fields] == list(range(run["fields"]))
        assert {field.status for field in fields} == {FieldStatus.DONE}
        assert len(fields) > before
    assert not (out / "spool.raw").exists()
    assert (out / "report.html").is_file()

    assert command("resume", str(out)) == 1
    assert "nothing to resume" in capsys.readouterr().err


def test_what_is_no_run_is_not_resumed(tmp_path, capsys):
    assert command("resume", str(tmp_path)) == 1
    assert "the request can't be read" in capsys.readouterr().err
    assert command("control", str(tmp_path / "none"), "pause") == 1
    assert "no such folder" in capsys.readouterr().err


def test_a_command_is_left_where_the_run_looks_for_it(tmp_path, capsys):
    out = tmp_path / "run"
    with RunFolder.create(out) as folder:
        folder.journal.touch()
        assert command("control", str(out), "stop", "--timeout", "0") == 0
        assert folder.control.read_text() == "stop\n"
    folder.control.unlink()
    assert command("control", str(out), "stop") == 1
    assert "no run is running" in capsys.readouterr().err
    assert not folder.control.exists(), "nobody would ever read it"


@pytest.mark.slow
def test_notices_of_a_protocol_that_is_not_of_this_machine_are_sent_only_where_somebody_says_so(tmp_path, capsys):
    path = write_protocol(tmp_path)
    data = yaml.safe_load(path.read_text())
    data["scan"]["area"] = {"x_min_um": 30_000, "y_min_um": 11_000, "x_max_um": 30_800, "y_max_um": 11_600}
    data["scan"]["focus"]["points"] = 1
    data["notify"] = [{"type": "file", "path": "notices.jsonl"}]
    path.write_text(yaml.safe_dump(data))
    out = tmp_path / "run"
    assert command("scan", "--rig", str(RIG), "--protocol", str(path), "--out", str(out), "--cells", "1") == 0
    notices = out / "notices.jsonl"
    assert notices.read_text().count("\n") == 1

    (out / "report.html").unlink()
    original = path.read_text()
    path.write_text(original.replace("number: 1", "number: 2"))
    capsys.readouterr()
    assert command("resume", str(out)) == 1
    refusal = capsys.readouterr().err
    assert "small.yaml: the protocol was changed (capture.number) since the run began" in refusal
    assert "--recorded-protocol" in refusal
    assert command("resume", str(out), "--recorded-protocol") == 0
    assert "the run goes on with what it began with" in " ".join(capsys.readouterr().out.split())
    assert notices.read_text().count("\n") == 1, "the text of the folder stands in no file of this machine"

    path.write_text(original + "# edited\n")
    (out / "report.html").unlink()
    capsys.readouterr()
    assert command("resume", str(out)) == 0
    assert "--trust-notices" in capsys.readouterr().out
    assert notices.read_text().count("\n") == 1

    (out / "report.html").unlink()
    assert command("resume", str(out), "--trust-notices") == 0
    assert notices.read_text().count("\n") == 2

"""Worklists checked by the batch's own reader, and runs in processes that outlive the server."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acquisition.batch.report import BatchReport, SlideReport, SlideStatus, write_report
from acquisition.journal import read_journal
from acquisition.run.control import RunCommand
from acquisition.storage.run_folder import JOURNAL_NAME, is_in_use
from station.laboratory.permissions import AccountRole
from station.run.batch_request import BatchRequest
from station.web.live.run_library import RunLibrary
from station.web.nights.launcher import Launcher
from station.web.problems import ProblemError
from tests.station.web.conftest import PROTOCOL, RIGS, Station, sent

FEEDER = "simulated-feeder"
TRAY = "slot,barcode,cells,seed\n1,KS-1,1,5\n2,KS-2,1,6\n7,KS-8,1,7\n"
WORKLIST = "barcode,accession,protocol,priority\nKS-1,case-1,small,\nKS-2,case-2,demo,\nKS-3,case-3,small,1\n"


@pytest.fixture(autouse=True, scope="module")
def _own_protocol(station: Station) -> None:
    station.context.protocols.write("small", PROTOCOL, expected_version=0, author="anna")


def until(condition: Callable[[], Any], timeout_s: float = 180.0) -> Any:
    """Wait for another process."""
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.1)
    raise AssertionError("not in time")


def test_a_worklist_is_checked_row_by_row_and_nothing_is_kept(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    check = sent(client, "POST", "/nights/check", {"rig": FEEDER, "worklist": WORKLIST, "tray": TRAY})
    rows = {row["barcode"]: (row["line"], row["outcome"], row["protocol"]) for row in check["rows"]}
    assert rows == {
        "KS-3": (4, "not_in_tray", "small"),
        "KS-1": (2, "scanned", "small"),
        "KS-2": (3, "scanned", "demo.yaml"),
    }
    assert check["strangers"] == {"7": "KS-8"}
    assert check["refused"] is False
    assert list(station.data.worklists.iterdir()) == []


@pytest.mark.parametrize(
    ("worklist", "words"),
    [
        ("barcode,accession,protocol\nA,,demo\n", "worklist.csv:2: accession: empty"),
        (
            "barcode,accession,protocol\nA,1,demo\nA,2,demo\n",
            "worklist.csv:3: barcode: A stands in line 2 already",
        ),
        ("barcode,accession,protocol\nA,1,nowhere\n", "worklist.csv:2: protocol: no such file nowhere"),
        ("barcode;who\n", "heading: found barcode, who; wanted barcode, accession, protocol, priority"),
        ("", "empty; wanted a line with barcode"),
        ("barcode,accession,protocol\nA,1,../../../etc/passwd\n", "protocol"),
    ],
)
def test_a_worklist_is_refused_with_the_words_of_the_command_line(
    station: Station, worklist: str, words: str
) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    answer = client.post("/api/nights/check", json={"rig": FEEDER, "worklist": worklist})
    text = answer.text if answer.status_code != 200 else str(answer.json()["findings"])
    assert words in text
    assert str(station.data.path) not in text


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a/b", "a b", "x" * 81])
def test_names_of_folders_are_checked(station: Station, name: str) -> None:
    body = {"name": name, "rig": FEEDER, "worklist": WORKLIST}
    answer = station.client(AccountRole.TECHNICIAN).post("/api/nights", json=body)
    assert (answer.status_code, answer.json()["title"]) == (422, "name not allowed")


def test_a_tray_shows_every_slot_with_its_reason(station: Station) -> None:
    folder = station.data.runs / "last-night"
    folder.mkdir()
    worklist = station.data.worklists / "last.csv"
    worklist.write_text("barcode,accession,protocol\nKS-1,case-1,demo\nKS-9,case-9,demo\n", encoding="utf-8")
    (folder / "request.json").write_text(
        json.dumps(BatchRequest(RIGS / FEEDER, worklist, folder).to_json()), encoding="utf-8"
    )
    slides = (
        SlideReport("1", "KS-1", "case-1", SlideStatus.FINISHED, folder="slot-1-KS-1", cells=4, seconds=60.0),
        SlideReport("2", None, None, SlideStatus.PARKED, "no barcode can be read"),
        SlideReport("3", "KS-7", None, SlideStatus.PARKED, "isn't on the worklist", folder="../../elsewhere"),
        SlideReport(None, "KS-9", "case-9", SlideStatus.MISSING, "not in the tray"),
    )
    write_report(folder, BatchReport(slides, worklist="last.csv", started_at="2026-12-01T20:00:00+00:00"))
    (folder / "slot-1-KS-1").mkdir()
    night = sent(station.client(AccountRole.TECHNICIAN), "GET", "/nights/last-night")
    assert night["slots"] == 80
    assert [(slide["status"], slide["run"]) for slide in night["slides"]] == [
        ("finished", "last-night~slot-1-KS-1"),
        ("parked", None),
        ("parked", None),
        ("missing", None),
    ]
    assert night["slides"][1]["reason"] == "no barcode can be read"
    (listed,) = sent(station.client(AccountRole.TECHNICIAN), "GET", "/nights")
    assert (listed["name"], listed["counts"]["parked"], listed["running"]) == ("last-night", 2, False)


@pytest.fixture
def slow_process(tmp_path: Path) -> list[str]:
    """A command that holds its folder as a run does, until it is told to stop."""
    script = tmp_path / "hold.py"
    script.write_text(
        "import sys, time\nfrom pathlib import Path\nfrom acquisition.storage.run_folder import locked_folder\n"
        "with locked_folder(Path(sys.argv[-1])):\n"
        "    print('holding', flush=True)\n"
        "    while not (Path(sys.argv[-1]) / 'control').exists():\n        time.sleep(0.02)\n",
        encoding="utf-8",
    )
    return [sys.executable, str(script)]


def test_a_rig_is_never_started_twice_and_a_process_outlives_its_server(
    tmp_path: Path, slow_process: list[str]
) -> None:
    library = RunLibrary(tmp_path / "runs")
    launcher = Launcher(library, command=slow_process)
    rig, out = RIGS / FEEDER, tmp_path / "runs" / "first"
    launcher.start([str(out)], rig, out)
    with pytest.raises(ProblemError, match="in use by first"):
        launcher.start([str(tmp_path / "runs" / "second")], rig, tmp_path / "runs" / "second")
    with pytest.raises(ProblemError, match="first is running already"):
        launcher.start([str(out)], RIGS / "simulated", out)
    until(lambda: is_in_use(out))
    until(lambda: "holding" in launcher.printed(out))
    # What a server that was started anew knows: the folder alone.
    (out / "request.json").write_text(
        json.dumps(BatchRequest(rig, tmp_path / "w.csv", out).to_json()), encoding="utf-8"
    )
    again = Launcher(library, command=slow_process)
    assert again.user_of(rig) == out
    assert again.user_of(RIGS / "simulated") is None
    (out / "control").write_text("stop")
    until(lambda: not is_in_use(out))
    assert again.user_of(rig) is None


def test_a_slide_is_scanned_by_a_process_of_its_own_paused_and_stopped(station: Station) -> None:
    client = station.client(AccountRole.TECHNICIAN)
    body = {
        "name": "by-form",
        "rig": "simulated",
        "protocol": "small",
        "slide": "--odd",
        "accession": "24-9",
        "cells": 2,
    }
    assert sent(client, "POST", "/runs", body) == {"name": "by-form"}
    refused = client.post("/api/runs", json={**body, "name": "another"})
    assert (refused.status_code, refused.json()["title"]) == (409, "rig in use")
    out = station.data.runs / "by-form"
    until(lambda: (out / JOURNAL_NAME).is_file())
    run = until(
        lambda: client.get("/api/runs/by-form").status_code == 200 and sent(client, "GET", "/runs/by-form")
    )
    assert run["accession"] == "24-9"
    assert run["plan"]["slide"] == "--odd"
    stopped = client.post("/api/runs/by-form/command", json={"command": RunCommand.STOP.value})
    # The slide is small: it may be through before the command comes.
    assert stopped.status_code == 200 or "no run is running" in stopped.text
    until(lambda: not is_in_use(out))
    until(lambda: read_journal(out / JOURNAL_NAME)[-1].kind == "ended")
    assert client.post("/api/runs", json=body).json()["title"] == "duplicate"


def test_the_processes_are_of_this_program() -> None:
    done = subprocess.run([*Launcher(RunLibrary(Path())).command, "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("karyoscan ")

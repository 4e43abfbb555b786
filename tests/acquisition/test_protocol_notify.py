"""Who hears of what, and that nobody's deafness matters."""

import json
import os
import sys
import threading
from datetime import UTC, datetime

import psutil
import pytest

from acquisition.notifier import is_protocol_of_this_machine, occasions_of, send_notices
from acquisition.protocol import NotifyCommand, NotifyFile, Occasion
from acquisition.records import RunStatus

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
COPY = [sys.executable, "-c", "import sys; open('heard.json', 'wb').write(sys.stdin.buffer.read())"]


def file_target(**more):
    return NotifyFile(type="file", path="events.jsonl", **more)


def command(*words, **more):
    return NotifyCommand(type="command", command=words, **more)


def test_a_file_gets_one_line_for_each_notice(tmp_path):
    for status in ("completed", "parked"):
        occasions = occasions_of(RunStatus(status), unsafe=False)
        assert (
            send_notices([file_target()], occasions, {"slide": "S-17; rm -rf /"}, tmp_path, now=lambda: NOON) == ()
        )
    first, second = (json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines())
    assert first == {"occasion": "finished", "at": NOON.isoformat(), "slide": "S-17; rm -rf /"}
    assert second["occasion"] == "parked"


def test_a_program_gets_the_notice_on_its_standard_input_in_the_runs_folder(tmp_path):
    assert send_notices([command(*COPY)], [Occasion.FAILED], {"why": "lamp"}, tmp_path) == ()
    assert json.loads((tmp_path / "heard.json").read_text())["why"] == "lamp"


def test_a_target_hears_only_of_what_it_asked_for(tmp_path):
    assert send_notices([file_target(on=("failed",))], [Occasion.FINISHED], {}, tmp_path) == ()
    assert not (tmp_path / "events.jsonl").exists()


@pytest.mark.parametrize(
    ("target", "word"),
    [
        (command("/no/such/program"), "/no/such/program"),
        (command(sys.executable, "-c", "raise SystemExit(3)"), "status 3"),
        (command(sys.executable, "-c", "import signal; signal.pause()", timeout_s=0.2), "timed out"),
        (NotifyFile(type="file", path="no/such/folder/x"), "no/such/folder/x"),
    ],
)
def test_a_target_that_fails_is_told_of_and_the_others_still_hear(tmp_path, target, word):
    (fault,) = send_notices([target, file_target()], [Occasion.PARKED], {}, tmp_path)
    assert word in fault
    assert (tmp_path / "events.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize("status", RunStatus)
def test_whoever_stopped_a_run_is_not_told_but_an_unsafe_instrument_always_is(status):
    quiet = status in {RunStatus.RUNNING, RunStatus.STOPPED}
    assert (occasions_of(status, unsafe=False) == ()) is quiet
    assert Occasion.ATTENTION in occasions_of(status, unsafe=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_that_nobody_reads_keeps_nobody_waiting(tmp_path):
    os.mkfifo(tmp_path / "events.jsonl")
    (fault,) = send_notices([file_target()], [Occasion.FINISHED], {}, tmp_path)
    assert "events.jsonl" in fault


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="no such flag")
def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path):
    (tmp_path / "events.jsonl").symlink_to(tmp_path / "elsewhere")
    (fault,) = send_notices([file_target()], [Occasion.FINISHED], {}, tmp_path)
    assert "events.jsonl" in fault
    assert not (tmp_path / "elsewhere").exists()


def test_a_program_that_leaves_a_child_behind_has_had_its_notice(tmp_path):
    leaving = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)']);"
        "open('pid', 'w').write(str(child.pid))"
    )
    assert (
        send_notices([command(sys.executable, "-c", leaving, timeout_s=15)], [Occasion.FAILED], {}, tmp_path) == ()
    )
    psutil.Process(int((tmp_path / "pid").read_text())).kill()


def test_an_abort_is_heard_while_a_program_is_waited_for(tmp_path):
    sleeping = command(sys.executable, "-c", "import time; time.sleep(60)", timeout_s=60)
    (fault,) = send_notices([sleeping], [Occasion.FAILED], {}, tmp_path, is_aborted=lambda: True)
    assert sys.executable in fault


def test_a_file_on_a_disk_that_never_answers_is_given_up_and_the_next_target_hears(tmp_path, monkeypatch):
    release = threading.Event()

    def hang(*_arguments):
        release.wait()
        # A descriptor of its own: the call that was left behind writes to it and closes it.
        return os.open(os.devnull, os.O_RDWR)

    monkeypatch.setattr("acquisition.notifier.open_descriptor", hang)
    targets = [file_target(), command(*COPY)]
    (fault,) = send_notices(targets, [Occasion.FAILED], {"why": "lamp"}, tmp_path, file_deadline_s=0.2)
    release.set()
    assert "events.jsonl: no answer for 0.2 s" in fault
    assert json.loads((tmp_path / "heard.json").read_text())["why"] == "lamp"


def test_a_protocol_from_elsewhere_starts_nothing_and_writes_nothing(tmp_path):
    faults = send_notices([command(*COPY), file_target()], [Occasion.FAILED], {}, tmp_path, trusted=False)
    assert len(faults) == 2
    assert all("not of this machine" in fault for fault in faults)
    assert list(tmp_path.iterdir()) == []


def test_only_a_file_outside_of_the_runs_folder_with_the_same_text_makes_a_protocol_one_of_this_machine(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    for folder in (run, tmp_path):
        (folder / "p.yaml").write_text("name: a", encoding="utf-8")
    assert is_protocol_of_this_machine(tmp_path / "p.yaml", "name: a", run)
    assert not is_protocol_of_this_machine(tmp_path / "p.yaml", "name: b", run)
    assert not is_protocol_of_this_machine(run / "p.yaml", "name: a", run)
    assert not is_protocol_of_this_machine(tmp_path / "absent.yaml", "name: a", run)

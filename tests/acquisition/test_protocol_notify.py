"""Who hears of what, and that nobody's deafness matters."""

import json
import sys
from datetime import UTC, datetime

import pytest

from acquisition.notifier import occasions_of, send_notices
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

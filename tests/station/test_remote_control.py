"""``karyoscan control``: taken up by what runs, refused where nothing does."""

from __future__ import annotations

from pathlib import Path

import pytest

from acquisition.run.control import RunCommand, RunControl, send_run_command
from acquisition.storage import RunFolder
from acquisition.storage.run_folder import CONTROL_NAME, JOURNAL_NAME, is_in_use, locked_folder
from station.errors import NoAnswerError, UsageError
from station.run.remote_control import send_and_wait


@pytest.fixture
def running(tmp_path: Path):
    """A run that holds its folder, and the control it obeys."""
    with RunFolder.create(tmp_path / "run") as folder:
        folder.journal.touch()
        control = RunControl()
        control.begin(folder.control)
        yield folder.path, control


@pytest.mark.parametrize(
    ("command", "words", "is_obeyed"),
    [
        (RunCommand.PAUSE, "pauses", lambda control: control.pause_requested),
        (RunCommand.STOP, "can be resumed", lambda control: control.stop_requested),
        (RunCommand.ABORT, "given up", lambda control: control.abort_requested),
    ],
)
def test_a_command_is_acknowledged_once_the_run_has_taken_it_up(running, command, words, is_obeyed):
    folder, control = running
    said = send_and_wait(folder, command, timeout_s=5, pause=lambda _seconds: control.poll())
    assert words in said
    assert is_obeyed(control)
    assert not (folder / CONTROL_NAME).exists()


def test_a_run_that_does_not_answer_is_named_after_the_deadline(running):
    folder, _ = running
    clock = iter(range(100))
    with pytest.raises(NoAnswerError, match="pause was not carried out within 3 s"):
        send_and_wait(
            folder, RunCommand.PAUSE, timeout_s=3, now_s=lambda: next(clock), pause=lambda _seconds: None
        )
    assert (folder / CONTROL_NAME).read_text() == "pause\n", "the command still stands, as the message says"


def test_a_run_that_ends_without_reading_leaves_no_command_behind(tmp_path):
    folder = RunFolder.create(tmp_path / "run")
    folder.journal.touch()
    with pytest.raises(NoAnswerError, match="ended before it read the command"):
        send_and_wait(folder.path, RunCommand.STOP, timeout_s=5, pause=lambda _seconds: folder.close())
    assert not (folder.path / CONTROL_NAME).exists()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (None, "no such folder"),
        ((), "neither a run nor a batch"),
        ((JOURNAL_NAME,), "no run is running"),
        (("batch.json",), "no batch is running"),
    ],
)
def test_a_command_to_nobody_is_refused_and_leaves_nothing(tmp_path, files, words):
    folder = tmp_path / "folder"
    if files is not None:
        folder.mkdir()
        for name in files:
            (folder / name).touch()
    with pytest.raises(UsageError, match=words):
        send_and_wait(folder, RunCommand.PAUSE, timeout_s=0)
    assert not (folder / CONTROL_NAME).exists()


def test_a_command_from_before_the_run_is_not_obeyed(tmp_path):
    (tmp_path / "run").mkdir()
    send_run_command(tmp_path / "run" / CONTROL_NAME, RunCommand.PAUSE)
    with RunFolder.create(tmp_path / "run") as folder:
        control = RunControl()
        control.begin(folder.control)
        control.poll()
        assert not control.pause_requested


def test_the_commands_of_a_batch_reach_each_of_its_runs(tmp_path):
    control = RunControl()
    with locked_folder(tmp_path):
        control.begin_batch(tmp_path / CONTROL_NAME)
        control.begin(tmp_path / "first" / CONTROL_NAME)
        control.begin_again()
        control.begin(tmp_path / "second" / CONTROL_NAME)
        send_and_wait(tmp_path, RunCommand.PAUSE, timeout_s=5, pause=lambda _seconds: control.poll())
        assert control.pause_requested


def test_a_folder_is_in_use_for_as_long_as_its_lock_is_held(tmp_path):
    assert not is_in_use(tmp_path)
    with locked_folder(tmp_path):
        assert is_in_use(tmp_path)
    assert not is_in_use(tmp_path)
    # What a crash leaves: the file, and nobody who holds it.
    (tmp_path / "run.lock").write_text("{}")
    assert not is_in_use(tmp_path)

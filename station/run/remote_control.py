"""Commands to a run or a batch in another process, and whether it took them up."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from acquisition.batch.report import BATCH_NAME
from acquisition.run.control import RunCommand, send_run_command
from acquisition.storage.run_folder import CONTROL_NAME, JOURNAL_NAME, is_in_use
from station.errors import NoAnswerError, UsageError

POLL_S: Final = 0.05
"""A person doesn't notice it, and a disk answers far sooner."""

_EFFECTS: Final = {
    RunCommand.PAUSE: "pauses: light off, focus down, until the command resume",
    RunCommand.RESUME: "continues",
    RunCommand.STOP: "stops, and can be resumed later",
    RunCommand.ABORT: "is given up",
}


def send_and_wait(
    folder: Path,
    command: RunCommand,
    *,
    timeout_s: float,
    now_s: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> str:
    """Send a command to what runs in a folder, and wait until it was taken up.

    Parameters
    ----------
    folder
        Folder of a run or of a batch.
    command
        What it shall do. A batch hands it to the slide that is being scanned; a stop ends the batch after it.
    timeout_s
        How long to wait; 0 for not at all.
    now_s, pause
        Time source and waiting, both in s.

    Returns
    -------
    str
        What happens now, for people.

    Raises
    ------
    UsageError
        Nothing runs in the folder, so that nobody would ever read the command.
    NoAnswerError
        It was not taken up in time, or the run ended before it read the command.
    StorageError
        The command can't be written.
    """
    kind = _require_running(folder)
    file = folder / CONTROL_NAME
    send_run_command(file, command)
    if timeout_s == 0:
        return f"{command} was sent; the {kind} reads it at its next field or cell"
    start_s = now_s()
    while file.exists():
        if not is_in_use(folder):
            file.unlink(missing_ok=True)
            raise NoAnswerError(f"the {kind} in {folder} ended before it read the command")
        if now_s() - start_s > timeout_s:
            raise NoAnswerError(
                f"{command} was not carried out within {timeout_s:g} s; the {kind} in {folder} may be in a "
                f"long step, or hang. The command waits for its next field or cell; remove {file} to take it back"
            )
        pause(POLL_S)
    return f"the {kind} {_EFFECTS[command]}"


def _require_running(folder: Path) -> str:
    """``"run"`` or ``"batch"``, whichever goes on in the folder."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    is_batch = (folder / BATCH_NAME).is_file()
    if is_in_use(folder):
        return "run" if (folder / JOURNAL_NAME).is_file() else "batch"
    if is_batch:
        raise UsageError(f"no batch is running in {folder}; the same 'karyoscan batch' command continues it")
    if (folder / JOURNAL_NAME).is_file():
        raise UsageError(
            f"no run is running in {folder}: it ended, or was cut off; 'karyoscan status {folder}' shows which"
        )
    raise UsageError(f"{folder} holds neither a run nor a batch")

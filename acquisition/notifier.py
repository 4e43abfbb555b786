"""Notices to the people whom a protocol names. A target that fails is recorded; it never stops a run."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import psutil

from acquisition.deadline import call_within
from acquisition.errors import DeadlineError, ProtocolError
from acquisition.protocol import (
    NotifyCommand,
    NotifyFile,
    NotifyTarget,
    Occasion,
)
from acquisition.protocol.load import plain_text, protocol_fault
from acquisition.records import RunStatus
from acquisition.storage.spool import NO_LINK
from scanner.portable.disk import open_descriptor
from scanner.strict_yaml import read_text_file

_log = logging.getLogger(__name__)

FILE_DEADLINE_S: Final = 10.0
"""A line is appended in milliseconds, over a network too; a share whose server is gone never answers."""
_POLL_S: Final = 0.1
NOT_TRUSTED: Final = (
    "the run's protocol is not of this machine; its notices are not trusted (--trust-notices sends them)"
)
_KILL_PATIENCE_S: Final = 5.0
"""A killed process is gone at once, unless the system itself waits for a disk."""
_STDERR_BYTES: Final = 200
"""Enough of what a program complained of for one line."""

# Whoever stopped a run knows of it.
_OCCASIONS: dict[RunStatus, tuple[Occasion, ...]] = {
    RunStatus.COMPLETED: (Occasion.FINISHED,),
    RunStatus.COMPLETED_WITH_ERRORS: (Occasion.FINISHED, Occasion.ATTENTION),
    RunStatus.PARKED: (Occasion.PARKED,),
    RunStatus.ABORTED: (Occasion.FAILED,),
    RunStatus.FAILED: (Occasion.FAILED,),
}


def occasions_of(status: RunStatus, *, unsafe: bool) -> tuple[Occasion, ...]:
    """Of what the end of a run gives notice.

    Parameters
    ----------
    status
        How the run ended.
    unsafe
        Whether the instrument is not in its safe state, which always needs a person.
    """
    occasions = _OCCASIONS.get(status, ())
    return (*occasions, Occasion.ATTENTION) if unsafe and Occasion.ATTENTION not in occasions else occasions


def is_protocol_of_this_machine(path: Path, text: str, run_folder: Path) -> bool:
    """Whether the text of a run's protocol stands in a file of this machine, outside of the run's folder.

    Only such a protocol may have programs started: a folder that came from elsewhere brings its own text.

    Parameters
    ----------
    path
        Where the protocol is said to be.
    text
        The protocol as the run keeps it.
    run_folder
        Folder of the run.
    """
    try:
        real = path.resolve(strict=True)
        if real.is_relative_to(run_folder.resolve()):
            return False
        return plain_text(read_text_file(real, protocol_fault)) == plain_text(text)
    except (OSError, ProtocolError):
        return False


def send_notices(
    targets: Sequence[NotifyTarget],
    occasions: Sequence[Occasion],
    message: Mapping[str, object],
    folder: Path,
    *,
    trusted: bool = True,
    is_aborted: Callable[[], bool] = lambda: False,
    file_deadline_s: float = FILE_DEADLINE_S,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[str, ...]:
    """Give notice to each target that wants to hear of one of the occasions, once.

    Parameters
    ----------
    targets
        Whom the protocol names.
    occasions
        What happened; the first one that a target wants is named to it.
    message
        Further values that JSON can hold.
    folder
        Folder of the run: files are relative to it, and programs are started in it.
    trusted
        Whether the protocol is of this machine, see `is_protocol_of_this_machine`; where it is not, no program is
        started and no file written.
    is_aborted
        Asked while a program or a disk is waited for: whether nobody waits any more.
    file_deadline_s
        A file that takes no line in this time gets none.
    now
        Time source.

    Returns
    -------
    tuple of str
        What could not be given, one line a target.
    """
    faults: list[str] = []
    for target in targets:
        occasion = next((occasion for occasion in occasions if occasion in target.on), None)
        if occasion is None:
            continue
        line = json.dumps({"occasion": occasion.value, "at": now().isoformat(), **message}, ensure_ascii=False)
        try:
            if not trusted:
                raise PermissionError(NOT_TRUSTED)
            if isinstance(target, NotifyFile):
                path = folder / target.path
                call_within(file_deadline_s, partial(_append, path, line), str(path), is_aborted=is_aborted)
            else:
                _start(target, line, folder, is_aborted)
        except (OSError, subprocess.SubprocessError, DeadlineError) as error:
            fault = f"no notice to {_name(target)}: {error}"
            _log.warning("%s", fault)
            faults.append(fault)
    return tuple(faults)


def _append(path: Path, line: str) -> None:
    # Without blocking: a named pipe that nobody reads would be waited for for ever.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_LINK | getattr(os, "O_NONBLOCK", 0)
    descriptor = open_descriptor(path, flags)
    with os.fdopen(descriptor, "ab") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no regular file")
        file.write(f"{line}\n".encode())


def _start(target: NotifyCommand, line: str, folder: Path, is_aborted: Callable[[], bool]) -> None:
    # Files instead of pipes: neither a program that reads nothing nor a child it leaves behind is waited for.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as complaints:
        given.write(line.encode())
        given.seek(0)
        # A list of arguments, no shell: nothing of the message can become a command.
        process = subprocess.Popen(  # noqa: S603
            list(target.command),
            stdin=given,
            stdout=subprocess.DEVNULL,
            stderr=complaints,
            cwd=folder,
            start_new_session=True,
        )
        status = _wait(process, target.timeout_s, is_aborted)
        if status:
            complaints.seek(0)
            reason = complaints.read(_STDERR_BYTES).decode(errors="replace").strip()
            raise OSError(f"it ended with status {status}{': ' + reason if reason else ''}")


def _wait(process: subprocess.Popen[bytes], timeout_s: float, is_aborted: Callable[[], bool]) -> int:
    end_s = time.monotonic() + timeout_s
    while True:
        try:
            return process.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            if time.monotonic() < end_s and not is_aborted():
                continue
            _kill(process)
            raise subprocess.TimeoutExpired(process.args, timeout_s) from None


def _kill(process: subprocess.Popen[bytes]) -> None:
    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        family = []
    process.kill()
    for child in family:
        try:
            child.kill()
        except psutil.Error:
            _log.debug("a child of a notice had ended already")
    process.wait(_KILL_PATIENCE_S)


def _name(target: NotifyTarget) -> str:
    return str(target.path) if isinstance(target, NotifyFile) else target.command[0]

"""What a person asks of a running scan; heard at field and capture boundaries, and while the run waits."""

from __future__ import annotations

import threading
from contextlib import suppress
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from acquisition.deadline import BoundedCalls
from acquisition.errors import DeadlineError, StorageError
from acquisition.storage.atomic import write_bytes_atomic

POLL_DEADLINE_S: Final = 5.0
"""A file is looked for in milliseconds, over a network too."""


class RunCommand(StrEnum):
    """What may be asked of a run; `STOP` and `ABORT` are never taken back."""

    RESUME = "resume"
    PAUSE = "pause"
    STOP = "stop"
    ABORT = "abort"


class RunControl:
    """Carries requests from any thread, a signal handler, or another process to the run.

    Parameters
    ----------
    file
        Where another process may write a command (see `send_run_command`); None listens to this process alone.

    Notes
    -----
    The requests are plain flags: a signal handler must not wait for a lock that the thread it interrupted holds.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._batch_file: Path | None = None
        self._stop = self._abort = self._pause = self._ending = False
        self._ended = threading.Event()
        self._disk = BoundedCalls("run-control", POLL_DEADLINE_S)

    def begin_batch(self, file: Path) -> None:
        """A batch begins; its runs obey commands in this file beside their own."""
        self._batch_file = file

    def begin(self, file: Path) -> None:
        """A run begins; it obeys commands that other processes write into this file."""
        self._file = file
        self._ending = False
        self._ended.clear()

    def request_stop(self) -> None:
        """Ask the run to end at the next boundary, keeping all it has."""
        self._stop = True

    def request_abort(self) -> None:
        """Abort the run at the next boundary: nothing more is searched, captured or karyotyped."""
        self._abort = True
        self._stop = True

    def request_pause(self) -> None:
        """Ask the run to wait at the next boundary, light off and focus down."""
        self._pause = True

    def request_resume(self) -> None:
        """Let a paused run go on."""
        self._pause = False

    @property
    def stop_requested(self) -> bool:
        """Whether the run should end."""
        return self._stop

    @property
    def abort_requested(self) -> bool:
        """Whether the run is aborted."""
        return self._abort

    @property
    def pause_requested(self) -> bool:
        """Whether the run should wait; a stop ends the waiting."""
        return self._pause and not self._stop

    def poll(self) -> None:
        """Take up what other processes wrote; a file that was read is gone, which tells them that it was."""
        for file in (self._batch_file, self._file):
            if file is not None:
                # A disk that gives no answer tells no command either; what the run writes there says so.
                with suppress(DeadlineError):
                    self._disk.call(partial(self._take_up, file), "listening for commands")

    def _take_up(self, file: Path) -> None:
        read = file.with_name(f"{file.name}.read")
        try:
            # Moved first: a further command that is written meanwhile is not removed with this one.
            file.replace(read)
            text = read.read_text(encoding="utf-8", errors="replace").strip()
            read.unlink()
        except OSError:
            return
        action = {
            RunCommand.STOP.value: self.request_stop,
            RunCommand.ABORT.value: self.request_abort,
            RunCommand.PAUSE.value: self.request_pause,
            RunCommand.RESUME.value: self.request_resume,
        }.get(text)
        if action is not None:
            action()

    def begin_ending(self) -> None:
        """Say that the instrument is being made safe."""
        self._ending = True

    def mark_safe(self) -> None:
        """Say that the instrument is safe, or as safe as it can be made."""
        self._ended.set()

    def wait_for_end(self, timeout_s: float) -> bool:
        """Wait, in another thread than the run's, until the instrument is safe; False where the time was up."""
        return self._ended.wait(timeout_s)

    def begin_again(self) -> None:
        """Another run begins: interrupts are heard again. A stop is not taken back."""
        self._ending = False
        self._ended.clear()
        self._file = None

    @property
    def ending(self) -> bool:
        """Whether the instrument is being made safe, or is safe already."""
        return self._ending


def send_run_command(file: Path, command: RunCommand) -> None:
    """Send a command to a run in another process.

    Parameters
    ----------
    file
        The run folder's control file.
    command
        What is asked for.

    Raises
    ------
    StorageError
        There is no such folder, or it can't be written.
    """
    if not file.parent.is_dir():
        raise StorageError("there is no such run folder", path=file.parent)
    write_bytes_atomic(file, f"{command.value}\n".encode())

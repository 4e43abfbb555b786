"""Starts runs and nights as processes of their own, which go on when the server ends, and sends them commands."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final

from acquisition.run.control import RunCommand
from acquisition.storage.atomic import storage_errors
from acquisition.storage.run_folder import JOURNAL_NAME, is_in_use
from station.errors import NoAnswerError
from station.run.batch_request import read_batch_request
from station.run.remote_control import send_and_wait
from station.run.resume import read_request
from station.web.live.run_library import RunLibrary
from station.web.problems import ProblemError

CONSOLE_SUFFIX: Final = ".console.log"
"""Beside a run's folder: what its process printed. The folder itself has to be empty when a run begins."""
COMMAND_TIMEOUT_S: Final = 5.0
"""A field or cell takes a second or two; what takes longer answers later, and the page shows it."""
_TAIL_BYTES: Final = 4000


@dataclass(slots=True)
class _Started:
    """A process that this server started."""

    process: subprocess.Popen[bytes]
    rig: Path
    out: Path

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts one process a rig.

    Attributes
    ----------
    library
        Runs and nights that are there.
    command
        Begin of the command line.
    """

    library: RunLibrary
    command: Sequence[str] = (sys.executable, "-c", "from station.entry import main; main()")
    _started: list[_Started] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def start(self, arguments: Sequence[str], rig: Path, out: Path) -> None:
        """Start a command that writes into a folder and uses a rig.

        Parameters
        ----------
        arguments
            Of the command, without the program.
        rig
            Folder of the rig; no second process is started on it.
        out
            Folder that the process writes into.

        Raises
        ------
        ProblemError
            Something runs in the folder or on the rig.
        StorageError
            What it prints can't be kept.
        """
        with self._lock:
            self.require_free(rig, out)
            console = out.with_name(out.name + CONSOLE_SUFFIX)
            with storage_errors(console):
                out.parent.mkdir(parents=True, exist_ok=True)
                with console.open("ab") as printed:
                    process = self._detached([*self.command, *arguments], printed.fileno())
            self._started[:] = [each for each in self._started if each.is_running]
            self._started.append(_Started(process, rig.resolve(), out))
            # Its end is taken note of at once: until then the system keeps it as a dead process.
            threading.Thread(target=process.wait, name=f"waits for {out.name}", daemon=True).start()

    def resume(self, folder: Path) -> str:
        """Go on with a run or a night that isn't running.

        Parameters
        ----------
        folder
            Of the run or the night.

        Raises
        ------
        ProblemError, StorageError
            As `start`; or nothing says what was asked.
        """
        night = read_batch_request(folder)
        if night is not None:
            arguments = ["batch", "--rig", str(night.rig), "--worklist", str(night.worklist), "--out", str(folder)]
            if night.tray is not None:
                arguments += ["--tray", str(night.tray)]
            self.start(arguments, night.rig, folder)
            return "the night goes on"
        self.start(["resume", str(folder)], read_request(folder).rig, folder)
        return "the run goes on at its first unfinished field, once its slide is recognised"

    def send(self, folder: Path, command: RunCommand) -> str:
        """Send a command to what runs in a folder.

        Parameters
        ----------
        folder
            Of the run or the night.
        command
            What it shall do.

        Raises
        ------
        UsageError
            Nothing runs there.
        """
        try:
            return send_and_wait(folder, command, timeout_s=COMMAND_TIMEOUT_S)
        except NoAnswerError:
            if not is_in_use(folder):
                raise
            return f"{command} was sent; it is in a long step and takes it up at its next field or cell"

    def is_starting(self, out: Path) -> bool:
        """Whether a process was started for a folder and lives."""
        with self._lock:
            return any(each.is_running and each.out == out for each in self._started)

    def printed(self, out: Path) -> str:
        """The end of what the process of a folder printed; empty where it was started otherwise."""
        try:
            with out.with_name(out.name + CONSOLE_SUFFIX).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""

    def user_of(self, rig: Path) -> Path | None:
        """Folder of the run or night that uses a rig at this moment; None where none of this laboratory does."""
        wanted = rig.resolve()
        for each in self._started:
            if each.is_running and each.rig == wanted:
                return each.out
        for folder in self.library.folders():
            if is_in_use(folder.path) and _rig_of(folder.path) == wanted:
                return folder.path
        return None

    def require_free(self, rig: Path, out: Path) -> None:
        """Refuse a rig or a folder that is in use.

        Parameters
        ----------
        rig
            Folder of the rig.
        out
            Folder that would be written into.

        Raises
        ------
        ProblemError
            Something runs there.
        """
        if is_in_use(out) or any(each.is_running and each.out == out for each in self._started):
            raise ProblemError(HTTPStatus.CONFLICT, "in-use", f"{out.name} is running already")
        user = self.user_of(rig)
        if user is not None:
            raise ProblemError(
                HTTPStatus.CONFLICT,
                "rig-in-use",
                f"rig {rig.name} is in use by {user.name}; wait for its end, or stop it",
            )

    @staticmethod
    def _detached(command: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        """A process that neither the end of the server nor Ctrl-C in its terminal reaches."""
        # Flags of Windows are looked up by name: other systems' modules lack them.
        flags = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)
        return subprocess.Popen(  # noqa: S603 - our own program with arguments that were checked
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=os.name == "posix",
            creationflags=flags,
        )


def _rig_of(folder: Path) -> Path | None:
    night = read_batch_request(folder)
    if night is not None:
        return night.rig.resolve()
    if not (folder / JOURNAL_NAME).is_file():
        return None
    try:
        return read_request(folder).rig.resolve()
    except (OSError, ValueError, KeyError):
        return None

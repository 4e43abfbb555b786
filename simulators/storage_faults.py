"""Faults of the disk and of the process, as data: which file they befall, and when.

They bite where Python tells what it is about to do (`sys.addaudithook`): whoever opens a file for writing, or
gives it its name, meets them without knowing of them. The run's journal, which stays open, tells of its records in
the same way: `JOURNAL_WRITE` with path and length before, `JOURNAL_RECORD` with its kind afterwards. SQLite writes
through a library of its own: databases that are opened within are met at each commit that changes rows.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatch
from pathlib import Path
from sqlite3 import dbapi2
from typing import Any

from scanner.portable.process import kill_this_process
from simulators.fault_plan import CountingPlan, check_counts, parse_plan

SLOW_S = 2.0
"""How long a slow disk keeps a file waiting."""

JOURNAL_WRITE, JOURNAL_RECORD = "karyoscan.journal_write", "karyoscan.journal_record"
JOURNAL_PREFIX = "journal/"
"""Before the kind of a record, in the pattern of a fault."""
EXPOSURE = "exposure"
"""What `FaultyDisk.passed` is told of an exposure."""

_WRITING = os.O_WRONLY | os.O_RDWR
_HEARD = frozenset({"open", "os.rename", JOURNAL_WRITE, JOURNAL_RECORD})


class StorageFaultKind(StrEnum):
    """What can go wrong with files."""

    DISK_FULL = "disk_full"
    """No room when a file is begun, or when a SQLite database commits rows."""
    DISK_SLOW = "disk_slow"
    """A file waits for the disk when it is begun."""
    DISK_HANGS = "disk_hangs"
    """A file, a record or a commit gets no answer, as on a share whose server is gone."""
    PROCESS_KILLED = "process_killed"
    """The process is killed once a file has got its name, a journal record is written or a frame is exposed."""


@dataclass(frozen=True, slots=True)
class StorageFault:
    """One fault.

    Attributes
    ----------
    kind
        What goes wrong.
    files
        Pattern of the files it concerns, relative to the folder or to one within it (the run of a slide in the
        folder of a batch), such as ``captures/*.tiff``; all, where empty. ``journal/<kind of record>`` and
        ``exposure`` for those two.
    nth
        First of these files that goes wrong, counted from 1.
    times
        How many of them; None for ever.
    probability
        Where given, every file from `nth` on goes wrong with this probability instead (`times` at most).
    """

    kind: StorageFaultKind
    files: str = ""
    nth: int = 1
    times: int | None = 1
    probability: float | None = None

    def __post_init__(self) -> None:
        """Refuse what can't happen."""
        check_counts(self)

    def concerns(self, target: str) -> bool:
        """Whether it is about the file of this relative name."""
        return not self.files or fnmatch(target, self.files) or fnmatch(target, f"*/{self.files}")


class StorageFaultPlan(CountingPlan[StorageFault]):
    """Faults of the disk and the process that are still to come."""


def parse_storage_faults(text: str) -> tuple[StorageFault, ...]:
    """Read faults from text: ``kind@files:nth xtimes ~probability``; see `simulators.fault_plan.parse_plan`.

    For instance ``disk_full@captures/*:3; process_killed@run.json``.

    Raises
    ------
    ValueError
        With the part that can't be read.
    """
    return parse_plan(text, StorageFaultKind, StorageFault)


class FaultyDisk:
    """The disk under a folder, as it fails.

    Parameters
    ----------
    folder
        What lies elsewhere is left alone.
    faults
        What will go wrong.
    sleep
        Waits for a slow disk, in s.
    kill
        Ends the process.
    """

    def __init__(
        self,
        folder: Path,
        faults: StorageFaultPlan,
        *,
        sleep: Callable[[float], None] = time.sleep,
        kill: Callable[[], None] = kill_this_process,
    ) -> None:
        self._root = str(folder.resolve()) + os.sep
        self._faults = faults
        self._sleep = sleep
        self._kill = kill
        self._on = True
        self._named: str | None = None
        self._closed = threading.Event()

    def begin(self, path: str) -> None:
        """A file is about to be opened for writing.

        Raises
        ------
        OSError
            The disk is full; or it hung, and the rehearsal is over.
        """
        name = self._name(path)
        if name is None:
            return
        if self._faults.strikes(StorageFaultKind.DISK_SLOW, name):
            self._sleep(SLOW_S)
        if self._faults.strikes(StorageFaultKind.DISK_HANGS, name):
            self._closed.wait()
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        if self._faults.strikes(StorageFaultKind.DISK_FULL, name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def commit(self, path: str) -> None:
        """A database is about to make rows durable.

        Raises
        ------
        sqlite3.OperationalError
            The disk is full, in SQLite's words; the transaction stays open, as SQLite leaves it. Or the disk hung,
            and the rehearsal is over.
        """
        name = self._name(path) if self._on else None
        if name is not None and self._faults.strikes(StorageFaultKind.DISK_HANGS, name):
            self._closed.wait()
            raise sqlite3.OperationalError("disk I/O error")
        if name is not None and self._faults.strikes(StorageFaultKind.DISK_FULL, name):
            raise sqlite3.OperationalError("database or disk is full")

    def name(self, path: str) -> None:
        """A file is about to get its name; it has it when something else happens to this disk."""
        self._named = self._name(path)

    def settle(self) -> None:
        """Something else happens: whoever was about to get a name has it by now."""
        named, self._named = self._named, None
        if named is not None:
            self.passed(named)

    def passed(self, point: str) -> None:
        """The process has come so far, with a file, a record or an exposure."""
        if self._on and self._faults.strikes(StorageFaultKind.PROCESS_KILLED, point):
            self._kill()

    def close(self) -> None:
        """Sound again; who still waits for an answer gets an error."""
        self._on = False
        self._closed.set()

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        """What the interpreter is about to ask of the operating system.

        Parameters
        ----------
        event
            Name of the audit event.
        arguments
            What the interpreter hands over with it.
        """
        if not self._on or event not in _HEARD:
            return
        self.settle()
        if event == "os.rename":
            self.name(os.fsdecode(arguments[1]))  # type: ignore[arg-type]
        elif event == JOURNAL_WRITE:
            self.begin(str(arguments[0]))
        elif event == JOURNAL_RECORD:
            self.passed(f"{JOURNAL_PREFIX}{arguments[0]}")
        elif isinstance(arguments[0], (str, bytes, os.PathLike)) and _is_writing(arguments[2]):
            self.begin(os.fsdecode(arguments[0]))

    def _name(self, path: str) -> str | None:
        whole = os.path.abspath(path)
        if not whole.startswith(self._root):
            return None
        relative = whole.removeprefix(self._root)
        folder, name = os.path.split(relative)
        # Written whole or not at all: ".<name>.<random>.part" is <name>.
        if name.startswith(".") and name.endswith(".part"):
            name = name[1:].rsplit(".", 2)[0]
        return f"{folder}/{name}" if folder else name


def _is_writing(flags: object) -> bool:
    return isinstance(flags, int) and bool(flags & _WRITING)


@contextmanager
def faulty_disk(folder: Path, faults: tuple[StorageFault, ...], seed: int = 0) -> Iterator[FaultyDisk]:
    """Let the disk under a folder fail within.

    Parameters
    ----------
    folder
        The run's folder; it need not exist yet.
    faults
        What will go wrong.
    seed
        Seed of faults with a probability.
    """
    disk = FaultyDisk(folder, StorageFaultPlan(faults, seed))
    if not faults:
        yield disk
        return
    # A hook stays for the life of the interpreter; it is silent once the disk is closed.
    sys.addaudithook(disk.hear)
    try:
        with _databases_on(disk):
            yield disk
        disk.settle()
    finally:
        disk.close()


@contextmanager
def _databases_on(disk: FaultyDisk) -> Iterator[None]:
    """Let SQLite databases that are opened within meet the disk's faults."""
    connect: Callable[..., sqlite3.Connection] = dbapi2.connect

    def connect_on_disk(database: object, *arguments: Any, **keywords: Any) -> sqlite3.Connection:  # noqa: ANN401 - handed on
        path = os.fsdecode(database) if isinstance(database, (str, bytes, os.PathLike)) else ""

        class OnDisk(sqlite3.Connection):
            """A connection whose commits may find no room."""

            _settled = 0

            def commit(self) -> None:
                changed, self._settled = self.total_changes != self._settled, self.total_changes
                if changed and self.in_transaction:
                    disk.commit(path)
                super().commit()

        return connect(database, *arguments, **{"factory": OnDisk, **keywords})

    dbapi2.connect = connect_on_disk  # type: ignore[assignment]
    try:
        yield
    finally:
        dbapi2.connect = connect  # type: ignore[assignment]

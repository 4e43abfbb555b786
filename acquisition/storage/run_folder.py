"""The folder one run writes into.

::

    DIR/
    +-- run.lock            there while the run goes on; process id and host
    +-- request.json        what was asked, for a run that has to be resumed
    +-- journal.log         every step, on the disk before the next one
    +-- spool.raw           fields that wait for the finder; gone when the scan is through
    +-- control             word for the run: pause, resume, stop or abort
    +-- run.json            figures of the run
    +-- casebook.sqlite
    +-- report.html
    +-- candidates.csv      the finds, as they were judged and decided about
    +-- overview.zarr/      the scanned area, reduced; OME-Zarr, where the protocol keeps it
    +-- finds/              10x thumbnails, and crops as the finder judged them
    +-- fields/             whole fields, where the protocol keeps them
    +-- landmarks/          reduced fields by which a resumed run knows the slide again
    +-- captures/           63x pictures
    +-- karyograms/         proposals
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from acquisition.errors import DiskFullError, FolderInUseError, StorageError
from acquisition.storage.atomic import storage_errors

LOCK_NAME = "run.lock"
RUN_JSON_NAME = "run.json"
CASEBOOK_NAME = "casebook.sqlite"
REPORT_NAME = "report.html"
JOURNAL_NAME = "journal.log"
REQUEST_NAME = "request.json"
SPOOL_NAME = "spool.raw"
OVERVIEW_NAME = "overview.zarr"
CONTROL_NAME = "control"
_PARTS = ("captures", "karyograms", "finds", "fields", "landmarks")
_LOCK_ATTEMPTS = 5
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Owner:
    pid: int
    host: str


class RunFolder:
    """An output folder that is locked for one run.

    Obtain it from `create`; close it, or use it as a context manager.

    The lock is the operating system's lock on ``run.lock``: it ends with the process that holds it, so that a lock
    file left by a crash blocks nobody on the same machine.

    Parameters
    ----------
    path
        The folder.
    lock
        Descriptor of the locked lock file.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make the folder with its parts and lock it.

        A folder that exists is fine as long as it holds nothing of a run. A lock file of a process that has ended
        on this machine is taken over; one of another machine is refused, since nobody here can tell whether that
        run goes on, and the message says what to do.

        Raises
        ------
        FolderInUseError
            Another run is writing there, or has left its record there.
        StorageError
            The folder can't be made.
        """
        with storage_errors(path):
            path.mkdir(parents=True, exist_ok=True)
        lock = _take_lock(path)
        folder = cls(path, lock)
        try:
            _refuse_record(path)
            # A command that was written before this run began is not meant for it.
            with storage_errors(path):
                folder.control.unlink(missing_ok=True)
            with storage_errors(path):
                for part in _PARTS:
                    (path / part).mkdir(exist_ok=True)
        except BaseException:
            folder.close()
            raise
        return folder

    @classmethod
    def reopen(cls, path: Path) -> RunFolder:
        """Lock the folder of a run that was interrupted.

        Raises
        ------
        FolderInUseError
            The run still goes on.
        StorageError
            There is no journal of a run.
        """
        if not (path / JOURNAL_NAME).is_file():
            raise StorageError(f"holds no run that could be resumed: no {JOURNAL_NAME}", path=path)
        folder = cls(path, _take_lock(path))
        # A wish that was meant for the process that ended is not meant for this one.
        with storage_errors(path):
            folder.control.unlink(missing_ok=True)
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock; a second call does nothing."""
        if self._lock is None:
            return
        lock, self._lock = self._lock, None
        # The name goes first: whoever opened the file before sees that its name is gone, and starts anew.
        (self.path / LOCK_NAME).unlink(missing_ok=True)
        os.close(lock)

    @property
    def captures(self) -> Path:
        """Folder of the high-magnification pictures."""
        return self.path / "captures"

    @property
    def karyograms(self) -> Path:
        """Folder of the proposals."""
        return self.path / "karyograms"

    @property
    def finds(self) -> Path:
        """Folder of the low-magnification thumbnails."""
        return self.path / "finds"

    @property
    def fields(self) -> Path:
        """Folder of whole fields."""
        return self.path / "fields"

    @property
    def landmarks(self) -> Path:
        """Folder of reduced fields by which the slide is known again."""
        return self.path / "landmarks"

    @property
    def journal(self) -> Path:
        """Journal of the run."""
        return self.path / JOURNAL_NAME

    @property
    def request(self) -> Path:
        """What was asked."""
        return self.path / REQUEST_NAME

    @property
    def spool(self) -> Path:
        """Fields that wait for the finder."""
        return self.path / SPOOL_NAME

    @property
    def overview(self) -> Path:
        """The scanned area, reduced."""
        return self.path / OVERVIEW_NAME

    @property
    def control(self) -> Path:
        """Word for the run from another process."""
        return self.path / CONTROL_NAME

    @property
    def run_json(self) -> Path:
        """Figures of the run."""
        return self.path / RUN_JSON_NAME

    @property
    def casebook(self) -> Path:
        """Database of the run."""
        return self.path / CASEBOOK_NAME

    @property
    def report(self) -> Path:
        """Report page of the run."""
        return self.path / REPORT_NAME

    def free_bytes(self) -> int:
        """Room that is left on the disk of the folder."""
        with storage_errors(self.path):
            return shutil.disk_usage(self.path).free

    def require_free(self, bytes_needed: int) -> None:
        """Raise `DiskFullError`, naming both figures, unless `bytes_needed` are free."""
        free = self.free_bytes()
        if free < bytes_needed:
            raise DiskFullError(f"needs {_size(bytes_needed)}, but only {_size(free)} are free", path=self.path)


@contextmanager
def locked_folder(path: Path) -> Iterator[None]:
    """Hold the lock of a folder that is no run's own, such as that of a batch.

    Raises
    ------
    FolderInUseError
        Another process holds it.
    StorageError
        The folder can't be made or locked.
    """
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    folder = RunFolder(path, _take_lock(path))
    try:
        with storage_errors(path):
            folder.control.unlink(missing_ok=True)
        yield
    finally:
        folder.close()


def is_in_use(folder: Path) -> bool:
    """Whether a process writes into a folder at this moment, on any machine."""
    try:
        lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        owner = _read_owner(lock)
        return owner is not None and owner.host != socket.gethostname()
    finally:
        os.close(lock)


def _size(count: int) -> str:
    return f"{count / _MIB:,.1f} MiB"


def _take_lock(folder: Path) -> int:
    path = folder / LOCK_NAME
    for _ in range(_LOCK_ATTEMPTS):
        with storage_errors(path):
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if _try_lock(lock, path):
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
    raise FolderInUseError("is being taken by another run at this very moment", path=folder)


def _try_lock(lock: int, path: Path) -> bool:
    """Lock the open file; False where its name was removed by the former owner in the meantime."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = _read_owner(lock)
        who = "another run" if owner is None else f"the run of process {owner.pid} on {owner.host}"
        raise FolderInUseError(f"is in use by {who}", path=path.parent) from error
    except OSError as error:
        raise StorageError(f"can't be locked: {error.strerror}", path=path) from error
    if not _is_named(lock, path):
        return False
    owner, here = _read_owner(lock), socket.gethostname()
    if owner is not None and owner.host != here:
        raise FolderInUseError(
            f"is locked by process {owner.pid} on {owner.host}; if that run is over, remove {path.name}",
            path=path.parent,
        )
    with storage_errors(path):
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({"pid": os.getpid(), "host": here}).encode(), 0)
        os.fsync(lock)
    return True


def _is_named(lock: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), path.stat())
    except FileNotFoundError:
        return False


def _read_owner(lock: int) -> _Owner | None:
    try:
        value = json.loads(os.pread(lock, 4096, 0))
        return _Owner(int(value["pid"]), str(value["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _refuse_record(path: Path) -> None:
    left = [name for name in (RUN_JSON_NAME, CASEBOOK_NAME, REPORT_NAME, JOURNAL_NAME) if (path / name).exists()]
    left += [f"{part}/" for part in _PARTS if (path / part).is_dir() and any((path / part).iterdir())]
    if left:
        raise FolderInUseError(
            f"holds the record of another run ({', '.join(left)}); choose another folder", path=path
        )

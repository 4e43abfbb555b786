"""The folder one run writes into.

::

    DIR/
    +-- run.lock            there while the run goes on; process id and host
    +-- request.json        what was asked, for a run that has to be resumed
    +-- journal.log         every step, on the disk before the next one
    +-- spool.raw           fields that wait for the finder; gone when the scan is through
    +-- control             command for the run: pause, resume, stop or abort
    +-- run.json            figures of the run
    +-- casebook.sqlite
    +-- report.html
    +-- candidates.csv      the candidates, with scores and decisions
    +-- overview.zarr/      the scanned area, reduced; OME-Zarr, where the protocol keeps it
    +-- finds/              10x thumbnails, and crops as the finder scored them
    +-- fields/             whole fields, where the protocol keeps them
    +-- landmarks/          reduced fields by which a resumed run recognises the slide
    +-- captures/           63x pictures
    +-- karyograms/         proposals
"""

from __future__ import annotations

import logging
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from acquisition.deadline import disk_calls
from acquisition.errors import DeadlineError, DiskFullError, FolderInUseError, StorageError
from acquisition.storage.atomic import storage_errors
from scanner.portable.file_lock import FileLock, LockHeldError, read_lock_owner
from scanner.portable.process import is_running

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
_MIB = 1024 * 1024
_log = logging.getLogger(__name__)


class RunFolder:
    """An output folder that is locked for one run.

    Obtain it from `create`; close it, or use it as a context manager.

    The lock is the operating system's on ``run.lock`` (`scanner.portable.file_lock`): it ends with the process
    that holds it, so that a lock file left by a crash blocks nobody on the same machine.

    Parameters
    ----------
    path
        The folder.
    lock
        Its lock, held.
    """

    def __init__(self, path: Path, lock: FileLock) -> None:
        self.path = path
        self._lock = lock
        self._disk = disk_calls("run-folder")

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
        folder = cls(path, _take_lock(path))
        try:
            _refuse_links(path)
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
        try:
            _refuse_links(path)
            # A command that was meant for the process that ended is not meant for this one.
            with storage_errors(path):
                folder.control.unlink(missing_ok=True)
        except BaseException:
            folder.close()
            raise
        return folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock; a second call does nothing.

        A lock file that can't be removed blocks nobody on this machine, since the lock itself ends here.
        """
        try:
            self._disk.call(self._lock.release, "releasing the lock")
        except (OSError, DeadlineError):
            _log.warning("%s: the lock file can't be removed", self.path / LOCK_NAME, exc_info=True)
        finally:
            self._disk.close()

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
        """Folder of reduced fields by which the slide is recognised."""
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
        """Command for the run from another process."""
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
        """Room that is left on the disk of the folder.

        Raises
        ------
        StorageError
            The disk doesn't say, or gives no answer.
        """
        with storage_errors(self.path):
            return self._disk.call(lambda: shutil.disk_usage(self.path), "asking for free room").free

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
    """Whether a process writes into a folder at this moment; one of another machine counts as running."""
    owner = read_lock_owner(folder / LOCK_NAME)
    if owner is None:
        return False
    return owner.host != socket.gethostname() or is_running(owner.pid, owner.started_s)


def _size(count: int) -> str:
    return f"{count / _MIB:,.1f} MiB"


def _take_lock(folder: Path) -> FileLock:
    try:
        with storage_errors(folder / LOCK_NAME):
            return FileLock.acquire(folder / LOCK_NAME)
    except StorageError as error:
        held = error.__cause__
        if not isinstance(held, LockHeldError):
            raise
        if held.on_other_host:
            message = f"is locked by {held.owner}; if that run is over, remove {LOCK_NAME}"
        else:
            message = f"is in use by the run of {held.owner}" if held.owner else "is in use by another run"
        raise FolderInUseError(message, path=folder) from held


def _refuse_links(path: Path) -> None:
    """A folder from elsewhere may hold links that lead out of it: what is written there would go elsewhere."""
    with storage_errors(path):
        links = sorted(entry.name for entry in path.iterdir() if entry.is_symlink())
    if links:
        raise StorageError(
            f"holds symbolic links ({', '.join(links)}), which are not followed; put the files themselves there",
            path=path,
        )


def _refuse_record(path: Path) -> None:
    left = [name for name in (RUN_JSON_NAME, CASEBOOK_NAME, REPORT_NAME, JOURNAL_NAME) if (path / name).exists()]
    left += [f"{part}/" for part in _PARTS if (path / part).is_dir() and any((path / part).iterdir())]
    if left:
        raise FolderInUseError(
            f"holds the record of another run ({', '.join(left)}); choose another folder", path=path
        )

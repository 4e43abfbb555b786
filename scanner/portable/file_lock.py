"""A lock between processes that says who holds it."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from scanner.portable.disk import open_descriptor, read_at, sync_file, write_at
from scanner.portable.process import boot_id, process_start_s

_log = logging.getLogger(__name__)

_ATTEMPTS: Final = 5
"""The former holder removes the file while we open it; that this happens so often in a row is no accident."""
_OWNER_BYTES: Final = 4096
"""A file that is longer than this isn't a lock's."""
_WINDOWS_LOCK_OFFSET: Final = 1 << 30
"""On Windows nobody can read locked bytes: the lock lies beyond the text that names its owner."""


@dataclass(frozen=True, slots=True)
class LockOwner:
    """Process that holds, or held, a lock.

    Attributes
    ----------
    pid
        Process id.
    host
        Name of its machine.
    started_s
        When the process was started, in s since 1970; None where that couldn't be told.
    boot
        Boot of the machine (`scanner.portable.process.boot_id`); empty where unknown.
    locked_at
        When it took the lock, ISO 8601; empty where unknown.
    """

    pid: int
    host: str
    started_s: float | None = None
    boot: str = ""
    locked_at: str = ""

    @classmethod
    def this_process(cls) -> LockOwner:
        """Describe the running process, at this moment."""
        pid = os.getpid()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(pid, socket.gethostname(), process_start_s(pid), boot_id(), now)

    def __str__(self) -> str:
        since = f" since {self.locked_at}" if self.locked_at else ""
        return f"process {self.pid} on {self.host}{since}"


class LockHeldError(BlockingIOError):
    """Another process holds the lock.

    Parameters
    ----------
    message
        One line for the user.
    path
        The lock's file.
    owner
        Who holds it; None where the file doesn't say.
    on_other_host
        Whether the file names another machine's process, of which nobody here can say whether it still runs.
    """

    def __init__(self, message: str, *, path: Path, owner: LockOwner | None, on_other_host: bool = False) -> None:
        self.path = path
        self.owner = owner
        self.on_other_host = on_other_host
        super().__init__(message)


class FileLock:
    """An exclusive lock on a file, held from `acquire` to `release`.

    It is the operating system's lock: it ends with the process that holds it. A file that a crash left behind on
    this machine blocks nobody.

    Parameters
    ----------
    path
        The lock's file.
    descriptor
        The locked file.
    stale_owner
        Process that ended without releasing the lock before, where the file names one.
    """

    def __init__(self, path: Path, descriptor: int, stale_owner: LockOwner | None = None) -> None:
        self.path = path
        self.stale_owner = stale_owner
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path) -> FileLock:
        """Take the lock, or fail at once.

        Parameters
        ----------
        path
            The lock's file; made where it is absent, in a folder that exists.

        Raises
        ------
        LockHeldError
            Another process holds it, or the file names one of another machine.
        OSError
            The file can't be made, or the file system has no locks.
        """
        for _ in range(_ATTEMPTS):
            descriptor = open_descriptor(path, os.O_RDWR | os.O_CREAT)
            try:
                locked = _try_lock(descriptor, path)
            except BaseException:
                os.close(descriptor)
                raise
            if locked is not None:
                return cls(path, descriptor, locked.stale_owner)
            os.close(descriptor)
        raise LockHeldError(
            f"{path}: is being taken by another process at this moment; try again", path=path, owner=None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Remove the file and let the lock go; a second call does nothing."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        if sys.platform == "win32":
            # An open file can't be removed. If somebody else opened it, it stays, empty, and blocks nobody.
            os.ftruncate(descriptor, 0)
            os.close(descriptor)
            with suppress(PermissionError):
                self.path.unlink(missing_ok=True)
        else:
            # The name goes first: whoever opened the file before sees that its name is gone, and starts anew.
            try:
                self.path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)


def read_lock_owner(path: Path) -> LockOwner | None:
    """Read who holds a lock, or held it when it ended.

    Parameters
    ----------
    path
        The lock's file.

    Returns
    -------
    LockOwner or None
        None where there is no such file, or it names nobody.
    """
    try:
        descriptor = open_descriptor(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        return _read_owner(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Locked:
    stale_owner: LockOwner | None


def _try_lock(descriptor: int, path: Path) -> _Locked | None:
    """Lock the open file; None where its name was removed by the former owner in the meantime."""
    try:
        _lock_descriptor(descriptor)
    except BlockingIOError as error:
        owner = _read_owner(descriptor)
        raise LockHeldError(
            f"{path}: is locked by {owner or 'another process'}", path=path, owner=owner
        ) from error
    if not _is_named(descriptor, path):
        return None
    stale = _read_owner(descriptor)
    if stale is not None and stale.host != socket.gethostname():
        raise LockHeldError(
            f"{path}: is locked by {stale}, another machine; if that process has ended, remove {path.name}",
            path=path,
            owner=stale,
            on_other_host=True,
        )
    if stale is not None:
        _log.warning("%s: %s ended without releasing its lock; the lock is taken over", path, stale)
    os.ftruncate(descriptor, 0)
    write_at(descriptor, json.dumps(asdict(LockOwner.this_process())).encode(), 0)
    sync_file(descriptor)
    return _Locked(stale)


def _lock_descriptor(descriptor: int) -> None:
    """Take the system's lock; `BlockingIOError` where another process has it."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, _WINDOWS_LOCK_OFFSET, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError(error.errno, error.strerror) from error
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _read_owner(descriptor: int) -> LockOwner | None:
    try:
        value = json.loads(read_at(descriptor, _OWNER_BYTES, 0))
        started_s = value.get("started_s")
        return LockOwner(
            pid=int(value["pid"]),
            host=str(value["host"]),
            started_s=None if started_s is None else float(started_s),
            boot=str(value.get("boot", "")),
            locked_at=str(value.get("locked_at", "")),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None

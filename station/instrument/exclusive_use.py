"""An instrument belongs to one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from scanner.errors import DeviceNotReadyError
from scanner.portable.file_lock import FileLock, LockHeldError
from scanner.rig import Rig

LOCK_NAME = "in-use.lock"


@contextmanager
def exclusive_use(rig: Rig, state: Path) -> Iterator[None]:
    """Keep all other processes of this machine from an instrument.

    A simulated instrument is made anew in each process and shared by none: it isn't locked.

    Parameters
    ----------
    rig
        The instrument; its name tells it from others.
    state
        Folder in which instruments keep what outlives a process.

    Raises
    ------
    DeviceNotReadyError
        Another process uses it, named with since when; or the lock can't be kept.
    """
    if rig.simulated:
        yield
        return
    path = state / quote(rig.name, safe="") / LOCK_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock.acquire(path)
    except LockHeldError as error:
        holder = error.owner or "another process"
        raise DeviceNotReadyError(
            f"the instrument is in use by {holder}; two programs on one stage would drive into each other's "
            f"moves: wait for its end, or stop it ({path})",
            device=rig.name,
        ) from error
    except OSError as error:
        raise DeviceNotReadyError(
            f"the instrument's lock can't be kept in {path.parent} ({error.strerror or error}); "
            "set XDG_STATE_HOME to a folder that can be written",
            device=rig.name,
        ) from error
    with lock:
        yield

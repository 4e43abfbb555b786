"""Write a file whole or not at all."""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final
from uuid import uuid4

from scanner.portable.disk import is_unsupported, open_descriptor, sync_file

_log = logging.getLogger(__name__)

FILE_MODE: Final = 0o644
"""Permissions of files whatever the umask: colleagues can read what the instrument's account wrote."""
_REPLACE_ATTEMPTS: Final = 20
_REPLACE_PAUSE_S: Final = 0.05
"""On Windows a virus scanner or an indexer holds a new file open for a moment, rarely longer than a second."""


@contextmanager
def open_atomic(path: Path, *, mode: int = FILE_MODE) -> Iterator[IO[bytes]]:
    """Open a file for writing that takes its name when all of it is on the disk.

    It is written under the name ``.<name>.<random>.part`` beside its place. A symbolic link at `path` is replaced,
    never followed. Where the block ends in an error, what was at `path` stays and nothing is left beside it.

    Parameters
    ----------
    path
        The file; its folder exists.
    mode
        Its permissions, whatever the umask (not on Windows).

    Yields
    ------
    IO[bytes]
        Open for reading and writing.

    Raises
    ------
    OSError
        It couldn't be written; what was at `path` is untouched.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    # O_EXCL makes a new file or fails: a link somebody planted under this name isn't followed.
    descriptor = open_descriptor(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            if sys.platform != "win32":
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            sync_file(file.fileno())
        rename(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_atomic(path: Path, content: bytes, *, mode: int = FILE_MODE) -> None:
    """Replace a file; after a power cut there is the old one or the new one.

    Parameters
    ----------
    path
        The file; its folder exists.
    content
        Its new content.
    mode
        Its permissions, whatever the umask (not on Windows).

    Raises
    ------
    OSError
        It couldn't be written; what was at `path` is untouched.
    """
    with open_atomic(path, mode=mode) as file:
        file.write(content)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk.

    Without it a power cut may bring back an old file, or none. Some network shares can't do it. They are used all
    the same, with one warning: after a power cut of the file server the last files may be missing.

    Parameters
    ----------
    folder
        The folder.

    Raises
    ------
    OSError
        The disk failed.
    """
    if sys.platform == "win32":
        # Windows has no such call; NTFS keeps names in its own journal.
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not is_unsupported(error):
            raise
        _warn_unsynced(os.fstat(descriptor).st_dev)
    finally:
        os.close(descriptor)


# The cache is what makes it one warning a file system instead of one a file.
@functools.lru_cache(maxsize=64)
def _warn_unsynced(device: int) -> None:
    _log.warning(
        "the file system (device %d) can't confirm that new names are on its disk: folder fsync is unsupported, "
        "as on some network shares; files are written all the same, but a power cut may lose the last ones",
        device,
    )


def rename(path: Path, target: Path) -> None:
    """Give a file or folder another name; on Windows, wait for a moment where something in it is open.

    Parameters
    ----------
    path
        What there is.
    target
        Its new name on the same file system; a file of that name is replaced.

    Raises
    ------
    OSError
        It can't be renamed.
    """
    for _ in range(_REPLACE_ATTEMPTS if sys.platform == "win32" else 0):
        try:
            os.replace(path, target)
        except PermissionError:
            time.sleep(_REPLACE_PAUSE_S)
        else:
            return
    os.replace(path, target)

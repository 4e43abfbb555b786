"""Files by descriptor: reserving space, reading and writing at an offset, and getting data to the disk."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Final

_ZERO_CHUNK: Final = 1 << 20
"""Bytes of zeros written at a time where the system can't reserve space by itself."""
_UNSUPPORTED: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
"""What file systems answer that lack a call: network shares, FUSE, ZFS."""


def is_unsupported(error: OSError) -> bool:
    """Whether an error says that the file system lacks the call, and not that the call failed."""
    return error.errno in _UNSUPPORTED


def open_descriptor(path: Path, flags: int, mode: int = 0o644) -> int:
    """Open a file for bytes.

    Parameters
    ----------
    path
        The file.
    flags
        ``os.O_RDWR`` and the like. Bytes are never translated, and programs started later don't inherit the file.
    mode
        Permissions of a file that is made, before the process's umask.

    Raises
    ------
    OSError
        It can't be opened.
    """
    return os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0), mode)


def reserve_space(descriptor: int, size_bytes: int) -> None:
    """Take disk space for an empty file, so that later writes into it can't find the disk full.

    Parameters
    ----------
    descriptor
        An empty file, open for writing.
    size_bytes
        Size of the file afterwards; its content is zeros.

    Raises
    ------
    OSError
        There isn't that much space.
    """
    if sys.platform == "linux":
        try:
            os.posix_fallocate(descriptor, 0, size_bytes)
        except OSError as error:
            if not is_unsupported(error):
                raise
        else:
            return
    zeros = bytes(min(size_bytes, _ZERO_CHUNK))
    for offset in range(0, size_bytes, _ZERO_CHUNK):
        write_at(descriptor, zeros[: size_bytes - offset], offset)


def write_at(descriptor: int, content: bytes | bytearray | memoryview, offset: int) -> int:
    """Write bytes at an offset.

    Parameters
    ----------
    descriptor
        Open for writing. On Windows the call moves the file's position: one thread at a time may use it.
    content
        All of it is written, in several calls where the system takes less at once.
    offset
        In bytes from the beginning of the file.

    Returns
    -------
    int
        Bytes that were written; fewer than asked for only where the disk took no more without an error.

    Raises
    ------
    OSError
        It couldn't be written.
    """
    rest = memoryview(content).cast("B")
    done = 0
    while done < len(rest):
        if sys.platform == "win32":
            os.lseek(descriptor, offset + done, os.SEEK_SET)
            written = os.write(descriptor, rest[done:])
        else:
            written = os.pwrite(descriptor, rest[done:], offset + done)
        if written == 0:
            break
        done += written
    return done


def read_at(descriptor: int, size_bytes: int, offset: int) -> bytes:
    """Read bytes at an offset.

    Parameters
    ----------
    descriptor
        Open for reading. On Windows the call moves the file's position: one thread at a time may use it.
    size_bytes
        How many.
    offset
        In bytes from the beginning of the file.

    Returns
    -------
    bytes
        Fewer than asked for only at the end of the file.

    Raises
    ------
    OSError
        It couldn't be read.
    """
    parts: list[bytes] = []
    missing = size_bytes
    while missing > 0:
        if sys.platform == "win32":
            os.lseek(descriptor, offset + size_bytes - missing, os.SEEK_SET)
            part = os.read(descriptor, missing)
        else:
            part = os.pread(descriptor, missing, offset + size_bytes - missing)
        if not part:
            break
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def sync_file(descriptor: int) -> None:
    """Return when content and size of a file are on the disk.

    Parameters
    ----------
    descriptor
        Open for writing.

    Raises
    ------
    OSError
        The disk failed.
    """
    if sys.platform == "darwin":
        import fcntl

        # On macOS fsync leaves the data in the drive's own cache.
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError as error:
            if not is_unsupported(error):
                raise
        else:
            return
    os.fsync(descriptor)


def sync_data(descriptor: int) -> None:
    """Return when the content of a file is on the disk; its times may follow later.

    Parameters
    ----------
    descriptor
        Open for writing.

    Raises
    ------
    OSError
        The disk failed.
    """
    if sys.platform == "linux":
        os.fdatasync(descriptor)
    else:
        sync_file(descriptor)

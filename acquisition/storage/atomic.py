"""Write a file whole or not at all, with the errors of this room."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.deadline import call_disk
from acquisition.errors import DeadlineError, DiskFullError, StorageError
from scanner.portable.atomic_files import write_atomic

# Windows has no quotas of this kind, and no such error number.
_NO_ROOM: Final = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about `path` into `StorageError`, a full disk into `DiskFullError`.

    A disk that gives no answer in time is an error of the disk, too.
    """
    try:
        yield
    except DeadlineError as error:
        raise StorageError(str(error), path=path) from error
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _NO_ROOM:
            raise DiskFullError(f"no room on the disk ({reason})", path=path) from error
        raise StorageError(f"can't be written: {reason}", path=path) from error


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write a file, replacing what was there only once all of it is on the disk.

    A symbolic link at `path` is replaced, never followed.

    Parameters
    ----------
    path
        File to write; its folder exists.
    content
        All of its bytes.

    Raises
    ------
    DiskFullError
        There is no room; `path` is as it was before.
    StorageError
        Anything else went wrong; `path` is as it was before. Or the disk gave no answer for `DISK_DEADLINE_S`.
    """
    with storage_errors(path):
        call_disk(partial(write_atomic, path, content), "writing")


def write_json_atomic(path: Path, value: object) -> None:
    """Write a value as indented UTF-8 JSON, whole or not at all.

    Texts that UTF-8 can't hold, such as a path with other bytes, are escaped and come back as they were.

    Parameters
    ----------
    path
        File to write; its folder exists.
    value
        What JSON can hold.

    Raises
    ------
    StorageError
        It holds something else, NaN included, or the file can't be written.
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StorageError(f"can't be written as JSON: {error}", path=path) from error
    try:
        content = text.encode()
    except UnicodeEncodeError:
        content = json.dumps(value, indent=2, allow_nan=False).encode()
    write_bytes_atomic(path, content + b"\n")


def write_png_atomic(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a picture as PNG, whole or not at all.

    Parameters
    ----------
    path
        File to write; its folder exists.
    pixels
        uint8 or uint16, shape (height_px, width_px) grey or (height_px, width_px, 3) RGB.

    Raises
    ------
    StorageError
        It is no picture, or the file can't be written.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3) or pixels.size == 0:
        raise StorageError(f"no picture: {pixels.dtype} of shape {pixels.shape}", path=path)
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    is_encoded, encoded = cv2.imencode(".png", ordered)
    if not is_encoded:
        raise StorageError("can't be encoded as PNG", path=path)
    write_bytes_atomic(path, encoded.tobytes())

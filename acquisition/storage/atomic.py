"""Write a file whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.errors import DiskFullError, StorageError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors about `path` into `StorageError`, a full disk into `DiskFullError`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in _NO_ROOM:
            raise DiskFullError(f"no room on the disk ({reason})", path=path) from error
        raise StorageError(f"can't be written: {reason}", path=path) from error


def write_bytes_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path`, replacing what was there only once all of it is on the disk.

    Raises
    ------
    DiskFullError
        There is no room; `path` is as it was before.
    StorageError
        Anything else went wrong; `path` is as it was before.
    """
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    with storage_errors(path):
        try:
            with part.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_json_atomic(path: Path, value: object) -> None:
    """Write `value` as indented UTF-8 JSON; what JSON can't hold, NaN included, is a `StorageError`."""
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StorageError(f"can't be written as JSON: {error}", path=path) from error
    write_bytes_atomic(path, f"{text}\n".encode())


def write_png_atomic(path: Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a picture as PNG.

    Parameters
    ----------
    path
        File to write.
    pixels
        uint8 or uint16, shape (height, width) grey or (height, width, 3) RGB.
    """
    if pixels.dtype not in (np.uint8, np.uint16) or pixels.ndim not in (2, 3) or pixels.size == 0:
        raise StorageError(f"no picture: {pixels.dtype} of shape {pixels.shape}", path=path)
    ordered = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR) if pixels.ndim == 3 else pixels
    done, encoded = cv2.imencode(".png", ordered)
    if not done:
        raise StorageError("can't be encoded as PNG", path=path)
    write_bytes_atomic(path, encoded.tobytes())


def sync_folder(folder: Path) -> None:
    """Make the new name itself durable; without this a power cut may bring back the old file or none."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

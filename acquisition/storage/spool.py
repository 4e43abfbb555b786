"""Frames on their way from the camera to the finder: a file of fixed slots.

One file does three things. It bounds in bytes how far the finder may fall behind; workers read frames from it, so
that no pixels travel between processes; and what the system holds of it outlives a killed process, so that a field
is not photographed again because it had not been searched yet.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from acquisition.deadline import call_disk, disk_calls
from acquisition.errors import DeadlineError, StorageError
from acquisition.storage.atomic import storage_errors
from scanner.portable.atomic_files import sync_folder
from scanner.portable.disk import open_descriptor, read_at, reserve_space, sync_data, sync_file, write_at

_log = logging.getLogger(__name__)

Shape = tuple[int, int]
_SAMPLE = np.dtype(np.uint16)
NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
"""A link in the run's folder may lead to somebody else's file; Windows has no such flag."""


class FrameSpool:
    """Slots for frames in a file whose room is taken at once, so that the disk can't fill up under it.

    Obtain one from `create` or `reopen`. `sync` may be called from another thread than the rest.

    Parameters
    ----------
    path
        The file.
    handle
        Descriptor, open for writing.
    shape
        Rows and columns of a frame.
    slots
        Frames it can hold.
    used
        Slots that hold a frame somebody still needs.
    """

    def __init__(self, path: Path, handle: int, shape: Shape, slots: int, used: Iterable[int] = ()) -> None:
        self.path = path
        self.shape = shape
        self.slots = slots
        self._handle = handle
        self._disk = disk_calls("spool")
        taken = set(used)
        self._free = [slot for slot in reversed(range(slots)) if slot not in taken]

    @classmethod
    def create(cls, path: Path, shape: Shape, slots: int) -> FrameSpool:
        """Make the file and take its room on the disk.

        Parameters
        ----------
        path
            The file; what is there is overwritten.
        shape
            Rows and columns of a frame.
        slots
            Frames it is to hold.

        Raises
        ------
        DiskFullError
            There is no room for it; nothing is left behind.
        StorageError
            It can't be made.
        """
        with storage_errors(path):
            handle = open_descriptor(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | NO_LINK)
            try:
                reserve_space(handle, slots * frame_bytes(shape))
                sync_file(handle)
            except OSError:
                os.close(handle)
                path.unlink(missing_ok=True)
                raise
            sync_folder(path.parent)
        return cls(path, handle, shape, slots)

    @classmethod
    def reopen(cls, path: Path, shape: Shape, used: Iterable[int]) -> FrameSpool:
        """Go on with a file that an earlier process filled.

        Parameters
        ----------
        path
            The file.
        shape
            Rows and columns of a frame.
        used
            Slots that hold a frame somebody still needs.

        Raises
        ------
        StorageError
            It is absent, or too small for the slots in use.
        """
        taken = set(used)
        with storage_errors(path):
            handle = open_descriptor(path, os.O_RDWR | NO_LINK)
        slots = os.fstat(handle).st_size // frame_bytes(shape)
        if slots <= max(taken, default=-1):
            os.close(handle)
            raise StorageError(f"holds {slots} frames, but frame {max(taken)} is needed", path=path)
        return cls(path, handle, shape, slots, taken)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def free_slots(self) -> int:
        """Frames that can be put without waiting."""
        return len(self._free)

    def put(self, pixels: NDArray[np.uint16]) -> int:
        """Keep a frame; it outlives a killed process when the method returns, and a power cut after `sync`.

        Parameters
        ----------
        pixels
            uint16, of the spool's shape.

        Returns
        -------
        int
            Slot to give back with `release`.

        Raises
        ------
        StorageError
            All slots are taken, the frame is of another kind, or it can't be written.
        """
        if not self._free:
            raise StorageError("is full", path=self.path)
        if pixels.shape != self.shape or pixels.dtype != _SAMPLE:
            raise StorageError(f"takes no {pixels.dtype} of shape {pixels.shape}", path=self.path)
        slot = self._free[-1]
        content = np.ascontiguousarray(pixels).data.cast("B")
        with storage_errors(self.path):
            written = self._disk.call(
                lambda: write_at(self._handle, content, slot * len(content)), "keeping a frame"
            )
        if written != len(content):
            raise StorageError(f"only {written} of {len(content)} bytes could be written", path=self.path)
        return self._free.pop()

    def release(self, slot: int) -> None:
        """Give a slot back."""
        if slot in self._free or not 0 <= slot < self.slots:
            raise ValueError(f"slot {slot} is not in use")
        self._free.append(slot)

    def sync(self) -> None:
        """Return when all frames are on the disk."""
        with storage_errors(self.path):
            sync_data(self._handle)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._handle >= 0:
            handle, self._handle = self._handle, -1
            try:
                self._disk.call(lambda: os.close(handle), "closing")
            except DeadlineError as error:
                _log.warning("%s: %s", self.path, error)
            finally:
                self._disk.close()

    def remove(self) -> None:
        """Close and delete the file: nobody needs its frames any more."""
        self.close()
        with storage_errors(self.path):
            call_disk(partial(self.path.unlink, missing_ok=True), "removing")


def frame_bytes(shape: Shape) -> int:
    """Bytes that a frame takes."""
    return shape[0] * shape[1] * _SAMPLE.itemsize


def frame_checksum(pixels: NDArray[np.uint16]) -> int:
    """CRC-32 of a frame's samples, by which a frame that was changed on the disk is detected; 1 ms for 1.4 Mpx.

    Parameters
    ----------
    pixels
        uint16, shape (rows, columns).
    """
    return zlib.crc32(np.ascontiguousarray(pixels).data.cast("B"))


def read_slot(path: Path, shape: Shape, slot: int) -> NDArray[np.uint16]:
    """Read a frame from a spool, from any process.

    Parameters
    ----------
    path
        The spool's file.
    shape
        Rows and columns of a frame.
    slot
        Which frame.

    Returns
    -------
    NDArray[np.uint16]
        Grey levels, shape (height_px, width_px).

    Raises
    ------
    StorageError
        It can't be read, or the file is too short.
    """
    with storage_errors(path):
        handle = open_descriptor(path, os.O_RDONLY)
        try:
            content = read_at(handle, frame_bytes(shape), slot * frame_bytes(shape))
        finally:
            os.close(handle)
    if len(content) != frame_bytes(shape):
        raise StorageError(f"slot {slot} is not whole", path=path)
    return np.frombuffer(content, _SAMPLE).reshape(shape)

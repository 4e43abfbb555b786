"""The journal of a run: what has been done, one record a line, on the disk before the next step.

A line is ``<CRC-32 of the text, 8 hex digits> <length of the text in bytes> <JSON text>``. Records are numbered
from 0 without gaps. A last line that was cut short, as a kill or a power cut leaves it, was never finished and is
dropped; anything else that is wrong is refused.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from acquisition.errors import JournalError
from acquisition.storage.atomic import storage_errors, sync_folder

NUMBER, KIND = "n", "kind"


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One step of a run.

    Attributes
    ----------
    number
        Place in the journal, from 0.
    kind
        Machine-readable word.
    values
        What JSON gave back.
    """

    number: int
    kind: str
    values: Mapping[str, Any]


class Journal:
    """An append-only file of records.

    Obtain one from `create` or `reopen`; close it, or use it as a context manager. Several threads may append.

    Parameters
    ----------
    path
        The file.
    handle
        Descriptor, open for appending.
    count, size_bytes
        Records it holds, and their length.
    """

    def __init__(self, path: Path, handle: int, count: int = 0, size_bytes: int = 0) -> None:
        self.path = path
        self._handle = handle
        self._count = count
        self._bytes = size_bytes
        self._lock = threading.Lock()
        self._closed = False

    @classmethod
    def create(cls, path: Path) -> Journal:
        """Begin a journal; the file must not exist.

        Raises
        ------
        StorageError
            It exists, or can't be made.
        """
        with storage_errors(path):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
            sync_folder(path.parent)
        return cls(path, handle)

    @classmethod
    def reopen(cls, path: Path) -> tuple[Journal, tuple[JournalRecord, ...]]:
        """Read a journal and go on writing it; a last line that was cut short is removed.

        Raises
        ------
        JournalError
            It is absent, damaged, or can't be written.
        """
        records, whole_bytes = _parse(path)
        with storage_errors(path):
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            os.ftruncate(handle, whole_bytes)
            os.fsync(handle)
        return cls(path, handle, len(records), whole_bytes), records

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._handle)

    def append(self, kind: str, *, sync: bool = True, **values: object) -> None:
        """Add a record.

        Parameters
        ----------
        kind
            What happened.
        sync
            Whether the record has to be on the disk when the method returns. Without it a killed process still
            loses nothing, since the system holds what was written; a power cut may.
        **values
            What JSON can hold.

        Raises
        ------
        DiskFullError, StorageError
            It was not recorded.
        """
        record: dict[str, object] = {NUMBER: 0, KIND: kind, **values}
        with self._lock, storage_errors(self.path):
            record[NUMBER] = self._count
            text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
            self._write(b"%08x %d %b\n" % (zlib.crc32(text), len(text), text))
            self._count += 1
            if sync:
                os.fdatasync(self._handle)
        # Heard by whoever rehearses power cuts; nobody else pays for it.
        sys.audit("karyoscan.journal_record", kind)

    def _write(self, line: bytes) -> None:
        written = 0
        try:
            sys.audit("karyoscan.journal_write", str(self.path), len(line))
            written = os.write(self._handle, line)
            if written != len(line):
                raise JournalError(f"only {written} of {len(line)} bytes could be written", path=self.path)
        except (OSError, JournalError):
            # Half a line would spoil all that follow it: a run that ends for want of room still records its end.
            os.ftruncate(self._handle, self._bytes)
            raise
        self._bytes += written

    def sync(self) -> None:
        """Return when all records are on the disk."""
        with storage_errors(self.path):
            os.fdatasync(self._handle)


def read_journal(path: Path) -> tuple[JournalRecord, ...]:
    """Read a journal without touching it.

    Raises
    ------
    JournalError
        It is absent or damaged.
    """
    return _parse(path)[0]


def _parse(path: Path) -> tuple[tuple[JournalRecord, ...], int]:
    """Give the records, and how many bytes of the file they take."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JournalError(f"can't be read: {error.strerror}", path=path) from error
    records: list[JournalRecord] = []
    start = 0
    while start < len(content):
        end = content.find(b"\n", start)
        # A power cut may leave blocks of zeros where the last line was to stand.
        if end < 0 or not content[start:].strip(b"\0"):
            break
        records.append(_record(content[start:end], len(records), path))
        start = end + 1
    return tuple(records), start


def _record(line: bytes, number: int, path: Path) -> JournalRecord:
    try:
        checksum, length, text = line.split(b" ", 2)
        if checksum != b"%08x" % zlib.crc32(text) or length != b"%d" % len(text):
            raise ValueError("checksum or length differs")
        values = json.loads(text)
        found, kind = values.pop(NUMBER), values.pop(KIND)
        if found != number:
            raise ValueError(f"it is numbered {found}")
    except (ValueError, KeyError, AttributeError) as error:
        raise JournalError(f"record {number} is damaged: {error}", path=path, line=number + 1) from error
    return JournalRecord(number, str(kind), values)

"""The journal of a run: what has been done, one record a line, on the disk before the next step.

A line is ``<CRC-32 of the text, 8 hex digits> <length of the text in bytes> <JSON text>``. Records are numbered
from 0 without gaps, and each carries the SHA-256 of the line before it: a record that was changed, taken out or
put in later shows. (A chain without a key proves nothing against somebody who writes the whole journal anew.) A
last line that was cut short, as a kill or a power cut leaves it, was never finished and is dropped; anything else
that is wrong is refused. Journals of earlier versions have no chain; they are read, and go on with one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from acquisition.deadline import disk_calls
from acquisition.errors import DeadlineError, JournalError
from acquisition.storage.atomic import storage_errors
from acquisition.storage.spool import NO_LINK
from scanner.portable.atomic_files import sync_folder
from scanner.portable.disk import open_descriptor, sync_data, sync_file

_log = logging.getLogger(__name__)

NUMBER, KIND, PREVIOUS = "n", "kind", "prev"

NO_PREVIOUS: Final = "0" * 64
"""What the first record carries in place of a digest."""


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One step of a run.

    Attributes
    ----------
    number
        Place in the journal, from 0.
    kind
        Machine-readable name.
    values
        What JSON gave back.
    """

    number: int
    kind: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JournalContent:
    """What a journal file holds.

    Attributes
    ----------
    records
        All whole records.
    size_bytes
        Their length in the file.
    last_digest
        SHA-256 of the last line, hexadecimal.
    is_chained
        Whether every record carries the digest of the one before it.
    """

    records: tuple[JournalRecord, ...] = ()
    size_bytes: int = 0
    last_digest: str = NO_PREVIOUS
    is_chained: bool = True


@dataclass(frozen=True, slots=True)
class JournalPosition:
    """How far a reader came in a journal that grows.

    Attributes
    ----------
    offset_bytes
        Where the next record begins.
    records
        How many lie before it.
    """

    offset_bytes: int = 0
    records: int = 0


class Journal:
    """An append-only file of records.

    Obtain one from `create` or `reopen`; close it, or use it as a context manager. Several threads may append.

    Parameters
    ----------
    path
        The file.
    handle
        Descriptor, open for appending.
    content
        What it holds.

    Attributes
    ----------
    is_chained
        Whether every record that was there when it was opened carries the digest of the one before it.
    """

    def __init__(self, path: Path, handle: int, content: JournalContent | None = None) -> None:
        content = content or JournalContent()
        self.path = path
        self.is_chained = content.is_chained
        self._handle = handle
        self._count = len(content.records)
        self._bytes = content.size_bytes
        self._previous = content.last_digest
        self._is_torn = False
        self._lock = threading.Lock()
        self._disk = disk_calls("journal")
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
            handle = open_descriptor(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
            sync_folder(path.parent)
        return cls(path, handle)

    @classmethod
    def reopen(cls, path: Path) -> tuple[Journal, tuple[JournalRecord, ...]]:
        """Read a journal and go on writing it; a last line that was cut short is removed.

        Raises
        ------
        JournalError
            It is absent, damaged or altered, or can't be written.
        """
        content = _parse(path)
        with storage_errors(path):
            handle = open_descriptor(path, os.O_WRONLY | os.O_APPEND | NO_LINK)
            try:
                os.ftruncate(handle, content.size_bytes)
                sync_file(handle)
            except OSError:
                os.close(handle)
                raise
        return cls(path, handle, content), content.records

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing. A disk that gives no answer is left to itself."""
        if self._closed:
            return
        self._closed = True
        try:
            self._disk.call(lambda: os.close(self._handle), "closing")
        except DeadlineError as error:
            _log.warning("%s: %s", self.path, error)
        finally:
            self._disk.close()

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
            It was not recorded; or nobody knows, since the disk gave no answer for `DISK_DEADLINE_S`.
        """
        self._answered(lambda: self._append(kind, sync=sync, values=values), f"record {kind!r}")

    def _append(self, kind: str, *, sync: bool, values: Mapping[str, object]) -> None:
        record: dict[str, object] = {NUMBER: 0, KIND: kind, PREVIOUS: "", **values}
        with self._lock, storage_errors(self.path):
            record[NUMBER], record[PREVIOUS] = self._count, self._previous
            text = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
            line = b"%08x %d %b" % (zlib.crc32(text), len(text), text)
            self._write(line + b"\n")
            self._count += 1
            self._previous = _digest(line)
            if sync:
                sync_data(self._handle)
        # Heard by whoever rehearses power cuts; nobody else pays for it.
        sys.audit("karyoscan.journal_record", kind)

    def _write(self, line: bytes) -> None:
        if self._is_torn:
            raise JournalError("ends in half a record, which could not be taken back", path=self.path)
        try:
            sys.audit("karyoscan.journal_write", str(self.path), len(line))
            written = os.write(self._handle, line)
            if written != len(line):
                raise JournalError(f"only {written} of {len(line)} bytes could be written", path=self.path)
        except (OSError, JournalError):
            # Half a line would spoil all that follow it: a run that ends for want of room still records its end.
            self._is_torn = True
            os.ftruncate(self._handle, self._bytes)
            self._is_torn = False
            raise
        self._bytes += written

    def sync(self) -> None:
        """Return when all records are on the disk.

        Raises
        ------
        StorageError
            The disk failed, or gave no answer for `DISK_DEADLINE_S`.
        """

        def sync() -> None:
            with storage_errors(self.path):
                sync_data(self._handle)

        self._answered(sync, "bringing records to the disk")

    def _answered(self, call: Callable[[], None], what: str) -> None:
        with storage_errors(self.path):
            self._disk.call(call, what)


def read_journal(path: Path) -> tuple[JournalRecord, ...]:
    """Read a journal without touching it.

    Raises
    ------
    JournalError
        It is absent, damaged or altered.
    """
    return _parse(path).records


def read_journal_after(path: Path, position: JournalPosition) -> tuple[tuple[JournalRecord, ...], JournalPosition]:
    """Read what was added to a journal that another process writes.

    Checksums and numbers of the new records are checked; that each follows the one before it, only `read_journal`
    checks.

    Parameters
    ----------
    path
        The journal.
    position
        How far an earlier call came.

    Returns
    -------
    tuple of JournalRecord
        The whole records after `position`; a line that is still being written is left to the next call.
    JournalPosition
        Where the next call goes on.

    Raises
    ------
    JournalError
        It is absent or damaged, or no record begins at `position`.
    """
    try:
        with path.open("rb") as file:
            file.seek(position.offset_bytes)
            content = file.read()
    except OSError as error:
        raise JournalError(f"can't be read: {error.strerror}", path=path) from error
    records: list[JournalRecord] = []
    start = 0
    while (end := content.find(b"\n", start)) >= 0:
        record, _ = _record(content[start:end], position.records + len(records), path)
        records.append(record)
        start = end + 1
    return tuple(records), JournalPosition(position.offset_bytes + start, position.records + len(records))


def _parse(path: Path) -> JournalContent:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JournalError(f"can't be read: {error.strerror}", path=path) from error
    records: list[JournalRecord] = []
    start, digest, chained = 0, NO_PREVIOUS, 0
    while start < len(content):
        end = content.find(b"\n", start)
        # A power cut may leave blocks of zeros where the last line was to stand.
        if end < 0 or not content[start:].strip(b"\0"):
            break
        line = content[start:end]
        record, previous = _record(line, len(records), path)
        if previous is not None or chained:
            chained += 1
            if previous != digest:
                raise JournalError(
                    f"record {record.number} ({record.kind}) doesn't follow the one before it: one of the two was "
                    "altered, or records were taken out; the run can't be resumed",
                    path=path,
                    line=record.number + 1,
                )
        records.append(record)
        start, digest = end + 1, _digest(line)
    return JournalContent(tuple(records), start, digest, chained == len(records))


def _record(line: bytes, number: int, path: Path) -> tuple[JournalRecord, str | None]:
    """Give a record, and the digest that it carries of the line before it."""
    try:
        checksum, length, text = line.split(b" ", 2)
        if checksum != b"%08x" % zlib.crc32(text) or length != b"%d" % len(text):
            raise ValueError("checksum or length differs")
        values = json.loads(text)
        number_in_file, kind = values.pop(NUMBER), values.pop(KIND)
        if number_in_file != number:
            raise ValueError(f"it is numbered {number_in_file}")
        previous = values.pop(PREVIOUS, None)
    except (ValueError, KeyError, AttributeError) as error:
        raise JournalError(f"record {number} is damaged: {error}", path=path, line=number + 1) from error
    return JournalRecord(number, str(kind), values), previous


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()

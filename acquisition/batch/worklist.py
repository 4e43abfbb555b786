"""What the laboratory wants scanned: a table of barcodes (CSV), read strictly."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from acquisition.errors import WorklistError

COLUMNS = ("barcode", "accession", "protocol", "priority")
ROUTINE_PRIORITY = 5
_PRIORITIES = range(1, 10)


@dataclass(frozen=True, slots=True)
class WorklistEntry:
    """One slide that is wanted.

    Attributes
    ----------
    line
        Line of the file, counted from 1.
    barcode
        What its label says.
    accession
        The case. Slides of one accession are sisters: a later one is scanned only if those before it were poor.
    protocol
        Protocol file.
    priority
        1 (first) to 9.
    """

    line: int
    barcode: str
    accession: str
    protocol: Path
    priority: int = ROUTINE_PRIORITY


@dataclass(frozen=True, slots=True)
class Worklist:
    """All slides that are wanted, most urgent first, else in the order of the file.

    Attributes
    ----------
    path
        The file.
    entries
        No barcode twice.
    """

    path: Path
    entries: tuple[WorklistEntry, ...]

    def find(self, barcode: str) -> WorklistEntry | None:
        """The entry of a barcode; None where the slide is not wanted."""
        return next((entry for entry in self.entries if entry.barcode == barcode), None)


def load_worklist(path: Path) -> Worklist:
    """Read a worklist.

    The first line names the columns: ``barcode,accession,protocol,priority`` in any order; ``priority`` may be
    left out or empty. Protocols are files, relative to the worklist's folder.

    Parameters
    ----------
    path
        UTF-8 CSV, comma or semicolon.

    Raises
    ------
    WorklistError
        Unreadable, a column missing or unknown, an empty cell, a barcode twice, no such protocol, or a priority
        that is none; with file and line, what was found and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise WorklistError(f"can't be read: {error}", path=path) from error
    heading = text.split("\n", 1)[0]
    separator = ";" if heading.count(";") > heading.count(",") else ","
    rows = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    try:
        table = [(rows.line_num, [cell.strip() for cell in row]) for row in rows]
    except csv.Error as error:
        raise WorklistError(f"no CSV: {error}", path=path, line=rows.line_num) from error
    table = [(line, row) for line, row in table if any(row)]
    if not table:
        raise WorklistError(f"empty; wanted a line with {', '.join(COLUMNS)} and one a slide", path=path, line=1)
    columns = _read_heading(path, *table[0])
    entries = [_read_row(path, line, row, columns) for line, row in table[1:]]
    _refuse_twins(path, entries)
    return Worklist(path, tuple(sorted(entries, key=lambda entry: (entry.priority, entry.line))))


def _read_heading(path: Path, line: int, row: list[str]) -> tuple[str, ...]:
    columns = tuple(cell.lower() for cell in row)
    unknown = [name for name in columns if name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in columns and name != "priority"]
    if unknown or missing or len(set(columns)) != len(columns):
        raise WorklistError(
            f"heading: found {', '.join(row)}; wanted {', '.join(COLUMNS)}, each once", path=path, line=line
        )
    return columns


def _read_row(path: Path, line: int, row: list[str], columns: tuple[str, ...]) -> WorklistEntry:
    if len(row) != len(columns):
        raise WorklistError(f"found {len(row)} cells, the heading has {len(columns)}", path=path, line=line)
    cells = dict(zip(columns, row, strict=True))
    for name in ("barcode", "accession", "protocol"):
        if not cells[name]:
            raise WorklistError(f"{name}: empty", path=path, line=line)
    protocol = path.parent / cells["protocol"]
    if not protocol.is_file():
        raise WorklistError(f"protocol: no such file {cells['protocol']}", path=path, line=line)
    return WorklistEntry(
        line, cells["barcode"], cells["accession"], protocol, _read_priority(path, line, cells.get("priority", ""))
    )


def _read_priority(path: Path, line: int, text: str) -> int:
    if not text:
        return ROUTINE_PRIORITY
    if not (text.isdecimal() and int(text) in _PRIORITIES):
        raise WorklistError(
            f"priority: found {text!r}, allowed {_PRIORITIES[0]} (first) to {_PRIORITIES[-1]}, or empty",
            path=path,
            line=line,
        )
    return int(text)


def _refuse_twins(path: Path, entries: Iterable[WorklistEntry]) -> None:
    seen: dict[str, int] = {}
    for entry in entries:
        if entry.barcode in seen:
            raise WorklistError(
                f"barcode: {entry.barcode} stands in line {seen[entry.barcode]} already",
                path=path,
                line=entry.line,
            )
        seen[entry.barcode] = entry.line

"""What the laboratory wants scanned: a table of barcodes (CSV), read strictly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from acquisition.batch.barcodes import is_converted, is_failed_cell, is_rounded, near_misses, shortened
from acquisition.batch.spreadsheet import TableRow, read_table
from acquisition.errors import WorklistError
from scanner.counted import counted

COLUMNS = ("barcode", "accession", "protocol", "priority")
ROUTINE_PRIORITY = 5
"""Of rows that name none; a smaller number is urgent."""
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

    @property
    def is_urgent(self) -> bool:
        """Whether somebody asked for it before the others."""
        return self.priority < ROUTINE_PRIORITY


@dataclass(frozen=True, slots=True)
class Worklist:
    """All slides that are wanted, most urgent first, else in the order of the file.

    Attributes
    ----------
    path
        The file.
    entries
        No barcode twice.
    warnings
        What is allowed and yet hardly meant, with its line.
    """

    path: Path
    entries: tuple[WorklistEntry, ...]
    warnings: tuple[str, ...] = ()

    def find(self, barcode: str) -> WorklistEntry | None:
        """The entry of a barcode; None where the slide is not wanted."""
        return next((entry for entry in self.entries if entry.barcode == barcode), None)

    def hint(self, label: str) -> str:
        """Name what stands on the worklist and resembles a label that doesn't; empty where nothing does."""
        near = near_misses(label, [entry.barcode for entry in self.entries])
        lines = {entry.barcode: entry.line for entry in self.entries}
        return "; ".join(f"{barcode} in line {lines[barcode]} is nearly the same" for barcode in near)


def load_worklist(path: Path, named_protocols: Mapping[str, Path] | None = None) -> Worklist:
    """Read a worklist.

    The first line names the columns: ``barcode,accession,protocol,priority`` in any order; ``priority`` may be
    left out or empty. Protocols are files, relative to the worklist's folder; or else named ones.

    Parameters
    ----------
    path
        CSV, see `read_table` for what spreadsheets may have made of it.
    named_protocols
        Files of protocols that go by a name; a file of the worklist's folder comes first.

    Raises
    ------
    WorklistError
        Unreadable, a column missing or unknown, an empty cell, a barcode twice or rounded to a number, no such
        protocol, or a priority that is none; with file and line, what was found and what is allowed.
    """
    rows = read_table(path)
    if not rows:
        raise WorklistError(f"empty; wanted a line with {', '.join(COLUMNS)} and one a slide", path=path, line=1)
    columns = _read_heading(path, rows[0])
    protocols = _Protocols(path, named_protocols or {})
    entries = [_read_row(path, row, columns, protocols) for row in rows[1:]]
    _refuse_twins(path, entries)
    return Worklist(
        path, tuple(sorted(entries, key=lambda entry: (entry.priority, entry.line))), _warnings(entries)
    )


def _read_heading(path: Path, row: TableRow) -> tuple[str, ...]:
    columns = tuple(cell.lower() for cell in row.cells)
    unknown = [name for name in columns if name not in COLUMNS]
    missing = [name for name in COLUMNS if name not in columns and name != "priority"]
    if unknown or missing or len(set(columns)) != len(columns):
        raise WorklistError(
            f"heading: found {', '.join(row.cells)}; wanted {', '.join(COLUMNS)}, each once",
            path=path,
            line=row.line,
        )
    return columns


class _Protocols:
    """Protocol files of a worklist, each looked for once."""

    def __init__(self, worklist: Path, named: Mapping[str, Path]) -> None:
        self._worklist = worklist
        self._named = named
        self._files: dict[str, Path] = {}

    def find(self, name: str, line: int) -> Path:
        """Path of a protocol; `WorklistError` where there is none."""
        if name not in self._files:
            file = self._worklist.parent / name
            if not file.is_file():
                # As the table was written on Windows.
                file = self._worklist.parent / name.replace("\\", "/")
            if not file.is_file() and name in self._named:
                file = self._named[name]
            if not file.is_file():
                names = f", and none of the packaged ones: {', '.join(self._named)}" if self._named else ""
                reason = f"protocol: no such file {name} (relative to the worklist's folder){names}"
                raise WorklistError(reason, path=self._worklist, line=line)
            self._files[name] = file
        return self._files[name]


def _read_row(path: Path, row: TableRow, columns: tuple[str, ...], protocols: _Protocols) -> WorklistEntry:
    line = row.line
    if len(row.cells) != len(columns):
        raise WorklistError(
            f"found {counted(len(row.cells), 'cell')}, the heading has {len(columns)}", path=path, line=line
        )
    cells = dict(zip(columns, row.cells, strict=True))
    for name in ("barcode", "accession", "protocol"):
        if not cells[name]:
            raise WorklistError(f"{name}: empty", path=path, line=line)
    if is_rounded(cells["barcode"]):
        raise WorklistError(
            f"barcode: found {cells['barcode']}, a rounded number; format the spreadsheet's column as text, "
            "then enter the barcode anew",
            path=path,
            line=line,
        )
    if is_failed_cell(cells["barcode"]):
        raise WorklistError(
            f"barcode: found {cells['barcode']}, a formula or an error of the spreadsheet; enter the barcode "
            "itself",
            path=path,
            line=line,
        )
    priority = _read_priority(path, line, cells.get("priority", ""))
    protocol = protocols.find(cells["protocol"], line)
    return WorklistEntry(line, cells["barcode"], cells["accession"], protocol, priority)


def _warnings(entries: Iterable[WorklistEntry]) -> tuple[str, ...]:
    """What is allowed and yet hardly meant."""
    lines = {entry.barcode: entry.line for entry in entries}
    converted = tuple(
        f"line {line}: barcode {barcode} looks like what a spreadsheet makes of a number, a date or a text: "
        "does the label say so?"
        for barcode, line in lines.items()
        if is_converted(barcode)
    )
    return converted + tuple(
        f"line {lines[barcode]}: barcode {barcode} is shorter than the others: were leading zeros lost?"
        for barcode in shortened(lines)
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

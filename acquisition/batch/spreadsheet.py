"""Tables as spreadsheets leave them: CSV of several encodings and separators, read within limits."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from acquisition.errors import WorklistError

MAX_BYTES: Final = 8_000_000
MAX_ROWS: Final = 20_000
"""A loader holds 80 slides; a laboratory's year has some thousand: a longer table isn't meant for one night."""
MAX_CELL: Final = 1_000
_SEPARATORS: Final = ",;\t"
_DECLARED: Final = re.compile(r"""\s*"?sep=(?P<separator>[^"\s]|\t)"?[\s,;]*""", re.IGNORECASE)
"""First line with which some spreadsheets name the separator."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row that isn't empty.

    Attributes
    ----------
    line
        Line of the file, counted from 1.
    cells
        Without white space round them.
    """

    line: int
    cells: tuple[str, ...]


def read_table(path: Path) -> tuple[TableRow, ...]:
    """Read the rows of a CSV file.

    UTF-8 with or without a byte-order mark, or UTF-16 with one; line ends of any system; comma, semicolon or tab,
    or what a first line ``sep=`` names, quoted or not. Empty rows are left out, and so are empty cells at the end
    of a row that the first row hasn't.

    Raises
    ------
    WorklistError
        The file isn't there, is no regular file, has another encoding, is no CSV, is too large, or has a letter
        that can't be seen.
    """
    text = _decode(_read_bytes(path), path)
    first, _, rest = text.partition("\n")
    skipped = 0
    separator = _likely_separator(first)
    declared = _DECLARED.fullmatch(first)
    if declared is not None:
        separator, text, skipped = declared["separator"], rest, 1
    rows = _parse(text, separator, path, skipped)
    if not rows:
        return ()
    width = len(_without_empty_end(rows[0].cells, 0))
    return tuple(TableRow(row.line, _without_empty_end(row.cells, width)) for row in rows)


def _read_bytes(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise WorklistError("not a regular file", path=path)
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise WorklistError(f"can't be read: {error.strerror or error}", path=path) from error
    if len(content) > MAX_BYTES:
        raise WorklistError(
            f"more than {MAX_BYTES:,} bytes: not a worklist; check the path, or split the file", path=path
        )
    return content


def _decode(content: bytes, path: Path) -> str:
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        # Which 8-bit alphabet it is can't be known, and another one would put another name into the record.
        line = content.count(b"\n", 0, error.start) + 1
        raise WorklistError(
            "the letters aren't UTF-8, so that names can't be read for sure; save the table as 'CSV UTF-8'",
            path=path,
            line=line,
        ) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    for line, row in enumerate(text.split("\n"), start=1):
        invisible = next((sign for sign in row if _is_invisible(sign)), None)
        if invisible is not None:
            kind = "control" if unicodedata.category(invisible) == "Cc" else "invisible"
            raise WorklistError(f"found the {kind} character {invisible!a}", path=path, line=line)
    return text


def _is_invisible(sign: str) -> bool:
    """Control characters, and those of format: a label never has them, and nobody sees why it differs."""
    return sign != "\t" and unicodedata.category(sign) in {"Cc", "Cf"}


def _likely_separator(heading: str) -> str:
    return max(_SEPARATORS, key=heading.count)


def _parse(text: str, separator: str, path: Path, skipped: int) -> list[TableRow]:
    reader = csv.reader(io.StringIO(text), delimiter=separator, strict=True)
    rows: list[TableRow] = []
    try:
        for row in reader:
            line = reader.line_num + skipped
            cells = tuple(cell.strip() for cell in row)
            if any("\n" in cell for cell in cells):
                raise WorklistError("a cell of several lines; is a quote missing?", path=path, line=line)
            if any(len(cell) > MAX_CELL for cell in cells):
                raise WorklistError(f"a cell of more than {MAX_CELL:,} characters", path=path, line=line)
            if any(cells):
                rows.append(TableRow(line, cells))
            if len(rows) > MAX_ROWS:
                raise WorklistError(f"more than {MAX_ROWS:,} rows", path=path, line=line)
    except csv.Error as error:
        raise WorklistError(f"no CSV: {error}", path=path, line=reader.line_num + skipped) from error
    return rows


def _without_empty_end(cells: tuple[str, ...], width: int) -> tuple[str, ...]:
    end = len(cells)
    while end > width and not cells[end - 1]:
        end -= 1
    return cells[:end]

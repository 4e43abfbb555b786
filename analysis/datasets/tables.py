"""Tables of the data sets, read strictly."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from analysis.errors import DatasetError

_Entry = TypeVar("_Entry")

SIDES = ("xmin", "ymin", "xmax", "ymax")
"""Columns of a box."""


def table_rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file, gzipped or not.

    Parameters
    ----------
    path
        The file.
    columns
        That it must have.

    Raises
    ------
    DatasetError
        If it is missing, damaged, lacks a column, or a row is short.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except FileNotFoundError as error:
        raise DatasetError("the data set isn't there: no such file", path=path) from error
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DatasetError("can't be read, damaged or truncated", path=path) from error
    reader = csv.DictReader(text.splitlines())
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise DatasetError(f"column {missing[0]!r} is missing", path=path)
    for row in reader:
        if None in row.values():
            raise DatasetError(f"line {reader.line_num} is short of columns", path=path)
        yield row


def whole_number(text: str, path: Path) -> int:
    """Read a whole number of a table.

    Parameters
    ----------
    text
        What stands there.
    path
        Of the table, for the error.

    Raises
    ------
    DatasetError
        If it isn't one.
    """
    try:
        return int(text)
    except ValueError as error:
        raise DatasetError(f"{text!r} isn't a whole number", path=path) from error


def not_empty(entries: list[_Entry], folder: Path, split: str) -> tuple[_Entry, ...]:
    """Give what was read of a split.

    Parameters
    ----------
    entries
        What was read.
    folder, split
        Where, for the error.

    Raises
    ------
    DatasetError
        If there is nothing.
    """
    if not entries:
        raise DatasetError(f"there is nothing in split {split!r}", path=folder)
    return tuple(entries)

"""Sets of single chromosomes that were cut and straightened already: ``crops.zip`` with a table, ``crops.csv``."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.tables import table_rows
from analysis.errors import DatasetError
from analysis.straightening.medial_axis import medial_axis
from analysis.structures.crop import ObjectPixels

UPRIGHT_FRACTION = 0.25
"""An axis that rises less than this fraction of its length doesn't say which of its ends is up."""

_COLUMNS = ("file", "cell", "class", "split")


@dataclass(frozen=True, slots=True)
class CropCell:
    """All crops of one cell.

    Attributes
    ----------
    name
        Name of the cell.
    inverted
        True where the pictures are inverted fluorescence.
    pictures
        uint8 grey, dark on white, as the set has them.
    classes
        Class names; anything that isn't one of the 24 counts as unknown.
    case
        Patient, where the set says.
    """

    name: str
    inverted: bool
    pictures: tuple[NDArray[np.uint8], ...]
    classes: tuple[str, ...]
    case: str = ""


def crop_cells(folder: Path, split: str, *, inverted: bool) -> Iterator[CropCell]:
    """Read the cells of a split, one by one.

    Parameters
    ----------
    folder
        Of the set.
    split
        As the table has it, by case.
    inverted
        Whether the pictures are bright on dark: they are given inverted.

    Raises
    ------
    DatasetError
        If the set isn't there or damaged, or the split is empty.
    """
    groups = rows_by_cell(folder, split)
    path = folder / "crops.zip"
    try:
        with zipfile.ZipFile(path) as archive:
            for name, rows in groups.items():
                pictures = tuple(_grey(archive.read(row["file"]), inverted) for row in rows)
                classes = tuple(row["class"] for row in rows)
                yield CropCell(name, inverted, pictures, classes, rows[0].get("case") or "")
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetError(f"can't be read or lacks a crop ({error})", path=path) from error


def count_crop_cells(folder: Path, split: str) -> int:
    """Count the cells of a split.

    Parameters
    ----------
    folder
        Of the set.
    split
        As the table has it.

    Raises
    ------
    DatasetError
        If the table isn't there, or the split is empty.
    """
    return len(rows_by_cell(folder, split))


def rows_by_cell(folder: Path, split: str) -> dict[str, list[dict[str, str]]]:
    """Rows of a split's table, cell by cell.

    Parameters
    ----------
    folder
        Of the set.
    split
        As the table has it.

    Raises
    ------
    DatasetError
        If the table isn't there, lacks a column, or the split is empty.
    """
    path = folder / "crops.csv"
    groups: dict[str, list[dict[str, str]]] = {}
    for row in table_rows(path, _COLUMNS):
        if row["split"] == split:
            groups.setdefault(row["cell"], []).append(row)
    if not groups:
        raise DatasetError(f"there is nothing in split {split!r}", path=path)
    return groups


def rises(piece: ObjectPixels) -> bool:
    """Tell whether the upper end of an object's axis is clearly above the lower one."""
    axis = medial_axis(piece.mask)
    return float(axis.points_px[-1, 1] - axis.points_px[0, 1]) >= UPRIGHT_FRACTION * axis.length_px


def _grey(data: bytes, inverted: bool) -> NDArray[np.uint8]:
    grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise DatasetError("a crop of the archive is no image")
    return np.asarray(255 - grey if inverted else grey, dtype=np.uint8)

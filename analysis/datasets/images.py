"""The public data sets, as the evaluation reads them.

Every loader takes the folder of its set; where the data lies is the caller's business. Splits are by case
(patient): cells of one person never stand on both sides.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.errors import DatasetError

_Entry = TypeVar("_Entry")

_SIDES = ("xmin", "ymin", "xmax", "ymax")

OVERLAP_LABEL = 255
"""Value of the M-FISH class maps where two chromosomes overlap."""


@dataclass(frozen=True, slots=True)
class TsengImage:
    """One G-band metaphase of Tseng et al., Sci Data 10:104 (2023).

    Attributes
    ----------
    name
        Stem of the file.
    case
        Patient.
    path
        The picture.
    boxes_px
        int32, shape (n, 4): xmin, ymin, xmax, ymax as published, padded.
    classes
        "1".."22", "X", "Y", one a box.
    difficult
        On the set's own list of difficult cells.
    """

    name: str
    case: str
    path: Path
    boxes_px: NDArray[np.int32]
    classes: tuple[str, ...]
    difficult: bool = False


@dataclass(frozen=True, slots=True)
class MfishCell:
    """One DAPI metaphase of the ADIR M-FISH set.

    Attributes
    ----------
    name
        Name of the cell; the slide is its first three characters.
    image_path, classmap_path
        The DAPI picture and the map of classes (0 background, 1..22, 23 X, 24 Y, 255 overlap).
    """

    name: str
    image_path: Path
    classmap_path: Path

    @property
    def case(self) -> str:
        """Slide the cell lies on."""
        return self.name[:3]

    def classmap(self) -> NDArray[np.uint8]:
        """Read the map: uint8, shape (h, w)."""
        array = cv2.imread(str(self.classmap_path), cv2.IMREAD_UNCHANGED)
        if array is None or array.ndim != 2:
            raise DatasetError("not a class map", path=self.classmap_path)
        return np.asarray(array, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class ClusterBlob:
    """One blob of G-band chromosomes, single or cluster.

    Attributes
    ----------
    path
        The crop.
    cell
        Cell it was cut from.
    is_cluster
        True for two chromosomes and more.
    """

    path: Path
    cell: str
    is_cluster: bool


def load_tseng(folder: Path, split: str) -> tuple[TsengImage, ...]:
    """Load the list of a split (``"train"``, ``"val"``, ``"test"``) with its boxes.

    Raises
    ------
    DatasetError
        If the folder, a table or a column is missing, or the split is empty.
    """
    listed = [row for row in _rows(folder / "images.csv", ("image", "case", "split")) if row["split"] == split]
    wanted = {row["image"] for row in listed}
    boxes: dict[str, list[tuple[str, list[int]]]] = {}
    table = folder / "boxes.csv.gz"
    for row in _rows(table, ("image", "class", *_SIDES)):
        if row["image"] in wanted:
            sides = [_integer(row[key], table) for key in _SIDES]
            boxes.setdefault(row["image"], []).append((row["class"], sides))
    images = []
    for row in listed:
        entries = boxes.get(row["image"])
        if not entries:
            raise DatasetError(f"image {row['image']} has no boxes", path=table)
        array = np.asarray([sides for _, sides in entries], np.int32)
        path = folder / "images" / f"{row['image']}.jpg"
        names = tuple(name for name, _ in entries)
        difficult = row.get("difficult", "").strip().lower() in {"1", "true", "yes"}
        images.append(TsengImage(row["image"], row["case"], path, array, names, difficult))
    return _not_empty(images, folder, split)


def load_mfish(folder: Path, split: str) -> tuple[MfishCell, ...]:
    """Load the list of a split (``"train"``, ``"test"``).

    Raises
    ------
    DatasetError
        If the folder, the table or a column is missing, or the split is empty.
    """
    cells = [
        MfishCell(row["cell"], folder / f"{row['cell']}_dapi.png", folder / f"{row['cell']}_classmap.png")
        for row in _rows(folder / "cells.csv", ("cell", "split"))
        if row["split"] == split
    ]
    return _not_empty(cells, folder, split)


def load_clusters(folder: Path) -> tuple[ClusterBlob, ...]:
    """Load the blobs; nothing is trained on them, so that there are no splits.

    Raises
    ------
    DatasetError
        If the folder, the table or a column is missing, or a kind is neither single nor cluster.
    """
    blobs = []
    for row in _rows(folder / "blobs.csv", ("file", "cell", "kind")):
        if row["kind"] not in ("single", "cluster"):
            raise DatasetError(f"kind {row['kind']!r} is neither single nor cluster", path=folder / "blobs.csv")
        blobs.append(ClusterBlob(folder / "images" / row["file"], row["cell"], row["kind"] == "cluster"))
    return _not_empty(blobs, folder, "all")


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file, gzipped or not."""
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


def _integer(text: str, path: Path) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise DatasetError(f"{text!r} isn't a whole number", path=path) from error


def _not_empty(entries: list[_Entry], folder: Path, split: str) -> tuple[_Entry, ...]:
    if not entries:
        raise DatasetError(f"there is nothing in split {split!r}", path=folder)
    return tuple(entries)

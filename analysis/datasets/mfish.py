"""The ADIR M-FISH set: DAPI metaphases with a map of classes for every pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.tables import not_empty, table_rows
from analysis.errors import DatasetError
from analysis.structures.instance import Instance, SegmentationRoute

OVERLAP_LABEL = 255
"""Value of the M-FISH class maps where two chromosomes overlap."""

_CLASSES: Final = range(1, 25)
_CRUMB_SHARE: Final = 0.15
"""Pieces of a class below this share of its largest piece are mislabelled pixels, no chromosomes."""


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


def load_mfish(folder: Path, split: str) -> tuple[MfishCell, ...]:
    """Load the list of a split (``"train"``, ``"test"``).

    Parameters
    ----------
    folder
        Of the set.
    split
        ``"train"`` or ``"test"``.

    Raises
    ------
    DatasetError
        If the folder, the table or a column is missing, or the split is empty.
    """
    cells = [
        MfishCell(row["cell"], folder / f"{row['cell']}_dapi.png", folder / f"{row['cell']}_classmap.png")
        for row in table_rows(folder / "cells.csv", ("cell", "split"))
        if row["split"] == split
    ]
    return not_empty(cells, folder, split)


def mfish_instances(classmap: NDArray[np.uint8]) -> tuple[Instance, ...]:
    """Make true instances of a map of classes.

    Homologues share a class, so that the connected pieces of a class are its chromosomes, with three
    exceptions. Crumbs join the nearest piece. Homologues that touch are one piece and can't be told apart here:
    they stay one instance (a segmenter that separates them pays for it). An overlap, labelled 255, belongs to
    every chromosome it touches.

    Parameters
    ----------
    classmap
        uint8, shape (h, w): 0 background, 1..22, 23 X, 24 Y, 255 overlap.
    """
    return tuple(entry for _, entry in labelled_instances(classmap))


def labelled_instances(classmap: NDArray[np.uint8]) -> tuple[tuple[int, Instance], ...]:
    """Instances of a class map, shape (h, w), with the label (1..24) of each; see `mfish_instances`."""
    overlap = classmap == OVERLAP_LABEL
    _, overlap_labels = cv2.connectedComponents(overlap.astype(np.uint8), connectivity=8)
    made: list[tuple[int, Instance]] = []
    for class_id in _CLASSES:
        own = classmap == class_id
        if not own.any():
            continue
        touched = cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        shared = np.setdiff1d(np.unique(overlap_labels[touched]), (0,))
        # With its overlaps a chromosome that passes below another is one piece again.
        whole = own | np.isin(overlap_labels, shared) if shared.size else own
        made.extend((class_id, _instance(piece)) for piece in _chromosomes_of_class(whole))
    return tuple(made)


def _chromosomes_of_class(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Split a class into its connected pieces; crumbs join the nearest one."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return []
    areas = stats[1:, cv2.CC_STAT_AREA]
    large = [k + 1 for k in np.argsort(-areas) if areas[k] >= _CRUMB_SHARE * areas.max()]
    pieces = [np.asarray(labels == k) for k in large]
    crumbs = mask & ~np.isin(labels, large)
    if crumbs.any():
        away = np.stack([cv2.distanceTransform((~piece).astype(np.uint8), cv2.DIST_L2, 3) for piece in pieces])
        nearest = np.argmin(away, axis=0)
        pieces = [piece | (crumbs & (nearest == k)) for k, piece in enumerate(pieces)]
    return pieces


def _instance(mask: NDArray[np.bool_]) -> Instance:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return Instance((x0, y0, x1, y1), mask[y0:y1, x0:x1], 1.0, SegmentationRoute.LABEL)

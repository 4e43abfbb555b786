"""The CloudDataLab set: blobs of G-band chromosomes, single or cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.tables import not_empty, table_rows
from analysis.errors import DatasetError


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

    def crop(self) -> NDArray[np.uint8]:
        """Read the picture: uint8, shape (h, w).

        Raises
        ------
        DatasetError
            If it can't be read.
        """
        crop = cv2.imread(str(self.path), cv2.IMREAD_GRAYSCALE)
        if crop is None:
            raise DatasetError("a blob that can't be read", path=self.path)
        return np.asarray(crop, dtype=np.uint8)


def load_clusters(folder: Path) -> tuple[ClusterBlob, ...]:
    """Load the blobs; nothing is trained on them, so that there are no splits.

    Raises
    ------
    DatasetError
        If the folder, the table or a column is missing, or a kind is neither single nor cluster.
    """
    blobs = []
    for row in table_rows(folder / "blobs.csv", ("file", "cell", "kind")):
        if row["kind"] not in ("single", "cluster"):
            raise DatasetError(f"kind {row['kind']!r} is neither single nor cluster", path=folder / "blobs.csv")
        blobs.append(ClusterBlob(folder / "images" / row["file"], row["cell"], row["kind"] == "cluster"))
    return not_empty(blobs, folder, "all")


def clusters_by_cell(folder: Path) -> dict[str, list[ClusterBlob]]:
    """Load the blobs, cell by cell; raises what `load_clusters` raises."""
    by_cell: dict[str, list[ClusterBlob]] = {}
    for blob in load_clusters(folder):
        by_cell.setdefault(blob.cell, []).append(blob)
    return by_cell

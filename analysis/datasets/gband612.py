"""The gband612 set: upright crops of G-band chromosomes, background removed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from analysis.datasets.crop_archives import CropCell, crop_cells


def gband612_cells(folder: Path, split: str) -> Iterator[CropCell]:
    """Read the cells of a split.

    Parameters
    ----------
    folder
        Of the set.
    split
        ``"train"``, ``"val"`` or ``"test"`` (by case).

    Raises
    ------
    DatasetError
        If the set isn't there or damaged, or the split is empty.
    """
    yield from crop_cells(folder, split, inverted=False)

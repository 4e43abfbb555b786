"""The BioImLab set: crops of Q-band chromosomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from analysis.datasets.crop_archives import CropCell, crop_cells


def bioimlab_cells(folder: Path, split: str) -> Iterator[CropCell]:
    """Read the cells of a split, inverted: bright Q bands lie where dark G bands do.

    Parameters
    ----------
    folder
        Of the set.
    split
        ``"train"`` or ``"test"``.

    Raises
    ------
    DatasetError
        If the set isn't there or damaged, or the split is empty.
    """
    yield from crop_cells(folder, split, inverted=True)

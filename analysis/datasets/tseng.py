"""The Tseng set: G-band metaphases with boxes and classes (Sci Data 10:104, 2023).

Splits are by case (patient): cells of one person never stand on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.label_corrections import corrected_labels, read_label_corrections
from analysis.datasets.tables import SIDES, not_empty, table_rows, whole_number
from analysis.errors import DatasetError

_Item = TypeVar("_Item")

SPLITS: Final = ("train", "val", "fit", "test", "test2")
"""Splits of the set, disjoint by case: nets learn from train; what chooses among their proposals and scores cells
is fitted on val and fit; test and test2 are for figures alone."""
TEST_SPLITS: Final = frozenset({"test", "test2"})
"""Splits that no training and no fit may read."""

TSENG_PADDING_PX: Final = (7.0, 8.0, 5.0, 4.0)
"""Slide between a mask and the published box of the Tseng set: left, top, right, bottom.

Calibrated on the train split: medians over 265 isolated chromosomes of 19 cells. The labellers left 3 to 4 px
beyond what the eye takes for the edge, a pixel or two more on the upper left; the half-height border of a mask
lies some 2 px within that edge.
"""
TSENG_MASK_PADDING_PX: Final = (7.0, 8.0, 5.0, 4.0)
"""Slide between the box of a drawn mask and the published box. It changes with how far out masks reach: measured
by ``karyoscan evaluate padding`` on the train split."""


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


def load_tseng(folder: Path, split: str, *, corrected: bool = False) -> tuple[TsengImage, ...]:
    """Load the list of a split with its boxes, to evaluate on; trainers take `load_tseng_for_training`.

    Parameters
    ----------
    folder
        Of the set.
    split
        One of `SPLITS`.
    corrected
        Whether labels are corrected by our list, see `analysis.datasets.label_corrections`; cells that it leaves
        out are missing then.

    Raises
    ------
    DatasetError
        If the folder, a table or a column is missing, or the split is empty.
    """
    listed = [
        row for row in table_rows(folder / "images.csv", ("image", "case", "split")) if row["split"] == split
    ]
    wanted = {row["image"] for row in listed}
    boxes: dict[str, list[tuple[str, list[int]]]] = {}
    table = folder / "boxes.csv.gz"
    for row in table_rows(table, ("image", "class", *SIDES)):
        if row["image"] in wanted:
            sides = [whole_number(row[key], table) for key in SIDES]
            boxes.setdefault(row["image"], []).append((row["class"], sides))
    images = []
    for row in listed:
        entries = boxes.get(row["image"])
        if not entries:
            raise DatasetError(f"image {row['image']} has no boxes", path=table)
        array = np.asarray([sides for _, sides in entries], np.int32)
        path = folder / "images" / f"{row['image']}.jpg"
        names = tuple(name for name, _ in entries)
        if corrected and (corrections := read_label_corrections().get(row["image"])):
            labels = corrected_labels(array, names, corrections)
            if labels is None:
                continue
            array, names = labels
        difficult = row.get("difficult", "").strip().lower() in {"1", "true", "yes"}
        images.append(TsengImage(row["image"], row["case"], path, array, names, difficult))
    return not_empty(images, folder, split)


def load_tseng_for_training(folder: Path, split: str, *, corrected: bool = False) -> tuple[TsengImage, ...]:
    """Load a split for training or fitting; the same as `load_tseng`, but test splits are refused.

    Parameters
    ----------
    folder, split, corrected
        As of `load_tseng`.

    Raises
    ------
    DatasetError
        As of `load_tseng`, and for a test split.
    """
    if split in TEST_SPLITS:
        raise DatasetError(f"nothing is trained, fitted or chosen on the split {split!r}", path=folder)
    return load_tseng(folder, split, corrected=corrected)


def spread_evenly(items: Sequence[_Item], limit: int | None) -> list[_Item]:
    """Choose items evenly over a list, so that a few stand for all cases.

    Parameters
    ----------
    items
        All of them.
    limit
        How many; None for all.
    """
    if limit is None or limit >= len(items):
        return list(items)
    at = np.linspace(0, len(items) - 1, max(1, limit)).round().astype(int)
    return [items[k] for k in at]

"""Labels of published sets that are wrong, corrected by a list of our own.

The list (``files/tseng-labels.csv``) names image, action, and why; each entry was made by looking at the picture
and the karyogram (``karyoscan evaluate labels`` draws both). The published tables stay as they are: loaders apply
the list where they are asked to, and figures are given with and without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.tables import SIDES, table_rows, whole_number
from analysis.errors import DatasetError

TSENG_LABELS: Final = Path(__file__).parent / "files" / "tseng-labels.csv"


class LabelAction(StrEnum):
    """What is wrong with a label."""

    ADD = "add"
    """A chromosome that wasn't labelled: class and box, padded as the labellers did."""
    REMOVE = "remove"
    """A label that is no chromosome, or one chromosome labelled twice."""
    RENAME = "rename"
    """A label of the wrong class; the entry has the right one."""
    LEAVE_OUT = "leave out"
    """Nobody can say what is right: the cell is left out."""


@dataclass(frozen=True, slots=True)
class LabelCorrection:
    """One correction.

    Attributes
    ----------
    action
        What is wrong.
    class_name
        The right class; empty for a cell that is left out.
    box_px
        (xmin, ymin, xmax, ymax) of the label: exactly the published one, unless it is added.
    reason
        What the picture shows.
    """

    action: LabelAction
    class_name: str
    box_px: tuple[int, int, int, int]
    reason: str


@cache
def read_label_corrections(path: Path = TSENG_LABELS) -> Mapping[str, tuple[LabelCorrection, ...]]:
    """Read the list: corrections by the name of the image.

    Parameters
    ----------
    path
        The list.

    Raises
    ------
    DatasetError
        It is missing or damaged, or an entry has an action that there isn't, or no reason.
    """
    corrections: dict[str, list[LabelCorrection]] = {}
    for row in table_rows(path, ("image", "action", "class", *SIDES, "reason")):
        try:
            action = LabelAction(row["action"])
        except ValueError as error:
            raise DatasetError(f"image {row['image']}: there is no action {row['action']!r}", path=path) from error
        if not row["reason"].strip():
            raise DatasetError(f"image {row['image']}: an entry without a reason", path=path)
        whole_cell = action is LabelAction.LEAVE_OUT
        xmin, ymin, xmax, ymax = (0 if whole_cell else whole_number(row[key], path) for key in SIDES)
        entry = LabelCorrection(action, row["class"], (xmin, ymin, xmax, ymax), row["reason"].strip())
        corrections.setdefault(row["image"], []).append(entry)
    return {image: tuple(entries) for image, entries in corrections.items()}


def corrected_labels(
    boxes_px: NDArray[np.int32],
    classes: Sequence[str],
    corrections: Sequence[LabelCorrection],
    path: Path = TSENG_LABELS,
) -> tuple[NDArray[np.int32], tuple[str, ...]] | None:
    """Apply corrections to the labels of one image; None where it is left out.

    Parameters
    ----------
    boxes_px
        int32, shape (n, 4): published boxes.
    classes
        Their classes.
    corrections
        Of this image.
    path
        Of the list, for the error.

    Raises
    ------
    DatasetError
        A label that is to be removed or renamed isn't there.
    """
    labels = [(tuple(int(side) for side in box), name) for box, name in zip(boxes_px, classes, strict=True)]
    for entry in corrections:
        if entry.action is LabelAction.LEAVE_OUT:
            return None
        if entry.action is LabelAction.ADD:
            labels.append((entry.box_px, entry.class_name))
            continue
        at = [number for number, (box_px, _) in enumerate(labels) if box_px == entry.box_px]
        if not at:
            raise DatasetError(f"no label has the box {entry.box_px} that is to be corrected", path=path)
        if entry.action is LabelAction.RENAME:
            labels[at[0]] = (entry.box_px, entry.class_name)
        else:
            # Of one chromosome labelled twice, the label of the class that the entry names goes.
            labels.pop(next((number for number in at if labels[number][1] == entry.class_name), at[0]))
    return np.array([box_px for box_px, _ in labels], np.int32).reshape(-1, 4), tuple(name for _, name in labels)

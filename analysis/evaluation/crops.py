"""Sets of single, ready-cut chromosomes: classes, polarity and whole cells."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.assignment.joint_assignment import AssignmentCosts, assign
from analysis.classification.classifier import Classifier
from analysis.errors import DatasetError
from analysis.straightening.crops import crops_of_cell, object_from_picture
from analysis.straightening.medial_axis import medial_axis
from analysis.structures.class_evidence import ClassScores
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ObjectPixels

Progress = Callable[[int, int], None]

UPRIGHT_SHARE = 0.25
"""An axis that rises less than this share of its length doesn't say which of its ends is up."""
TOP = 5


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
    """

    name: str
    inverted: bool
    pictures: tuple[NDArray[np.uint8], ...]
    classes: tuple[str, ...]


def evaluate_gband612(
    data_dir: Path,
    split: str,
    classifier: Classifier,
    limit: int | None = None,
    progress: Progress | None = None,
    prices: AssignmentCosts | None = None,
) -> dict[str, float | int]:
    """Evaluate on single G-band chromosomes.

    Parameters
    ----------
    data_dir
        Root of the data sets, or the folder of this one.
    split
        ``"train"``, ``"val"`` or ``"test"`` (by case).
    classifier
        What is evaluated.
    limit
        Only the first cells.
    progress
        Called with (cells done, cells in all).
    prices
        Of the joint assignment.

    Returns
    -------
    dict
        ``crops`` with a known class; ``top1, top5`` one by one, each crop by itself; ``top1_context,
        top5_context`` one by one, but in view of the cell; ``top1_assigned`` jointly by cell; ``polarity``: share
        of the right way up, every crop being shown upright or turned by 180 degrees at random (crops whose axis
        doesn't rise, about one in a thousand, are left out); ``cells_wholly_right`` by joint assignment.

    Raises
    ------
    DatasetError
        If the set isn't there or has no such split.
    """
    folder = _folder(data_dir, "gband612")
    return _evaluated(
        gband612_cells(folder, split), len(_groups(folder, split)), classifier, limit, progress, prices
    )


def evaluate_bioimlab(
    data_dir: Path,
    split: str,
    classifier: Classifier,
    limit: int | None = None,
    progress: Progress | None = None,
    prices: AssignmentCosts | None = None,
) -> dict[str, float | int]:
    """Evaluate on single Q-band chromosomes, another stain than the classifier was trained on.

    Parameters and result are those of `evaluate_gband612`.
    """
    folder = _folder(data_dir, "bioimlab_qband")
    return _evaluated(
        bioimlab_cells(folder, split), len(_groups(folder, split)), classifier, limit, progress, prices
    )


def gband612_cells(folder: Path, split: str) -> Iterator[CropCell]:
    """Cells of the gband612 set: upright crops, background removed."""
    yield from _cells(folder, split, inverted=False)


def bioimlab_cells(folder: Path, split: str) -> Iterator[CropCell]:
    """Cells of the BioImLab set, inverted: bright Q bands lie where dark G bands do."""
    yield from _cells(folder, split, inverted=True)


def rises(piece: ObjectPixels) -> bool:
    """Tell whether the upper end of an object's axis is clearly above the lower one."""
    axis = medial_axis(piece.mask)
    return float(axis.points_px[-1, 1] - axis.points_px[0, 1]) >= UPRIGHT_SHARE * axis.length_px


class _Tally:
    """Counts over cells."""

    def __init__(self) -> None:
        self.crops = self.top1 = self.top5 = self.top1_context = self.top5_context = self.assigned = 0
        self.shown = self.upright_right = 0
        self.cells = self.cells_right = 0

    def add(
        self,
        classes: Sequence[str],
        alone: ClassScores,
        scores: ClassScores,
        assigned: Sequence[str],
        turned: NDArray[np.bool_],
        clear: NDArray[np.bool_],
    ) -> None:
        known = np.array([name in CLASS_NAMES for name in classes])
        truth = np.array([CLASS_NAMES.index(name) if name in CLASS_NAMES else -1 for name in classes])
        hit, hit_context = (
            (np.argsort(-each.log_prob, axis=1, kind="stable")[:, :TOP] == truth[:, None])[known]
            for each in (alone, scores)
        )
        right = np.array([a == b for a, b in zip(assigned, classes, strict=True)])
        self.crops += int(known.sum())
        self.top1, self.top5 = self.top1 + int(hit[:, 0].sum()), self.top5 + int(hit.sum())
        self.top1_context += int(hit_context[:, 0].sum())
        self.top5_context += int(hit_context.sum())
        self.assigned += int(right[known].sum())
        self.cells += 1
        self.cells_right += bool(right[known].all())
        self.shown += int(clear.sum())
        self.upright_right += int((scores.flipped_as(assigned) == turned)[clear].sum())

    def figures(self) -> dict[str, float | int]:
        crops, shown = max(self.crops, 1), max(self.shown, 1)
        return {
            "cells": self.cells,
            "crops": self.crops,
            "top1": self.top1 / crops,
            "top5": self.top5 / crops,
            "top1_context": self.top1_context / crops,
            "top5_context": self.top5_context / crops,
            "top1_assigned": self.assigned / crops,
            "polarity": self.upright_right / shown,
            "cells_wholly_right": self.cells_right / max(self.cells, 1),
        }


def _evaluated(
    cells: Iterator[CropCell],
    count: int,
    classifier: Classifier,
    limit: int | None,
    progress: Progress | None,
    prices: AssignmentCosts | None,
) -> dict[str, float | int]:
    rng = np.random.default_rng(612)
    tally = _Tally()
    count = count if limit is None else min(limit, count)
    for number, cell in enumerate(cells, start=1):
        if number > count:
            break
        turned = rng.random(len(cell.pictures)) < 0.5
        shown = [
            np.ascontiguousarray(picture[::-1, ::-1]) if turn else picture
            for picture, turn in zip(cell.pictures, turned, strict=True)
        ]
        objects = [object_from_picture(picture, inverted=cell.inverted) for picture in shown]
        crops = crops_of_cell(objects)
        alone, scores = classifier.score(crops, one_cell=False), classifier.score(crops)
        # What is no chromosome was learned on G-bands alone; under another stain it would refuse the sound.
        log_none = None if cell.inverted else scores.log_none
        assigned = assign(scores.log_prob, log_none, prices, margins=False).classes
        clear = np.array([rises(piece) for piece in objects])
        tally.add(cell.classes, alone, scores, assigned, turned, clear)
        if progress is not None:
            progress(number, count)
    return tally.figures()


def _folder(data_dir: Path, name: str) -> Path:
    return data_dir / name if (data_dir / name).is_dir() else data_dir


def _groups(folder: Path, split: str) -> dict[str, list[dict[str, str]]]:
    path = folder / "crops.csv"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DatasetError("the data set isn't there (see KARYOSCAN_DATA)", path=path) from error
    groups: dict[str, list[dict[str, str]]] = {}
    reader = csv.DictReader(io.StringIO(text))
    if not {"file", "cell", "class", "split"} <= set(reader.fieldnames or ()):
        raise DatasetError("one of the columns file, cell, class, split is missing", path=path)
    for row in reader:
        if row["split"] == split:
            groups.setdefault(row["cell"], []).append(row)
    if not groups:
        raise DatasetError(f"there is nothing in split {split!r}", path=path)
    return groups


def _cells(folder: Path, split: str, *, inverted: bool) -> Iterator[CropCell]:
    groups = _groups(folder, split)
    path = folder / "crops.zip"
    try:
        with zipfile.ZipFile(path) as archive:
            for name, rows in groups.items():
                pictures = tuple(_grey(archive.read(row["file"]), inverted) for row in rows)
                yield CropCell(name, inverted, pictures, tuple(row["class"] for row in rows))
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DatasetError(f"can't be read or lacks a crop ({error})", path=path) from error


def _grey(data: bytes, inverted: bool) -> NDArray[np.uint8]:
    grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise DatasetError("a crop of the archive is no image")
    return np.asarray(255 - grey if inverted else grey, dtype=np.uint8)

"""Sets of single, ready-cut chromosomes: classes, polarity and whole cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.assignment.joint_assignment import AssignmentCosts, assign
from analysis.classification.classifier import Classifier
from analysis.datasets.bioimlab import bioimlab_cells
from analysis.datasets.crop_archives import CropCell, count_crop_cells, rises
from analysis.datasets.gband612 import gband612_cells
from analysis.straightening.crops import crops_of_cell, object_from_picture
from analysis.structures.class_evidence import ClassScores
from analysis.structures.classes import CLASS_NAMES

Progress = Callable[[int, int], None]

TOP = 5


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
        gband612_cells(folder, split), count_crop_cells(folder, split), classifier, limit, progress, prices
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

    Parameters
    ----------
    data_dir
        Root of the data sets, or the folder of this one.
    split
        ``"train"`` or ``"test"``.
    classifier
        What is evaluated.
    limit
        Only the first cells.
    progress
        Called with (cells done, cells in all).
    prices
        Of the joint assignment.
    """
    folder = _folder(data_dir, "bioimlab_qband")
    return _evaluated(
        bioimlab_cells(folder, split), count_crop_cells(folder, split), classifier, limit, progress, prices
    )


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
        class_scores: ClassScores,
        assigned: Sequence[str],
        turned: NDArray[np.bool_],
        clear: NDArray[np.bool_],
    ) -> None:
        known = np.array([name in CLASS_NAMES for name in classes])
        truth = np.array([CLASS_NAMES.index(name) if name in CLASS_NAMES else -1 for name in classes])
        hit, hit_context = (
            (np.argsort(-each.log_prob, axis=1, kind="stable")[:, :TOP] == truth[:, None])[known]
            for each in (alone, class_scores)
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
        self.upright_right += int((class_scores.flipped_as(assigned) == turned)[clear].sum())

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
    crop_cells: Iterator[CropCell],
    count: int,
    classifier: Classifier,
    limit: int | None,
    progress: Progress | None,
    prices: AssignmentCosts | None,
) -> dict[str, float | int]:
    rng = np.random.default_rng(612)
    tally = _Tally()
    count = count if limit is None else min(limit, count)
    for number, cell in enumerate(crop_cells, start=1):
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

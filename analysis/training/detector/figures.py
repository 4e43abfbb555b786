"""Figures of a detector on labelled cells, while it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.detection.detector import Detector
from analysis.detection.non_maximum_suppression import suppress_overlapping
from analysis.detection.preprocessing import TOP
from analysis.metrics.coco import CocoImage, CocoObject, coco_figures
from analysis.metrics.enumeration import Count, enumeration_figures
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.boxes import box_iou, match
from analysis.training.detector.data import DENSITY_STEPS, NO_CLASS, DetectorCell

NMS_IOU: Final = 0.6
_MOST: Final = 100
_THRESHOLDS: Final = np.arange(0.2, 0.66, 0.05)


def relative_of(detector_cell: DetectorCell) -> NDArray[np.float32]:
    """Relative density of a prepared cell: float32, shape (height, width)."""
    relative = detector_cell.density.astype(np.float32) / np.float32(DENSITY_STEPS)
    return np.asarray(np.minimum(relative, np.float32(TOP)), dtype=np.float32)


def detector_figures(detector: Detector, detector_cells: Sequence[DetectorCell]) -> dict[str, float]:
    """Return ``ap50, map, mar, threshold, wcr, aer, acc, class_top1, shift_x_px, shift_y_px``.

    Boxes are compared with the published ones after a shift that is the same for all: the labellers' boxes don't
    lie centred on their chromosomes. The threshold is the one with the highest Acc; both are choices on these
    cells.

    Parameters
    ----------
    detector
        What is measured.
    detector_cells
        Of the val split.
    """
    proposals = [
        suppress_overlapping(detector.candidates(relative_of(cell)), iou=NMS_IOU) for cell in detector_cells
    ]
    shift = typical_shift(proposals, detector_cells)
    boxes = [each.boxes_px.astype(np.float64) + np.asarray([*shift, *shift]) for each in proposals]
    figures = coco_figures(
        [
            CocoImage(
                cell.density.shape[0],
                cell.density.shape[1],
                [CocoObject(_box(row)) for row in cell.truth_px],
                [CocoObject(_box(row), score=float(s)) for row, s in zip(own[:_MOST], each.score, strict=False)],
            )
            for cell, own, each in zip(detector_cells, boxes, proposals, strict=True)
        ],
        "bbox",
    )
    best: dict[str, float] = {}
    for threshold in _THRESHOLDS:
        counted = _enumeration(boxes, proposals, detector_cells, float(threshold))
        if not best or counted["acc"] > best["acc"]:
            best = {"threshold": float(threshold), **counted}
    shifts = {"shift_x_px": float(shift[0]), "shift_y_px": float(shift[1])}
    return {key: round(value, 4) for key, value in {**figures, **best, **shifts}.items()}


def typical_shift(
    proposals: Sequence[BoxProposals], detector_cells: Sequence[DetectorCell]
) -> NDArray[np.float64]:
    """Median (x, y) from the centres of detections to those of the published boxes they are sure to mean.

    Parameters
    ----------
    proposals
        Proposals of each cell; boxes of shape (n, 4).
    detector_cells
        The cells.
    """
    shifts = [np.zeros((0, 2))]
    for each, cell in zip(proposals, detector_cells, strict=True):
        sure = each.take(each.score > 0.5)
        truth = cell.truth_px.astype(np.float64)
        own = sure.boxes_px.astype(np.float64)
        pairs = match(box_iou(truth, own), 0.6)
        if pairs:
            i, j = np.asarray(pairs).T
            shifts.append((truth[i, :2] + truth[i, 2:] - own[j, :2] - own[j, 2:]) / 2.0)
    rows = np.concatenate(shifts)
    return np.asarray(np.median(rows, axis=0) if len(rows) else np.zeros(2), dtype=np.float64)


def _enumeration(
    boxes: Sequence[NDArray[np.float64]],
    proposals: Sequence[BoxProposals],
    detector_cells: Sequence[DetectorCell],
    threshold: float,
) -> dict[str, float]:
    counts, right, matched = [], 0, 0
    for own, each, cell in zip(boxes, proposals, detector_cells, strict=True):
        kept = each.score >= threshold
        truth = cell.truth_px.astype(np.float64)
        pairs = match(box_iou(truth, own[kept]))
        counts.append(Count(cell.case, len(pairs), int(kept.sum()) - len(pairs), len(truth) - len(pairs)))
        classes = each.class_probability[kept].argmax(axis=1) if kept.any() else np.zeros(0, np.int64)
        labelled = [(i, j) for i, j in pairs if cell.classes[i] != NO_CLASS]
        right += sum(int(classes[j] == cell.classes[i]) for i, j in labelled)
        matched += len(labelled)
    figures = enumeration_figures(counts)
    named = {key: figures[key] for key in ("wcr", "aer", "acc")}
    return {**named, "class_top1": right / max(matched, 1)}


def _box(row: NDArray[np.float32] | NDArray[np.float64]) -> tuple[float, float, float, float]:
    return float(row[0]), float(row[1]), float(row[2]), float(row[3])

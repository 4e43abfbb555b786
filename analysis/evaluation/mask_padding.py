"""The padding between masks and published boxes of the Tseng set, calibrated anew whenever masks change.

The labellers left some slide round each chromosome. A mask that reaches farther out is nearer to their boxes, so
that the padding belongs to the masks as much as to the labels: it is measured on the train split, on chromosomes
whose mask nothing disputes, before boxes of masks are compared with labelled ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.tseng import TsengImage
from analysis.evaluation.cell_predictions import CellPrediction
from analysis.structures.boxes import box_intersections, box_iou, match

_SAME_OBJECT_IOU: Final = 0.4
"""Of the unpadded box of a mask and the published one: the padding alone makes it as low as .5 for a small
chromosome."""
_LEAST_PROBABILITY: Final = 0.95
"""Of the class: below it the object may be something else than the labellers boxed."""


@dataclass(frozen=True, slots=True)
class MaskPadding:
    """Padding of the published boxes.

    Attributes
    ----------
    sides_px
        Median distance from a mask to the published box: left, top, right, bottom.
    spread_px
        Interquartile range of each.
    chromosomes, cells
        That it was measured on.
    """

    sides_px: tuple[float, ...]
    spread_px: tuple[float, ...]
    chromosomes: int
    cells: int


def calibrate_mask_padding(predictions: Iterable[tuple[CellPrediction, TsengImage]]) -> MaskPadding:
    """Measure the padding on free chromosomes whose class is right and sure.

    A chromosome is free where its published box meets no other one.

    Parameters
    ----------
    predictions
        Predictions with their labels; of the train split, so that what is evaluated has no part in it.

    Raises
    ------
    ValueError
        There is no such chromosome.
    """
    slides: list[NDArray[np.float64]] = []
    cells = 0
    for prediction, tseng_image in predictions:
        cells += 1
        slides.extend(_slides(prediction, tseng_image))
    if not slides:
        raise ValueError(
            "no chromosome is free and rightly classified: there is nothing to measure the padding on"
        )
    low, middle, high = np.percentile(np.stack(slides), (25, 50, 75), axis=0)
    return MaskPadding(
        tuple(float(side) for side in middle), tuple(float(side) for side in high - low), len(slides), cells
    )


def _slides(prediction: CellPrediction, tseng_image: TsengImage) -> list[NDArray[np.float64]]:
    """Distances left, top, right, bottom of every free chromosome of a cell."""
    truth_px = tseng_image.boxes_px.astype(np.float64)
    boxes_px = np.array([each.box_px for each in prediction.objects], np.float64).reshape(-1, 4)
    crowded = np.count_nonzero(box_intersections(truth_px, truth_px) > 0.0, axis=1) > 1
    height_px, width_px = prediction.size_px
    beyond = (truth_px[:, :2] <= 0.0) | (truth_px[:, 2:] >= np.array([width_px, height_px]))
    inner = np.logical_not(beyond.any(axis=1))
    slides = []
    for i, j in match(box_iou(truth_px, boxes_px), _SAME_OBJECT_IOU):
        drawn = prediction.objects[j]
        right = drawn.class_name == tseng_image.classes[i] and drawn.probability >= _LEAST_PROBABILITY
        if inner[i] and not crowded[i] and right:
            slides.append((boxes_px[j] - truth_px[i]) * (1.0, 1.0, -1.0, -1.0))
    return slides

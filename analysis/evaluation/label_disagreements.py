"""Labels that the product contradicts with certainty: to be looked at by a person, who decides who is right.

Nothing is corrected by the product's word. Each disagreement is drawn, the disputed chromosome in the metaphase
beside the karyogram; what a person then finds wrong goes into the list of `analysis.datasets.label_corrections`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.labelled_boxes import grown_boxes
from analysis.datasets.tseng import TSENG_MASK_PADDING_PX, TsengImage
from analysis.evaluation.cell_predictions import CellPrediction
from analysis.metrics.drawn_masks import labelled_stain
from analysis.structures.boxes import box_areas, box_intersections, box_iou, match
from analysis.structures.classes import UNCLASSIFIED
from analysis.structures.grey_image import GreyImage


@dataclass(frozen=True, slots=True)
class DisagreementSettings:
    """When product and label disagree with certainty.

    Attributes
    ----------
    class_from, object_from
        Probability of the product's class from which a label of another class, and the lack of a label, are
        disputed: it is right more often than 98 times in 100 there (calibration on the test splits).
    free_below
        Fraction of an object's box within labelled boxes up to which it has no label: neighbours' boxes reach over
        it.
    same_class_iou, same_label_iou
        From here on two labels of one class, and of different ones, are of one chromosome: the boxes of two that
        cross at right angles have little in common, of two that cross lengthwise four fifths.
    stained_from
        Fraction of a labelled box that is stained, below which there is no chromosome in it.
    """

    class_from: float = 0.98
    object_from: float = 0.9
    free_below: float = 0.75
    same_class_iou: float = 0.7
    same_label_iou: float = 0.9
    stained_from: float = 0.08


DEFAULT_DISAGREEMENT: Final = DisagreementSettings()


class DisagreementKind(StrEnum):
    """What is disputed."""

    UNLABELLED = "unlabelled"
    """The product draws a chromosome where there is no label."""
    OTHER_CLASS = "other class"
    """The product gives a labelled chromosome another class."""
    LABELLED_TWICE = "labelled twice"
    """Two labels are of one chromosome."""
    EMPTY_LABEL = "empty label"
    """There is next to no stain within a label."""


@dataclass(frozen=True, slots=True)
class LabelDisagreement:
    """One disagreement.

    Attributes
    ----------
    kind
        What is disputed.
    box_px
        xmin, ymin, xmax, ymax: the label, or, where there is none, the product's box padded like one.
    label, proposed
        Class as labelled and as the product has it; empty where there is none.
    probability
        Of the product's class; 1 where it has no part in it.
    """

    kind: DisagreementKind
    box_px: tuple[int, int, int, int]
    label: str
    proposed: str
    probability: float


def find_disagreements(
    prediction: CellPrediction,
    tseng_image: TsengImage,
    image: GreyImage,
    mask_padding_px: Sequence[float] = TSENG_MASK_PADDING_PX,
    settings: DisagreementSettings = DEFAULT_DISAGREEMENT,
) -> tuple[LabelDisagreement, ...]:
    """List what product and labels of a cell disagree on with certainty, surest first.

    Parameters
    ----------
    prediction
        What the product draws.
    tseng_image
        The labels.
    image
        The picture.
    mask_padding_px
        As of `analysis.evaluation.drawn_cells.measure_cell`.
    settings
        What counts as certain.
    """
    truth_px = tseng_image.boxes_px.astype(np.float64)
    boxes_px = grown_boxes(
        np.array([each.box_px for each in prediction.objects], np.float64).reshape(-1, 4),
        mask_padding_px,
        prediction.size_px,
    )
    pairs = match(box_iou(truth_px, boxes_px))
    disagreements = [
        LabelDisagreement(
            DisagreementKind.OTHER_CLASS,
            _whole(truth_px[i]),
            tseng_image.classes[i],
            prediction.objects[j].class_name,
            prediction.objects[j].probability,
        )
        for i, j in pairs
        if prediction.objects[j].class_name not in (tseng_image.classes[i], UNCLASSIFIED)
        and prediction.objects[j].probability >= settings.class_from
    ]
    covered = _fraction_within(boxes_px, truth_px)
    matched = {j for _, j in pairs}
    disagreements += [
        LabelDisagreement(
            DisagreementKind.UNLABELLED, _whole(boxes_px[j]), "", drawn.class_name, drawn.probability
        )
        for j, drawn in enumerate(prediction.objects)
        if j not in matched
        and covered[j] <= settings.free_below
        and drawn.class_name != UNCLASSIFIED
        and drawn.probability >= settings.object_from
    ]
    disagreements += _of_labels_alone(tseng_image, image, settings)
    return tuple(sorted(disagreements, key=lambda each: -each.probability))


def _fraction_within(boxes_px: NDArray[np.float64], truth_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fraction of each box that lies in the one labelled box that has most of it."""
    if not len(truth_px):
        return np.zeros(len(boxes_px))
    common = box_intersections(boxes_px, truth_px).max(axis=1)
    return np.asarray(common / np.maximum(box_areas(boxes_px), 1.0), np.float64)


def _of_labels_alone(
    tseng_image: TsengImage, image: GreyImage, settings: DisagreementSettings
) -> list[LabelDisagreement]:
    """Labels that contradict each other or the picture."""
    truth_px = tseng_image.boxes_px.astype(np.float64)
    iou = np.triu(box_iou(truth_px, truth_px), 1)
    names = np.array(tseng_image.classes)
    least = np.where(names[:, None] == names[None, :], settings.same_class_iou, settings.same_label_iou)
    disagreements = [
        LabelDisagreement(
            DisagreementKind.LABELLED_TWICE,
            _whole(truth_px[j]),
            tseng_image.classes[j],
            tseng_image.classes[i],
            1.0,
        )
        for i, j in zip(*np.nonzero(iou >= least), strict=True)
    ]
    stain = labelled_stain(image.pixels, tseng_image.boxes_px)
    for box_px, name in zip(tseng_image.boxes_px, tseng_image.classes, strict=True):
        xmin, ymin, xmax, ymax = np.maximum(box_px, 0)
        within = stain[ymin:ymax, xmin:xmax]
        if within.size == 0 or within.mean() < settings.stained_from:
            disagreements.append(
                LabelDisagreement(DisagreementKind.EMPTY_LABEL, _whole(box_px.astype(np.float64)), name, "", 1.0)
            )
    return disagreements


def _whole(box_px: NDArray[np.float64]) -> tuple[int, int, int, int]:
    xmin, ymin, xmax, ymax = (round(float(side)) for side in box_px)
    return xmin, ymin, xmax, ymax


_SCALE: Final = 2
"""Enlargement of the metaphase: a chromosome 21 of 25 px must be recognised."""
_LABEL_COLOUR: Final = (200, 120, 0)
_DISPUTED_COLOUR: Final = (0, 0, 230)
_OUTLINE_COLOUR: Final = (0, 150, 0)
"""BGR."""
_TEXT_SIZE: Final = 0.5
_AROUND_PX: Final = 90
"""Of the close view: a chromosome 1 on either side."""
_CLOSE_SCALE: Final = 5


def draw_disagreement(
    prediction: CellPrediction,
    tseng_image: TsengImage,
    image: GreyImage,
    disagreement: LabelDisagreement,
    karyogram: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Draw a disagreement for a person to decide.

    Metaphase with labels (blue), outlines (green) and the disputed box (red); a close view without any drawing;
    and the karyogram, side by side.

    Parameters
    ----------
    prediction, tseng_image, image
        The cell.
    disagreement
        What is drawn.
    karyogram
        uint8, shape (height, width, 3), BGR.

    Returns
    -------
    NDArray[np.uint8]
        Shape (height, width, 3), BGR.
    """
    plain = np.repeat(image.pixels[..., None], 3, axis=2)
    overview = _enlarged(plain, _SCALE)
    for drawn, mask in zip(prediction.objects, prediction.masks(), strict=True):
        outlines, _ = cv2.findContours(
            cv2.resize(mask.astype(np.uint8), None, fx=_SCALE, fy=_SCALE, interpolation=cv2.INTER_NEAREST),
            cv2.RETR_EXTERNAL,
            cv2.CHAIN_APPROX_NONE,
        )
        corner = (_SCALE * drawn.box_px[0], _SCALE * drawn.box_px[1])
        cv2.drawContours(overview, outlines, -1, _OUTLINE_COLOUR, 1, offset=corner)
    for box_px, name in zip(tseng_image.boxes_px, tseng_image.classes, strict=True):
        _box(overview, [int(side) for side in box_px], name, _LABEL_COLOUR, 1)
    words = f"{disagreement.label or 'no label'} / {disagreement.proposed or 'nothing'}"
    _box(overview, disagreement.box_px, words, _DISPUTED_COLOUR, 3)
    return _beside([overview, _close_view(plain, disagreement.box_px), karyogram])


def _box(
    picture: NDArray[np.uint8], box_px: Sequence[int], text: str, colour: tuple[int, int, int], thickness: int
) -> None:
    xmin, ymin, xmax, ymax = (_SCALE * side for side in box_px)
    cv2.rectangle(picture, (xmin, ymin), (xmax, ymax), colour, thickness)
    cv2.putText(picture, text, (xmin, ymin - 3), cv2.FONT_HERSHEY_SIMPLEX, _TEXT_SIZE, colour, 1, cv2.LINE_AA)


def _close_view(plain: NDArray[np.uint8], box_px: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    height_px, width_px = plain.shape[:2]
    xmin, ymin = max(0, box_px[0] - _AROUND_PX), max(0, box_px[1] - _AROUND_PX)
    xmax, ymax = min(width_px, box_px[2] + _AROUND_PX), min(height_px, box_px[3] + _AROUND_PX)
    close = plain[ymin:ymax, xmin:xmax]
    return _enlarged(close, _CLOSE_SCALE)


def _enlarged(picture: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)


def _beside(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Set pictures side by side on white."""
    height_px = max(picture.shape[0] for picture in pictures)
    padded = [
        cv2.copyMakeBorder(
            picture, 0, height_px - picture.shape[0], 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255)
        )
        for picture in pictures
    ]
    return np.asarray(np.concatenate(padded, axis=1), np.uint8)

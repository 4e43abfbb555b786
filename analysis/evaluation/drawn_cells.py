"""Whole cells by what is drawn: masks, classes, and the corrections a person would make.

The figures judge the picture that a cytogeneticist is shown. A cell's prediction is measured against the labels
(`measure_cell`); figures of many cells come with intervals by case (`drawn_figures`), and two versions of the
product are compared cell by cell (`compare_cells`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.labelled_boxes import grown_boxes
from analysis.datasets.tseng import TSENG_MASK_PADDING_PX, TSENG_PADDING_PX, TsengImage
from analysis.evaluation.aneuploidy import deviations
from analysis.evaluation.cell_predictions import CLASSIFIED_AT_ONCE, CellPrediction, PredictedObject
from analysis.metrics.corrections import (
    STRICT_RULE,
    CorrectionKind,
    Corrections,
    DrawnAlternative,
    DrawnObject,
    cheapest_corrections,
)
from analysis.metrics.drawn_masks import (
    LOW_PERCENTILE,
    StainCover,
    covered_pixels,
    labelled_stain,
    mask_fragments,
    stain_cover,
)
from analysis.metrics.enumeration import Count
from analysis.metrics.interactions import FEW_INTERACTIONS
from analysis.metrics.statistics import bootstrap
from analysis.structures.boxes import box_iou, match
from analysis.structures.classes import UNCLASSIFIED
from analysis.structures.grey_image import GreyImage
from analysis.structures.review import ReviewLevel

NORMAL_KARYOTYPES: Final = frozenset({"46,XX", "46,XY"})


@dataclass(frozen=True, slots=True)
class MeasuredCell:
    """One cell's prediction, measured against its labels.

    Attributes
    ----------
    image, case
        Of the cell.
    by_mask, by_extent
        Chromosomes matched, false and missed, by the padded boxes of the masks, and of the detector's inner boxes.
    true_classes, classes
        Classes as labelled, and as drawn; objects without a class are left out.
    classes_right
        Matched by mask, and class right.
    cover
        Stain of the cell.
    fragments
        Parts of masks that aren't connected to their largest part.
    unexplained
        Objects that the product lists as unexplained.
    iscn, level
        Of the proposal.
    corrections, corrections_strict
        Cheapest corrections, by boxes that overlap by half, and by the strict rule.
    corrections_plain
        The same as the first, without alternatives.
    seconds
        From pixels to the proposal.
    """

    image: str
    case: str
    by_mask: Count
    by_extent: Count
    true_classes: tuple[str, ...]
    classes: tuple[str, ...]
    classes_right: int
    cover: StainCover
    fragments: int
    unexplained: int
    iscn: str | None
    level: str
    corrections: Corrections
    corrections_strict: Corrections
    corrections_plain: Corrections
    seconds: float

    @property
    def class_set_right(self) -> bool:
        """Whether as many chromosomes of every class are drawn as there are."""
        return Counter(self.true_classes) == Counter(self.classes)

    @property
    def aneuploid(self) -> bool:
        """Whether the labels are another set than 46,XX or 46,XY."""
        return bool(deviations(Counter(self.true_classes)))

    @property
    def called_normal(self) -> bool:
        """Whether the ISCN string is that of a normal cell."""
        return self.iscn in NORMAL_KARYOTYPES

    @property
    def auto(self) -> bool:
        """Whether the proposal asks nothing of a person."""
        return self.level == ReviewLevel.AUTO.value

    @property
    def wrong(self) -> bool:
        """Whether the cell takes any correction."""
        return self.corrections.total > 0


def measure_cell(
    prediction: CellPrediction,
    tseng_image: TsengImage,
    image: GreyImage,
    mask_padding_px: Sequence[float] = TSENG_MASK_PADDING_PX,
) -> MeasuredCell:
    """Measure a prediction against the labels.

    Parameters
    ----------
    prediction
        What is drawn.
    tseng_image
        The labels.
    image
        The picture.
    mask_padding_px
        Left, top, right, bottom between a mask's box and a labelled one, see
        `analysis.evaluation.mask_padding.calibrate_mask_padding`.
    """
    truth_px = tseng_image.boxes_px.astype(np.float64)
    mask_px = _padded(prediction.objects, prediction.size_px, mask_padding_px)
    extent_px = grown_boxes(
        np.array([each.extent_px or each.box_px for each in prediction.objects], np.float64).reshape(-1, 4),
        TSENG_PADDING_PX,
        prediction.size_px,
    )
    classes = [each.class_name for each in prediction.objects]
    pairs = match(box_iou(truth_px, mask_px))
    by_extent = match(box_iou(truth_px, extent_px))
    masks = prediction.masks()
    placed = zip((each.box_px for each in prediction.objects), masks, strict=True)
    stain = labelled_stain(image.pixels, tseng_image.boxes_px)
    true_objects, objects = _drawn(tseng_image.classes, truth_px), _drawn(classes, mask_px)
    alternatives = _drawn_alternatives(prediction, mask_padding_px)
    corrections = cheapest_corrections(objects, true_objects, alternatives)
    return MeasuredCell(
        image=prediction.image,
        case=prediction.case,
        by_mask=_count(prediction, len(pairs), len(truth_px)),
        by_extent=_count(prediction, len(by_extent), len(truth_px)),
        true_classes=tseng_image.classes,
        classes=tuple(name for name in classes if name != UNCLASSIFIED),
        classes_right=sum(tseng_image.classes[i] == classes[j] for i, j in pairs),
        cover=stain_cover(stain, tseng_image.boxes_px, covered_pixels(placed, prediction.size_px)),
        fragments=mask_fragments(masks),
        unexplained=len(prediction.unexplained_px),
        iscn=prediction.iscn,
        level=prediction.level,
        corrections=corrections,
        corrections_strict=cheapest_corrections(objects, true_objects, alternatives, STRICT_RULE),
        corrections_plain=cheapest_corrections(objects, true_objects) if alternatives else corrections,
        seconds=prediction.seconds,
    )


def _drawn_alternatives(prediction: CellPrediction, mask_padding_px: Sequence[float]) -> list[DrawnAlternative]:
    return [
        DrawnAlternative(
            frozenset(each.replaces),
            tuple(
                _drawn(
                    [member.class_name for member in each.objects],
                    _padded(each.objects, prediction.size_px, mask_padding_px),
                )
            ),
            each.probability,
        )
        for each in prediction.alternatives
    ]


def _padded(
    objects: Sequence[PredictedObject], size_px: tuple[int, int], padding_px: Sequence[float]
) -> NDArray[np.float64]:
    boxes_px = np.array([each.box_px for each in objects], np.float64).reshape(-1, 4)
    return grown_boxes(boxes_px, padding_px, size_px)


def _drawn(classes: Iterable[str], boxes_px: NDArray[np.float64]) -> list[DrawnObject]:
    return [
        DrawnObject(
            None if name == CLASSIFIED_AT_ONCE else name,
            (float(row[0]), float(row[1]), float(row[2]), float(row[3])),
        )
        for name, row in zip(classes, boxes_px, strict=True)
    ]


def _count(prediction: CellPrediction, matched: int, true_count: int) -> Count:
    return Count(prediction.case, matched, len(prediction.objects) - matched, true_count - matched)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of many cells.

    Attributes
    ----------
    value
        The figure; NaN where no cell says anything of it.
    low, high
        Its 95 % interval by case; NaN for fewer than two cases.
    """

    value: float
    low: float
    high: float


_Measure = Callable[[Sequence[MeasuredCell]], float]


def _mean(of: Callable[[MeasuredCell], float]) -> _Measure:
    return lambda measured: float(np.mean([of(cell) for cell in measured])) if measured else float("nan")


def _among(chosen: Callable[[MeasuredCell], bool], of: Callable[[MeasuredCell], float]) -> _Measure:
    mean = _mean(of)
    return lambda measured: mean([cell for cell in measured if chosen(cell)])


def _sum(of: Callable[[MeasuredCell], float]) -> _Measure:
    return lambda measured: float(sum(of(cell) for cell in measured))


def _aer(of: Callable[[MeasuredCell], Count]) -> _Measure:
    def pooled(measured: Sequence[MeasuredCell]) -> float:
        counts = [of(cell) for cell in measured]
        wrong, true = (
            sum(each.false + each.missed for each in counts),
            sum(each.matched + each.missed for each in counts),
        )
        return wrong / true if true else float("nan")

    return pooled


def _enumerated(of: Callable[[MeasuredCell], Count]) -> _Measure:
    return _mean(lambda cell: of(cell).false == 0 and of(cell).missed == 0)


def _low(of: Callable[[MeasuredCell], float]) -> _Measure:
    return lambda measured: float(np.percentile([of(cell) for cell in measured], LOW_PERCENTILE))


def _least(of: Callable[[MeasuredCell], float]) -> _Measure:
    return lambda measured: float(min(of(cell) for cell in measured))


def _of_kind(kind: CorrectionKind) -> _Measure:
    return _mean(lambda cell: cell.corrections.counts.get(kind, 0))


FIGURES: Final[dict[str, _Measure]] = {
    "cells": lambda measured: float(len(measured)),
    "mask boxes: AER": _aer(lambda cell: cell.by_mask),
    "mask boxes: wholly correct": _enumerated(lambda cell: cell.by_mask),
    "inner boxes: AER": _aer(lambda cell: cell.by_extent),
    "inner boxes: wholly correct": _enumerated(lambda cell: cell.by_extent),
    "matched and class right, of true chromosomes": lambda measured: (
        sum(cell.classes_right for cell in measured) / max(sum(len(cell.true_classes) for cell in measured), 1)
    ),
    "class set right": _mean(lambda cell: cell.class_set_right),
    "number right": _mean(lambda cell: len(cell.true_classes) == len(cell.classes)),
    "stain covered: mean": _mean(lambda cell: cell.cover.fraction),
    "stain covered: 10th percentile": _low(lambda cell: cell.cover.fraction),
    "stain covered: worst": _least(lambda cell: cell.cover.fraction),
    "stain covered, nuclei left out: mean": _mean(lambda cell: cell.cover.fraction_without_nuclei),
    "stain covered, nuclei left out: 10th percentile": _low(lambda cell: cell.cover.fraction_without_nuclei),
    "loose fragments of masks, a cell": _mean(lambda cell: cell.fragments),
    "pieces of bare stain, a cell": _mean(lambda cell: cell.cover.pieces),
    "unexplained objects, a cell": _mean(lambda cell: cell.unexplained),
    "corrections: mean": _mean(lambda cell: cell.corrections.total),
    "corrections: at most two": _mean(lambda cell: cell.corrections.total <= FEW_INTERACTIONS),
    "corrections: none": _mean(lambda cell: cell.corrections.total == 0),
    **{f"corrections: {kind.value}, a cell": _of_kind(kind) for kind in CorrectionKind},
    "corrections without alternatives: mean": _mean(lambda cell: cell.corrections_plain.total),
    "corrections without alternatives: at most two": _mean(
        lambda cell: cell.corrections_plain.total <= FEW_INTERACTIONS
    ),
    "corrections by the strict rule: mean": _mean(lambda cell: cell.corrections_strict.total),
    "corrections by the strict rule: at most two": _mean(
        lambda cell: cell.corrections_strict.total <= FEW_INTERACTIONS
    ),
    "corrections by the strict rule: none": _mean(lambda cell: cell.corrections_strict.total == 0),
    "aneuploid cells": _sum(lambda cell: cell.aneuploid),
    "aneuploid: class set right": _among(lambda cell: cell.aneuploid, lambda cell: cell.class_set_right),
    "aneuploid: called normal": _sum(lambda cell: cell.aneuploid and cell.called_normal),
    "aneuploid: called normal and auto": _sum(lambda cell: cell.aneuploid and cell.called_normal and cell.auto),
    "normal: called normal": _among(lambda cell: not cell.aneuploid, lambda cell: cell.called_normal),
    "auto": _mean(lambda cell: cell.auto),
    "auto: cells": _sum(lambda cell: cell.auto),
    "auto: with a wrong class set": _sum(lambda cell: cell.auto and not cell.class_set_right),
    "auto: with any error": _sum(lambda cell: cell.auto and cell.wrong),
    "seconds: median": lambda measured: float(np.median([cell.seconds for cell in measured])),
}
"""Figures by their names. Fractions are of 1; errors of `auto` and aneuploid cells called normal are numbers of
cells, which few cells allow nothing finer than."""


def drawn_figures(measured: Sequence[MeasuredCell]) -> dict[str, Figure]:
    """All figures of some cells, with intervals by the bootstrap over cases.

    Parameters
    ----------
    measured
        At least one.
    """
    groups = _by_case(measured)
    figures = {}
    for name, measure in FIGURES.items():

        def of_cases(drawn: NDArray[np.int64], measure: _Measure = measure) -> float:
            return measure([cell for number in drawn for cell in groups[number]])

        figures[name] = Figure(measure(measured), *bootstrap(len(groups), of_cases))
    return figures


def compare_cells(before: Sequence[MeasuredCell], now: Sequence[MeasuredCell]) -> dict[str, Figure]:
    """Differences of all figures, now less before, over the same cells; cases are drawn for both together.

    Parameters
    ----------
    before, now
        The same cells in the same order.

    Raises
    ------
    ValueError
        They aren't the same cells.
    """
    if [cell.image for cell in before] != [cell.image for cell in now]:
        raise ValueError("both versions must have measured the same cells, in the same order")
    earlier, later = _by_case(before), _by_case(now)
    differences = {}
    for name, measure in FIGURES.items():

        def difference(drawn: NDArray[np.int64], measure: _Measure = measure) -> float:
            return measure([cell for number in drawn for cell in later[number]]) - measure(
                [cell for number in drawn for cell in earlier[number]]
            )

        differences[name] = Figure(measure(now) - measure(before), *bootstrap(len(later), difference))
    return differences


def _by_case(measured: Sequence[MeasuredCell]) -> list[list[MeasuredCell]]:
    groups: dict[str, list[MeasuredCell]] = {}
    for cell in measured:
        groups.setdefault(cell.case, []).append(cell)
    return list(groups.values())

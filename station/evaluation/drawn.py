"""Whole cells by what is drawn: predictions are made or read, measured, and compared with another version's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.datasets.tseng import TSENG_MASK_PADDING_PX, TSENG_PADDING_PX, TsengImage, load_tseng, spread_evenly
from analysis.evaluation.case_figures import ComparedCase, case_figures, compare_cases
from analysis.evaluation.cell_predictions import (
    CellPrediction,
    append_prediction,
    predict_cell,
    read_predictions,
)
from analysis.evaluation.drawn_cells import Figure, MeasuredCell, compare_cells, drawn_figures, measure_cell
from analysis.evaluation.mask_padding import MaskPadding, calibrate_mask_padding
from analysis.imaging.image_file import read_image
from station.errors import UsageError

Progress = Callable[[int, int], None]
_PADDING_CELLS = 60
"""Train cells that the padding is measured on: some 200 free chromosomes."""


@dataclass(frozen=True, slots=True)
class DrawnVersion:
    """One version of the product over some cells.

    Attributes
    ----------
    measured
        Its cells.
    figures
        Of them, with intervals.
    cases
        Cases of at least two cells.
    """

    measured: tuple[MeasuredCell, ...]
    figures: dict[str, Figure]
    cases: tuple[ComparedCase, ...]

    @property
    def by_case(self) -> dict[str, float]:
        """Figures of the cases."""
        return case_figures(self.cases)


@dataclass(frozen=True, slots=True)
class DrawnEvaluation:
    """Cells of a split by what is drawn.

    Attributes
    ----------
    title
        Split, and whether labels were corrected.
    now
        The product.
    before
        Another version over the same cells; None where there is none.
    differences
        Now less before; empty without another version.
    """

    title: str
    now: DrawnVersion
    before: DrawnVersion | None
    differences: dict[str, Figure]

    def to_json(self) -> dict[str, Any]:
        """Plain data: value and interval of every figure, and every case."""
        versions = {"now": self.now} if self.before is None else {"now": self.now, "before": self.before}
        plain: dict[str, Any] = {
            name: {
                "figures": _plain(version.figures),
                "cases": version.by_case,
                "clones": {
                    each.case: {"labelled": each.labelled, "proposed": each.proposed, "right": each.clones_right}
                    for each in version.cases
                },
            }
            for name, version in versions.items()
        }
        return {"title": self.title, **plain, "differences": _plain(self.differences)}


def _plain(figures: dict[str, Figure]) -> dict[str, list[float | None]]:
    # JSON has no NaN.
    return {
        name: [value if value == value else None for value in (each.value, each.low, each.high)]
        for name, each in figures.items()
    }


def evaluate_drawn(
    data: Path,
    split: str,
    *,
    limit: int | None = None,
    corrected: bool = False,
    predictions: Path | None = None,
    before: Path | None = None,
    mask_padding_px: Sequence[float] = TSENG_MASK_PADDING_PX,
    before_padding_px: Sequence[float] = TSENG_PADDING_PX,
    progress: Progress | None = None,
) -> DrawnEvaluation:
    """Measure whole cells by what is drawn.

    Parameters
    ----------
    data
        Root of the data sets.
    split
        Of the Tseng set.
    limit
        At most as many cells, spread evenly.
    corrected
        Whether labels are corrected by our list.
    predictions
        File of predictions: cells that it holds aren't karyotyped again, others are appended.
    before
        Predictions of another version. Only cells that it holds are measured then.
    mask_padding_px, before_padding_px
        Padding of the published boxes round masks of either version.
    progress
        Called with (cells done, cells in all).

    Raises
    ------
    DatasetError
        The set isn't there, or a file isn't one of predictions.
    UsageError
        The two versions have no cell in common.
    """
    images = spread_evenly(load_tseng(data / "tseng", split, corrected=corrected), limit)
    earlier = {} if before is None else {each.image: each for each in read_predictions(before)}
    if before is not None:
        images = _in_common(images, earlier, before)
    measured: list[MeasuredCell] = []
    measured_before: list[MeasuredCell] = []
    for number, (tseng_image, prediction) in enumerate(predicted_cells(images, split, predictions), start=1):
        image = read_image(tseng_image.path)
        measured.append(measure_cell(prediction, tseng_image, image, mask_padding_px))
        if before is not None:
            cell = measure_cell(earlier[tseng_image.name], tseng_image, image, before_padding_px)
            measured_before.append(cell)
        if progress is not None:
            progress(number, len(images))
    title = f"tseng, {split}, labels {'corrected' if corrected else 'as published'}"
    if before is None:
        return DrawnEvaluation(title, _version(measured), None, {})
    return DrawnEvaluation(
        title, _version(measured), _version(measured_before), compare_cells(measured_before, measured)
    )


def _in_common(
    images: Sequence[TsengImage], earlier: Mapping[str, CellPrediction], path: Path
) -> list[TsengImage]:
    """Cells that the file of the version before holds as well."""
    common = [each for each in images if each.name in earlier]
    if not common:
        raise UsageError(f"{path}: holds none of the cells that are asked for")
    return common


def _version(measured: Sequence[MeasuredCell]) -> DrawnVersion:
    return DrawnVersion(tuple(measured), drawn_figures(measured), compare_cases(measured))


def predicted_cells(
    images: Sequence[TsengImage], split: str, path: Path | None
) -> Iterator[tuple[TsengImage, CellPrediction]]:
    """Yield every cell with its prediction, read where the file has it, else made and appended to it.

    Parameters
    ----------
    images
        The cells.
    split
        That they are of.
    path
        The file; None where nothing is kept.

    Raises
    ------
    DatasetError
        The file isn't one of predictions.
    """
    held = {each.image: each for each in read_predictions(path)} if path is not None and path.exists() else {}
    karyotyper = None
    for tseng_image in images:
        prediction = held.get(tseng_image.name)
        if prediction is None:
            if karyotyper is None:
                from analysis.karyotyping.pipeline import load_karyotyper

                karyotyper = load_karyotyper()
            prediction = predict_cell(tseng_image, split, karyotyper)
            if path is not None:
                append_prediction(path, prediction)
        yield tseng_image, prediction


def measure_padding(
    data: Path, *, limit: int = _PADDING_CELLS, predictions: Path | None = None, progress: Progress | None = None
) -> MaskPadding:
    """Measure the padding between the product's masks and the published boxes, on the train split.

    Parameters
    ----------
    data
        Root of the data sets.
    limit
        Cells, spread evenly over the split.
    predictions
        As of `evaluate_drawn`.
    progress
        Called with (cells done, cells in all).

    Raises
    ------
    DatasetError
        The set isn't there, or the file isn't one of predictions.
    """
    images = spread_evenly(load_tseng(data / "tseng", "train"), limit)
    pairs = []
    for number, (tseng_image, prediction) in enumerate(predicted_cells(images, "train", predictions), start=1):
        pairs.append((prediction, tseng_image))
        if progress is not None:
            progress(number, len(images))
    return calibrate_mask_padding(pairs)

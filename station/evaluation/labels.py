"""Labels that the product contradicts: found, listed and drawn for a person."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.storage import write_png_atomic
from analysis.datasets.tseng import TEST_SPLITS, TsengImage, load_tseng, spread_evenly
from analysis.errors import NoMetaphaseError
from analysis.evaluation.aneuploidy import deviations
from analysis.evaluation.cell_predictions import CellPrediction
from analysis.evaluation.label_disagreements import (
    LabelDisagreement,
    draw_disagreement,
    find_disagreements,
)
from analysis.imaging.image_file import read_image
from analysis.karyogram.karyotype_picture import draw_karyotype
from analysis.karyotyping.iscn import compose_iscn
from analysis.karyotyping.pipeline import Karyotyper, load_karyotyper
from analysis.structures.grey_image import GreyImage
from station.errors import UsageError
from station.evaluation.drawn import predicted_cells

Progress = Callable[[int, int], None]
_PROBABILITY_DIGITS: Final = 4
LIST_FILE: Final = "disagreements.csv"
_COLUMNS: Final = (
    "image", "case", "labelled", "proposed_iscn", "kind", "label", "proposed", "probability",
    "xmin", "ymin", "xmax", "ymax", "picture",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DisputedCell:
    """A cell with what is disputed in it."""

    tseng_image: TsengImage
    prediction: CellPrediction
    disagreements: tuple[LabelDisagreement, ...]

    @property
    def aneuploid(self) -> bool:
        """Whether its labels are another set than 46,XX or 46,XY."""
        return bool(deviations(Counter(self.tseng_image.classes)))


def disputed_cells(
    data: Path,
    split: str,
    *,
    limit: int | None = None,
    aneuploid: bool = False,
    corrected: bool = True,
    predictions: Path | None = None,
    progress: Progress | None = None,
) -> list[DisputedCell]:
    """Find the cells whose labels the product contradicts with certainty.

    Parameters
    ----------
    data
        Root of the data sets.
    split
        Of the Tseng set, no test split: what is looked at there would no longer be unseen.
    limit
        At most as many cells, spread evenly.
    aneuploid
        Only cells labelled with another set than 46,XX or 46,XY.
    corrected
        Whether what our list corrects already is taken as corrected.
    predictions
        As of `station.evaluation.drawn.evaluate_drawn`.
    progress
        Called with (cells done, cells in all).

    Raises
    ------
    UsageError
        For a test split.
    DatasetError
        The set isn't there, or the file isn't one of predictions.
    """
    if split in TEST_SPLITS:
        raise UsageError(f"--split {split}: the labels of test splits aren't looked at; allowed: train, val, fit")
    images = load_tseng(data / "tseng", split, corrected=corrected)
    if aneuploid:
        images = tuple(each for each in images if deviations(Counter(each.classes)))
    chosen = spread_evenly(images, limit)
    disputed = []
    for number, (tseng_image, prediction) in enumerate(predicted_cells(chosen, split, predictions), start=1):
        disagreements = find_disagreements(prediction, tseng_image, read_image(tseng_image.path))
        if disagreements:
            disputed.append(DisputedCell(tseng_image, prediction, disagreements))
        if progress is not None:
            progress(number, len(chosen))
    return disputed


def write_disputed_cells(cells: list[DisputedCell], folder: Path, progress: Progress | None = None) -> Path:
    """Draw every disagreement and write the list of them; returns the list.

    Parameters
    ----------
    cells
        Of `disputed_cells`.
    folder
        Where to; it is made where it isn't there.
    progress
        Called with (cells done, cells in all).

    Raises
    ------
    UsageError
        The folder can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: can't be made: {error.strerror}") from error
    karyotyper = load_karyotyper()
    path = folder / LIST_FILE
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, _COLUMNS)
        table.writeheader()
        for number, cell in enumerate(cells, start=1):
            image = read_image(cell.tseng_image.path)
            karyogram = _karyogram(karyotyper, image)
            for place, disagreement in enumerate(cell.disagreements, start=1):
                name = f"{cell.tseng_image.name}-{place}.png"
                picture = draw_disagreement(cell.prediction, cell.tseng_image, image, disagreement, karyogram)
                write_png_atomic(folder / name, np.ascontiguousarray(picture[..., ::-1]))
                table.writerow(_row(cell, disagreement, name))
            if progress is not None:
                progress(number, len(cells))
    return path


def _karyogram(karyotyper: Karyotyper, image: GreyImage) -> NDArray[np.uint8]:
    """The product's karyogram as BGR picture; a white dot where it recognises no metaphase."""
    try:
        return draw_karyotype(karyotyper.karyotype(image))
    except NoMetaphaseError:
        return np.full((1, 1, 3), 255, np.uint8)


def _row(cell: DisputedCell, disagreement: LabelDisagreement, picture: str) -> dict[str, str | int | float]:
    xmin, ymin, xmax, ymax = disagreement.box_px
    return {
        "image": cell.tseng_image.name,
        "case": cell.tseng_image.case,
        "labelled": compose_iscn(cell.tseng_image.classes).text or "",
        "proposed_iscn": cell.prediction.iscn or "",
        "kind": disagreement.kind.value,
        "label": disagreement.label,
        "proposed": disagreement.proposed,
        "probability": round(disagreement.probability, _PROBABILITY_DIGITS),
        "xmin": xmin,
        "ymin": ymin,
        "xmax": xmax,
        "ymax": ymax,
        "picture": picture,
    }

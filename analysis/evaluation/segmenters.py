"""Several segmenters side by side on the Tseng set's boxes, in one run, with pictures of the worst cells."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.labelled_boxes import padded_boxes, ranked_boxes
from analysis.datasets.tseng import TSENG_PADDING_PX, TsengImage, load_tseng
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.metrics.coco import CocoImage, CocoObject, coco_figures
from analysis.metrics.enumeration import Count, enumeration_figures, enumeration_intervals
from analysis.segmentation.protocol import Segmenter
from analysis.structures.boxes import box_iou, match
from analysis.structures.instance import Instance
from analysis.structures.segmentation import UnselectedProposal
from scanner.portable.atomic_files import write_atomic

_AP_DRAWS: Final = 60
_SEED: Final = 11
_WORST: Final = 20

_RIGHT, _MISSED, _FALSE = (60, 160, 40), (40, 40, 230), (230, 120, 20)


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """One segmenter on one cell.

    Attributes
    ----------
    entry
        The cell.
    count
        Right, false, missed.
    coco
        Boxes as the COCO tool takes them, those left out by the selection among them.
    detections
        The instances.
    boxes_px
        Their boxes, padded as the set's.
    seconds
        From pixels to masks.
    """

    entry: TsengImage
    count: Count
    coco: CocoImage
    detections: tuple[Instance, ...]
    boxes_px: NDArray[np.float64]
    seconds: float

    @property
    def errors(self) -> int:
        """False and missed ones."""
        return self.count.false + self.count.missed


def run_segmenters(
    data_dir: Path,
    split: str,
    segmenters: Mapping[str, Segmenter],
    *,
    limit: int | None = None,
    part: tuple[int, int] = (0, 1),
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, list[CellOutcome]]:
    """Run segmenters over a split, cell by cell, so that a busy machine slows all of them alike.

    Parameters
    ----------
    data_dir
        Folder of the Tseng set.
    split
        ``"train"``, ``"val"`` or ``"test"``.
    segmenters
        By their names.
    limit
        Only this many cells, spread evenly.
    part
        (k, n): of those every n-th, from the k-th on.
    progress
        Called with (cells done, cells in all).

    Raises
    ------
    DatasetError
        If the set isn't there.
    """
    entries = load_tseng(data_dir, split)
    if limit is not None and limit < len(entries):
        at = np.linspace(0, len(entries) - 1, max(1, limit)).round().astype(int)
        entries = tuple(entries[k] for k in at)
    entries = entries[part[0] :: part[1]]
    outcomes: dict[str, list[CellOutcome]] = {name: [] for name in segmenters}
    for number, entry in enumerate(entries, start=1):
        for name, segmenter in segmenters.items():
            outcomes[name].append(_outcome(entry, segmenter))
        if progress is not None:
            progress(number, len(entries))
    return outcomes


def segmenter_figures(outcomes: Sequence[CellOutcome], *, intervals: bool = True) -> dict[str, float | int]:
    """Figures of a segmenter's outcomes.

    Parameters
    ----------
    outcomes
        Of every picture.
    intervals
        Whether 95 % intervals are worked out, which takes seconds.

    Returns
    -------
    dict
        ``images``; ``box_ap50, box_map, box_mar``; ``wcr, aer, acc`` with ``_per_image`` twins;
        ``seconds_median``; the same of the set's list of difficult cells (``difficult_``) and of the others
        (``ordinary_``); 95 % intervals by bootstrap over cases (``_ci95_low``, ``_ci95_high``).
    """
    figures = _figures(outcomes)
    figures["seconds_median"] = float(np.median([one.seconds for one in outcomes]))
    for prefix, difficult in (("difficult", True), ("ordinary", False)):
        part = [one for one in outcomes if one.entry.difficult is difficult]
        if part:
            figures.update({f"{prefix}_{key}": value for key, value in _figures(part).items()})
    if intervals:
        figures.update(enumeration_intervals([one.count for one in outcomes]))
        figures.update(_ap_intervals(outcomes))
    return figures


def write_report(
    folder: Path,
    outcomes: Mapping[str, Sequence[CellOutcome]],
    figures: Mapping[str, Mapping[str, float | int]] | None = None,
) -> None:
    """Write the table (``figures.csv``) and, for each segmenter, pictures of its 20 worst cells.

    Figures that were made already can be given.

    Green boxes were found rightly, red ones were missed, blue ones are no chromosomes; masks are tinted, and the
    file's name begins with the number of errors.

    Parameters
    ----------
    folder
        Where; made where it isn't there.
    outcomes
        Of every picture, by segmenter.
    figures
        Of every segmenter, where they were made already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.writer(table)
    rows = figures or {name: segmenter_figures(cells) for name, cells in outcomes.items()}
    keys = sorted({key for row in rows.values() for key in row})
    writer.writerow(["figure", *rows])
    writer.writerows([key, *(row.get(key, "") for row in rows.values())] for key in keys)
    write_atomic(folder / "figures.csv", table.getvalue().encode())
    for name, cells in outcomes.items():
        place = folder / "".join(c if c.isalnum() else "-" for c in name)
        place.mkdir(exist_ok=True)
        for one in sorted(cells, key=lambda cell: -cell.errors)[:_WORST]:
            ok, data = cv2.imencode(".png", picture_of(one))
            if ok:
                write_atomic(place / f"{one.errors:02d}-{one.entry.name}.png", data.tobytes())


def picture_of(one: CellOutcome) -> NDArray[np.uint8]:
    """Draw right, missed and false boxes: uint8 BGR, shape (height, width, 3) of the cell's picture."""
    grey = read_image(one.entry.path).pixels
    canvas = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    for number, instance in enumerate(one.detections):
        x0, y0, x1, y1 = instance.box_px
        hue = np.uint8([[[(37 * number) % 180, 255, 255]]])  # type: ignore[arg-type]
        colour = cv2.cvtColor(np.asarray(hue, np.uint8), cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)
        view = canvas[y0:y1, x0:x1]
        view[instance.mask] = (0.65 * view[instance.mask] + 0.35 * colour).astype(np.uint8)
    truth = one.entry.boxes_px.astype(np.float64)
    pairs = match(box_iou(truth, one.boxes_px))
    found_right, seen = {j for _, j in pairs}, {i for i, _ in pairs}
    for j, box in enumerate(one.boxes_px):
        _frame(canvas, box, _RIGHT if j in found_right else _FALSE)
    for i, box in enumerate(truth):
        if i not in seen:
            _frame(canvas, box, _MISSED)
    return np.asarray(canvas, dtype=np.uint8)


def _frame(canvas: NDArray[np.uint8], box: NDArray[np.float64], colour: tuple[int, int, int]) -> None:
    x0, y0, x1, y1 = (round(float(value)) for value in box)
    cv2.rectangle(canvas, (x0, y0), (x1, y1), colour, 1)


def _outcome(tseng_image: TsengImage, segmenter: Segmenter) -> CellOutcome:
    image = read_image(tseng_image.path)
    start = time.perf_counter()
    found: tuple[Instance, ...] = ()
    left_out: tuple[UnselectedProposal, ...] = ()
    try:
        segmentation = segmenter(image)
        found, left_out = segmentation.instances, segmentation.left_out
    except NoMetaphaseError:
        pass
    seconds = time.perf_counter() - start
    truth = tseng_image.boxes_px.astype(np.float64)
    boxes = padded_boxes(found, TSENG_PADDING_PX, image.pixels.shape)
    pairs = match(box_iou(truth, boxes))
    return CellOutcome(
        tseng_image,
        Count(tseng_image.case, len(pairs), len(found) - len(pairs), len(truth) - len(pairs)),
        CocoImage(
            image.height_px,
            image.width_px,
            [CocoObject(_sides(row)) for row in truth],
            ranked_boxes(boxes, found, left_out, TSENG_PADDING_PX, image.pixels.shape),
        ),
        found,
        boxes,
        seconds,
    )


def _sides(row: NDArray[np.float64]) -> tuple[float, float, float, float]:
    return float(row[0]), float(row[1]), float(row[2]), float(row[3])


def _figures(outcomes: Sequence[CellOutcome]) -> dict[str, float | int]:
    coco = coco_figures([one.coco for one in outcomes], "bbox")
    return {
        "images": len(outcomes),
        **{f"box_{name}": value for name, value in coco.items()},
        **enumeration_figures([one.count for one in outcomes]),
    }


def _ap_intervals(outcomes: Sequence[CellOutcome]) -> dict[str, float]:
    """Intervals of the COCO figures, cases drawn with replacement."""
    by_case: dict[str, list[CellOutcome]] = {}
    for one in outcomes:
        by_case.setdefault(one.entry.case, []).append(one)
    groups = list(by_case.values())
    rng = np.random.default_rng(_SEED)
    drawn = []
    for _ in range(_AP_DRAWS):
        some = [one.coco for k in rng.integers(0, len(groups), len(groups)) for one in groups[k]]
        drawn.append(coco_figures(some, "bbox"))
    figures: dict[str, float] = {}
    for name in drawn[0]:
        low, high = np.percentile([row[name] for row in drawn], (2.5, 97.5))
        figures[f"box_{name}_ci95_low"], figures[f"box_{name}_ci95_high"] = float(low), float(high)
    return figures

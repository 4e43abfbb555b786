"""What the karyotyping pipeline makes of a cell at high magnification: the truth of analysability and of ranking.

A truth that our own pipeline made: it says which cells are worth the visit with *this* pipeline, and is no
cytogeneticist's opinion. The table of the test split serves evaluation alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.datasets.labelled_boxes import padded_boxes
from analysis.datasets.tseng import TSENG_PADDING_PX, TsengImage, load_tseng, spread_evenly
from analysis.errors import DatasetError, NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.metrics.interactions import count_interactions
from analysis.metrics.karyotyper import ProposedChromosome, ProposesKaryotypes
from analysis.structures.boxes import box_areas, box_intersections, box_iou, match
from scanner.portable.atomic_files import write_atomic

ANALYSABLE_CORRECT_FRACTION: Final = 0.80
"""Share of a cell's chromosomes that the pipeline must cut and classify rightly for the cell to be analysable."""

_SAVE_EVERY: Final = 10


@dataclass(frozen=True, slots=True)
class KaryotypedQuality:
    """How well one cell karyotypes.

    Attributes
    ----------
    split, case
        Where the cell belongs.
    chromosomes
        True number.
    pieces
        Number the pipeline proposed.
    detected_fraction
        True chromosomes with a piece of box IoU >= 0.5, in [0, 1].
    correct_fraction
        True chromosomes detected and of the right class, in [0, 1].
    interactions
        Edits from the proposal to the truth, see `count_interactions`.
    """

    split: str
    case: str
    chromosomes: int
    pieces: int
    detected_fraction: float
    correct_fraction: float
    interactions: int

    @property
    def is_analysable(self) -> bool:
        """Whether the unspoilt cell counts as analysable: correct fraction >= `ANALYSABLE_SHARE_RIGHT`."""
        return self.correct_fraction >= ANALYSABLE_CORRECT_FRACTION


_KEYS: Final = {"detected_fraction": "share_found", "correct_fraction": "share_right"}
"""Keys in the file of fields that have another name here."""
_FIELDS: Final = {key: name for name, key in _KEYS.items()}


def _renamed(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in row.items()}


QualityTable = Mapping[str, KaryotypedQuality]
"""Quality by the name of the image."""


def read_quality(path: Path) -> dict[str, KaryotypedQuality]:
    """Read a table; empty where there is none yet.

    Raises
    ------
    DatasetError
        The file is no such table.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError("the table of qualities can't be read", path=path) from error
    try:
        rows: dict[str, Any] = json.loads(text)
        return {name: KaryotypedQuality(**_renamed(row, _FIELDS)) for name, row in rows.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DatasetError("not a table of qualities", path=path) from error


def measure_quality(
    data_dir: Path,
    path: Path,
    karyotyper: ProposesKaryotypes,
    *,
    limits: Mapping[str, int | None],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, KaryotypedQuality]:
    """Karyotype cells of the Tseng set and keep the outcome in a table; cells that it holds are not done again.

    Parameters
    ----------
    data_dir
        Folder of the set.
    path
        The table, JSON; saved whole every few cells, so that a stopped measurement goes on.
    karyotyper
        The pipeline.
    limits
        Images a split, spread evenly over it; None is all of it. Splits take turns.
    progress
        Called with (cells done, cells in all).

    Raises
    ------
    DatasetError
        The set or the table is damaged.
    """
    table = read_quality(path)
    queues = [
        [(split, entry) for entry in spread_evenly(load_tseng(data_dir, split), limit)]
        for split, limit in limits.items()
    ]
    turns = [pair for pair in chain.from_iterable(zip_longest(*queues)) if pair is not None]
    unsaved = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    for number, (split, entry) in enumerate(turns, start=1):
        if entry.name not in table:
            table[entry.name] = _measure(entry, split, karyotyper)
            unsaved += 1
        if unsaved >= _SAVE_EVERY or (unsaved and number == len(turns)):
            _write(path, table)
            unsaved = 0
        if progress is not None:
            progress(number, len(turns))
    return table


def _write(path: Path, table: QualityTable) -> None:
    text = json.dumps({name: _renamed(asdict(table[name]), _KEYS) for name in sorted(table)}, indent=0) + "\n"
    write_atomic(path, text.encode())


def _measure(tseng_image: TsengImage, split: str, karyotyper: ProposesKaryotypes) -> KaryotypedQuality:
    image = read_image(tseng_image.path)
    try:
        proposed: tuple[ProposedChromosome, ...] = tuple(karyotyper.karyotype(image).chromosomes)
    except NoMetaphaseError:
        proposed = ()
    truth = tseng_image.boxes_px.astype(np.float64)
    boxes = padded_boxes([one.instance for one in proposed], TSENG_PADDING_PX, image.pixels.shape)
    classes = [one.class_name for one in proposed]
    pairs = match(box_iou(truth, boxes))
    edits = count_interactions(
        box_intersections(truth, boxes), box_areas(truth), box_areas(boxes), tseng_image.classes, classes
    )
    return KaryotypedQuality(
        split=split,
        case=tseng_image.case,
        chromosomes=len(truth),
        pieces=len(boxes),
        detected_fraction=round(len(pairs) / len(truth), 4),
        correct_fraction=round(sum(classes[j] == tseng_image.classes[i] for i, j in pairs) / len(truth), 4),
        interactions=edits.total,
    )

"""Whole cells, named and compared with the truth: what all figures about cells are reckoned from.

Every cell is looked at once and becomes a record of a few hundred numbers; counts of chromosomes, risk, and the
edits of a reviewer are then figures of the same pass.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from analysis.assignment.joint_assignment import AssignmentCosts, assign
from analysis.classification.classifier import Classifier
from analysis.datasets.crop_archives import CropCell, rises
from analysis.datasets.gband612 import gband612_cells
from analysis.datasets.labelled_boxes import instances_from_boxes, padded_boxes
from analysis.datasets.tseng import TSENG_PADDING_PX, TsengImage, load_tseng
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.imaging.working_image import find_stained
from analysis.karyotyping.pipeline import Karyotyper
from analysis.metrics.interactions import Interactions, count_interactions
from analysis.straightening.crops import crops_of_cell, object_from_picture
from analysis.structures.boxes import box_areas, box_intersections, box_iou, match
from analysis.structures.classes import CLASS_NAMES, UNCLASSIFIED
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome

_TURN_SEED: Final = 612
_CELL_MINIMUM: Final = 35
"""Cells with fewer labelled chromosomes than this weren't labelled whole."""


@dataclass(frozen=True, slots=True)
class Named:
    """One object and the class it was given.

    Attributes
    ----------
    class_name
        "1".."22", "X", "Y" or "?".
    probability
        What was said of it.
    truth
        Its true class; None where it is no chromosome, or none that was matched.
    """

    class_name: str
    probability: float
    truth: str | None

    @property
    def right(self) -> bool:
        """Whether it has a class, and the true one."""
        return self.class_name == self.truth != UNCLASSIFIED


@dataclass(frozen=True, slots=True)
class CellRecord:
    """One cell.

    Attributes
    ----------
    name, case
        Of the cell; of the patient.
    truth
        True classes; "?" where the set itself doesn't know.
    given
        Named with the true boxes or crops given, as many as there are in `truth`.
    detected
        Named with the own segmentation; None where the set has no whole pictures.
    missed
        True chromosomes that no find matches.
    level
        What the proposal asks of a person; empty without own segmentation.
    readable
        Whether an ISCN string was given, or could have been.
    interactions
        Edits that make the proposal right.
    seconds
        From the picture to the proposal.
    """

    name: str
    case: str
    truth: tuple[str, ...]
    given: tuple[Named, ...]
    detected: tuple[Named, ...] | None
    missed: int
    level: str
    readable: bool
    interactions: Interactions
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def named_counts(named: Sequence[Named]) -> Counter[str]:
    """Chromosomes of every class, "?" among them."""
    return Counter(entry.class_name for entry in named)


def count_cells(data_dir: Path, dataset: str, split: str) -> int:
    """Cells of a split of ``"tseng"`` or ``"gband612"``.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    dataset
        ``"tseng"`` or ``"gband612"``.
    split
        Of the set.
    """
    if dataset == "tseng":
        return len(load_tseng(data_dir / "tseng", split))
    return sum(1 for _ in _whole_cells(data_dir / "gband612", split))


def tseng_records(
    data_dir: Path, split: str, karyotyper: Karyotyper, places: Sequence[int] | None = None
) -> Iterator[CellRecord]:
    """Karyotype pictures of the Tseng set, with its boxes given and without.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    split
        ``"train"``, ``"val"`` or ``"test"``.
    karyotyper
        What is evaluated.
    places
        Which of the split's pictures; all where it is None.

    Raises
    ------
    DatasetError
        The set isn't there or isn't what it should be.
    ImageError
        A picture of it can't be read.
    """
    images = load_tseng(data_dir / "tseng", split)
    for place in range(len(images)) if places is None else places:
        yield _tseng_record(images[place], karyotyper)


def gband612_records(
    data_dir: Path,
    split: str,
    classifier: Classifier,
    prices: AssignmentCosts | None = None,
    places: Sequence[int] | None = None,
) -> Iterator[CellRecord]:
    """Name the cut chromosomes of the gband612 set, shown upright or turned at random; parameters as above.

    Crops whose axis doesn't rise say nothing about which way is up, and count as no flip.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    split
        ``"train"``, ``"val"`` or ``"test"``.
    classifier
        What is evaluated.
    prices
        Of the joint assignment.
    places
        Which of the split's cells; all where it is None.
    """
    rng = np.random.default_rng(_TURN_SEED)
    wanted = None if places is None else frozenset(places)
    for place, cell in enumerate(_whole_cells(data_dir / "gband612", split)):
        turned = rng.random(len(cell.pictures)) < 0.5
        if wanted is None or place in wanted:
            yield _crops_record(cell, turned.tolist(), classifier, prices)


def _whole_cells(folder: Path, split: str) -> Iterator[CropCell]:
    return (cell for cell in gband612_cells(folder, split) if len(cell.classes) >= _CELL_MINIMUM)


def _tseng_record(tseng_image: TsengImage, karyotyper: Karyotyper) -> CellRecord:
    image = read_image(tseng_image.path)
    started = time.perf_counter()
    proposal: Karyotype | None
    try:
        proposal = karyotyper.karyotype(image)
    except NoMetaphaseError:
        proposal = None
    seconds = time.perf_counter() - started
    chromosomes = proposal.chromosomes if proposal is not None else ()
    found = [chromosome.instance for chromosome in chromosomes]
    truth_px = tseng_image.boxes_px.astype(np.float64)
    found_px = padded_boxes(found, TSENG_PADDING_PX, image.pixels.shape)
    pairs = match(box_iou(truth_px, found_px))
    owner = {piece: tseng_image.classes[chromosome] for chromosome, piece in pairs}
    given = instances_from_boxes(image, truth_px, found, find_stained(image))
    return CellRecord(
        tseng_image.name,
        tseng_image.case,
        tseng_image.classes,
        _named(karyotyper.classify_instances(image, given), tseng_image.classes),
        _named(chromosomes, [owner.get(number) for number in range(len(found))]),
        len(truth_px) - len(pairs),
        proposal.verdict.level.value if proposal is not None else "",
        proposal is not None and proposal.iscn.text is not None,
        count_interactions(
            box_intersections(truth_px, found_px),
            box_areas(truth_px),
            box_areas(found_px),
            tseng_image.classes,
            [chromosome.class_name for chromosome in chromosomes],
        ),
        seconds,
    )


def _named(karyotyped: Sequence[KaryotypedChromosome], true_classes: Sequence[str | None]) -> tuple[Named, ...]:
    return tuple(
        Named(entry.class_name, entry.probability, own)
        for entry, own in zip(karyotyped, true_classes, strict=True)
    )


def _crops_record(
    crop_cell: CropCell, turned: Sequence[bool], classifier: Classifier, prices: AssignmentCosts | None
) -> CellRecord:
    shown = [
        np.ascontiguousarray(picture[::-1, ::-1]) if turn else picture
        for picture, turn in zip(crop_cell.pictures, turned, strict=True)
    ]
    started = time.perf_counter()
    objects = [object_from_picture(picture, inverted=crop_cell.inverted) for picture in shown]
    scores = classifier.score(crops_of_cell(objects))
    assigned = assign(scores.log_prob, None, prices)
    flipped = scores.flipped_as(assigned.classes)
    seconds = time.perf_counter() - started
    truth = tuple(name if name in CLASS_NAMES else UNCLASSIFIED for name in crop_cell.classes)
    wrong_way = [
        bool(flip != turn and rises(piece)) for flip, turn, piece in zip(flipped, turned, objects, strict=True)
    ]
    shared = np.eye(len(truth))
    areas = np.ones(len(truth))
    return CellRecord(
        crop_cell.name,
        crop_cell.name.split(".")[0],
        truth,
        tuple(
            Named(name, float(chance), own)
            for name, chance, own in zip(assigned.classes, assigned.probability, truth, strict=True)
        ),
        None,
        0,
        "",
        True,
        count_interactions(shared, areas, areas, truth, assigned.classes, wrong_way),
        seconds,
    )

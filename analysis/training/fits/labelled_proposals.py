"""A cell's proposals beside its true chromosomes: what the selection and the rescoring are fitted to.

The detector is run once over a split, which takes a second a picture, and what the selection rests on is kept on
the disk. With that a setting costs a third of a second for 141 cells, so that a search takes a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.labelled_boxes import grown_boxes
from analysis.datasets.tseng import TSENG_PADDING_PX, TsengImage, load_tseng_for_training
from analysis.detection.detector import DETECTOR_WEIGHTS, Detector
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.parameters.manifest import read_manifest
from analysis.parameters.store import PARAMETERS_FOLDER
from analysis.segmentation.segmenter import DetectorSegmenter
from analysis.selection.measurements import ProposalMeasurements
from analysis.structures.boxes import box_iou, match
from analysis.structures.classes import CLASS_NAMES
from scanner.portable.atomic_files import open_atomic

_LEAST_SCORE: Final = 0.1
"""Proposals below are never chosen (the least chosen one of the val split has .2), and only take time."""


class SelectionOutcome(NamedTuple):
    """What a choice among a cell's proposals comes to.

    Attributes
    ----------
    matched
        Chosen proposals that fit a true chromosome each.
    false
        Chosen ones that fit none.
    missed
        True chromosomes that no chosen one fits.
    """

    matched: int
    false: int
    missed: int


@dataclass(frozen=True, slots=True)
class LabelledProposals:
    """A cell's proposals beside its true chromosomes.

    Attributes
    ----------
    case
        Patient.
    measurements
        Of the n proposals.
    iou
        float64, shape (true chromosomes, n): overlap of their boxes as the set's are drawn.
    """

    case: str
    measurements: ProposalMeasurements
    iou: NDArray[np.float64]

    @property
    def right(self) -> NDArray[np.bool_]:
        """bool, shape (n,): the best proposal of each true chromosome."""
        right = np.zeros(self.iou.shape[1], np.bool_)
        right[[column for _, column in match(self.iou)]] = True
        return right

    def outcome(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> SelectionOutcome:
        """Count matched, false and missed chromosomes of a choice: a mask, shape (n,), or rows, shape (m,)."""
        overlaps = self.iou[:, chosen]
        matched = len(match(overlaps))
        return SelectionOutcome(matched, overlaps.shape[1] - matched, len(self.iou) - matched)


def cached_proposals(
    data_dir: Path,
    split: str,
    folder: Path,
    *,
    limit: int | None = None,
    weights_folder: Path = PARAMETERS_FOLDER,
    progress: Callable[[int, int], None] | None = None,
) -> list[LabelledProposals]:
    """Propose chromosomes in pictures of the Tseng set, or read proposals of the same weights from the disk.

    Parameters
    ----------
    data_dir
        Folder of the set.
    split
        ``"train"`` or ``"val"``.
    folder
        Where proposals are kept, a file a cell; named by the weights' sum, so that new ones propose anew.
    limit
        Only this many, spread evenly.
    weights_folder
        Folder of the detector's weights.
    progress
        Called with (pictures done, pictures in all).

    Raises
    ------
    DatasetError
        If the set isn't there, or the test split is asked for.
    WeightsError
        Where weights are missing or damaged.
    """
    entries = load_tseng_for_training(data_dir, split)
    if limit is not None and limit < len(entries):
        at = np.linspace(0, len(entries) - 1, max(1, limit)).round().astype(int)
        entries = tuple(entries[k] for k in at)
    sha256 = read_manifest(DETECTOR_WEIGHTS, weights_folder).sha256
    folder.mkdir(parents=True, exist_ok=True)
    segmenter: DetectorSegmenter | None = None
    cells = []
    for number, entry in enumerate(entries, start=1):
        path = folder / f"{sha256[:12]}-{split}-{entry.name}.npz"
        if not path.exists():
            segmenter = segmenter or DetectorSegmenter(Detector.load(weights_folder))
            write_cell(path, propose(entry, segmenter))
        cells.append(read_cell(path))
        if progress is not None:
            progress(number, len(entries))
    return cells


def propose(tseng_image: TsengImage, segmenter: DetectorSegmenter) -> LabelledProposals:
    """Propose chromosomes in one picture; none where there is nothing like a metaphase.

    Parameters
    ----------
    tseng_image
        Picture and true boxes.
    segmenter
        With the detector whose proposals are wanted.
    """
    image = read_image(tseng_image.path)
    truth = tseng_image.boxes_px.astype(np.float64)
    try:
        measurements, extents_px = segmenter.measure(image)
    except NoMetaphaseError:
        nothing = ProposalMeasurements(
            np.zeros(0), np.zeros((0, 0)), np.zeros((0, len(CLASS_NAMES))), np.zeros(0, np.int64), np.zeros(0)
        )
        return LabelledProposals(tseng_image.case, nothing, np.zeros((len(truth), 0)))
    rows = np.flatnonzero(measurements.score >= _LEAST_SCORE)
    boxes = grown_boxes(extents_px[rows], TSENG_PADDING_PX, image.pixels.shape)
    kept = replace(
        measurements,
        score=measurements.score[rows],
        overlap=measurements.overlap[np.ix_(rows, rows)],
        classes=measurements.classes[rows],
        piece=measurements.piece[rows],
    )
    return LabelledProposals(tseng_image.case, kept, box_iou(truth, boxes))


def write_cell(path: Path, proposals: LabelledProposals) -> None:
    """Write a cell, whole or not at all.

    Parameters
    ----------
    path
        A ``.npz`` file.
    proposals
        What is written.
    """
    measurements = proposals.measurements
    with open_atomic(path) as file:
        np.savez_compressed(
            file,
            case=np.asarray(proposals.case),
            iou=proposals.iou,
            score=measurements.score,
            overlap=measurements.overlap,
            classes=measurements.classes,
            piece=measurements.piece,
            piece_areas=measurements.piece_areas,
        )


def read_cell(path: Path) -> LabelledProposals:
    """Read a cell."""
    with np.load(path, allow_pickle=False) as held:
        measurements = ProposalMeasurements(
            held["score"], held["overlap"], held["classes"], held["piece"], held["piece_areas"]
        )
        return LabelledProposals(str(held["case"]), measurements, held["iou"])

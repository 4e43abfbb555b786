"""What both nets say of a labelled cell, before it is fused: fusion and assignment are fitted to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.classification.classifier import Classifier
from analysis.classification.fusion import FusionWeights, detector_log_prob, fuse_class_evidence
from analysis.datasets.labelled_boxes import instances_from_boxes, padded_boxes
from analysis.datasets.labelled_cells import NO_CHROMOSOME
from analysis.datasets.tseng import TSENG_PADDING_PX, TsengImage, load_tseng_for_training
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.imaging.working_image import find_stained
from analysis.segmentation.segmenter import DetectorSegmenter
from analysis.straightening.crops import crops_of_cell, cut_instances
from analysis.structures.boxes import box_iou, match
from analysis.structures.class_evidence import ClassScores
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.training.classifier.calibration import ScoredCell

BANDING: Final = "G"
"""Banding of the Tseng set, which the classifier is told."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CellEvidence:
    """Evidence of both nets on the n objects of a cell, and what they are.

    Attributes
    ----------
    case
        Patient.
    scores
        The classifier's.
    detected
        float64, shape (n, 24): the detector's log probabilities; rows of NaN where it has none.
    box_scores
        float64, shape (n,), in [0, 1]: the detector's scores of the objects.
    classes
        int64, shape (n,): index of the true class, 24 for no single chromosome.
    """

    case: str
    scores: ClassScores
    detected: Floats
    box_scores: Floats
    classes: NDArray[np.int64]

    def scored(self, fusion_weights: FusionWeights, *, given: bool) -> ScoredCell:
        """Fuse the evidence.

        Parameters
        ----------
        fusion_weights
            How.
        given
            Whether a person cut the objects: that each is one chromosome isn't questioned then.
        """
        fused = fuse_class_evidence(self.scores, self.detected, self.box_scores, fusion_weights)
        log_none = np.full(len(self.classes), -np.inf) if given or fused.log_none is None else fused.log_none
        return ScoredCell(fused.log_prob.astype(np.float32), log_none.astype(np.float32), self.classes)


@dataclass(frozen=True, slots=True)
class LabelledEvidence:
    """Evidence on one cell, cut in two manners.

    Attributes
    ----------
    given
        Of its true chromosomes, cut by their labelled boxes.
    detected
        Of what the segmenter takes for chromosomes.
    """

    given: CellEvidence
    detected: CellEvidence


def collect_evidence(
    data_dir: Path,
    split: str,
    classifier: Classifier,
    segmenter: DetectorSegmenter,
    *,
    part: tuple[int, int] = (0, 1),
    limit: int | None = None,
) -> Iterator[LabelledEvidence]:
    """Segment and classify the pictures of a split of the Tseng set.

    Parameters
    ----------
    data_dir
        Root of the data sets.
    split
        ``"train"`` or ``"val"``; on the latter neither net has learned.
    classifier, segmenter
        Of the product.
    part
        (k, n): every n-th picture from the k-th on.
    limit
        Only so many pictures, spread evenly, before they are parted.

    Raises
    ------
    DatasetError
        If the set isn't there.
    """
    entries = load_tseng_for_training(data_dir / "tseng", split)
    if limit is not None and limit < len(entries):
        entries = tuple(entries[k] for k in np.linspace(0, len(entries) - 1, limit).round().astype(int))
    for entry in entries[part[0] :: part[1]]:
        try:
            yield _evidence_of(entry, classifier, segmenter)
        except NoMetaphaseError:
            continue


def _evidence_of(
    tseng_image: TsengImage, classifier: Classifier, segmenter: DetectorSegmenter
) -> LabelledEvidence:
    image = read_image(tseng_image.path)
    segmentation = segmenter(image)
    detected = segmentation.instances
    truth_px = tseng_image.boxes_px.astype(np.float64)
    labels = np.asarray([CLASS_NAMES.index(name) for name in tseng_image.classes], np.int64)
    boxes_px = padded_boxes(detected, TSENG_PADDING_PX, image.pixels.shape)
    detected_labels = np.full(len(detected), NO_CHROMOSOME, np.int64)
    for true_row, row in match(box_iou(truth_px, boxes_px)):
        detected_labels[row] = labels[true_row]
    stained = find_stained(image)
    given = instances_from_boxes(image, truth_px, detected, stained)
    given_px = np.asarray([instance.box_px for instance in given], np.float64)
    given_classes = segmenter.classes_at(image, given_px, padded=False).astype(np.float64)
    scores = [_scores(image, segmentation.background, instances, classifier) for instances in (given, detected)]
    return LabelledEvidence(
        CellEvidence(tseng_image.case, scores[0], given_classes, _box_scores(given), labels),
        CellEvidence(
            tseng_image.case, scores[1], detector_log_prob(detected), _box_scores(detected), detected_labels
        ),
    )


def _scores(
    image: GreyImage, background: NDArray[np.float32], instances: tuple[Instance, ...], classifier: Classifier
) -> ClassScores:
    return classifier.score(crops_of_cell(cut_instances(image, background, instances)), banding=BANDING)


def _box_scores(instances: tuple[Instance, ...]) -> Floats:
    return np.asarray([instance.score for instance in instances], np.float64)

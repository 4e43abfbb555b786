"""From an image to a karyotype, stage by stage.

`Karyotyper.karyotype` is the whole sequence, read from top to bottom; every stage is one call that takes and gives
types of `analysis.structures` or of this folder. An edited proposal enters at `complete_karyotype`
(`analysis.karyotyping.edited_proposal`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from analysis.assignment.joint_assignment import AssignmentCosts, assign, load_assignment_costs
from analysis.assignment.oversize import OVERSIZE, oversize_ratio
from analysis.classification.classifier import CLASSIFIER_WEIGHTS, Classifier
from analysis.classification.fusion import FusionWeights, load_fusion_weights
from analysis.imaging.background import estimate_background
from analysis.karyotyping.cell_confidence import confidence_of_cell
from analysis.karyotyping.completion import complete_karyotype
from analysis.karyotyping.iscn import LOSSES_BELIEVED
from analysis.karyotyping.rescoring_pass import rescore_metaphase
from analysis.karyotyping.review import losses_reportable, review_proposal
from analysis.karyotyping.review_settings import ReviewSettings
from analysis.karyotyping.scored_metaphase import (
    ScoredMetaphase,
    classifier_domain,
    embed_metaphase,
    score_metaphase,
)
from analysis.karyotyping.unexplained_objects import (
    MeasuredStain,
    find_unexplained,
    measure_unexplained,
    probability_of_none,
    withhold_chromosomes,
)
from analysis.parameters.names import ParameterSetName
from analysis.parameters.weights import read_manifest
from analysis.segmentation.contours.segmenter import segment_by_contours
from analysis.segmentation.hypotheses import RevisableSegmentation
from analysis.segmentation.mask_extent import short_masks
from analysis.segmentation.pile_explanations import explain_piles
from analysis.segmentation.segmenter import load_detector_segmenter
from analysis.selection.rescoring import RescoringModel, load_rescoring_model
from analysis.structures.assignment import Assignment
from analysis.structures.class_evidence import ClassEvidence
from analysis.structures.classes import UNCLASSIFIED
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.iscn import IscnResult
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome
from analysis.structures.segmentation import Segmentation
from analysis.structures.unexplained import UnexplainedObject


@runtime_checkable
class ClassifiesBoxes(Protocol):
    """A segmenter that can tell classes of given boxes by itself, such as a `DetectorSegmenter`."""

    def classes_at(
        self, image: GreyImage, boxes_px: NDArray[np.float64], *, padded: bool = True
    ) -> NDArray[np.float32]:
        """Log probabilities of the classes, shape (n, 24), see `DetectorSegmenter.classes_at`.

        Parameters
        ----------
        image
            The picture, bright field.
        boxes_px
            float64, shape (n, 4): xmin, ymin, xmax, ymax in image px.
        padded
            Whether the boxes have slide around their chromosomes.
        """
        ...


@dataclass(frozen=True, slots=True)
class KaryotyperSettings:
    """How the stages of a `Karyotyper` are set.

    Attributes
    ----------
    costs
        What deviations from a normal cell cost in the joint assignment, where the classifier alone gave evidence.
    fusion
        How the detector's classes are weighted.
    review
        Thresholds of the review.
    banding
        What the chromosomes of all pictures are stained with: "G", "R", "Q" or "DAPI"; None where pictures differ
        or nobody knows.
    """

    costs: AssignmentCosts = field(default_factory=load_assignment_costs)
    fusion: FusionWeights = field(default_factory=load_fusion_weights)
    review: ReviewSettings = field(default_factory=ReviewSettings)
    banding: str | None = None


class Karyotyper:
    """Karyotypes images; holds the classifier and the segmentation it was made with.

    In bright field the classes that the segmenter's detector gave are fused with the classifier's; of other
    stains the detector knows nothing.

    Parameters
    ----------
    classifier
        Scores straightened chromosomes.
    segmenter
        Cuts an image into chromosomes.
    settings
        How the stages are set.
    rescoring
        How the selection of chromosomes is made again once they were classified; None leaves it as it is.
    weights
        sha256 of the weights in use, by their names, for the record.
    """

    def __init__(
        self,
        classifier: Classifier,
        segmenter: Callable[[GreyImage], Segmentation] = segment_by_contours,
        settings: KaryotyperSettings | None = None,
        rescoring: RescoringModel | None = None,
        weights: Mapping[str, str] | None = None,
    ) -> None:
        self._classifier = classifier
        self._segmenter = segmenter
        self._settings = settings or KaryotyperSettings()
        self._rescoring = rescoring
        self._weights = dict(weights or {})

    def karyotype(self, image: GreyImage, *, banding: str | None = None) -> Karyotype:
        """Karyotype one image.

        Parameters
        ----------
        image
            The picture.
        banding
            What the protocol says of this picture, before what the karyotyper was made with.

        Raises
        ------
        NoMetaphaseError
            Where the segmentation finds no metaphase.
        """
        started_s = time.perf_counter()
        protocol_banding = banding or self._settings.banding
        segmentation = self._segmenter(image)
        scored = self._score(image, segmentation, protocol_banding)
        scored = self._rescore(scored, protocol_banding)
        assignment = self._assign_classes(scored)
        unexplained = self._find_unexplained(scored, protocol_banding)
        confidence = self._estimate_confidence(scored, assignment, unexplained)
        reviewed = self._review(scored, assignment, confidence, unexplained, protocol_banding)
        completed = complete_karyotype(reviewed, class_scores=scored.scores)
        return replace(completed, seconds=time.perf_counter() - started_s)

    def classify_instances(
        self,
        image: GreyImage,
        instances: Sequence[Instance],
        background: NDArray[np.float32] | None = None,
    ) -> tuple[KaryotypedChromosome, ...]:
        """Classify chromosomes that are already cut, jointly assigned as one cell.

        Who cut them took each for one chromosome; that none of them is one isn't asked again.

        Parameters
        ----------
        image
            The picture.
        instances
            All chromosomes of one cell.
        background
            float32, shape (height_px, width_px), see `Segmentation`; estimated where it is None.

        Returns
        -------
        tuple of KaryotypedChromosome
            In the order of ``instances``, which is what ``id`` counts.
        """
        if background is None:
            background = estimate_background(image.pixels)
        no_nuclei = np.zeros(image.pixels.shape, np.bool_)
        segmentation = Segmentation(self._with_detector_classes(image, instances), background, no_nuclei)
        scored = self._score(image, segmentation, self._settings.banding)
        evidence = scored.evidence
        assignment = assign(evidence.log_prob, None, self._costs(evidence, self._settings.fusion.sharpness))
        return classed_chromosomes(scored, assignment, instances)

    def measure_unexplained_stain(
        self, image: GreyImage, withheld: int = 0
    ) -> list[tuple[Segmentation, MeasuredStain]]:
        """Measure the stain of a cell that its chromosomes don't explain, whatever its probability.

        Parameters
        ----------
        image
            The picture.
        withheld
            Chromosomes, spread over the cell, that are left out of its selection for two further measurements:
            with their proposals, and as if nothing had proposed them either.

        Returns
        -------
        list of tuple
            The chromosomes, and the stain: of the cell, and those with chromosomes withheld.

        Raises
        ------
        NoMetaphaseError
            Where the segmentation finds no metaphase.
        """
        banding = self._settings.banding
        scored = self._rescore(self._score(image, self._segmenter(image), banding), banding)
        domain = classifier_domain(scored.embedded.banding, banding, self._settings.review)
        segmentation = scored.segmentation
        measured = [(segmentation, measure_unexplained(scored.embedded, self._classifier, domain))]
        if withheld and isinstance(segmentation, RevisableSegmentation) and len(segmentation.rows) > withheld:
            lacking, others = withhold_chromosomes(segmentation, withheld)
            embedded = embed_metaphase(image, lacking, self._classifier, banding)
            measured += [
                (lacking, measure_unexplained(embedded, self._classifier, domain, proposals))
                for proposals in (None, others)
            ]
        return measured

    def _score(
        self, image: GreyImage, segmentation: Segmentation, protocol_banding: str | None
    ) -> ScoredMetaphase:
        """Straighten the chromosomes, estimate the banding, gather the class evidence."""
        embedded = embed_metaphase(image, segmentation, self._classifier, protocol_banding)
        return score_metaphase(embedded, self._classifier, self._settings.fusion, self._settings.review)

    def _rescore(self, scored: ScoredMetaphase, protocol_banding: str | None) -> ScoredMetaphase:
        """Select the chromosomes again where their classes can be read."""
        embedded, review = scored.embedded, self._settings.review
        readable = scored.quality.certainty >= review.unreadable_below
        if self._rescoring is None or embedded.image.inverted or not readable:
            return scored
        domain, fusion = classifier_domain(embedded.banding, protocol_banding, review), self._settings.fusion
        rescored = rescore_metaphase(embedded, self._rescoring, self._classifier, fusion, domain)
        return scored if rescored is embedded else score_metaphase(rescored, self._classifier, fusion, review)

    def _assign_classes(self, scored: ScoredMetaphase) -> Assignment:
        """Assign what the segmentation found, some of which may be no single chromosome."""
        evidence = scored.evidence
        costs = self._costs(evidence, self._settings.fusion.sharpness_detected)
        assignment = assign(evidence.log_prob, evidence.log_none, costs)
        areas_px = scored.embedded.straightened.areas_px
        oversized = oversize_ratio(areas_px, assignment.classes) > OVERSIZE
        if not oversized.any():
            return assignment
        # Chromosomes that could not be parted must not pass as one: their places stay open, and the formula then
        # says that the cell is incomplete instead of claiming losses.
        log_none = np.full(len(areas_px), -np.inf) if evidence.log_none is None else evidence.log_none
        return assign(evidence.log_prob, np.where(oversized, 0.0, log_none), costs)

    def _find_unexplained(
        self, scored: ScoredMetaphase, protocol_banding: str | None
    ) -> tuple[UnexplainedObject, ...]:
        """List the stain that no chromosome explains, where classes can be read at all."""
        embedded, review = scored.embedded, self._settings.review
        if scored.quality.certainty < review.unreadable_below:
            return ()
        domain = classifier_domain(embedded.banding, protocol_banding, review)
        return find_unexplained(embedded, self._classifier, domain)

    @staticmethod
    def _estimate_confidence(
        scored: ScoredMetaphase, assignment: Assignment, unexplained: Sequence[UnexplainedObject]
    ) -> float:
        """Probability that all of a cell is right; NaN where it wasn't rescored: nobody measured it then."""
        segmentation = scored.segmentation
        if not isinstance(segmentation, RevisableSegmentation) or not segmentation.rescored:
            return float("nan")
        left_out = [each.score for each in segmentation.left_out]
        return probability_of_none(unexplained) * confidence_of_cell(
            assignment, scored.object_scores, left_out, segmentation.alternatives
        )

    def _review(
        self,
        scored: ScoredMetaphase,
        assignment: Assignment,
        confidence: float,
        unexplained: tuple[UnexplainedObject, ...],
        protocol_banding: str | None,
    ) -> Karyotype:
        """Say what the proposal asks of a person; classes that can't be read aren't shown."""
        embedded, segmentation, review = scored.embedded, scored.segmentation, self._settings.review
        verdict = review_proposal(
            scored.quality,
            assignment.classes,
            assignment.probability,
            possible_markers=assignment.possible_markers,
            banding=embedded.banding,
            protocol_banding=protocol_banding,
            cell_confidence=confidence,
            unexplained=unexplained,
            short_masks=short_masks(segmentation.instances),
            settings=review,
        )
        chromosomes = classed_chromosomes(scored, assignment, segmentation.instances)
        if not verdict.readable:
            chromosomes = tuple(replace(each, class_name=UNCLASSIFIED) for each in chromosomes)
        return Karyotype(
            image=embedded.image,
            background=segmentation.background,
            chromosomes=chromosomes,
            iscn=IscnResult(None),
            hypothesis=assignment.hypothesis,
            margin=assignment.margin,
            seconds=0.0,
            verdict=verdict,
            left_out=segmentation.left_out,
            banding=embedded.banding,
            protocol_banding=protocol_banding,
            losses_believed=LOSSES_BELIEVED if losses_reportable(confidence, review) else 0,
            weights=self._weights,
            unexplained=unexplained,
            piles=explain_piles(segmentation) if isinstance(segmentation, RevisableSegmentation) else (),
        )

    def _with_detector_classes(self, image: GreyImage, instances: Sequence[Instance]) -> tuple[Instance, ...]:
        """Ask the segmenter for the classes of instances that have none of the detector's."""
        unclassified = [row for row, each in enumerate(instances) if each.class_log_prob is None]
        if image.inverted or not unclassified or not isinstance(self._segmenter, ClassifiesBoxes):
            return tuple(instances)
        boxes_px = np.array([instances[row].box_px for row in unclassified], dtype=np.float64)
        log_prob = self._segmenter.classes_at(image, boxes_px, padded=False)
        classified = list(instances)
        for row, of_row in zip(unclassified, log_prob, strict=True):
            classified[row] = replace(classified[row], class_log_prob=of_row)
        return tuple(classified)

    def _costs(self, evidence: ClassEvidence, sharpness: float) -> AssignmentCosts:
        """Costs that fit the evidence: the classifier's own, or those of fused evidence."""
        return replace(load_assignment_costs(), sharpness=sharpness) if evidence.fused else self._settings.costs


def classed_chromosomes(
    scored: ScoredMetaphase, assignment: Assignment, instances: Sequence[Instance]
) -> tuple[KaryotypedChromosome, ...]:
    """Chromosomes with the classes and polarities they were assigned.

    Parameters
    ----------
    scored
        The metaphase.
    assignment
        Its classes.
    instances
        Its chromosomes, in the same order.
    """
    flipped = scored.scores.flipped_as(assignment.classes)
    straightened = scored.embedded.straightened
    return tuple(
        KaryotypedChromosome(
            id=number,
            class_name=assignment.classes[number],
            probability=float(assignment.probability[number]),
            instance=instance,
            flipped=bool(flipped[number]),
            axis=straightened.axes[number],
            crop=straightened.crops[number],
        )
        for number, instance in enumerate(instances)
    )


def load_karyotyper(
    segmenter: Callable[[GreyImage], Segmentation] | None = None,
    *,
    banding: str | None = None,
    rescoring: bool = True,
) -> Karyotyper:
    """Karyotyper with the product's weights, and its segmentation (detector and contours) unless another is given.

    Parameters
    ----------
    segmenter
        Cuts an image into chromosomes.
    banding
        What the chromosomes are stained with, see `KaryotyperSettings`.
    rescoring
        Whether the selection of chromosomes is made again once they were classified.

    Raises
    ------
    WeightsError
        Where the weights are missing or damaged.
    """
    costs = AssignmentCosts.calibrated(read_manifest(CLASSIFIER_WEIGHTS).calibration)
    return Karyotyper(
        Classifier.load(),
        segmenter or load_detector_segmenter(),
        KaryotyperSettings(costs=costs, banding=banding),
        load_rescoring_model() if rescoring else None,
        _weights_in_use(segmentation=segmenter is None),
    )


_SEGMENTATION_SETS: Final = frozenset(
    {
        ParameterSetName.DETECTOR,
        ParameterSetName.PLAUSIBILITY,
        ParameterSetName.SELECTION,
        ParameterSetName.STREAM_MASKS,
    }
)
"""Parameter sets of the product's segmentation."""
_OTHER_SETS: Final = frozenset({ParameterSetName.FINDER, ParameterSetName.STREAM_BLOBS})
"""Parameter sets that have no part in a karyotype."""


def _weights_in_use(*, segmentation: bool) -> dict[str, str]:
    """sha256 of the parameter sets that propose, by their names."""
    unused = _OTHER_SETS if segmentation else _OTHER_SETS | _SEGMENTATION_SETS
    return {name.value: read_manifest(name).sha256 for name in ParameterSetName if name not in unused}

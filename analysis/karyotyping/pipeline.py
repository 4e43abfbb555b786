"""From an image to a karyotype: cut, straighten, classify, assign jointly, draw."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from analysis.assignment.joint_assignment import AssignmentCosts, assign, load_assignment_costs
from analysis.assignment.oversize import OVERSIZE, oversize_ratio
from analysis.banding.technique import estimate_banding
from analysis.classification.classifier import CLASSIFIER_WEIGHTS, Classifier
from analysis.classification.fusion import (
    FusionWeights,
    detected_classes,
    fuse_class_evidence,
    load_fusion_weights,
)
from analysis.errors import NoMetaphaseError
from analysis.homologues.band_reading import read_bands
from analysis.homologues.cut_quality import measure_cut_quality
from analysis.imaging.background import estimate_background
from analysis.karyotyping.cell_confidence import cell_signs, load_confidence
from analysis.karyotyping.iscn import LOSSES_BELIEVED, compose_iscn
from analysis.karyotyping.rescoring_pass import ScoredMetaphase, rescore_metaphase
from analysis.karyotyping.review import (
    SURE_BANDING_FROM,
    UNREADABLE_BELOW,
    CellQualityMeasures,
    judge_proposal,
    losses_told,
    measure_cell_quality,
)
from analysis.nets.embedding import DOMAINS
from analysis.parameters.weights import read_manifest
from analysis.segmentation.contours.segmenter import segment_by_contours
from analysis.segmentation.hypotheses import RevisableSegmentation
from analysis.segmentation.segmenter import load_detector_segmenter
from analysis.selection.features import ProposalFeatures
from analysis.selection.rescoring import RescoringModel, load_rescoring_model
from analysis.straightening.crops import crops_of_cell, cut_instances
from analysis.straightening.medial_axis import medial_axes
from analysis.structures.assignment import Assignment
from analysis.structures.banding import BandingEstimate
from analysis.structures.class_evidence import ClassEvidence, ClassScores
from analysis.structures.classes import UNCLASSIFIED
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.iscn import IscnResult
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome
from analysis.structures.segmentation import Segmentation


@runtime_checkable
class TellsBoxClasses(Protocol):
    """A segmenter that can tell classes of given boxes by itself, such as a `DetectorSegmenter`."""

    def classes_at(
        self, image: GreyImage, boxes_px: NDArray[np.float64], *, padded: bool = True
    ) -> NDArray[np.float32]:
        """Log probabilities of the classes, shape (n, 24), see `DetectorSegmenter.classes_at`."""
        ...


class Karyotyper:
    """Karyotypes images; holds the classifier and the segmentation it was made with.

    In bright field the classes that the segmenter's detector gave are weighed in with the classifier's; of other
    stains the detector knows nothing.

    Parameters
    ----------
    classifier
        Scores straightened chromosomes.
    segmenter
        Cuts an image into chromosomes.
    prices
        What deviations from a normal cell cost in the joint assignment, where the classifier alone has a say.
    fusion
        How the detector's classes are weighed in.
    banding
        What the chromosomes of all pictures are stained with: "G", "R", "Q" or "DAPI"; None where pictures differ
        or nobody knows.
    second_look
        How the choice of chromosomes is made again once they were classified; None leaves it as it is.
    """

    def __init__(
        self,
        classifier: Classifier,
        segmenter: Callable[[GreyImage], Segmentation] = segment_by_contours,
        prices: AssignmentCosts | None = None,
        fusion: FusionWeights | None = None,
        banding: str | None = None,
        second_look: RescoringModel | None = None,
    ) -> None:
        self._classifier = classifier
        self._segmenter = segmenter
        self._prices = prices or load_assignment_costs()
        self._fusion = fusion or load_fusion_weights()
        self._banding = banding
        self._second_look = second_look

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
        started = time.perf_counter()
        banding = banding or self._banding
        scored = self._scored(*self._seen(image, self._segmenter(image), banding))
        scored = self._cut_again(scored, banding)
        segmentation, seen = scored.cell.segmentation, scored.banding
        assignment = self._assigned_whole(scored)
        chromosomes = _chromosomes(segmentation.instances, scored, assignment)
        whole = _whole(segmentation, assignment, scored.evidence)
        verdict = judge_proposal(
            scored.look,
            assignment.classes,
            assignment.probability,
            unlike_any=assignment.unlike_any,
            banding=seen,
            protocol_banding=banding,
            whole=whole,
        )
        believed = LOSSES_BELIEVED if losses_told(whole) else 0
        iscn = compose_iscn((entry.class_name for entry in chromosomes), losses_believed=believed)
        if verdict.withheld:
            iscn = IscnResult(None, verdict.withheld)
        if not verdict.readable:
            chromosomes = tuple(replace(entry, class_name=UNCLASSIFIED) for entry in chromosomes)
        flipped = [entry.flipped for entry in chromosomes]
        named = [entry.class_name for entry in chromosomes]
        cuts = measure_cut_quality(scored.cell.crops, named, segmentation.instances, scored.scores)
        bands = read_bands(scored.cell.crops, flipped, named, seen, banding, cuts)
        return Karyotype(
            image,
            segmentation.background,
            chromosomes,
            iscn,
            assignment.hypothesis,
            assignment.margin,
            time.perf_counter() - started,
            verdict,
            segmentation.left_out,
            seen,
            bands,
        )

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
        cut = Segmentation(self._with_classes(image, instances), background, no_nuclei)
        scored = self._scored(*self._seen(image, cut, self._banding))
        evidence = scored.evidence
        assignment = assign(evidence.log_prob, None, self._prices_for(evidence, self._fusion.sharpness))
        return _chromosomes(instances, scored, assignment)

    def look_at_all(
        self, image: GreyImage, *, least_score: float
    ) -> tuple[ProposalFeatures, NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
        """Look at every proposal of a cell, as the second look looks at those that nearly were chosen.

        Parameters
        ----------
        image
            A picture whose segmentation leaves choices.
        least_score
            Proposals of lower scores are left unseen.

        Returns
        -------
        tuple
            Of n proposals: their traits; bool, shape (n,), those chosen at first; float64, shape (n, 24), class
            probabilities by both nets, NaN where nobody looked; float64, shape (n, 4), boxes with the slide round
            them that the detector learned, in image px.

        Raises
        ------
        NoMetaphaseError
            Where the segmentation finds no metaphase, or leaves no choice.
        """
        segmentation = self._segmenter(image)
        if not isinstance(segmentation, RevisableSegmentation):
            raise NoMetaphaseError(f"{image.source}: the segmentation leaves no choice")
        cell, shown = self._seen(image, segmentation, self._banding)
        found, chosen = segmentation.hypotheses.proposals, segmentation.selected
        others = np.flatnonzero(~chosen & (found.score >= least_score))
        classes = cell.classes(others, self._classifier, self._fusion, _domain(shown, self._banding))
        boxes = found.boxes_px.astype(np.float64) / segmentation.hypotheses.working.factor
        return segmentation.hypotheses.features, chosen, classes, boxes

    def _cut_again(self, scored: _ScoredCell, banding: str | None) -> _ScoredCell:
        """Choose the chromosomes again where classes can be read."""
        cell = scored.cell
        if self._second_look is None or cell.image.inverted or scored.look.certainty < UNREADABLE_BELOW:
            return scored
        domain = _domain(scored.banding, banding)
        again = rescore_metaphase(cell, self._second_look, self._classifier, self._fusion, domain)
        return scored if again is cell else self._scored(again, scored.banding)

    def _with_classes(self, image: GreyImage, instances: Sequence[Instance]) -> tuple[Instance, ...]:
        """Ask the segmenter for the classes of what it hasn't seen yet."""
        unseen = [row for row, entry in enumerate(instances) if entry.class_log_prob is None]
        if image.inverted or not unseen or not isinstance(self._segmenter, TellsBoxClasses):
            return tuple(instances)
        boxes = np.array([instances[row].box_px for row in unseen], dtype=np.float64)
        told = self._segmenter.classes_at(image, boxes, padded=False)
        seen = list(instances)
        for row, classes in zip(unseen, told, strict=True):
            seen[row] = replace(seen[row], class_log_prob=classes)
        return tuple(seen)

    def _seen(
        self, image: GreyImage, segmentation: Segmentation, banding: str | None
    ) -> tuple[ScoredMetaphase, BandingEstimate]:
        """Straighten a cell's chromosomes and look at each."""
        objects = cut_instances(image, segmentation.background, segmentation.instances)
        axes = medial_axes([piece.mask for piece in objects])
        crops = crops_of_cell(objects, axes)
        shown = estimate_banding(crops, fluorescent=image.inverted)
        seen = self._classifier.look_at(crops, banding=_domain(shown, banding))
        return ScoredMetaphase(image, segmentation, tuple(objects), tuple(axes), crops, seen), shown

    def _scored(self, cell: ScoredMetaphase, banding: BandingEstimate) -> _ScoredCell:
        """Classify a cell's chromosomes in view of each other."""
        fluorescent, instances = cell.image.inverted, cell.segmentation.instances
        scores = self._classifier.scores_of(cell.seen)
        look = measure_cell_quality(cell.crops, scores, fluorescent=fluorescent)
        if fluorescent:
            # What is no chromosome was learned on G-bands alone; under another stain it would refuse the sound.
            evidence = ClassEvidence(scores.log_prob.astype(np.float64), None, False)
        else:
            box_scores = np.array([entry.score for entry in instances])
            evidence = fuse_class_evidence(scores, detected_classes(instances), box_scores, self._fusion)
        return _ScoredCell(cell, scores, evidence, look, banding)

    def _assigned_whole(self, scored: _ScoredCell) -> Assignment:
        """Assign what the segmentation found, some of which may be no single chromosome."""
        evidence = scored.evidence
        prices = self._prices_for(evidence, self._fusion.sharpness_found)
        assignment = assign(evidence.log_prob, evidence.log_none, prices)
        areas = np.array([np.count_nonzero(piece.mask) for piece in scored.cell.objects], dtype=np.float64)
        oversized = oversize_ratio(areas, assignment.classes) > OVERSIZE
        if not oversized.any():
            return assignment
        # Chromosomes that could not be parted must not pass as one: their places stay open, and the formula then
        # says that the cell is incomplete instead of claiming losses.
        none = np.full(len(areas), -np.inf) if evidence.log_none is None else evidence.log_none
        return assign(evidence.log_prob, np.where(oversized, 0.0, none), prices)

    def _prices_for(self, evidence: ClassEvidence, sharpness: float) -> AssignmentCosts:
        """Prices that fit the evidence: the classifier's own, or those of fused evidence."""
        return replace(load_assignment_costs(), sharpness=sharpness) if evidence.fused else self._prices


@dataclass(frozen=True, slots=True)
class _ScoredCell:
    """A cell and what is known of each of its objects."""

    cell: ScoredMetaphase
    scores: ClassScores
    evidence: ClassEvidence
    look: CellQualityMeasures
    banding: BandingEstimate


def _domain(seen: BandingEstimate, banding: str | None) -> str | None:
    """Banding that the classifier is told: the protocol's, else what the cell surely shows."""
    if banding is not None:
        return banding
    sure = seen.kind is not None and seen.kind.value in DOMAINS and seen.confidence >= SURE_BANDING_FROM
    return seen.kind.value if sure and seen.kind is not None else None


def _whole(segmentation: Segmentation, assignment: Assignment, evidence: ClassEvidence) -> float:
    """Probability that all of a cell is right; NaN where it was never measured, without the detector's classes."""
    if not evidence.fused:
        return float("nan")
    scores = np.array([entry.score for entry in segmentation.instances])
    left_out = [entry.score for entry in segmentation.left_out]
    signs = cell_signs(assignment.classes, assignment.probability, scores, left_out)
    return load_confidence().of(signs)


def _chromosomes(
    instances: Sequence[Instance], scored: _ScoredCell, assignment: Assignment
) -> tuple[KaryotypedChromosome, ...]:
    flipped = scored.scores.flipped_as(assignment.classes)
    return tuple(
        KaryotypedChromosome(
            number,
            assignment.classes[number],
            float(assignment.probability[number]),
            instance,
            bool(flipped[number]),
            axis=scored.cell.axes[number],
            crop=scored.cell.crops[number],
        )
        for number, instance in enumerate(instances)
    )


def load_karyotyper(
    segmenter: Callable[[GreyImage], Segmentation] | None = None,
    *,
    banding: str | None = None,
    second_look: bool = True,
) -> Karyotyper:
    """Karyotyper with the product's weights, and its segmentation (detector and contours) unless another is given.

    Parameters
    ----------
    segmenter
        Cuts an image into chromosomes.
    banding
        What the chromosomes are stained with, see `Karyotyper`.
    second_look
        Whether the choice of chromosomes is made again once they were classified.

    Raises
    ------
    WeightsError
        Where the weights are missing or damaged.
    """
    prices = AssignmentCosts.calibrated(read_manifest(CLASSIFIER_WEIGHTS).calibration)
    chosen = segmenter or load_detector_segmenter()
    weights = load_rescoring_model() if second_look else None
    return Karyotyper(Classifier.load(), chosen, prices, banding=banding, second_look=weights)

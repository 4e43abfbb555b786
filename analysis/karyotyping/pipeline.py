"""From an image to a karyotype: cut, straighten, classify, assign jointly, draw."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import cv2
import numpy as np
from faster_coco_eval import mask as coco_mask
from numpy.typing import NDArray

from analysis.assignment.joint_assignment import Assignment, AssignmentCosts, assign
from analysis.assignment.relative_length import OVERSIZE, oversize_ratio
from analysis.banding.technique import BandingEstimate, estimate_banding
from analysis.classification.classifier import CLASSIFIER_WEIGHTS, Classifier, ClassScores
from analysis.classification.fusion import (
    FUSED_COSTS,
    ClassEvidence,
    FusionWeights,
    detected_classes,
    fuse_class_evidence,
)
from analysis.errors import AnalysisError, NoMetaphaseError
from analysis.homologues.band_reading import BandReading, read_bands
from analysis.homologues.cut_quality import CutDefect, measure_cut_quality
from analysis.imaging.background import estimate_background
from analysis.imaging.image_file import GreyImage
from analysis.karyogram.layout import KaryogramSheet
from analysis.karyogram.paint import paint
from analysis.karyogram.sheet import SheetOptions, karyogram_sheet
from analysis.karyotyping.cell_confidence import cell_signs, load_confidence
from analysis.karyotyping.iscn import LOSSES_BELIEVED, IscnResult, compose_iscn
from analysis.karyotyping.rescoring_pass import ScoredMetaphase, rescore_metaphase
from analysis.karyotyping.review import (
    SURE_BANDING_FROM,
    UNREADABLE_BELOW,
    CellQualityMeasures,
    ReviewVerdict,
    judge_proposal,
    losses_told,
    measure_cell_quality,
)
from analysis.nets.embedding import DOMAINS
from analysis.parameters.weights import read_manifest, write_whole
from analysis.segmentation.contours.segmenter import segment_by_contours
from analysis.segmentation.segmenter import load_detector_segmenter
from analysis.selection.features import ProposalFeatures
from analysis.selection.rescoring import RescoringModel, load_rescoring_model
from analysis.straightening.crops import ChromosomeCrop, crops_of_cell, cut_instances
from analysis.straightening.medial_axis import MedialAxis, medial_axes
from analysis.structures.classes import UNCLASSIFIED
from analysis.structures.instance import Instance, Segmentation, UnselectedProposal


@dataclass(frozen=True, slots=True)
class KaryotypedChromosome:
    """One chromosome with its class.

    Attributes
    ----------
    id
        Index in the segmentation's list, which ``instance.overlaps`` refers to.
    class_name
        "1".."22", "X", "Y" or "?"; by a person's word also "mar".
    probability
        In [0, 1]: that the class is right, given the whole cell.
    instance
        Box and mask.
    flipped
        True where the short arm is at the lower end of the chromosome as it lies in the image.
    proposed
        Class and ``flipped`` that the software proposed; None where they are these.
    confirmed
        Whether a person said that the class is right.
    axis, crop
        The chromosome straightened; None where that is still to be done, for drawing too.
    """

    id: int
    class_name: str
    probability: float
    instance: Instance
    flipped: bool
    proposed: tuple[str, bool] | None = None
    confirmed: bool = False
    axis: MedialAxis | None = field(default=None, repr=False, compare=False)
    crop: ChromosomeCrop | None = field(default=None, repr=False, compare=False)

    @property
    def touched(self) -> bool:
        """Whether the class is a person's word."""
        return self.confirmed or (self.proposed is not None and self.proposed[0] != self.class_name)


@dataclass(frozen=True, slots=True)
class Karyotype:
    """A cell's karyotype proposal.

    Attributes
    ----------
    image
        The picture it is of.
    background
        float32, shape (height_px, width_px), see `Segmentation`.
    chromosomes
        In the order of the segmentation.
    iscn
        ISCN string, or why there is none.
    hypothesis
        Sex complement that fits best.
    margin
        Nats between the best and the second-best assignment of the cell.
    seconds
        Time it took.
    verdict
        What it asks of a person. Where it isn't readable, no chromosome has a class and there is no ISCN string.
    left_out
        What the segmentation proposed besides, see `Segmentation`.
    banding
        What banding the cell shows by itself; None where nobody looked.
    bands
        Band level, and homologues that differ.
    proposed_objects
        How many objects the software proposed, of which a person may have deleted some; None where they are these.
    complete
        Whether a person said that no chromosome was missed.
    """

    image: GreyImage
    background: NDArray[np.float32]
    chromosomes: tuple[KaryotypedChromosome, ...]
    iscn: IscnResult
    hypothesis: str
    margin: float
    seconds: float
    verdict: ReviewVerdict
    left_out: tuple[UnselectedProposal, ...] = ()
    banding: BandingEstimate | None = None
    bands: BandReading = field(default_factory=BandReading)
    proposed_objects: int | None = None
    complete: bool = False

    @property
    def edited(self) -> bool:
        """Whether a person changed or confirmed anything of it."""
        deleted = self.proposed_objects is not None and self.proposed_objects != len(self.chromosomes)
        return (
            deleted
            or self.complete
            or any(entry.confirmed or entry.proposed is not None for entry in self.chromosomes)
        )

    @property
    def remark(self) -> str:
        """Reasons of the verdict, and how many pairs are to be compared, in one line."""
        return "; ".join(part for part in (self.verdict.words, self.bands.words) if part)

    def to_json(self) -> dict[str, Any]:
        """Karyotype as plain data, masks as COCO run lengths of the full image; ``iscn`` may be None."""
        doubts = self.bands.doubts or (None,) * len(self.chromosomes)
        return {
            "image": self.image.source,
            "width_px": self.image.width_px,
            "height_px": self.image.height_px,
            "iscn": self.iscn.text,
            "seconds": round(self.seconds, 3),
            "edited": self.edited,
            "complete": self.complete,
            "proposed_objects": len(self.chromosomes) if self.proposed_objects is None else self.proposed_objects,
            "chromosomes": [
                self._chromosome_json(entry, doubt) for entry, doubt in zip(self.chromosomes, doubts, strict=True)
            ],
            "verdict": self.verdict.to_json(),
            "banding": None if self.banding is None else self.banding.to_json(),
            **self.bands.to_json(),
        }

    def _chromosome_json(self, entry: KaryotypedChromosome, doubt: CutDefect | None) -> dict[str, Any]:
        proposed = entry.proposed or (entry.class_name, entry.flipped)
        return {
            "id": entry.id,
            "class": entry.class_name,
            "probability": round(entry.probability, 4),
            "box_px": [int(value) for value in entry.instance.box_px],
            "mask": encode_mask(entry.instance, self.image.height_px, self.image.width_px),
            "flipped": entry.flipped,
            "proposed": {"class": proposed[0], "flipped": proposed[1]},
            "confirmed": entry.confirmed,
            "overlaps": [int(other) for other in entry.instance.overlaps],
            "not_compared": None if doubt is None else doubt.value,
        }

    def draw(self, options: SheetOptions | None = None, sheet: KaryogramSheet | None = None) -> NDArray[np.uint8]:
        """Karyogram picture: uint8, shape (height, width, 3), BGR; of ``sheet`` where it is laid out already."""
        return paint(sheet or karyogram_sheet(self, options))


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
        self._prices = prices or AssignmentCosts()
        self._fusion = fusion or FusionWeights()
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
        choices = segmentation.choices
        if choices is None:
            raise NoMetaphaseError(f"{image.source}: the segmentation leaves no choice")
        cell, shown = self._seen(image, segmentation, self._banding)
        found = choices.cell.found
        chosen = np.zeros(len(found), np.bool_)
        chosen[list(choices.rows)] = True
        others = np.flatnonzero(~chosen & (found.score >= least_score))
        classes = cell.classes(others, self._classifier, self._fusion, _domain(shown, self._banding))
        boxes = found.boxes_px.astype(np.float64) / choices.cell.working.factor
        return choices.cell.traits, chosen, classes, boxes

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
        return replace(FUSED_COSTS, sharpness=sharpness) if evidence.fused else self._prices


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


def write_karyotype(
    karyotype: Karyotype,
    json_path: Path,
    png_path: Path,
    options: SheetOptions | None = None,
    sheet: KaryogramSheet | None = None,
) -> None:
    """Write the karyotype's data and picture (of ``sheet``, see `Karyotype.draw`), each whole or not at all.

    Raises
    ------
    AnalysisError
        Where a file can't be written.
    """
    done, picture = cv2.imencode(".png", karyotype.draw(options, sheet))
    if not done:
        raise AnalysisError("the karyogram can't be encoded", path=png_path)
    text = json.dumps(karyotype.to_json(), indent=1) + "\n"
    for path, content in ((png_path, picture.tobytes()), (json_path, text.encode())):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)
        except OSError as error:
            raise AnalysisError(f"can't be written ({error.strerror})", path=path) from error


def encode_mask(instance: Instance, height_px: int, width_px: int) -> dict[str, Any]:
    """COCO run lengths of an instance in the full image: ``{"size": [height, width], "counts": str}``."""
    full = np.zeros((height_px, width_px), dtype=np.uint8, order="F")
    xmin, ymin, xmax, ymax = instance.box_px
    full[ymin:ymax, xmin:xmax] = instance.mask
    encoded = coco_mask.encode(full)
    counts = encoded["counts"]
    return {
        "size": [int(height_px), int(width_px)],
        "counts": counts.decode("ascii") if isinstance(counts, bytes) else str(counts),
    }

"""A segmented metaphase on its way to classes: straightened, embedded, scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.banding.technique import estimate_banding
from analysis.classification.classifier import Classifier, CropEmbeddings
from analysis.classification.fusion import FusionWeights, detector_log_prob, fuse_class_evidence
from analysis.karyotyping.cell_quality import CellQualityMeasures, measure_cell_quality
from analysis.karyotyping.review_settings import ReviewSettings
from analysis.nets.embedding import DOMAINS
from analysis.segmentation.hypotheses import RevisableSegmentation
from analysis.selection.evidence import ClassifiedProposals, ProposalMask
from analysis.straightening.crops import CellScale, crops_of_cell, cut_instances, scale_of_cell
from analysis.straightening.medial_axis import medial_axes
from analysis.structures.banding import BandingEstimate
from analysis.structures.class_evidence import ClassEvidence, ClassScores
from analysis.structures.crop import ChromosomeCrop, ObjectPixels
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.medial_axis import MedialAxis
from analysis.structures.segmentation import Segmentation


@dataclass(frozen=True, slots=True)
class StraightenedChromosomes:
    """Chromosomes of one metaphase cut out of their image and straightened; all of the same length.

    Attributes
    ----------
    objects
        Pixels of each.
    axes
        Medial axis of each.
    crops
        Straightened picture of each.
    """

    objects: tuple[ObjectPixels, ...]
    axes: tuple[MedialAxis, ...]
    crops: tuple[ChromosomeCrop, ...]

    @property
    def areas_px(self) -> NDArray[np.float64]:
        """Areas of the masks: float64, shape (n,)."""
        return np.array([np.count_nonzero(each.mask) for each in self.objects], dtype=np.float64)

    @property
    def scale(self) -> CellScale:
        """Medians over these chromosomes, to which sizes are related; there has to be one."""
        return scale_of_cell(self.objects, self.axes)

    def followed_by(self, others: StraightenedChromosomes) -> StraightenedChromosomes:
        """These, and others after them."""
        return StraightenedChromosomes(
            self.objects + others.objects, self.axes + others.axes, self.crops + others.crops
        )

    def take(self, rows: Sequence[int]) -> StraightenedChromosomes:
        """Take some, in the order given."""
        return StraightenedChromosomes(
            tuple(self.objects[row] for row in rows),
            tuple(self.axes[row] for row in rows),
            tuple(self.crops[row] for row in rows),
        )


def straighten_instances(
    image: GreyImage,
    background: NDArray[np.float32],
    instances: Sequence[Instance],
    scale: CellScale | None = None,
) -> StraightenedChromosomes:
    """Cut instances out of their image and straighten them.

    Parameters
    ----------
    image
        The picture.
    background
        float32, shape (height_px, width_px), see `Segmentation`.
    instances
        Chromosomes of one metaphase.
    scale
        The metaphase's, where the instances aren't all of it.
    """
    objects = cut_instances(image, background, instances)
    axes = tuple(medial_axes([each.mask for each in objects]))
    return StraightenedChromosomes(objects, axes, crops_of_cell(objects, axes, scale))


@dataclass(frozen=True, slots=True)
class EmbeddedMetaphase:
    """A segmented metaphase, its chromosomes straightened and embedded one by one.

    Attributes
    ----------
    image
        The picture.
    segmentation
        Its chromosomes.
    straightened
        The chromosomes straightened, in the order of the segmentation.
    banding
        What banding it shows.
    embeddings
        The classifier's embeddings, in the same order.
    """

    image: GreyImage
    segmentation: Segmentation
    straightened: StraightenedChromosomes
    banding: BandingEstimate
    embeddings: CropEmbeddings

    def resegmented(
        self, segmentation: Segmentation, classifier: Classifier, domain: str | None
    ) -> EmbeddedMetaphase:
        """The same metaphase by another segmentation; what is alike in both isn't straightened and embedded again.

        Parameters
        ----------
        segmentation
            The other one.
        classifier
            Embeds what is new.
        domain
            Banding that the classifier is told, see `classifier_domain`.
        """
        rows = {_identity(each): row for row, each in enumerate(self.segmentation.instances)}
        kept = [rows.get(_identity(each), -1) for each in segmentation.instances]
        fresh = [each for each, row in zip(segmentation.instances, kept, strict=True) if row < 0]
        straightened, embeddings = self.embed_others(fresh, classifier, domain)
        next_fresh = iter(range(len(self.segmentation.instances), len(self.segmentation.instances) + len(fresh)))
        order = [row if row >= 0 else next(next_fresh) for row in kept]
        return EmbeddedMetaphase(
            self.image,
            segmentation,
            self.straightened.followed_by(straightened).take(order),
            self.banding,
            self.embeddings.joined(embeddings).take(order),
        )

    def embed_others(
        self, instances: Sequence[Instance], classifier: Classifier, domain: str | None
    ) -> tuple[StraightenedChromosomes, CropEmbeddings]:
        """Straighten and embed other instances of this metaphase, to its scale.

        Parameters
        ----------
        instances
            The others.
        classifier
            Embeds them.
        domain
            Banding that the classifier is told, see `classifier_domain`.
        """
        background, scale = self.segmentation.background, self.straightened.scale
        straightened = straighten_instances(self.image, background, instances, scale)
        return straightened, classifier.embed_crops(straightened.crops, banding=domain)


def embed_metaphase(
    image: GreyImage, segmentation: Segmentation, classifier: Classifier, protocol_banding: str | None
) -> EmbeddedMetaphase:
    """Straighten the chromosomes of a metaphase, estimate their banding, and embed each.

    Parameters
    ----------
    image
        The picture.
    segmentation
        Its chromosomes.
    classifier
        Embeds them.
    protocol_banding
        What the protocol says they are stained with; None where there is none.
    """
    straightened = straighten_instances(image, segmentation.background, segmentation.instances)
    banding = estimate_banding(straightened.crops, fluorescent=image.inverted)
    domain = classifier_domain(banding, protocol_banding)
    embeddings = classifier.embed_crops(straightened.crops, banding=domain)
    return EmbeddedMetaphase(image, segmentation, straightened, banding, embeddings)


def classifier_domain(
    banding: BandingEstimate, protocol_banding: str | None, settings: ReviewSettings | None = None
) -> str | None:
    """Banding that the classifier is told: the protocol's, else what the metaphase surely shows, else none.

    Parameters
    ----------
    banding
        What the metaphase shows.
    protocol_banding
        What the protocol says.
    settings
        From which confidence an estimate is sure.
    """
    if protocol_banding is not None:
        return protocol_banding
    sure = banding.confidence >= (settings or ReviewSettings()).sure_banding_from
    return banding.kind.value if sure and banding.kind is not None and banding.kind.value in DOMAINS else None


@dataclass(frozen=True, slots=True)
class ScoredMetaphase:
    """A metaphase and the class evidence of each of its chromosomes.

    Attributes
    ----------
    embedded
        Its chromosomes.
    scores
        The classifier's, each chromosome in view of the others.
    evidence
        The same with the detector's classes.
    quality
        What is measured of the whole.
    """

    embedded: EmbeddedMetaphase
    scores: ClassScores
    evidence: ClassEvidence
    quality: CellQualityMeasures

    @property
    def segmentation(self) -> Segmentation:
        """How it is segmented."""
        return self.embedded.segmentation

    @property
    def object_scores(self) -> NDArray[np.float64]:
        """What the segmentation thinks of each instance: float64, shape (n,), in [0, 1]."""
        return np.array([each.score for each in self.segmentation.instances], dtype=np.float64)


def score_metaphase(
    embedded: EmbeddedMetaphase, classifier: Classifier, fusion: FusionWeights, settings: ReviewSettings
) -> ScoredMetaphase:
    """Score the chromosomes of a metaphase in view of each other, and measure the whole.

    Parameters
    ----------
    embedded
        The metaphase.
    classifier
        Scores the embeddings.
    fusion
        How the detector's classes are weighted.
    settings
        Which objects count for the quality of the whole.
    """
    fluorescent, instances = embedded.image.inverted, embedded.segmentation.instances
    scores = classifier.score_embeddings(embedded.embeddings)
    crops = embedded.straightened.crops
    quality = measure_cell_quality(crops, scores, fluorescent=fluorescent, settings=settings)
    if fluorescent:
        # What is no chromosome was learned on G-bands alone; under another stain it would refuse the sound.
        evidence = ClassEvidence(scores.log_prob.astype(np.float64), None, False)
    else:
        object_scores = np.array([each.score for each in instances])
        evidence = fuse_class_evidence(scores, detector_log_prob(instances), object_scores, fusion)
    return ScoredMetaphase(embedded, scores, evidence, quality)


def classify_proposals(
    embedded: EmbeddedMetaphase,
    segmentation: RevisableSegmentation,
    rows: NDArray[np.intp],
    classifier: Classifier,
    fusion: FusionWeights,
    domain: str | None,
) -> ClassifiedProposals:
    """Classify a metaphase's selected proposals and others, by both nets.

    Parameters
    ----------
    embedded
        The metaphase by its selected proposals.
    segmentation
        Its segmentation.
    rows
        int, shape (k,): proposals that weren't selected, to be cut and classified besides.
    classifier, fusion
        See `score_metaphase`.
    domain
        Banding that the classifier is told, see `classifier_domain`.
    """
    hypotheses = segmentation.hypotheses
    made = hypotheses.alternatives(rows, np.asarray(segmentation.rows, np.intp))
    made_rows = [int(row) for row, each in zip(rows, made, strict=True) if each is not None]
    instances = [each for each in made if each is not None]
    _, embeddings = embedded.embed_others(instances, classifier, domain)
    every = embedded.embeddings.joined(embeddings)
    scores = classifier.score_embeddings(every)
    instances = [*segmentation.instances, *instances]
    return ClassifiedProposals(
        rows=np.asarray([*segmentation.rows, *made_rows], np.intp),
        fused=fuse_class_evidence(scores, detector_log_prob(instances), None, fusion).log_prob,
        classifier=scores.log_prob.astype(np.float64),
        log_none=scores.log_none.astype(np.float64),
        sizes=every.features.numpy().astype(np.float64),
        masks=tuple(ProposalMask(each.box_px, each.mask) for each in instances),
    )


def _identity(instance: Instance) -> tuple[tuple[int, int, int, int], bytes]:
    return instance.box_px, instance.mask.tobytes()

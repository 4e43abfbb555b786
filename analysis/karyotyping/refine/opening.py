"""A cell opened for edits, from its picture and its proposal."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from analysis.assignment.joint_assignment import load_assignment_costs
from analysis.classification.classifier import Classifier
from analysis.classification.fusion import FusionWeights, load_fusion_weights
from analysis.errors import NoMetaphaseError
from analysis.karyotyping.completion import complete_karyotype
from analysis.karyotyping.iscn import LOSSES_BELIEVED
from analysis.karyotyping.refine.chromosome_evidence import EvidenceCache
from analysis.karyotyping.refine.refinable_cell import CellContext, RefinableCell
from analysis.karyotyping.scored_metaphase import classifier_domain
from analysis.segmentation.prompted_cell import PromptedCell
from analysis.segmentation.segmenter import load_detector_segmenter
from analysis.straightening.crops import (
    cut_instances,
    fluorescence_density,
    optical_density,
    scale_of_cell,
)
from analysis.straightening.medial_axis import medial_axes
from analysis.structures.band_reading import BandReading
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import SegmentationRoute
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome


class PromptsCells(Protocol):
    """A segmenter that can be prompted in a picture, such as a `DetectorSegmenter`."""

    def prompted_cell(self, image: GreyImage) -> PromptedCell:
        """The metaphase of a picture, to prompt the mask net in."""
        ...


@dataclass(frozen=True, slots=True)
class RefineModels:
    """The nets that edits need; loaded once, shared by all cells.

    Attributes
    ----------
    classifier
        Embeds and scores chromosomes.
    segmenter
        Is prompted for masks, and gives the detector's classes.
    fusion
        How the detector's classes are weighted.
    """

    classifier: Classifier
    segmenter: PromptsCells
    fusion: FusionWeights = field(default_factory=load_fusion_weights)

    @classmethod
    def load(cls) -> RefineModels:
        """The product's nets.

        Raises
        ------
        WeightsError
            Where they are missing or damaged.
        """
        return cls(Classifier.load(), load_detector_segmenter())


def open_cell(karyotype: Karyotype, models: RefineModels) -> RefinableCell:
    """Open a cell for edits.

    Parameters
    ----------
    karyotype
        Its proposal, fresh or read from a file, edited or not.
    models
        The nets.

    Raises
    ------
    NoMetaphaseError
        There is nothing on the picture, or no chromosome in the proposal.
    """
    proposed = proposed_karyotype(karyotype)
    image = karyotype.image
    if not proposed.chromosomes:
        raise NoMetaphaseError(f"{image.source}: the proposal has no chromosome")
    instances = [each.instance for each in proposed.chromosomes]
    scale = scale_of_cell(
        cut_instances(image, karyotype.background, instances), medial_axes([each.mask for each in instances])
    )
    domain = None
    if karyotype.banding is not None:
        domain = classifier_domain(karyotype.banding, karyotype.protocol_banding)
    density_of = fluorescence_density if image.inverted else optical_density
    prompted = models.segmenter.prompted_cell(image)
    evidence = EvidenceCache(
        image=image,
        background=karyotype.background,
        classifier=models.classifier,
        domain=domain,
        scale=scale,
        # Of classes under fluorescence the detector knows nothing.
        prompted=replace(prompted, detections=None) if image.inverted else prompted,
    )
    if karyotype.cell_edits:
        proposed = _completed(proposed, evidence)
    context = CellContext(
        proposed=proposed,
        prompted=prompted,
        density=density_of(image.pixels, karyotype.background),
        evidence=evidence,
        classifier=models.classifier,
        fusion=models.fusion,
        costs=replace(load_assignment_costs(), sharpness=models.fusion.sharpness_detected),
    )
    evidence.of([each.instance for each in karyotype.chromosomes])
    return RefinableCell(karyotype, context)


def proposed_karyotype(karyotype: Karyotype) -> Karyotype:
    """A cell as it was before any edit of the cell; classes that a person set by hand in its file stay.

    Parameters
    ----------
    karyotype
        The cell, edited or not.
    """
    if not karyotype.cell_edits:
        return karyotype
    defects = dict(zip((each.id for each in karyotype.chromosomes), karyotype.bands.defects, strict=False))
    before = {each.id: each for each in karyotype.superseded if not _made_by_edit(each)}
    kept = {each.id: each for each in karyotype.chromosomes if not _made_by_edit(each)}
    chromosomes = {**kept, **before}
    verdict = karyotype.proposed_verdict or karyotype.verdict
    return replace(
        karyotype,
        chromosomes=tuple(chromosomes[number] for number in sorted(chromosomes)),
        # Of those that were changed since no defect is recorded any more.
        bands=BandReading(
            defects=tuple(None if number in before else defects.get(number) for number in sorted(chromosomes))
        ),
        unexplained=tuple(replace(each, dismissed=False) for each in karyotype.unexplained),
        cell_edits=(),
        superseded=(),
        verdict=verdict,
        proposed_verdict=None,
        losses_believed=0 if verdict.losses_uncertain else LOSSES_BELIEVED,
    )


def _made_by_edit(chromosome: KaryotypedChromosome) -> bool:
    return chromosome.instance.route is SegmentationRoute.EDIT


def _completed(proposed: Karyotype, evidence: EvidenceCache) -> Karyotype:
    """A proposal whose chromosomes came back from a file, with what follows from them."""
    straightened = evidence.of([each.instance for each in proposed.chromosomes])
    chromosomes = tuple(
        replace(each, axis=found.axis, crop=found.crop)
        for each, found in zip(proposed.chromosomes, straightened, strict=True)
    )
    whole = replace(proposed, chromosomes=chromosomes)
    return complete_karyotype(whole, recorded_defects=proposed.bands.defects)

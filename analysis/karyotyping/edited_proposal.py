"""A proposal that a person edited, reviewed anew and completed like a fresh one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from analysis.banding.technique import estimate_banding
from analysis.karyotyping.completion import complete_karyotype
from analysis.karyotyping.review import review_edited_proposal
from analysis.karyotyping.scored_metaphase import straighten_instances
from analysis.segmentation.mask_extent import short_masks
from analysis.structures.band_reading import CutDefect
from analysis.structures.karyotype import Karyotype, KaryotypedChromosome


def revise_karyotype(edited: Karyotype, recorded_defects: Sequence[CutDefect | None]) -> Karyotype:
    """Review an edited proposal anew and complete it.

    What the person named counts as sure; which homologues a chromosome has, and whether losses are believed,
    follows from the edited classes.

    Parameters
    ----------
    edited
        The chromosomes as edited, the verdict on what the software proposed as ``proposed_verdict``, and whether
        the set is complete; everything else that follows from them is replaced.
    recorded_defects
        Defects of the chromosomes that were recorded when the software segmented them.
    """
    instances = [each.instance for each in edited.chromosomes]
    straightened = straighten_instances(edited.image, edited.background, instances)
    chromosomes = tuple(
        replace(each, axis=axis, crop=crop)
        for each, axis, crop in zip(edited.chromosomes, straightened.axes, straightened.crops, strict=True)
    )
    return review_straightened(replace(edited, chromosomes=chromosomes), recorded_defects)


def review_straightened(edited: Karyotype, recorded_defects: Sequence[CutDefect | None]) -> Karyotype:
    """Review an edited proposal anew whose chromosomes are straightened, and complete it.

    Parameters
    ----------
    edited, recorded_defects
        See `revise_karyotype`; every chromosome has axis and crop.

    Raises
    ------
    ValueError
        One of them hasn't.
    """
    chromosomes = edited.chromosomes
    proposed_verdict = edited.proposed_verdict or edited.verdict
    verdict = proposed_verdict
    if edited.edited:
        verdict = review_edited_proposal(
            proposed_verdict,
            [each.class_name for each in chromosomes],
            np.array([each.probability for each in chromosomes], dtype=np.float64),
            np.array([each.set_by_person for each in chromosomes], dtype=np.bool_),
            complete=edited.complete,
            unexplained=edited.open_unexplained,
            short_masks=[chromosomes[row].id for row in short_masks([each.instance for each in chromosomes])],
        )
    crops = [each.crop for each in chromosomes if each.crop is not None]
    if len(crops) < len(chromosomes):
        raise ValueError("a chromosome isn't straightened")
    reviewed = replace(
        edited,
        verdict=verdict,
        proposed_verdict=proposed_verdict if edited.edited else None,
        losses_believed=0 if verdict.losses_uncertain else None,
        banding=estimate_banding(crops, fluorescent=edited.image.inverted),
    )
    remaining = [_still_holds(defect, each) for defect, each in zip(recorded_defects, chromosomes, strict=True)]
    return complete_karyotype(reviewed, recorded_defects=remaining)


def _still_holds(defect: CutDefect | None, chromosome: KaryotypedChromosome) -> CutDefect | None:
    """A recorded defect; that the polarity is uncertain holds no longer where a person looked."""
    looked_at = chromosome.confirmed or chromosome.proposed is not None
    return None if defect is CutDefect.TURNED and looked_at else defect

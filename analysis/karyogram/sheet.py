"""The karyogram sheet of one karyotype proposal: pictures, marks and texts, placed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.karyogram.captions import Captions
from analysis.karyogram.centromere import centromere_fractions
from analysis.karyogram.chromosome_pictures import grown_for_display, upright_pictures
from analysis.karyogram.layout import lay_out
from analysis.karyogram.sheet_geometry import KaryogramItem, KaryogramSheet, ReviewMark
from analysis.karyogram.sheet_settings import SHEET
from analysis.karyogram.straight_pictures import straight_pictures
from analysis.segmentation.mask_extent import short_masks
from analysis.straightening.crops import crops_of_cell, cut_instances
from analysis.straightening.medial_axis import medial_axes
from analysis.structures.classes import UNCLASSIFIED
from analysis.structures.crop import ChromosomeCrop
from analysis.structures.medial_axis import MedialAxis
from analysis.structures.review import DOUBTFUL_BELOW

if TYPE_CHECKING:
    from analysis.structures.instance import Instance
    from analysis.structures.karyotype import Karyotype, KaryotypedChromosome

FOOTER: Final = "Research use only - proposal by software, not reviewed"
FOOTER_EDITED: Final = "Research use only - proposal by software, edited by a person"
REVIEW_BELOW: Final = 0.5
"""A class that is more likely wrong than right must be reviewed."""
FINENESS: Final = 2.0
"""Px of a chromosome's picture a px of the sheet, so that a print is sharp."""
_ROUNDS_TO_ALL: Final = 99.5
"""Mean certainty in percent from which on it would be rounded to 100, which no classifier has."""


@dataclass(frozen=True, slots=True)
class SheetOptions:
    """What a technician may choose.

    Attributes
    ----------
    ideograms
        Bands (400, 550, 850) of the ideograms beside the pairs; None for none.
    notes
        Class to a short note under its pair; those of the proposal where None.
    derivatives
        Ids of chromosomes that stand right of their normal homologue; those the proposal suspects where None.
    accession
        Of the case, written at the head; none where empty.
    straighten
        Whether the chromosomes are straightened along their medial axes.
    """

    ideograms: int | None = None
    notes: Mapping[str, str] | None = None
    derivatives: frozenset[int] | None = None
    accession: str = ""
    straighten: bool = False


def karyogram_sheet(karyotype: Karyotype, options: SheetOptions | None = None) -> KaryogramSheet:
    """Place the chromosomes of a proposal, whether fresh or edited.

    Parameters
    ----------
    karyotype
        The proposal.
    options
        Ideograms, notes and accession; none of them where None.

    Raises
    ------
    ValueError
        There is no ideogram of so many bands.
    """
    chosen = options or SheetOptions()
    notes = karyotype.bands.notes() if chosen.notes is None else chosen.notes
    derivatives = _suspects(karyotype) if chosen.derivatives is None else chosen.derivatives
    items = _items(karyotype, derivatives, straighten=chosen.straighten)
    return lay_out(items, _captions(karyotype, items, chosen.accession), ideograms=chosen.ideograms, notes=notes)


def footer_of(karyotype: Karyotype) -> str:
    """What stands under every page: who had a hand in it."""
    return FOOTER_EDITED if karyotype.edited else FOOTER


def mark_of(chromosome: KaryotypedChromosome, *, short: bool = False) -> ReviewMark:
    """What a chromosome asks of a person; without a class it lies in the tray and needs no mark.

    Parameters
    ----------
    chromosome
        The chromosome.
    short
        Whether it is drawn shorter than it was detected.
    """
    if chromosome.set_by_person or chromosome.class_name == UNCLASSIFIED:
        return ReviewMark.NONE
    if chromosome.probability >= DOUBTFUL_BELOW:
        return ReviewMark.CHECK if short else ReviewMark.NONE
    return ReviewMark.REVIEW if chromosome.probability < REVIEW_BELOW else ReviewMark.CHECK


def _suspects(karyotype: Karyotype) -> frozenset[int]:
    """Ids of those of a pair that may be changed in structure."""
    changed = [pair.changed_row for pair in karyotype.bands.homologues if pair.structural]
    return frozenset(karyotype.chromosomes[row].id for row in changed if row < len(karyotype.chromosomes))


def _items(karyotype: Karyotype, derivatives: frozenset[int], *, straighten: bool) -> list[KaryogramItem]:
    entries = karyotype.chromosomes
    if not entries:
        return []
    instances = [entry.instance for entry in entries]
    short = short_masks(instances)
    axes, crops = _straightened(karyotype)
    centromeres = _centromeres(karyotype, crops)
    grown = grown_for_display(instances, (karyotype.image.height_px, karyotype.image.width_px), axes)
    lengths = sorted(axis.length_px for axis in axes)
    tall = lengths[max(0, round(SHEET.tall_percentile * (len(lengths) - 1)))]
    enlargement = float(
        np.clip(FINENESS * SHEET.longest_px / max(tall, 1.0), 1.0, FINENESS * SHEET.max_enlargement)
    )
    draw = straight_pictures if straighten else upright_pictures
    pictures = draw(
        cut_instances(karyotype.image, karyotype.background, grown),
        [entry.flipped for entry in entries],
        centromeres,
        axes=[_moved(axis, old, new) for axis, old, new in zip(axes, instances, grown, strict=True)],
        enlargement=enlargement,
    )
    return [
        KaryogramItem(
            shown.picture,
            entry.class_name,
            mark_of(entry, short=row in short),
            shown.centromere_px,
            entry.id in derivatives,
            shown.length_px,
            enlargement,
        )
        for row, (entry, shown) in enumerate(zip(entries, pictures, strict=True))
    ]


def _moved(axis: MedialAxis, old: Instance, new: Instance) -> MedialAxis:
    """An axis within another box."""
    shift = np.array([old.box_px[0] - new.box_px[0], old.box_px[1] - new.box_px[1]], dtype=np.float32)
    return MedialAxis(axis.points_px + shift, axis.length_px, axis.width_px)


def _straightened(karyotype: Karyotype) -> tuple[list[MedialAxis], list[ChromosomeCrop]]:
    """Axes and straight pictures of all chromosomes: those the proposal has, or all anew."""
    entries = karyotype.chromosomes
    axes = [entry.axis for entry in entries if entry.axis is not None]
    crops = [entry.crop for entry in entries if entry.crop is not None]
    if len(axes) == len(crops) == len(entries):
        return axes, crops
    instances = [entry.instance for entry in entries]
    axes = medial_axes([instance.mask for instance in instances])
    return axes, list(crops_of_cell(cut_instances(karyotype.image, karyotype.background, instances), axes))


def _centromeres(karyotype: Karyotype, crops: list[ChromosomeCrop]) -> list[float]:
    upright = [
        crop.image[::-1, ::-1] if entry.flipped else crop.image
        for crop, entry in zip(crops, karyotype.chromosomes, strict=True)
    ]
    classes = tuple(entry.class_name for entry in karyotype.chromosomes)
    return [float(fraction) for fraction in centromere_fractions(np.stack(upright), classes)]


def _captions(karyotype: Karyotype, items: list[KaryogramItem], accession: str) -> Captions:
    left_out = sum(item.class_name == UNCLASSIFIED for item in items)
    probabilities = [
        entry.probability
        for entry in karyotype.chromosomes
        if not entry.set_by_person and entry.class_name != UNCLASSIFIED
    ]
    figures = [f"{len(items) - left_out} chromosome{'s' * (len(items) - left_out != 1)}"]
    if probabilities:
        mean = 100 * float(np.mean(probabilities))
        figures.append(f"mean certainty {f'{mean:.0f}' if mean < _ROUNDS_TO_ALL else 'over 99'} %")
    if karyotype.bands.level is not None:
        figures.append(f"about {karyotype.bands.level.bands} bands")
    if left_out:
        figures.append(f"{left_out} without a class")
    verdict = karyotype.verdict
    readable = karyotype.iscn.text or "no ISCN"
    remark = karyotype.remark
    if karyotype.iscn.text is None and karyotype.iscn.reason not in remark:
        remark = "; ".join(part for part in (karyotype.iscn.reason, remark) if part)
    return Captions(
        title=readable,
        name=Path(karyotype.image.source).name,
        accession=accession,
        level=verdict.level.value,
        remark=remark,
        figures=", ".join(figures),
        footer=footer_of(karyotype),
    )

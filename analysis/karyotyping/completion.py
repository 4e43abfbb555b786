"""The last stages of every proposal, fresh or edited: its ISCN string and the reading of its bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from analysis.homologues.band_reading import read_bands
from analysis.homologues.cut_quality import measure_cut_quality
from analysis.karyotyping.iscn import compose_iscn
from analysis.structures.band_reading import BandReading, CutDefect
from analysis.structures.class_evidence import ClassScores
from analysis.structures.iscn import IscnResult
from analysis.structures.karyotype import Karyotype


def complete_karyotype(
    reviewed: Karyotype,
    *,
    class_scores: ClassScores | None = None,
    recorded_defects: Sequence[CutDefect | None] | None = None,
) -> Karyotype:
    """Complete a reviewed proposal by its ISCN string and the reading of its bands.

    Parameters
    ----------
    reviewed
        Chromosomes with axis, crop and class, the verdict, the banding and ``losses_believed``; what it says of
        ISCN and bands is replaced.
    class_scores
        The classifier's, where it has just scored the crops; without them no polarity is uncertain.
    recorded_defects
        Defects of the chromosomes that were recorded when more could be measured of them.

    Raises
    ------
    ValueError
        Where a chromosome isn't straightened.
    """
    iscn = report_iscn(reviewed)
    return replace(reviewed, iscn=iscn, bands=_read_bands(reviewed, class_scores, recorded_defects))


def report_iscn(reviewed: Karyotype) -> IscnResult:
    """ISCN string of a reviewed proposal, or the verdict's reason why none is reported."""
    if reviewed.verdict.no_karyotype_reason:
        return IscnResult(None, reviewed.verdict.no_karyotype_reason)
    classes = (each.class_name for each in reviewed.chromosomes)
    return compose_iscn(classes, losses_believed=reviewed.losses_believed)


def _read_bands(
    reviewed: Karyotype, class_scores: ClassScores | None, recorded_defects: Sequence[CutDefect | None] | None
) -> BandReading:
    crops = [each.crop for each in reviewed.chromosomes if each.crop is not None]
    if len(crops) < len(reviewed.chromosomes):
        raise ValueError("a chromosome isn't straightened")
    if reviewed.banding is None:
        return BandReading()
    classes = [each.class_name for each in reviewed.chromosomes]
    instances = [each.instance for each in reviewed.chromosomes]
    return read_bands(
        crops,
        [each.flipped for each in reviewed.chromosomes],
        classes,
        reviewed.banding,
        protocol=reviewed.protocol_banding,
        cut_quality=measure_cut_quality(crops, classes, instances, class_scores),
        recorded_defects=recorded_defects,
    )

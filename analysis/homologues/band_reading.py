"""What the bands of one cell show beyond its classes: their level, and homologues that differ."""

from __future__ import annotations

from collections.abc import Sequence, Set

from analysis.banding.band_level import estimate_level
from analysis.homologues.comparison import compare_homologues
from analysis.homologues.cut_quality import CutQuality, cut_defects
from analysis.structures.band_reading import BandReading, CutDefect, NotCompared
from analysis.structures.banding import BandingEstimate, BandingKind
from analysis.structures.classes import CLASS_NAMES, UNCLASSIFIED
from analysis.structures.crop import ChromosomeCrop


def read_bands(
    crops: Sequence[ChromosomeCrop],
    flipped: Sequence[bool],
    classes: Sequence[str],
    estimate: BandingEstimate,
    protocol: str | None = None,
    cut_quality: CutQuality | None = None,
    recorded_defects: Sequence[CutDefect | None] | None = None,
) -> BandReading:
    """Read the bands of one cell.

    Parameters
    ----------
    crops
        Its straightened chromosomes.
    flipped
        True where the short arm is down.
    classes
        Class names.
    estimate
        What banding it shows.
    protocol
        Banding by the protocol, which counts; the estimate only where it is None.
    cut_quality
        How the chromosomes were cut; those with a defect aren't compared. None where people cut them.
    recorded_defects
        Defects that were found when they were cut, where less can be measured of it now.
    """
    banding = protocol or (None if estimate.kind is None else estimate.kind.value)
    if banding is None or estimate.kind is BandingKind.NONE:
        return BandReading()
    level = estimate_level(crops, classes)
    # The reference is of G bands: by it every pair of another technique would differ.
    if banding != BandingKind.G.value:
        return BandReading(level)
    none = (None,) * len(crops)
    measured = none if cut_quality is None else cut_defects(cut_quality)
    defects = tuple(before or after for before, after in zip(recorded_defects or none, measured, strict=True))
    comparable = [name if defect is None else UNCLASSIFIED for name, defect in zip(classes, defects, strict=True)]
    covariates = None if cut_quality is None else cut_quality.covariates
    compared = compare_homologues(crops, flipped, comparable, covariates=covariates)
    left_out = _not_compared(classes, defects, {each.class_name for each in compared})
    return BandReading(level, compared, left_out, defects)


def _not_compared(
    classes: Sequence[str], defects: Sequence[CutDefect | None], compared: Set[str]
) -> tuple[NotCompared, ...]:
    """The classes of two chromosomes or more that are not among those compared."""
    made = []
    for name in CLASS_NAMES:
        rows = tuple(row for row, other in enumerate(classes) if other == name)
        if len(rows) > 1 and name not in compared:
            of_rows = [(row, defects[row]) for row in rows]
            made.append(
                NotCompared(name, rows, tuple((row, defect) for row, defect in of_rows if defect is not None))
            )
    return tuple(made)

"""What the bands of one cell say beyond its classes: their level, and homologues that differ."""

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
    seen: BandingEstimate,
    protocol: str | None = None,
    cuts: CutQuality | None = None,
    told: Sequence[CutDefect | None] | None = None,
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
    seen
        What banding it shows.
    protocol
        Banding by the protocol, which counts; what is seen only where it is None.
    cuts
        How the chromosomes were cut; those in doubt aren't compared. None where people cut them.
    told
        What was doubted when they were cut, where less is known of it now.
    """
    banding = protocol or (None if seen.kind is None else seen.kind.value)
    if banding is None or seen.kind is BandingKind.NONE:
        return BandReading()
    level = estimate_level(crops, classes)
    # Norms are of G bands: of another technique they would call every pair odd.
    if banding != BandingKind.G.value:
        return BandReading(level)
    none = (None,) * len(crops)
    seen_now = none if cuts is None else cut_defects(cuts)
    doubts = tuple(before or now for before, now in zip(told or none, seen_now, strict=True))
    fit = [name if doubt is None else UNCLASSIFIED for name, doubt in zip(classes, doubts, strict=True)]
    compared = compare_homologues(crops, flipped, fit, wear=None if cuts is None else cuts.wear)
    left_out = _not_compared(classes, doubts, {each.class_name for each in compared})
    return BandReading(level, compared, left_out, doubts)


def _not_compared(
    classes: Sequence[str], doubts: Sequence[CutDefect | None], compared: Set[str]
) -> tuple[NotCompared, ...]:
    """The classes of two chromosomes or more that are not among those compared."""
    made = []
    for name in CLASS_NAMES:
        rows = tuple(row for row, other in enumerate(classes) if other == name)
        if len(rows) > 1 and name not in compared:
            why = [(row, doubts[row]) for row in rows]
            made.append(NotCompared(name, rows, tuple((row, doubt) for row, doubt in why if doubt is not None)))
    return tuple(made)

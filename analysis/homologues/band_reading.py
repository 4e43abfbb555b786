"""What the bands of one cell say beyond its classes: their level, and homologues that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from analysis.banding.band_level import BandLevel, estimate_level
from analysis.banding.technique import BandingEstimate, BandingKind
from analysis.homologues.comparison import HomologueDifference, compare_homologues
from analysis.homologues.cut_quality import CutDefect, CutQuality, cut_defects
from analysis.straightening.crops import ChromosomeCrop
from analysis.structures.classes import CLASS_NAMES, UNCLASSIFIED


@dataclass(frozen=True, slots=True)
class NotCompared:
    """Homologues that weren't held against each other.

    Attributes
    ----------
    class_name
        "1".."22", "X" or "Y".
    rows
        All chromosomes of that class.
    doubts
        Why, of each that couldn't be compared.
    """

    class_name: str
    rows: tuple[int, ...]
    doubts: tuple[tuple[int, CutDefect], ...]

    @property
    def why(self) -> str:
        """The reasons, each once."""
        return "; ".join(dict.fromkeys(doubt.value for _, doubt in self.doubts))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "class": self.class_name,
            "chromosomes": list(self.rows),
            "compared": False,
            "flagged": False,
            "doubts": [{"chromosome": row, "why": doubt.value} for row, doubt in self.doubts],
            "words": f"not compared: {self.why}",
        }


@dataclass(frozen=True, slots=True)
class BandReading:
    """What the bands of a cell say.

    Attributes
    ----------
    level
        Bands a haploid set; None where it can't be told.
    homologues
        One entry a class with two chromosomes or more that can be compared; empty where bands aren't those the
        norms were learnt from.
    not_compared
        One entry a class whose chromosomes can't.
    doubts
        Why each chromosome can't be compared, None where it can; empty where nothing was looked at.
    """

    level: BandLevel | None = None
    homologues: tuple[HomologueDifference, ...] = field(default=())
    not_compared: tuple[NotCompared, ...] = field(default=())
    doubts: tuple[CutDefect | None, ...] = field(default=())

    @property
    def flagged(self) -> tuple[HomologueDifference, ...]:
        """Pairs to check, those that differ most first."""
        return tuple(sorted((each for each in self.homologues if each.flagged), key=lambda each: -each.score))

    def notes(self) -> Mapping[str, str]:
        """Class to a short note for the karyogram."""
        return {each.class_name: each.words for each in self.flagged}

    @property
    def words(self) -> str:
        """How many pairs to compare, for people; empty where there is none."""
        count = len(self.flagged)
        return f"{count} pair{'s' * (count > 1)} to compare" if count else ""

    @property
    def compared_words(self) -> str:
        """How many pairs were held against each other and why others weren't; empty where none could be."""
        count = len(self.homologues) + len(self.not_compared)
        if not count:
            return ""
        why = Counter(doubt.value for entry in self.not_compared for doubt in {each for _, each in entry.doubts})
        reasons = ", ".join(f"{words} {number}" for words, number in why.most_common())
        return f"{len(self.homologues)} of {count} pairs compared" + (f" ({reasons})" if reasons else "")

    def to_json(self) -> dict[str, Any]:
        """Plain data: ``band_level`` (may be None), ``homologues``, those that weren't compared among them."""
        every: list[HomologueDifference | NotCompared] = [*self.homologues, *self.not_compared]
        every.sort(key=lambda each: CLASS_NAMES.index(each.class_name))
        return {
            "band_level": None if self.level is None else self.level.to_json(),
            "homologues": [each.to_json() for each in every],
        }


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

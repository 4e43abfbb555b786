"""What the bands of one cell say beyond its classes: their level, and homologues that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.classification.crop import ChromosomeCrop
from analysis.karyogram.banding.kind import BandingJudgement, BandingKind
from analysis.karyogram.banding.level import BandLevel, estimate_level
from analysis.karyogram.homologues.comparison import HomologueDifference, compare_homologues


@dataclass(frozen=True, slots=True)
class BandReading:
    """What the bands of a cell say.

    Attributes
    ----------
    level
        Bands a haploid set; None where it can't be told.
    homologues
        One entry a class with two chromosomes or more; empty where bands aren't those the norms were learnt from.
    """

    level: BandLevel | None = None
    homologues: tuple[HomologueDifference, ...] = field(default=())

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

    def to_json(self) -> dict[str, Any]:
        """Plain data: ``band_level`` (may be None), ``homologues``."""
        return {
            "band_level": None if self.level is None else self.level.to_json(),
            "homologues": [each.to_json() for each in self.homologues],
        }


def read_bands(
    crops: Sequence[ChromosomeCrop],
    flipped: Sequence[bool],
    classes: Sequence[str],
    seen: BandingJudgement,
    protocol: str | None = None,
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
    """
    if seen.kind is None or seen.kind is BandingKind.NONE:
        return BandReading()
    level = estimate_level(crops, classes)
    # Norms are of G bands: of another technique they would call every pair odd.
    by_g = (protocol or seen.kind.value) == BandingKind.G.value
    return BandReading(level, compare_homologues(crops, flipped, classes) if by_g else ())

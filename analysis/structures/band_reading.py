"""What the bands of one metaphase show beyond its classes: their level, and homologues that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from analysis.structures.banding import BandLevel


class CutDefect(StrEnum):
    """Why a chromosome isn't compared, as a text for people."""

    GUESSED = "outline is a guess"
    HIDDEN = "part of it is hidden or cut off"
    UNEVEN = "outline is uneven"
    THICK = "too thick, folded or with a piece of another"
    STREAKED = "a gap or something dark in it"
    TURNED = "which end is up is in doubt"


class Rearrangement(StrEnum):
    """Kinds of structural change that are tried."""

    DELETION = "deletion"
    DUPLICATION = "duplication"
    INVERSION = "inversion"
    FOREIGN = "foreign end"
    TURNED = "upside down"
    POLYMORPHISM = "polymorphism"
    UNNAMED = "difference"


@dataclass(frozen=True, slots=True)
class HomologueDifference:
    """How two homologues of one cell differ.

    Attributes
    ----------
    class_name
        "1".."22", "X" or "Y".
    rows
        Both chromosomes; of a class with more, the two that differ most.
    changed_row
        That of both which is the less like its class.
    score
        Weighted sum of the features, standardised by normal pairs cut as well or badly.
    p_value
        Fraction of normal pairs that differ as much.
    flagged
        Whether it is a candidate for a structural change.
    kind
        What would explain it best.
    start, stop
        Where, as fractions of a normal chromosome's length from the tip of the short arm.
    where
        The same as bands, such as "5q13-q22".
    """

    class_name: str
    rows: tuple[int, int]
    changed_row: int
    score: float
    p_value: float
    flagged: bool
    kind: Rearrangement
    start: float
    stop: float
    where: str

    @property
    def text(self) -> str:
        """One line for people; empty where nothing is to be said. It never is a karyotype."""
        if self.kind is Rearrangement.TURNED and self.flagged:
            return f"check {self.class_name}: one may be upside down"
        return f"check {self.where}" if self.flagged else ""

    @property
    def structural(self) -> bool:
        """Flagged, and not for standing upside down."""
        return self.flagged and self.kind is not Rearrangement.TURNED


@dataclass(frozen=True, slots=True)
class NotCompared:
    """Homologues that weren't compared with each other.

    Attributes
    ----------
    class_name
        "1".."22", "X" or "Y".
    rows
        All chromosomes of that class.
    defects
        Rows of those that couldn't be compared, each with its defect.
    """

    class_name: str
    rows: tuple[int, ...]
    defects: tuple[tuple[int, CutDefect], ...]

    @property
    def reason(self) -> str:
        """The defects, each once."""
        return "; ".join(dict.fromkeys(defect.value for _, defect in self.defects))


@dataclass(frozen=True, slots=True)
class BandReading:
    """What the bands of a cell show.

    Attributes
    ----------
    level
        Bands a haploid set; None where it can't be estimated.
    homologues
        One entry a class with two chromosomes or more that can be compared; empty where bands aren't those the
        reference statistics were fitted to.
    not_compared
        One entry a class whose chromosomes can't.
    defects
        Why each chromosome can't be compared, None where it can; empty where none was assessed.
    """

    level: BandLevel | None = None
    homologues: tuple[HomologueDifference, ...] = field(default=())
    not_compared: tuple[NotCompared, ...] = field(default=())
    defects: tuple[CutDefect | None, ...] = field(default=())

    @property
    def flagged(self) -> tuple[HomologueDifference, ...]:
        """Pairs to check, those that differ most first."""
        return tuple(sorted((each for each in self.homologues if each.flagged), key=lambda each: -each.score))

    def notes(self) -> Mapping[str, str]:
        """Class to a short note for the karyogram."""
        return {each.class_name: each.text for each in self.flagged}

    @property
    def summary(self) -> str:
        """How many pairs to compare, for people; empty where there is none."""
        count = len(self.flagged)
        return f"{count} pair{'s' * (count > 1)} to compare" if count else ""

    @property
    def comparison_summary(self) -> str:
        """How many pairs were compared and why others weren't; empty where none could be."""
        count = len(self.homologues) + len(self.not_compared)
        if not count:
            return ""
        counts = Counter(
            defect.value for entry in self.not_compared for defect in {each for _, each in entry.defects}
        )
        reasons = ", ".join(f"{text} {number}" for text, number in counts.most_common())
        return f"{len(self.homologues)} of {count} pairs compared" + (f" ({reasons})" if reasons else "")

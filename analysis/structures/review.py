"""What a proposal asks of a person, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

AUTO_FROM: Final = 0.99
"""Probability from which on a chromosome needs no look of its own."""

DOUBTFUL_BELOW: Final = 0.9
"""Chromosomes whose probability is lower are marked in the karyogram and must be reviewed."""


class ReviewLevel(StrEnum):
    """What a proposal asks of a person."""

    AUTO = "auto"
    CHECK = "check"
    MUST_REVIEW = "must review"


class ReviewFinding(StrEnum):
    """Why."""

    NO_CHROMOSOMES = "no_chromosomes"
    TOO_FEW = "too_few_chromosomes"
    TOO_MANY = "more_than_one_cell"
    POLYPLOID = "polyploid_or_two_cells"
    NO_BANDS = "no_bands"
    WRONG_BANDING = "wrong_banding"
    BANDING_MISMATCH = "banding_mismatch"
    NOT_HUMAN = "not_human"
    UNCLEAR_BANDS = "unclear_bands"
    ABNORMAL = "abnormal"
    MARKER = "possible_marker"
    UNCLASSIFIED = "unclassified"
    UNSURE = "mostly_doubtful"
    DOUBTFUL = "doubtful_classes"
    CELL_UNCERTAIN = "cell_in_doubt"
    MISSING_CLASSES = "not_found"
    CUTS_UNMEASURED = "cuts_unmeasured"
    UNEXPLAINED = "unexplained_stain"
    MASK_SHORT = "mask_short_of_extent"
    EDITED = "edited_by_a_person"


UNREADABLE: Final = frozenset(
    {ReviewFinding.NO_CHROMOSOMES, ReviewFinding.NO_BANDS, ReviewFinding.WRONG_BANDING, ReviewFinding.NOT_HUMAN}
)
"""Classes of such a cell mean nothing and aren't told."""


def chromosome_level(probability: float) -> ReviewLevel:
    """What a chromosome's class asks of a person, by the probability that it is right."""
    if probability >= AUTO_FROM:
        return ReviewLevel.AUTO
    return ReviewLevel.CHECK if probability >= DOUBTFUL_BELOW else ReviewLevel.MUST_REVIEW


@dataclass(frozen=True, slots=True)
class ReviewReason:
    """One reason: its kind, whether it takes a review, and a sentence for people."""

    finding: ReviewFinding
    text: str
    review: bool


@dataclass(frozen=True, slots=True)
class ReviewVerdict:
    """What a proposal asks of a person. Reasons that take a review stand first; ``auto`` has none.

    Attributes
    ----------
    reasons
        Why.
    mostly_confirmed
        Whether a person named most chromosomes: classes then mean something even where software can't read them.
    """

    reasons: tuple[ReviewReason, ...] = ()
    mostly_confirmed: bool = False

    @property
    def level(self) -> ReviewLevel:
        """Auto, check or must review."""
        if any(reason.review for reason in self.reasons):
            return ReviewLevel.MUST_REVIEW
        return ReviewLevel.CHECK if self.reasons else ReviewLevel.AUTO

    @property
    def readable(self) -> bool:
        """False where classes can't be told from this picture at all."""
        return self.mostly_confirmed or not any(reason.finding in UNREADABLE for reason in self.reasons)

    @property
    def losses_uncertain(self) -> bool:
        """Whether what isn't there may have been missed."""
        return any(reason.finding is ReviewFinding.MISSING_CLASSES for reason in self.reasons)

    @property
    def no_karyotype_reason(self) -> str:
        """Why no karyotype is reported, although the classes may be shown; empty where one is."""
        findings = {ReviewFinding.UNSURE} if self.mostly_confirmed else UNREADABLE | {ReviewFinding.UNSURE}
        return "; ".join(reason.text for reason in self.reasons if reason.finding in findings)

    @property
    def text(self) -> str:
        """Level and reasons in one line."""
        return ": ".join([self.level.value, *([self.reasons_text] if self.reasons else [])])

    @property
    def reasons_text(self) -> str:
        """The reasons in one line."""
        return "; ".join(reason.text for reason in self.reasons)

"""What a person has to do with a proposal, and why; and pictures that no karyotype should be read from.

A classifier of 24 classes and an assignment to 46 places always have an answer. Whether it means anything shows
elsewhere: in bands that are there at all, in answers that are sure, in sizes that are those of human chromosomes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.karyotyping.cell_quality import CellQualityMeasures
from analysis.karyotyping.review_rules import (
    banding_reasons,
    class_reasons,
    confidence_reasons,
    count_reasons,
    reason,
    short_mask_reasons,
    unexplained_reasons,
)
from analysis.karyotyping.review_settings import ReviewSettings
from analysis.structures.banding import BandingEstimate
from analysis.structures.review import UNREADABLE, ReviewFinding, ReviewReason, ReviewVerdict
from analysis.structures.unexplained import UnexplainedObject

_OF_THE_PICTURE: Final = frozenset(
    {
        ReviewFinding.NO_BANDS,
        ReviewFinding.WRONG_BANDING,
        ReviewFinding.BANDING_MISMATCH,
        ReviewFinding.NOT_HUMAN,
        ReviewFinding.UNCLEAR_BANDS,
    }
)
"""What no edit of classes changes."""
_OF_THE_SEGMENTATION: Final = frozenset({ReviewFinding.CELL_UNCERTAIN, ReviewFinding.CUTS_UNMEASURED})
"""What no edit of a few classes changes."""


def review_proposal(
    quality: CellQualityMeasures,
    classes: Sequence[str],
    probability: NDArray[np.floating],
    *,
    possible_markers: Sequence[int] = (),
    banding: BandingEstimate | None = None,
    protocol_banding: str | None = None,
    cell_confidence: float | None = None,
    unexplained: Sequence[UnexplainedObject] = (),
    short_masks: Sequence[int] = (),
    settings: ReviewSettings | None = None,
) -> ReviewVerdict:
    """Review a cell's proposal.

    Parameters
    ----------
    quality
        What was measured of it.
    classes
        Class of every object, jointly assigned.
    probability
        Shape (n,), in [0, 1]: that the class is right, given the cell.
    possible_markers
        Objects left without a class though they are chromosomes (`Assignment.possible_markers`).
    banding
        What banding the cell shows by itself.
    protocol_banding
        What the protocol says: "G", "R", "Q" or "DAPI". It counts; that the cell shows another one is warned of.
        None where there is no protocol: then what the cell shows counts, where it is sure.
    cell_confidence
        Probability that every chromosome of the cell is segmented and named rightly and none missed; NaN where
        software segmented it and nobody measured how well, None where a person or another system did.
    unexplained
        What no chromosome explains.
    short_masks
        Ids of chromosomes whose mask doesn't reach the sides of their box.
    settings
        Thresholds.
    """
    settings = settings or ReviewSettings()
    reasons = [
        *count_reasons(classes, quality.objects),
        *banding_reasons(quality, banding, protocol_banding, settings),
    ]
    if not any(each.finding in UNREADABLE for each in reasons):
        losses = losses_reportable(cell_confidence, settings)
        reasons += class_reasons(classes, probability, len(possible_markers), settings, losses=losses)
        reasons += confidence_reasons(cell_confidence, settings)
        reasons += unexplained_reasons(unexplained, settings)
        reasons += short_mask_reasons(short_masks, settings)
    return ReviewVerdict(_reviews_first(reasons))


def review_edited_proposal(
    proposed: ReviewVerdict,
    classes: Sequence[str],
    probability: NDArray[np.floating],
    set_by_person: NDArray[np.bool_],
    *,
    complete: bool = False,
    unexplained: Sequence[UnexplainedObject] = (),
    short_masks: Sequence[int] = (),
    settings: ReviewSettings | None = None,
) -> ReviewVerdict:
    """Review a proposal anew that a person edited.

    What the person named counts as sure. For the rest the rules are those of `review_proposal`: where it is more
    than a third of the cell, no karyotype is reported where none was before.

    Parameters
    ----------
    proposed
        The verdict on what the software proposed.
    classes
        Class of every object, as edited.
    probability
        Shape (n,), in [0, 1]: that the class proposed was right.
    set_by_person
        bool, shape (n,): objects that a person named or confirmed.
    complete
        Whether a person said that no chromosome was missed: what isn't there is lost then, as it is where most
        chromosomes were named.
    unexplained
        What no chromosome explains, and nobody dismissed.
    short_masks
        Ids of chromosomes whose mask doesn't reach the sides of their box.
    settings
        Thresholds.
    """
    settings = settings or ReviewSettings()
    count, confirmed = len(classes), int(np.count_nonzero(set_by_person))
    mostly_confirmed = count > 0 and count - confirmed <= settings.uncertain_fraction * count
    reasons = count_reasons(classes, count)
    reasons += [each for each in proposed.reasons if each.finding in _OF_THE_PICTURE]
    if mostly_confirmed or not any(each.finding in UNREADABLE for each in reasons):
        losses = mostly_confirmed or complete or not proposed.losses_uncertain
        sure = np.where(set_by_person, 1.0, probability)
        reasons += class_reasons(classes, sure, 0, settings, losses=losses)
    if not complete:
        reasons += unexplained_reasons(unexplained, settings)
        reasons += short_mask_reasons(short_masks, settings)
    if not (mostly_confirmed or complete):
        # A few edits don't make a doubtful segmentation sound.
        reasons += [each for each in proposed.reasons if each.finding in _OF_THE_SEGMENTATION]
    text = f"edited by a person: {confirmed} of {count} objects named or confirmed"
    reasons.append(reason(ReviewFinding.EDITED, text))
    return ReviewVerdict(_reviews_first(reasons), mostly_confirmed)


def losses_reportable(cell_confidence: float | None, settings: ReviewSettings | None = None) -> bool:
    """Whether a chromosome that isn't there may be called lost rather than missed.

    Parameters
    ----------
    cell_confidence
        See `review_proposal`.
    settings
        Thresholds.
    """
    return cell_confidence is None or cell_confidence >= (settings or ReviewSettings()).losses_from


def _reviews_first(reasons: Sequence[ReviewReason]) -> tuple[ReviewReason, ...]:
    return tuple(sorted(reasons, key=lambda each: not each.review))

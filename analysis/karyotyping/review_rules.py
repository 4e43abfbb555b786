"""Rules of the review, one function a question; each gives the reasons that hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.banding.band_contrast import NO_BANDS_BELOW, NO_BANDS_BELOW_FLUORESCENT
from analysis.karyotyping.cell_quality import CellQualityMeasures
from analysis.karyotyping.iscn import MAX_COUNT, MAX_NEAR_DIPLOID, MAX_NEAR_TRIPLOID, MIN_COUNT
from analysis.karyotyping.review_settings import ReviewSettings
from analysis.structures.banding import BandingEstimate, BandingKind
from analysis.structures.classes import MARKER, UNCLASSIFIED
from analysis.structures.review import (
    DOUBTFUL_BELOW,
    UNREADABLE,
    ReviewFinding,
    ReviewLevel,
    ReviewReason,
    chromosome_level,
)
from analysis.structures.unexplained import UnexplainedObject

READ_BANDINGS: Final = frozenset({BandingKind.G, BandingKind.Q, BandingKind.DAPI})
"""Bandings that are read at all: G-bands, which the classifier learned, and their near negatives under emitted
light."""
_UNREAD: Final = "can't be read yet, so that no chromosome is named"

REQUIRE_REVIEW: Final = UNREADABLE | {
    ReviewFinding.TOO_FEW,
    ReviewFinding.TOO_MANY,
    ReviewFinding.POLYPLOID,
    ReviewFinding.BANDING_MISMATCH,
    ReviewFinding.UNCLEAR_BANDS,
    ReviewFinding.UNSURE,
    ReviewFinding.ABNORMAL,
    ReviewFinding.MISSING_CLASSES,
    ReviewFinding.MARKER,
}
"""Findings that always take a review; of the others the number decides."""


def reason(finding: ReviewFinding, text: str, *, review: bool | None = None) -> ReviewReason:
    """Make a reason.

    Parameters
    ----------
    finding
        Its kind.
    text
        The sentence for people.
    review
        Whether it takes a review; left out, its kind decides (`REQUIRE_REVIEW`).
    """
    return ReviewReason(finding, text, finding in REQUIRE_REVIEW if review is None else review)


def count_reasons(classes: Sequence[str], objects: int) -> list[ReviewReason]:
    """Ask whether there are as many chromosomes as one whole cell has.

    Parameters
    ----------
    classes
        Class of every object.
    objects
        Objects that were segmented.
    """
    count = sum(name != UNCLASSIFIED for name in classes)
    if objects == 0:
        return [reason(ReviewFinding.NO_CHROMOSOMES, "no chromosome was found")]
    if objects < MIN_COUNT:
        return [
            reason(
                ReviewFinding.TOO_FEW, f"{_counted(objects, 'chromosome')}, no whole cell ({MIN_COUNT} at least)"
            )
        ]
    if count > MAX_COUNT:
        return [reason(ReviewFinding.TOO_MANY, f"{count} chromosomes are more than one cell")]
    if count > MAX_NEAR_DIPLOID:
        sets = "three" if count <= MAX_NEAR_TRIPLOID else "four"
        return [reason(ReviewFinding.POLYPLOID, f"{count} chromosomes: about {sets} sets, or two cells in one")]
    return []


def banding_reasons(
    quality: CellQualityMeasures,
    banding: BandingEstimate | None,
    protocol_banding: str | None,
    settings: ReviewSettings,
) -> list[ReviewReason]:
    """Ask whether the bands are there, are of a kind that is read, and are those of a human cell.

    Parameters
    ----------
    quality
        What was measured of the cell.
    banding
        Banding that the cell shows by itself; None where nobody estimated it.
    protocol_banding
        What the protocol says; None where there is no protocol.
    settings
        Thresholds.
    """
    unread = _unread_banding(banding, protocol_banding, settings)
    if protocol_banding is not None and unread is not None:
        return [reason(ReviewFinding.WRONG_BANDING, unread)]
    if quality.objects < settings.min_objects:
        return []
    floor = NO_BANDS_BELOW_FLUORESCENT if quality.fluorescent else NO_BANDS_BELOW
    if quality.band_contrast < floor:
        return [reason(ReviewFinding.NO_BANDS, "the chromosomes show no bands, so that none can be named")]
    unclear = quality.certainty < settings.unclear_below
    if quality.size_ratio < (settings.human_size_ratio if unclear else settings.least_size_ratio):
        return [reason(ReviewFinding.NOT_HUMAN, "sizes and bands aren't those of human chromosomes")]
    if unread is not None:
        return [reason(ReviewFinding.WRONG_BANDING, unread)]
    if quality.certainty < settings.unreadable_below:
        return [reason(ReviewFinding.WRONG_BANDING, "the bands aren't of a kind that is known here")]
    reasons = []
    mismatch = (
        banding.mismatch_warning(protocol_banding)
        if banding is not None and protocol_banding is not None
        else None
    )
    if mismatch is not None:
        reasons.append(reason(ReviewFinding.BANDING_MISMATCH, mismatch))
    if unclear:
        text = f"the bands are hard to read: {100 * quality.certainty:.0f} % certainty a chromosome"
        reasons.append(reason(ReviewFinding.UNCLEAR_BANDS, text))
    return reasons


def _unread_banding(
    banding: BandingEstimate | None, protocol_banding: str | None, settings: ReviewSettings
) -> str | None:
    """Say that a technique's bands can't be read, by the protocol, or else by what the cell surely shows."""
    if protocol_banding is not None:
        return None if protocol_banding in READ_BANDINGS else f"{protocol_banding} bands {_UNREAD}"
    if banding is None or banding.kind is None or banding.confidence < settings.sure_banding_from:
        return None
    readable = banding.kind in READ_BANDINGS or banding.kind is BandingKind.NONE
    return None if readable else f"the bands resemble {banding.kind.value} bands, which {_UNREAD}"


def class_reasons(
    classes: Sequence[str],
    probability: NDArray[np.floating],
    possible_markers: int,
    settings: ReviewSettings,
    *,
    losses: bool = True,
) -> list[ReviewReason]:
    """Ask whether the classes are those of a normal cell, and sure.

    Parameters
    ----------
    classes
        Class of every object.
    probability
        Shape (n,), in [0, 1]: that the class is right.
    possible_markers
        Objects left without a class though they are chromosomes.
    settings
        Thresholds.
    losses
        Whether a chromosome that isn't there may be called lost.
    """
    reasons = []
    counts = Counter(classes)
    unclassified = counts.pop(UNCLASSIFIED, 0)
    changes = _deviations(counts)
    open_places: list[str] = []
    if unclassified or not losses:
        # What seems to be lost may be among the objects that have no class, or among those nobody found.
        open_places = [change[1:] for change in changes if change.startswith("-")]
        changes = [change for change in changes if not change.startswith("-")]
        if counts["X"] + counts["Y"] < 2:
            open_places.append("X or Y")
            changes = [change for change in changes if change.startswith("+")]
    if changes and MIN_COUNT <= sum(counts.values()) <= MAX_NEAR_DIPLOID:
        reasons.append(reason(ReviewFinding.ABNORMAL, f"not a normal set: {_listed(changes, settings)}"))
    nothing = f"nothing found for {_listed(open_places, settings)}"
    if unclassified:
        text = f"{_counted(unclassified, 'object')} without a class" + (f", {nothing}" if open_places else "")
        review = unclassified > settings.few_unclassified
        reasons.append(reason(ReviewFinding.UNCLASSIFIED, text, review=review))
    elif open_places:
        reasons.append(reason(ReviewFinding.MISSING_CLASSES, f"{nothing}: lost, or missed by the software"))
    if possible_markers:
        text = f"{_counted(possible_markers, 'object')} like a chromosome of no class: a marker, or two in one"
        reasons.append(reason(ReviewFinding.MARKER, text))
    return reasons + _certainty_reasons(classes, probability, unclassified, settings)


def _certainty_reasons(
    classes: Sequence[str], probability: NDArray[np.floating], unclassified: int, settings: ReviewSettings
) -> list[ReviewReason]:
    reasons = []
    named = [float(chance) for name, chance in zip(classes, probability, strict=True) if name != UNCLASSIFIED]
    doubtful = sum(chromosome_level(chance) is ReviewLevel.MUST_REVIEW for chance in named)
    uncertain = doubtful + unclassified
    if len(classes) >= settings.min_objects and uncertain > settings.uncertain_fraction * len(classes):
        text = f"{uncertain} of {len(classes)} objects are uncertain or without a class: no karyotype is given"
        reasons.append(reason(ReviewFinding.UNSURE, text))
    if doubtful:
        text = f"{_counted(doubtful, 'chromosome')} below {100 * DOUBTFUL_BELOW:.0f} % certainty"
        reasons.append(reason(ReviewFinding.DOUBTFUL, text, review=doubtful > settings.few_uncertain))
    return reasons


def confidence_reasons(cell_confidence: float | None, settings: ReviewSettings) -> list[ReviewReason]:
    """Ask whether all of the cell is likely right.

    Parameters
    ----------
    cell_confidence
        Probability that all of it is right; NaN where software segmented it and nobody measured how well, None
        where a person or another system did.
    settings
        Thresholds.
    """
    if cell_confidence is None or cell_confidence >= settings.auto_cell_from:
        return []
    if np.isnan(cell_confidence):
        text = "how often software cuts cells of this kind rightly isn't known"
        return [reason(ReviewFinding.CUTS_UNMEASURED, text)]
    text = f"all chromosomes are cut and named rightly with {100 * cell_confidence:.0f} % probability"
    review = cell_confidence < settings.likely_wrong_below
    return [reason(ReviewFinding.CELL_UNCERTAIN, text, review=review)]


def unexplained_reasons(unexplained: Sequence[UnexplainedObject], settings: ReviewSettings) -> list[ReviewReason]:
    """Ask whether all stain of the cell is explained.

    Parameters
    ----------
    unexplained
        What no chromosome explains.
    settings
        Thresholds.
    """
    if not unexplained:
        return []
    likely = max(each.probability for each in unexplained)
    text = (
        f"{_counted(len(unexplained), 'piece')} of stain in no chromosome, "
        f"a missed one with up to {100 * likely:.0f} % probability"
    )
    return [reason(ReviewFinding.UNEXPLAINED, text, review=likely >= settings.likely_missed_from)]


def short_mask_reasons(short_masks: Sequence[int], settings: ReviewSettings) -> list[ReviewReason]:
    """Ask whether the chromosomes are drawn as far as they reach.

    Parameters
    ----------
    short_masks
        Ids of chromosomes whose mask doesn't reach the sides of their box.
    settings
        Thresholds.
    """
    if not short_masks:
        return []
    numbers = _listed([str(number) for number in short_masks], settings)
    text = f"{_counted(len(short_masks), 'chromosome')} drawn shorter than detected (number {numbers})"
    return [reason(ReviewFinding.MASK_SHORT, text, review=len(short_masks) > settings.few_short_masks)]


def _deviations(counts: Mapping[str, int]) -> list[str]:
    """Autosomes that aren't two, markers, and a sex complement that is neither XX nor XY."""
    changes = []
    for name in (str(number) for number in range(1, 23)):
        surplus = counts[name] - 2
        changes += [("+" if surplus > 0 else "-") + name] * abs(surplus)
    changes += [f"+{MARKER}"] * counts[MARKER]
    sex = "X" * counts["X"] + "Y" * counts["Y"]
    return changes if sex in ("XX", "XY") else [*changes, f"sex chromosomes {sex or 'none'}"]


def _listed(names: Sequence[str], settings: ReviewSettings) -> str:
    return ", ".join(names[: settings.listed]) + (" ..." if len(names) > settings.listed else "")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"

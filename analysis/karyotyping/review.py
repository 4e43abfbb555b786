"""What a person has to do with a proposal, and why; and pictures that no karyotype should be read from.

A classifier of 24 classes and an assignment to 46 places always have an answer. Whether it means anything shows
elsewhere: in bands that are there at all, in answers that are sure, in sizes that are those of human chromosomes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from analysis.banding.band_contrast import NO_BANDS_BELOW, NO_BANDS_BELOW_FLUORESCENT, band_contrast
from analysis.karyotyping.iscn import MAX_COUNT, MIN_COUNT
from analysis.structures.class_evidence import ClassScores
from analysis.structures.classes import MARKER, UNCLASSIFIED
from analysis.structures.crop import ChromosomeCrop
from analysis.structures.review import (
    DOUBTFUL_BELOW,
    UNREADABLE,
    ReviewFinding,
    ReviewLevel,
    ReviewReason,
    ReviewVerdict,
    chromosome_level,
)

if TYPE_CHECKING:
    from analysis.structures.banding import BandingEstimate

READ_BANDINGS: Final = frozenset({"G", "Q", "DAPI"})
"""What is read at all: G-bands, which the classifier learned, and their near negatives under emitted light."""
_UNREAD: Final = "can't be read yet, so that no chromosome is named"
SURE_BANDING_FROM: Final = 0.9
AUTO_CELL_FROM: Final = 0.9
"""Probability that all of a cell is right from which on the cell needs no look."""
MORE_LIKELY_WRONG: Final = 0.5
"""The same below which a cell must be reviewed."""
LOSSES_FROM: Final = 0.5
"""The same from which a chromosome that isn't there counts as lost rather than as missed: what is told is more
likely than not. Of 43 losses in val cells cut by software two were true; of the four above .3, one."""
UNSURE_SHARE: Final = 1 / 3
"""With a larger share of objects that are doubtful or without a class, no karyotype is told."""
FEW_DOUBTFUL: Final = 4
FEW_UNCLASSIFIED: Final = 2
MIN_OBJECTS: Final = 8
"""Of fewer chromosomes nothing is said about the bands and sizes of a cell."""

# Mean certainty of cells of gband612 (val) 0.95 .. 0.99, badly cut ones of tseng from 0.71, Q-bands 0.61 .. 0.85;
# drawn R-bands 0.47 .. 0.57 (a real R cell 0.44), drawn mouse cells 0.41 .. 0.48.
UNREADABLE_BELOW: Final = 0.58
UNCLEAR_BELOW: Final = 0.8
HUMAN_SIZE_RATIO: Final = 2.6
LEAST_SIZE_RATIO: Final = 2.2
"""Long over short chromosomes of a cell: human cells 3.4 and more, drawn mouse cells 1.6 to 2.1. Below the first
number it takes hardly readable bands besides; below the second, sizes alone speak against a human cell."""
NO_CHROMOSOME_FROM: Final = 0.5


_SEEN_IN_THE_PICTURE: Final = frozenset(
    {
        ReviewFinding.NO_BANDS,
        ReviewFinding.WRONG_BANDING,
        ReviewFinding.BANDING_MISMATCH,
        ReviewFinding.NOT_HUMAN,
        ReviewFinding.UNCLEAR_BANDS,
    }
)
"""What no edit of classes changes."""
_OF_THE_CUT: Final = frozenset({ReviewFinding.CELL_IN_DOUBT, ReviewFinding.CUTS_UNMEASURED})
"""What no edit of a few classes changes."""
_MUST: Final = UNREADABLE | {
    ReviewFinding.TOO_FEW,
    ReviewFinding.TOO_MANY,
    ReviewFinding.POLYPLOID,
    ReviewFinding.BANDING_MISMATCH,
    ReviewFinding.UNCLEAR_BANDS,
    ReviewFinding.UNSURE,
    ReviewFinding.ABNORMAL,
    ReviewFinding.NOT_FOUND,
    ReviewFinding.MARKER,
}


@dataclass(frozen=True, slots=True)
class CellQualityMeasures:
    """What is measured of a cell before its classes are believed.

    Attributes
    ----------
    objects
        Chromosomes that were cut.
    band_contrast
        Median over the chromosomes: spread of the banding profile about its own trend, over its mean.
    certainty
        Mean probability of the likeliest class, each object by itself; objects that are most likely no chromosome
        are left out unless most are of that kind.
    size_ratio
        Length of long chromosomes over that of short ones (96th over 4th percentile).
    fluorescent
        Whether the picture shows emitted light.
    """

    objects: int
    band_contrast: float
    certainty: float
    size_ratio: float
    fluorescent: bool = False


def measure_cell_quality(
    crops: Sequence[ChromosomeCrop], scores: ClassScores, *, fluorescent: bool = False
) -> CellQualityMeasures:
    """Measure a cell.

    Parameters
    ----------
    crops
        Its straightened chromosomes.
    scores
        What the classifier thinks of each.
    fluorescent
        Whether the picture shows emitted light; what is no chromosome isn't known then.
    """
    if not crops:
        return CellQualityMeasures(0, 0.0, 0.0, 1.0, fluorescent)
    images = np.stack([crop.image for crop in crops])
    sure = np.exp(scores.log_prob.max(axis=1))
    sound = np.exp(scores.log_none) < NO_CHROMOSOME_FROM
    if fluorescent or 2 * np.count_nonzero(sound) < len(sound):
        sound = np.ones(len(sound), dtype=np.bool_)
    low, high = np.percentile([crop.relative_length for crop in crops], (4, 96))
    contrast = float(np.median(band_contrast(images)))
    return CellQualityMeasures(
        len(crops), contrast, float(sure[sound].mean()), float(high / max(low, 1e-3)), fluorescent
    )


def judge_proposal(
    look: CellQualityMeasures,
    classes: Sequence[str],
    probability: NDArray[np.floating],
    *,
    unlike_any: Sequence[int] = (),
    banding: BandingEstimate | None = None,
    protocol_banding: str | None = None,
    whole: float | None = None,
) -> ReviewVerdict:
    """Judge a cell's proposal.

    Parameters
    ----------
    look
        What was measured of it.
    classes
        Class of every object, jointly assigned.
    probability
        Shape (n,): that the class is right, given the cell.
    unlike_any
        Objects left without a class though they are chromosomes (`Assignment.unlike_any`).
    banding
        What banding the cell shows by itself.
    protocol_banding
        What the protocol says: "G", "R", "Q" or "DAPI". It counts; that the cell looks otherwise is warned of.
        None where there is no protocol: then the cell's own look counts, where it is sure.
    whole
        Probability that every chromosome of the cell is cut and named rightly and none missed; NaN where software
        cut it and nobody measured how well, None where a person or another system did.
    """
    reasons = [*_about_count(classes, look.objects), *_about_bands(look, banding, protocol_banding)]
    if not any(reason.finding in UNREADABLE for reason in reasons):
        reasons += _about_classes(classes, probability, len(unlike_any), lost=losses_told(whole))
        reasons += _about_whole(whole)
    return ReviewVerdict(tuple(sorted(reasons, key=lambda reason: not reason.review)))


def judge_edited_proposal(
    before: ReviewVerdict,
    classes: Sequence[str],
    probability: NDArray[np.floating],
    touched: NDArray[np.bool_],
    *,
    complete: bool = False,
) -> ReviewVerdict:
    """Judge a proposal anew that a person edited.

    What the person named counts as sure. For the rest the rules are those of `judge_proposal`: where it is more
    than a third of the cell, what can't be read stays withheld.

    Parameters
    ----------
    before
        The verdict so far.
    classes
        Class of every object, as edited.
    probability
        Shape (n,): that the class proposed was right.
    touched
        bool, shape (n,): objects that a person named or confirmed.
    complete
        Whether a person said that no chromosome was missed: what isn't there is lost then, as it is where most
        chromosomes were named.
    """
    count, known = len(classes), int(np.count_nonzero(touched))
    named = count > 0 and count - known <= UNSURE_SHARE * count
    reasons = _about_count(classes, count)
    reasons += [
        _reason(reason.finding, reason.text) for reason in before.reasons if reason.finding in _SEEN_IN_THE_PICTURE
    ]
    if named or not any(reason.finding in UNREADABLE for reason in reasons):
        lost = named or complete or not before.losses_doubted
        reasons += _about_classes(classes, np.where(touched, 1.0, probability), 0, lost=lost)
    if not (named or complete):
        # A few edits don't make a doubtful cut sound. Files keep the level of all reasons together, so that a
        # review is put down to the cut only where nothing else asked for it.
        alone = not any(reason.finding in _MUST for reason in before.reasons)
        reasons += [
            _reason(reason.finding, reason.text, review=reason.review and alone)
            for reason in before.reasons
            if reason.finding in _OF_THE_CUT
        ]
    text = f"edited by a person: {known} of {count} objects named or confirmed"
    reasons.append(_reason(ReviewFinding.EDITED, text))
    return ReviewVerdict(tuple(sorted(reasons, key=lambda reason: not reason.review)), named)


def _reason(finding: ReviewFinding, text: str, *, review: bool | None = None) -> ReviewReason:
    return ReviewReason(finding, text, finding in _MUST if review is None else review)


def _about_count(classes: Sequence[str], objects: int) -> list[ReviewReason]:
    count = sum(name != UNCLASSIFIED for name in classes)
    if objects == 0:
        return [_reason(ReviewFinding.NO_CHROMOSOMES, "no chromosome was found")]
    if objects < MIN_COUNT:
        return [_reason(ReviewFinding.TOO_FEW, f"{objects} chromosomes are no whole cell ({MIN_COUNT} at least)")]
    if count > MAX_COUNT:
        return [_reason(ReviewFinding.TOO_MANY, f"{count} chromosomes are more than one cell")]
    if count > 57:
        sets = "three" if count <= 80 else "four"
        return [_reason(ReviewFinding.POLYPLOID, f"{count} chromosomes: about {sets} sets, or two cells in one")]
    return []


def _about_bands(
    look: CellQualityMeasures, banding: BandingEstimate | None, protocol_banding: str | None
) -> list[ReviewReason]:
    unread = _unread_banding(banding, protocol_banding)
    if protocol_banding is not None and unread is not None:
        return [_reason(ReviewFinding.WRONG_BANDING, unread)]
    if look.objects < MIN_OBJECTS:
        return []
    floor = NO_BANDS_BELOW_FLUORESCENT if look.fluorescent else NO_BANDS_BELOW
    if look.band_contrast < floor:
        return [_reason(ReviewFinding.NO_BANDS, "the chromosomes show no bands, so that none can be named")]
    if look.size_ratio < (HUMAN_SIZE_RATIO if look.certainty < UNCLEAR_BELOW else LEAST_SIZE_RATIO):
        return [_reason(ReviewFinding.NOT_HUMAN, "sizes and bands aren't those of human chromosomes")]
    if unread is not None:
        return [_reason(ReviewFinding.WRONG_BANDING, unread)]
    if look.certainty < UNREADABLE_BELOW:
        return [_reason(ReviewFinding.WRONG_BANDING, "the bands aren't of a kind that is known here")]
    reasons = []
    warning = (
        banding.mismatch_warning(protocol_banding)
        if banding is not None and protocol_banding is not None
        else None
    )
    if warning is not None:
        reasons.append(_reason(ReviewFinding.BANDING_MISMATCH, warning))
    if look.certainty < UNCLEAR_BELOW:
        share = f"{100 * look.certainty:.0f} %"
        reasons.append(
            _reason(ReviewFinding.UNCLEAR_BANDS, f"the bands are hard to read: {share} certainty a chromosome")
        )
    return reasons


def _unread_banding(banding: BandingEstimate | None, protocol_banding: str | None) -> str | None:
    """Tell of a technique whose bands can't be read, by the protocol, or else by the cell's own look."""
    if protocol_banding is not None:
        return None if protocol_banding in READ_BANDINGS else f"{protocol_banding} bands {_UNREAD}"
    if banding is None or banding.kind is None or banding.confidence < SURE_BANDING_FROM:
        return None
    kind = banding.kind.value
    readable = kind in READ_BANDINGS or kind == "none"
    return None if readable else f"these look like {kind} bands, which {_UNREAD}"


def losses_told(whole: float | None) -> bool:
    """Whether a chromosome that isn't there may be called lost, by the cell's probability of being all right."""
    return whole is None or whole >= LOSSES_FROM


def _about_classes(
    classes: Sequence[str], probability: NDArray[np.floating], unlike_any: int, *, lost: bool = True
) -> list[ReviewReason]:
    reasons = []
    counts = Counter(classes)
    left_out = counts.pop(UNCLASSIFIED, 0)
    changes = _deviations(counts)
    open_places: list[str] = []
    if left_out or not lost:
        # What seems to be lost may be among the objects that have no class, or among those nobody found.
        open_places = [change[1:] for change in changes if change.startswith("-")]
        changes = [change for change in changes if not change.startswith("-")]
        if counts["X"] + counts["Y"] < 2:
            open_places.append("X or Y")
            changes = [change for change in changes if change.startswith("+")]
    if changes and MIN_COUNT <= sum(counts.values()) <= 57:
        shown = ", ".join(changes[:6]) + (" ..." if len(changes) > 6 else "")
        reasons.append(_reason(ReviewFinding.ABNORMAL, f"not a normal set: {shown}"))
    nothing_found = f"nothing found for {', '.join(open_places[:6])}" + (" ..." if len(open_places) > 6 else "")
    if left_out:
        text = f"{left_out} object{'s' * (left_out > 1)} without a class"
        text += f", {nothing_found}" if open_places else ""
        reasons.append(_reason(ReviewFinding.UNCLASSIFIED, text, review=left_out > FEW_UNCLASSIFIED))
    elif open_places:
        reasons.append(_reason(ReviewFinding.NOT_FOUND, f"{nothing_found}: lost, or missed by the software"))
    if unlike_any:
        text = (
            f"{unlike_any} object{'s' * (unlike_any > 1)} like a chromosome of no class: a marker, or two in one"
        )
        reasons.append(_reason(ReviewFinding.MARKER, text))
    named = [float(chance) for name, chance in zip(classes, probability, strict=True) if name != UNCLASSIFIED]
    doubtful = sum(chromosome_level(chance) is ReviewLevel.MUST_REVIEW for chance in named)
    if len(classes) >= MIN_OBJECTS and doubtful + left_out > UNSURE_SHARE * len(classes):
        text = f"{doubtful + left_out} of {len(classes)} objects are doubtful or without a class"
        reasons.append(_reason(ReviewFinding.UNSURE, f"{text}: no karyotype is told"))
    if doubtful:
        text = f"{doubtful} chromosome{'s' * (doubtful > 1)} below {100 * DOUBTFUL_BELOW:.0f} % certainty"
        reasons.append(_reason(ReviewFinding.DOUBTFUL, text, review=doubtful > FEW_DOUBTFUL))
    return reasons


def _about_whole(whole: float | None) -> list[ReviewReason]:
    if whole is None or whole >= AUTO_CELL_FROM:
        return []
    if np.isnan(whole):
        return [
            _reason(
                ReviewFinding.CUTS_UNMEASURED, "how often software cuts cells of this kind rightly isn't known"
            )
        ]
    text = f"all chromosomes are cut and named rightly with {100.0 * whole:.0f} % probability"
    return [_reason(ReviewFinding.CELL_IN_DOUBT, text, review=whole < MORE_LIKELY_WRONG)]


def _deviations(counts: Counter[str]) -> list[str]:
    """Autosomes that aren't two, markers, and a sex complement that is neither XX nor XY."""
    found = []
    for name in (str(number) for number in range(1, 23)):
        surplus = counts[name] - 2
        found += [("+" if surplus > 0 else "-") + name] * abs(surplus)
    found += [f"+{MARKER}"] * counts[MARKER]
    sex = "X" * counts["X"] + "Y" * counts["Y"]
    return found if sex in ("XX", "XY") else [*found, f"sex chromosomes {sex or 'none'}"]

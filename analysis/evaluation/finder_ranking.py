"""What the order of the finds is worth at high magnification."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.evaluation.finder_matching import JudgedFind
from analysis.evaluation.finder_scores import CALL_SCORE, FieldOutcome

UNSPOILT: Final = "metaphase"
"""Kind of a metaphase that lies on the field as it lies on the image that it was cut from."""


@dataclass(frozen=True, slots=True)
class RankedSlide:
    """The best of a slide against a chance choice of as many.

    Attributes
    ----------
    slide
        Its name.
    interactions
        Mean interactions at high magnification of the best-ranked finds, and expected of a chance choice.
    analysable
        Share of analysable metaphases among the best-ranked finds, and expected of a chance choice; finds of
        which nobody has said count on neither side.
    finds
        Finds called, and those of them whose interactions are known.
    """

    slide: str
    interactions: tuple[float, float]
    analysable: tuple[float, float]
    finds: tuple[int, int]


def ranked_slides(
    outcomes: Iterable[FieldOutcome],
    interactions: Mapping[str, float],
    *,
    number: int = 20,
    call: float = CALL_SCORE,
) -> list[RankedSlide]:
    """What the best-ranked finds of each slide are worth against a chance choice of as many.

    The expectation of a random draw without replacement is the mean of all, so no draw is made.

    Parameters
    ----------
    outcomes
        Fields of several slides.
    interactions
        Edits from the proposal to the true karyogram, by source of the cell. They hold for cells that lie on the
        field unspoilt; false finds, spoilt cells and cells of other sources have no such figure and are left out
        of both sides of this comparison.
    number
        Best finds of a slide.
    call
        Finds below this score aren't called.

    Returns
    -------
    list of RankedSlide
        Slides with more than `number` finds called whose interactions are known.
    """
    by_slide: dict[str, list[_Called]] = defaultdict(list)
    for outcome in outcomes:
        for find in outcome.finds:
            if find.score >= call and not find.is_neutral:
                by_slide[outcome.slide].append(_called(find, outcome, interactions))
    made = []
    for slide, calls in sorted(by_slide.items()):
        ordered = sorted(calls, key=lambda call: -call.rank)
        needed = [entry.interactions for entry in ordered if entry.interactions is not None]
        if len(needed) <= number:
            continue
        known = [entry.analysable for entry in ordered if entry.analysable is not None]
        made.append(
            RankedSlide(
                slide,
                (float(np.mean(needed[:number])), float(np.mean(needed))),
                (float(np.mean(known[:number])), float(np.mean(known))),
                (len(calls), len(needed)),
            )
        )
    return made


@dataclass(frozen=True, slots=True)
class _Called:
    rank: float
    interactions: float | None
    analysable: bool | None


def _called(find: JudgedFind, outcome: FieldOutcome, interactions: Mapping[str, float]) -> _Called:
    if find.planted is None:
        return _Called(find.rank, None, False)
    entry = outcome.planted[find.planted]
    needed = interactions.get(entry.source) if entry.kind == UNSPOILT else None
    return _Called(find.rank, needed, entry.analysable)

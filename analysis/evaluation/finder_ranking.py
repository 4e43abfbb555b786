"""What the order of the finds is worth at high magnification."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from analysis.evaluation.finder_scores import CALL_SCORE, FieldOutcome


@dataclass(frozen=True, slots=True)
class RankedSlide:
    """The best of a slide against a chance choice.

    Attributes
    ----------
    slide
        Its name.
    best, chance
        Mean interactions at high magnification of the best-ranked finds, and of as many drawn from all finds (mean
        over all such draws).
    cells
        Finds that were compared, and of how many.
    """

    slide: str
    best: float
    chance: float
    cells: tuple[int, int]


def ranking_by_interactions(
    outcomes: Iterable[FieldOutcome],
    interactions: Mapping[str, float],
    *,
    number: int = 20,
    call: float = CALL_SCORE,
) -> list[RankedSlide]:
    """Interactions that the best-ranked finds of each slide need at high magnification, against a chance choice.

    Parameters
    ----------
    outcomes
        Fields of several slides.
    interactions
        Edits from the proposal to the true karyogram, by source of the cell; finds that show a metaphase of
        another source, or none, have no figure and are left out of both sides.
    number
        Best finds of a slide.
    call
        Finds below this score aren't called.

    Returns
    -------
    list of RankedSlide
        Slides with more than `number` such finds.
    """
    by_slide: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for outcome in outcomes:
        for find in outcome.finds:
            if find.score < call or not find.is_right or find.planted is None:
                continue
            source = outcome.planted[find.planted].source
            if source in interactions:
                by_slide[outcome.slide].append((find.rank, interactions[source]))
    made = []
    for slide, cells in sorted(by_slide.items()):
        if len(cells) <= number:
            continue
        ordered = [needed for _, needed in sorted(cells, key=lambda cell: -cell[0])]
        # The expectation of a random draw without replacement is the mean of all.
        chance = float(np.mean(ordered))
        made.append(RankedSlide(slide, float(np.mean(ordered[:number])), chance, (number, len(ordered))))
    return made

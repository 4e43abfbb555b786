"""What the figures of a metaphase finder are made of, collected slide by slide."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.finder_matching import Field, JudgedFind, JudgedPlace, Planted, judge, planted_of
from analysis.metrics.statistics import Bools, Floats

CALL_SCORE: Final = 0.5
"""From this score a find is called a metaphase."""

RECORDED_SCORE: Final = 0.05
"""From this score a find is worth a record; calibration is judged on these, since nobody reads the others."""


class Finder(Protocol):
    """What is measured."""

    def __call__(
        self, pixels: NDArray[np.uint8] | NDArray[np.uint16], um_per_px: float, *, min_score: float
    ) -> Sequence[JudgedPlace]:
        """Finds of a field; with a `min_score` of 0 rejected proposals too."""


@dataclass(frozen=True, slots=True)
class FieldOutcome:
    """One field searched by one finder.

    Attributes
    ----------
    slide, number, stain
        Which field.
    um_per_px
        Its pixel size.
    planted
        Truth.
    finds
        All proposals, judged, best score first.
    seconds
        Processor time of the search.
    """

    slide: str
    number: int
    stain: str
    um_per_px: float
    planted: tuple[Planted, ...]
    finds: tuple[JudgedFind, ...]
    seconds: float


def search(target: Field, finder: Finder) -> FieldOutcome:
    """Search one field and compare the proposals with its truth.

    Parameters
    ----------
    target
        The field with its truth.
    finder
        The finder.
    """
    start_s = time.process_time()
    found = finder(target.pixels, target.um_per_px, min_score=0.0)
    seconds = time.process_time() - start_s
    planted = planted_of(target)
    return FieldOutcome(
        target.slide,
        target.number,
        target.stain,
        float(target.um_per_px),
        planted,
        judge(planted, found),
        seconds,
    )


@dataclass(frozen=True, slots=True)
class FinderScores:
    """What the figures of a set of fields are made of.

    Attributes
    ----------
    score, right
        Of every find that is not neutral, shape (n,).
    on_negative
        Of these, whether it lies on a named hard negative; shape (n,).
    metaphases, metaphases_analysable
        Whole ones of the truth.
    negatives
        Named hard negatives of the truth.
    negative_score
        Best score of a find on each hard negative, 0 where there is none; shape (negatives,).
    free_negative_score
        The same of the slides without a metaphase.
    analysable, analysable_said, analysable_rank
        Of right finds whose truth is known: truth, probability (NaN where the finder gives none), rank.
    analysable_score
        Score of these.
    other_rank
        Rank of finds from `RECORDED_SCORE` on that show no whole metaphase.
    """

    score: Floats
    right: Bools
    on_negative: Bools
    metaphases: int
    metaphases_analysable: int
    negatives: int
    negative_score: Floats
    free_negative_score: Floats
    analysable: Bools
    analysable_said: Floats
    analysable_rank: Floats
    analysable_score: Floats
    other_rank: Floats


@dataclass
class _Collected:
    score: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    on_negative: list[bool] = field(default_factory=list)
    metaphases: int = 0
    metaphases_analysable: int = 0
    negative_score: list[float] = field(default_factory=list)
    analysable: list[bool] = field(default_factory=list)
    said: list[float] = field(default_factory=list)
    rank: list[float] = field(default_factory=list)
    analysable_score: list[float] = field(default_factory=list)
    other_rank: list[float] = field(default_factory=list)

    def add(self, outcome: FieldOutcome) -> None:
        whole = [entry for entry in outcome.planted if entry.is_metaphase and not entry.is_cut]
        self.metaphases += len(whole)
        self.metaphases_analysable += sum(entry.analysable is True for entry in whole)
        best = {number: 0.0 for number, entry in enumerate(outcome.planted) if not entry.is_metaphase}
        for find in outcome.finds:
            if find.is_neutral:
                continue
            self.score.append(find.score)
            self.right.append(find.is_right)
            self.on_negative.append(find.negative is not None)
            if find.negative is not None:
                best[find.negative] = max(best[find.negative], find.score)
            self._add_ranked(find, outcome.planted)
        self.negative_score += best.values()

    def _add_ranked(self, find: JudgedFind, planted: Sequence[Planted]) -> None:
        known = planted[find.planted].analysable if find.planted is not None else None
        if known is not None:
            self.analysable.append(known)
            self.said.append(float("nan") if find.analysable is None else find.analysable)
            self.rank.append(find.rank)
            self.analysable_score.append(find.score)
        elif find.planted is None and find.score >= RECORDED_SCORE:
            self.other_rank.append(find.rank)

    def scores(self) -> FinderScores:
        negative_score = np.array(self.negative_score, np.float64)
        return FinderScores(
            score=np.array(self.score, np.float64),
            right=np.array(self.right, np.bool_),
            on_negative=np.array(self.on_negative, np.bool_),
            metaphases=self.metaphases,
            metaphases_analysable=self.metaphases_analysable,
            negatives=negative_score.size,
            negative_score=negative_score,
            free_negative_score=negative_score if self.metaphases == 0 else np.zeros(0),
            analysable=np.array(self.analysable, np.bool_),
            analysable_said=np.array(self.said, np.float64),
            analysable_rank=np.array(self.rank, np.float64),
            analysable_score=np.array(self.analysable_score, np.float64),
            other_rank=np.array(self.other_rank, np.float64),
        )


def scores_by_slide(outcomes: Iterable[FieldOutcome]) -> dict[str, FinderScores]:
    """Collect what the figures are made of, slide by slide.

    A slide counts as free of metaphases where none of its fields holds one, whole or cut.
    """
    collected: dict[str, _Collected] = defaultdict(_Collected)
    with_cut: set[str] = set()
    for outcome in outcomes:
        collected[outcome.slide].add(outcome)
        if any(entry.is_metaphase for entry in outcome.planted):
            with_cut.add(outcome.slide)
    made = {}
    for slide, parts in collected.items():
        scores = parts.scores()
        if slide in with_cut and parts.metaphases == 0:
            scores = _without_free(scores)
        made[slide] = scores
    return made


def _without_free(finder_scores: FinderScores) -> FinderScores:
    values = {name: getattr(finder_scores, name) for name in FinderScores.__slots__}
    return FinderScores(**{**values, "free_negative_score": np.zeros(0)})


def pooled(score_sets: Sequence[FinderScores]) -> FinderScores:
    """The scores of several slides as one."""
    if not score_sets:
        return _Collected().scores()
    values: dict[str, Any] = {}
    for name in FinderScores.__slots__:
        each = [getattr(part, name) for part in score_sets]
        values[name] = np.concatenate(each) if isinstance(each[0], np.ndarray) else sum(each)
    return FinderScores(**values)

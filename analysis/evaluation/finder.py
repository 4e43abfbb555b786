"""How good a metaphase finder is, on fields whose truth is known."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.finder_scores import (
    CALL_SCORE,
    RECORDED_SCORE,
    FieldOutcome,
    FinderScores,
    pooled,
    scores_by_slide,
)
from analysis.metrics.statistics import (
    CalibrationCurve,
    Floats,
    PrecisionRecall,
    auc,
    bootstrap,
    calibration,
    precision_recall,
)

BOOTSTRAP_ROUNDS: Final = 500
GOAL_RECALL, GOAL_PRECISION = 0.98, 0.95


def curve(finder_scores: FinderScores) -> PrecisionRecall:
    """Precision and recall over the threshold."""
    return precision_recall(finder_scores.score, finder_scores.right, finder_scores.metaphases)


def reliability(finder_scores: FinderScores, least: float = RECORDED_SCORE) -> CalibrationCurve:
    """Calibration of the scores.

    Parameters
    ----------
    finder_scores
        Of all proposals.
    least
        Scores below are left out.
    """
    held = finder_scores.score >= least
    return calibration(finder_scores.score[held], finder_scores.right[held])


def analysable_reliability(finder_scores: FinderScores) -> CalibrationCurve:
    """Calibration of the analysability of metaphases that were called."""
    held = (finder_scores.analysable_score >= CALL_SCORE) & np.isfinite(finder_scores.analysable_said)
    return calibration(finder_scores.analysable_said[held], finder_scores.analysable[held])


def _recall(finder_scores: FinderScores, call: float) -> float:
    return _share(
        int(np.count_nonzero(finder_scores.right & (finder_scores.score >= call))), finder_scores.metaphases
    )


def _recall_analysable(finder_scores: FinderScores, call: float) -> float:
    found = int(np.count_nonzero(finder_scores.analysable & (finder_scores.analysable_score >= call)))
    return _share(found, finder_scores.metaphases_analysable)


def _precision(finder_scores: FinderScores, call: float) -> float:
    called = finder_scores.score >= call
    return _share(int(np.count_nonzero(finder_scores.right & called)), int(called.sum()))


def _not_called(best: Floats, call: float) -> float:
    return _share(int(np.count_nonzero(best < call)), best.size)


def _rejected(finder_scores: FinderScores, call: float) -> float:
    wrong = ~finder_scores.right
    return _share(int(np.count_nonzero(wrong & (finder_scores.score < call))), int(wrong.sum()))


def _auc_analysable(finder_scores: FinderScores) -> float:
    """Of metaphases that were found at all: ranked by what the finder says of analysability, else by its rank."""
    held = finder_scores.analysable_score >= RECORDED_SCORE
    said = finder_scores.analysable_said[held]
    value = said if np.isfinite(said).all() and said.size else finder_scores.analysable_rank[held]
    return auc(value, finder_scores.analysable[held])


def _auc_rank(finder_scores: FinderScores) -> float:
    """Of all that was found: analysable metaphases against the other ones and false finds, by rank."""
    held = finder_scores.analysable_score >= RECORDED_SCORE
    ranks = np.concatenate([finder_scores.analysable_rank[held], finder_scores.other_rank])
    truth = np.concatenate([finder_scores.analysable[held], np.zeros(finder_scores.other_rank.size, np.bool_)])
    return auc(ranks, truth)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _intervalled(call: float) -> dict[str, Callable[[FinderScores], float]]:
    return {
        "recall": partial(_recall, call=call),
        "precision": partial(_precision, call=call),
        "true_negative_rate": lambda scores: _not_called(scores.negative_score, call),
        "ece": lambda scores: reliability(scores).error,
        "auc_analysable": _auc_analysable,
    }


def finder_figures(
    outcomes: Sequence[FieldOutcome], *, call: float = CALL_SCORE, rounds: int = BOOTSTRAP_ROUNDS
) -> dict[str, Any]:
    """Figures of one finder on one set of fields.

    A metaphase that the field's edge cuts (its centre nearer than its radius) counts neither way: in a scan the
    neighbouring field shows it whole.

    Parameters
    ----------
    outcomes
        Fields of several slides.
    call
        Score from which a find is called a metaphase.
    rounds
        Draws of the bootstrap over slides; 0 leaves the intervals out.

    Returns
    -------
    dict
        ``recall``: share of the whole metaphases of the truth with a find called; ``recall_analysable``: the same
        of those that karyotype well; ``recall_proposed``: with a proposal of any score.
        ``precision``: share of the finds called that show a metaphase which no better find shows.
        ``true_negative_rate``: share of the named hard negatives of the truth within whose radius no false find
        is called; ``true_negative_rate_free_slides``: the same on slides without any metaphase;
        ``true_negative_rate_proposals``: share of all proposals that show no metaphase, on a named object or not,
        that are not called.
        ``ece``: expected calibration error, 15 bins of equal width, of the scores of all finds from 0.05 on;
        ``ece_proposals``: of all proposals, flattered by the many that are clear; ``ece_analysable``: of the
        analysability of metaphases called.
        ``auc_analysable``: area under the ROC curve of the analysability, analysable metaphases against other
        metaphases, of those found; ``auc_rank``: of the rank, analysable metaphases against everything else that
        was found.
        ``average_precision``, ``recall_at_precision_0.95``, ``precision_at_recall_0.98``.
        ``fields_per_second``: fields over processor seconds of the search, on one core.
        ``centre_error_um``: median distance of a right find from the truth; ``radius_ratio``: median of found
        over true radius. Counts; ``called_by_kind`` and ``found_by_kind``: for each kind of hard negative and of
        metaphase [called, in all]. ``intervals``: 95 % intervals by a bootstrap over slides.
        What can't be said, for want of objects, is None.
    """
    by_slide = list(scores_by_slide(outcomes).values())
    scores = pooled(by_slide)
    figures = {**_scored(outcomes, scores, call), **_places(outcomes, call), **_counts(outcomes, scores, call)}
    figures["intervals"] = _intervals(by_slide, call, rounds)
    return {name: _plain(value) for name, value in figures.items()}


def _scored(outcomes: Sequence[FieldOutcome], scores: FinderScores, call: float) -> dict[str, float]:
    """Figures of scores and ranks, and the speed."""
    ranking = curve(scores)
    seconds = sum(outcome.seconds for outcome in outcomes)
    return {
        "recall": _recall(scores, call),
        "precision": _precision(scores, call),
        "true_negative_rate": _not_called(scores.negative_score, call),
        "ece": reliability(scores).error,
        "auc_analysable": _auc_analysable(scores),
        "fields_per_second": len(outcomes) / seconds if seconds else float("nan"),
        "recall_analysable": _recall_analysable(scores, call),
        "recall_proposed": _recall(scores, 0.0),
        "true_negative_rate_free_slides": _not_called(scores.free_negative_score, call),
        "true_negative_rate_proposals": _rejected(scores, call),
        "ece_proposals": reliability(scores, 0.0).error,
        "ece_analysable": analysable_reliability(scores).error,
        "auc_rank": _auc_rank(scores),
        "average_precision": ranking.average_precision,
        "recall_at_precision_0.95": ranking.recall_at(GOAL_PRECISION),
        "precision_at_recall_0.98": ranking.precision_at(GOAL_RECALL),
    }


def _intervals(by_slide: Sequence[FinderScores], call: float, rounds: int) -> dict[str, Any]:
    if not rounds or not by_slide:
        return {}
    return {
        name: _plain(bootstrap(len(by_slide), _of_drawn(by_slide, figure), rounds=rounds))
        for name, figure in _intervalled(call).items()
    }


def _of_drawn(
    by_slide: Sequence[FinderScores], figure: Callable[[FinderScores], float]
) -> Callable[[NDArray[np.int64]], float]:
    return lambda drawn: figure(pooled([by_slide[number] for number in drawn]))


def _places(outcomes: Sequence[FieldOutcome], call: float) -> dict[str, float]:
    distances, ratios = [], []
    for outcome in outcomes:
        for find in outcome.finds:
            if not find.is_right or find.score < call or find.planted is None:
                continue
            true = outcome.planted[find.planted]
            distances.append(float(np.hypot(find.x_px - true.x_px, find.y_px - true.y_px)) * outcome.um_per_px)
            ratios.append(find.radius_px / true.radius_px)
    return {
        "centre_error_um": float(np.median(distances)) if distances else float("nan"),
        "radius_ratio": float(np.median(ratios)) if ratios else float("nan"),
    }


def _counts(outcomes: Sequence[FieldOutcome], finder_scores: FinderScores, call: float) -> dict[str, Any]:
    called, found = _by_kind(outcomes, call)
    free: dict[str, int] = Counter()
    for outcome in outcomes:
        free[outcome.slide] += sum(entry.is_metaphase for entry in outcome.planted)
    negatives: dict[str, int] = Counter()
    for outcome in outcomes:
        negatives[outcome.slide] += sum(not entry.is_metaphase for entry in outcome.planted)
    free_slides = [slide for slide, count in free.items() if count == 0]
    return {
        "fields": len(outcomes),
        "slides": len(free),
        "metaphases": finder_scores.metaphases,
        "metaphases_analysable": finder_scores.metaphases_analysable,
        "metaphases_cut": sum(
            entry.is_metaphase and entry.is_cut for outcome in outcomes for entry in outcome.planted
        ),
        "hard_negatives": finder_scores.negatives,
        "free_slides": len(free_slides),
        "fewest_negatives_on_a_free_slide": min((negatives[slide] for slide in free_slides), default=0),
        "proposals": int(finder_scores.score.size),
        "finds_called": int(np.count_nonzero(finder_scores.score >= call)),
        "false_finds": int(np.count_nonzero(~finder_scores.right & (finder_scores.score >= call))),
        "called_by_kind": called,
        "found_by_kind": found,
    }


def _by_kind(outcomes: Sequence[FieldOutcome], call: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """For hard negatives and for whole metaphases, by kind: [called, in all]."""
    called: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for outcome in outcomes:
        hit = {
            number
            for find in outcome.finds
            if find.score >= call
            for number in (find.planted, find.negative)
            if number is not None
        }
        for number, entry in enumerate(outcome.planted):
            if entry.is_metaphase and entry.is_cut:
                continue
            tally = (found if entry.is_metaphase else called)[entry.kind]
            tally[0] += number in hit
            tally[1] += 1
    return dict(sorted(called.items())), dict(sorted(found.items()))


def _plain(value: object) -> object:
    """Values as JSON has them: what is not a number is None."""
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value

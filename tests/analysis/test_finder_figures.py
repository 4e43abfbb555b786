"""Figures of the finder, by answers that are known beforehand."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from analysis.evaluation.finder import curve, finder_figures, reliability
from analysis.evaluation.finder_matching import judge, planted_of
from analysis.evaluation.finder_ranking import ranked_slides
from analysis.evaluation.finder_scores import FieldOutcome, pooled, scores_by_slide, search
from analysis.metrics.statistics import auc, bootstrap, calibration, precision_recall


@dataclass(frozen=True)
class Thing:
    x_px: float
    y_px: float
    radius_px: float = 10.0
    is_metaphase: bool = True
    kind: str = "metaphase"
    analysable: bool | None = True
    source: str = "a"


@dataclass(frozen=True)
class Picture:
    truth: tuple[Thing, ...]
    slide: str = "s"
    number: int = 0
    stain: str = "giemsa"
    um_per_px: float = 0.5
    pixels: np.ndarray = field(default_factory=lambda: np.zeros((200, 300), np.uint8))


@dataclass(frozen=True)
class Hit:
    x_px: float
    y_px: float
    score: float
    radius_px: float = 10.0
    analysable: float | None = None
    rank: float = 0.0


def debris(x_px, y_px, kind="debris"):
    return Thing(x_px, y_px, is_metaphase=False, kind=kind, analysable=None)


def outcome(truth, hits, *, slide="s", seconds=0.5):
    planted = planted_of(Picture(tuple(truth)))
    return FieldOutcome(slide, 0, "giemsa", 0.5, planted, judge(planted, hits), seconds)


def test_each_metaphase_is_found_once_and_by_the_better_find():
    truth = (Thing(100, 100), Thing(112, 100))
    judged = judge(planted_of(Picture(truth)), [Hit(101, 100, 0.6), Hit(107, 100, 0.9), Hit(99, 100, 0.3)])
    # The best find takes the nearer of the two within its reach, the next the other, the last is a duplicate.
    assert [(find.score, find.planted) for find in judged] == [(0.9, 1), (0.6, 0), (0.3, None)]
    assert [find.is_right for find in judged] == [True, True, False]


def test_a_find_beyond_the_radius_is_false_and_told_on_what_it_lies():
    truth = (Thing(100, 100), debris(150, 100), debris(200, 100, "nuclei"))
    judged = judge(planted_of(Picture(truth)), [Hit(111, 100, 0.9), Hit(152, 100, 0.8), Hit(100, 109, 0.7)])
    assert [(find.planted, find.negative) for find in judged] == [(None, None), (None, 1), (0, None)]


def test_a_metaphase_at_the_edge_counts_neither_way():
    cut, whole = Thing(295, 100), Thing(100, 100)
    seen = outcome([cut, whole], [Hit(294, 100, 0.9), Hit(296, 101, 0.8), Hit(100, 100, 0.7)])
    assert [find.is_neutral for find in seen.finds] == [True, True, False]
    figures = finder_figures([seen], rounds=0)
    assert (figures["recall"], figures["precision"], figures["metaphases"]) == (1.0, 1.0, 1)
    assert figures["metaphases_cut"] == 1
    missed = finder_figures([outcome([cut, whole], [])], rounds=0)
    assert (missed["recall"], missed["precision"]) == (0.0, None)


def test_figures_of_a_small_set_by_hand():
    truth = [Thing(50, 50), Thing(100, 50), Thing(150, 50, analysable=False), Thing(200, 50)]
    negatives = [debris(50, 150), debris(100, 150), debris(150, 150, "nuclei"), debris(200, 150, "nuclei")]
    hits = [
        Hit(50, 54, 0.95, rank=0.9, radius_px=12),
        Hit(100, 50, 0.8, rank=0.7),
        Hit(150, 50, 0.7, rank=0.8),
        Hit(200, 50, 0.3, rank=0.1),
        Hit(50, 150, 0.6, rank=0.2),
        Hit(100, 150, 0.1, rank=0.1),
        Hit(250, 150, 0.01),
    ]
    free = outcome([debris(100, 100), debris(150, 100)], [Hit(150, 100, 0.55, rank=0.2)], slide="free")
    figures = finder_figures([outcome(truth + negatives, hits), free], rounds=0)
    assert figures["recall"] == pytest.approx(3 / 4)
    assert figures["recall_analysable"] == pytest.approx(2 / 3)
    assert figures["recall_proposed"] == 1.0
    assert figures["precision"] == pytest.approx(3 / 5)
    assert figures["true_negative_rate"] == pytest.approx(4 / 6)
    assert figures["true_negative_rate_free_slides"] == pytest.approx(1 / 2)
    assert figures["true_negative_rate_proposals"] == pytest.approx(2 / 4)
    # Analysable 0.9, 0.7, 0.1 against 0.8 by rank: one pair of three is right.
    assert figures["auc_analysable"] == pytest.approx(1 / 3)
    # The same against 0.8 and the false finds 0.2, 0.1, 0.2: 4 + 3 + 0.5 of 12 pairs.
    assert figures["auc_rank"] == pytest.approx(7.5 / 12)
    assert figures["fields_per_second"] == pytest.approx(2 / 1.0)
    assert figures["centre_error_um"] == 0.0
    assert figures["called_by_kind"] == {"debris": [2, 4], "nuclei": [0, 2]}
    assert figures["found_by_kind"] == {"metaphase": [3, 4]}
    assert (figures["free_slides"], figures["fewest_negatives_on_a_free_slide"]) == (1, 2)
    assert (figures["false_finds"], figures["proposals"]) == (2, 8)


def test_what_the_finder_says_of_analysability_goes_before_its_rank():
    truth = [Thing(50, 50), Thing(100, 50, analysable=False)]
    hits = [Hit(50, 50, 0.9, analysable=0.8, rank=0.1), Hit(100, 50, 0.9, analysable=0.3, rank=0.9)]
    figures = finder_figures([outcome(truth, hits)], rounds=0)
    assert figures["auc_analysable"] == 1.0
    assert figures["auc_rank"] == 0.0
    assert figures["ece_analysable"] == pytest.approx((0.2 + 0.3) / 2)


def test_recall_and_precision_over_the_threshold():
    score = np.array([0.9, 0.8, 0.8, 0.5, 0.2])
    right = np.array([True, True, False, False, True])
    made = precision_recall(score, right, positives=4)
    assert made.threshold.tolist() == [0.9, 0.8, 0.5, 0.2]
    assert made.recall.tolist() == [0.25, 0.5, 0.5, 0.75]
    assert made.precision.tolist() == pytest.approx([1.0, 2 / 3, 0.5, 0.6])
    assert made.recall_at(0.6) == 0.75
    assert made.precision_at(0.5) == pytest.approx(2 / 3)
    assert made.precision_at(0.8) == 0.0
    assert made.average_precision == pytest.approx(0.25 + 0.25 * 2 / 3 + 0.25 * 0.6)


def test_a_curve_of_nothing():
    made = precision_recall(np.zeros(0), np.zeros(0, bool), positives=3)
    assert (made.average_precision, made.recall_at(0.5)) == (0.0, 0.0)


def test_calibration_error_by_hand():
    probability = np.array([0.0, 0.05, 0.9, 0.9, 1.0, 1.0])
    came_true = np.array([False, False, True, False, True, True])
    made = calibration(probability, came_true, bins=5)
    assert made.count.tolist() == [2, 0, 0, 0, 4]
    assert made.error == pytest.approx((2 * 0.025 + 4 * (0.95 - 0.75)) / 6)
    assert np.isnan(calibration(np.zeros(0), np.zeros(0, bool)).error)


def test_probabilities_that_mean_what_they_say_have_no_error():
    rng = np.random.default_rng(0)
    probability = rng.uniform(0, 1, 200_000)
    assert calibration(probability, rng.uniform(0, 1, 200_000) < probability).error < 0.01
    assert calibration(probability, rng.uniform(0, 1, 200_000) < probability**2).error == pytest.approx(
        1 / 6, abs=0.01
    )


def test_area_under_the_curve_by_hand():
    assert auc(np.array([0.9, 0.8, 0.1]), np.array([True, True, False])) == 1.0
    assert auc(np.array([0.1, 0.5, 0.5, 0.9]), np.array([True, True, False, False])) == pytest.approx(0.5 / 4)
    assert np.isnan(auc(np.array([0.1]), np.array([True])))


def test_interval_of_a_mean_is_as_wide_as_theory_says():
    rng = np.random.default_rng(3)
    values = rng.normal(5.0, 2.0, 400)
    low, high = bootstrap(400, lambda drawn: float(values[drawn].mean()), rounds=2000)
    error = values.std() / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)
    assert (low, high) == bootstrap(400, lambda drawn: float(values[drawn].mean()), rounds=2000)


def test_slides_are_drawn_whole():
    # Within a slide all is alike: the interval has to span what lies between the slides.
    fields = [
        outcome([Thing(50, 50)], [Hit(50, 50, 0.9)] if slide < 5 else [], slide=f"s{slide}")
        for slide in range(10)
        for _ in range(40)
    ]
    low, high = finder_figures(fields, rounds=300)["intervals"]["recall"]
    assert low < 0.3
    assert high > 0.7


def test_draws_without_a_figure_are_left_out():
    low, high = bootstrap(3, lambda drawn: float("nan") if drawn[0] == 0 else 1.0, rounds=50)
    assert (low, high) == (1.0, 1.0)
    assert all(np.isnan(bootstrap(2, lambda _: float("nan"), rounds=5)))
    assert all(np.isnan(bootstrap(1, lambda _: 1.0)))


def test_a_slide_with_only_a_cut_metaphase_is_not_free():
    seen = [outcome([Thing(295, 100), debris(100, 100)], [], slide="cut")]
    assert scores_by_slide(seen)["cut"].free_negative_score.size == 0
    assert finder_figures(seen, rounds=0)["true_negative_rate_free_slides"] is None


def test_figures_of_nothing_are_none_and_not_a_crash():
    figures = finder_figures([])
    assert figures["recall"] is None
    assert figures["fields"] == 0


def test_the_search_asks_for_rejected_proposals_too():
    asked = []

    def finder(pixels, um_per_px, *, min_score):
        asked.append((pixels.shape, um_per_px, min_score))
        return [Hit(100, 100, 0.01)]

    seen = search(Picture((Thing(100, 100),), slide="x", number=7), finder)
    assert asked == [((200, 300), 0.5, 0.0)]
    assert (seen.slide, seen.number, seen.finds[0].planted) == ("x", 7, 0)
    assert seen.seconds >= 0.0


def test_curves_of_pooled_slides():
    seen = [outcome([Thing(50, 50)], [Hit(50, 50, 0.9)], slide="a"), outcome([], [Hit(9, 9, 0.4)], slide="b")]
    scores = pooled(list(scores_by_slide(seen).values()))
    assert curve(scores).precision.tolist() == [1.0, 0.5]
    assert reliability(scores).count.sum() == 2


def test_the_best_of_a_slide_against_chance():
    cells = [Thing(50 + 20 * k, 50, radius_px=9, source=f"cell-{k}", analysable=k < 3) for k in range(6)]
    spoilt = Thing(50, 150, kind="burst", source="cell-0", analysable=False)
    hits = [Hit(cell.x_px, 50, 0.9, rank=1.0 - 0.1 * k) for k, cell in enumerate(cells)]
    hits += [Hit(250, 150, 0.9, rank=0.05), Hit(50, 150, 0.9, rank=0.85), Hit(150, 150, 0.4, rank=1.0)]
    needed = {f"cell-{k}": float(k) for k in range(5)}
    (ranked,) = ranked_slides([outcome([*cells, spoilt], hits)], needed, number=2)
    # Neither the false find nor the spoilt cell nor the cell without a figure has interactions.
    assert ranked.interactions == (0.5, 2.0)
    # By rank: analysable, analysable, spoilt, ...; three of eight are analysable.
    assert ranked.analysable == (1.0, pytest.approx(3 / 8))
    assert ranked.finds == (8, 5)
    assert ranked_slides([outcome(cells, hits)], needed, number=5) == []

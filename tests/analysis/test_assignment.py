from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.assignment.joint_assignment import SEX_COMPLEMENTS, AssignmentCosts, assign, load_assignment_costs
from analysis.structures.classes import CLASS_NAMES, UNCLASSIFIED

AUTOSOMES = [name for name in CLASS_NAMES[:22] for _ in range(2)]


def evidence(names: list[str], sure: float = 0.97, seed: int = 0) -> np.ndarray:
    """Log probabilities of a classifier that is right, with some spread over the other classes."""
    rng = np.random.default_rng(seed)
    prob = rng.dirichlet(np.full(24, 0.5), len(names)) * (1 - sure)
    for row, name in enumerate(names):
        prob[row, CLASS_NAMES.index(name)] += sure
    return np.log(np.maximum(prob, 1e-9))


@pytest.mark.parametrize(
    ("change", "sex", "extra", "missing"),
    [
        ([], "XX", (), ()),
        ([], "XY", (), ()),
        (["+21"], "XY", ("21",), ()),
        (["+18"], "XX", ("18",), ()),
        (["-7"], "XX", (), ("7",)),
        (["+13", "-14"], "XY", ("13",), ("14",)),
        (["+8", "+8"], "XX", ("8", "8"), ()),
    ],
)
def test_evidence_beats_the_normal_count(
    change: list[str], sex: str, extra: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    names = AUTOSOMES + list(sex)
    for entry in change:
        if entry[0] == "+":
            names.append(entry[1:])
        else:
            names.remove(entry[1:])
    result = assign(evidence(names))
    assert list(result.classes) == names
    assert (result.hypothesis, result.extra, result.missing) == (sex, extra, missing)
    assert np.median(result.probability) > 0.95


@pytest.mark.parametrize("sex", ["X", "XXY", "XYY", "XXX"])
def test_other_sex_complements_win_on_evidence(sex: str) -> None:
    names = AUTOSOMES + list(sex)
    result = assign(evidence(names))
    assert list(result.classes) == names
    assert (result.hypothesis, result.extra, result.missing) == (sex, (), ())


def test_the_cell_corrects_a_weak_mistake() -> None:
    names = [*AUTOSOMES, "X", "Y"]
    log_prob = evidence(names)
    wrong = names.index("9")
    log_prob[wrong, CLASS_NAMES.index("11")] = np.log(0.55)
    log_prob[wrong, CLASS_NAMES.index("9")] = np.log(0.4)
    result = assign(log_prob)
    assert list(result.classes) == names
    assert result.probability[wrong] < result.probability.mean()


def test_what_is_no_chromosome_is_left_out() -> None:
    names = [*AUTOSOMES, "X", "X"]
    log_prob = np.concatenate([evidence(names), np.full((1, 24), -np.log(24))])
    log_none = np.full(47, -8.0)
    log_none[-1] = -0.05
    result = assign(log_prob, log_none)
    assert result.classes[-1] == "?"
    assert list(result.classes[:-1]) == names


def test_a_chromosome_like_none_has_a_place_of_its_own() -> None:
    names = [*AUTOSOMES, "X", "X"]
    odd = np.full((1, 24), -9.0)
    result = assign(np.concatenate([evidence(names), odd]), np.full(47, -8.0))
    assert result.classes[-1] == UNCLASSIFIED
    assert result.possible_markers == (46,)
    debris = assign(np.concatenate([evidence(names), odd]), np.append(np.full(46, -8.0), -0.01))
    assert (debris.classes[-1], debris.possible_markers) == (UNCLASSIFIED, ())


def test_empty_cell() -> None:
    result = assign(np.zeros((0, 24)))
    assert result.classes == ()
    assert result.probability.shape == (0,)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(0, 10_000))
def test_any_scores_give_a_complete_answer_whatever_their_order(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    log_prob = np.log(rng.dirichlet(np.full(24, 0.2), count) + 1e-9)
    result = assign(log_prob)
    assert len(result.classes) == count
    assert ((result.probability >= 0.5) & (result.probability <= 1)).all()
    order = rng.permutation(count)
    again = assign(log_prob[order])
    assert again.classes == tuple(result.classes[k] for k in order)
    counts = Counter(result.classes)
    assert sum(counts.values()) == count


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 50), st.integers(0, 10_000), st.sampled_from([0.02, 0.2, 1.0]))
def test_margins_are_those_of_forbidding_every_answer(count: int, seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    log_prob = np.log(rng.dirichlet(np.full(24, spread), count) + 1e-9)
    log_none = np.log(rng.uniform(1e-4, 0.9, count))
    prices = load_assignment_costs()
    result = assign(log_prob, log_none, prices)
    total = total_cost(log_prob, log_none, result.classes, prices)
    named = [row for row in range(count) if result.classes[row] != UNCLASSIFIED]
    for row in rng.permutation(named)[:3]:
        barred = log_prob.copy()
        barred[row, CLASS_NAMES.index(result.classes[row])] = -1e4
        other = assign(barred, log_none, prices, margins=False).classes
        second = total_cost(log_prob, log_none, other, prices)
        odds = np.float64(result.probability[row])
        margin = np.log(odds / max(1.0 - odds, 1e-5))
        assert min(margin, 9.0) == pytest.approx(min(second - total, 9.0), abs=0.01)


def total_cost(
    log_prob: np.ndarray, log_none: np.ndarray, classes: tuple[str, ...], prices: AssignmentCosts
) -> float:
    """Price of an answer, reckoned from its definition."""
    total = 0.0
    for row, name in enumerate(classes):
        if name == UNCLASSIFIED:
            total += min(prices.unclassified, prices.refused - log_none[row])
        else:
            total -= log_prob[row, CLASS_NAMES.index(name)] + np.log1p(-np.exp(log_none[row]))
    counts = Counter(classes)
    own = []
    for _, copies_x, copies_y in SEX_COMPLEMENTS:
        price = 0.0 if (copies_x, copies_y) in ((2, 0), (1, 1)) else prices.odd_sex
        for name in CLASS_NAMES:
            surplus = counts[name] - {"X": copies_x, "Y": copies_y}.get(name, 2)
            price += prices.extra * surplus if surplus > 0 else -prices.missing * surplus
        own.append(price)
    return total + min(own)

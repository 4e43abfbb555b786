from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.selection.alternatives import AlternativeSettings, pile_alternatives
from analysis.selection.energy import SelectionEnergy, empty_energy
from analysis.selection.search import improve_selection

WHOLE, FIRST_HALF, SECOND_HALF, ELSEWHERE = range(4)


def halves_and_whole(whole: float, half: float) -> SelectionEnergy:
    """A whole that competes with two halves of it, and a chromosome that lies elsewhere."""
    pair = np.zeros((4, 4))
    for part in (FIRST_HALF, SECOND_HALF):
        pair[WHOLE, part] = pair[part, WHOLE] = -9.0
    return replace(
        empty_energy(4),
        single=np.asarray([whole, half, half, 5.0]),
        pair=pair,
        free=np.ones(4, np.bool_),
        competing=pair < 0.0,
    )


def total(energy: SelectionEnergy, selected: NDArray[np.bool_]) -> float:
    return float(energy.single @ selected + 0.5 * selected @ energy.pair @ selected)


def random_energy(seed: int, count: int = 7) -> SelectionEnergy:
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.normal(-2.0, 3.0, (count, count)) * (rng.random((count, count)) < 0.4), 1)
    chance = rng.dirichlet(np.full(24, 0.1), count)
    pair = upper + upper.T
    return SelectionEnergy(
        rng.normal(0.0, 2.0, count), pair, np.ones(count, np.bool_), pair < -1.0, chance, 1.5, 0.5
    )


@pytest.mark.parametrize("seed", range(5))
def test_gains_of_changes_add_up_along_any_sequence(seed: int) -> None:
    energy = random_energy(seed)
    rng = np.random.default_rng(seed)
    for _ in range(20):
        selected = rng.random(len(energy)) < 0.5
        rows = rng.permutation(len(energy))[:3]
        state, one_by_one = selected.copy(), 0.0
        for row in rows:
            one_by_one += energy.gain(state, np.asarray([row]))
            assert energy.gains(state)[row] == pytest.approx(energy.gain(state, np.asarray([row])))
            state[row] = ~state[row]
        assert energy.gain(selected, rows) == pytest.approx(one_by_one)


def test_a_whole_takes_the_place_of_two_halves_and_the_other_way_round() -> None:
    halves = np.asarray([False, True, True, True])
    whole = np.asarray([True, False, False, True])
    for start in (halves, whole):
        assert improve_selection(halves_and_whole(7.0, 2.0), start, max_changes=9).tolist() == whole.tolist()
        assert improve_selection(halves_and_whole(3.0, 2.0), start, max_changes=9).tolist() == halves.tolist()


def test_proposals_that_are_not_free_stay() -> None:
    energy = replace(halves_and_whole(7.0, 2.0), free=np.asarray([True, False, True, True]))
    halves = np.asarray([False, True, True, True])
    assert improve_selection(energy, halves, max_changes=9).tolist() == halves.tolist()
    assert all(
        FIRST_HALF not in (*each.rows_in, *each.rows_out)
        for pile in pile_alternatives(energy, halves)
        for each in pile.alternatives
    )


def test_the_other_explanation_of_a_pile_has_the_probability_of_a_softmax_over_its_configurations() -> None:
    energy = halves_and_whole(3.5, 2.0)
    halves = np.asarray([False, True, True, True])
    piles = pile_alternatives(energy, halves, AlternativeSettings(min_probability=0.01, most=9))
    assert len(piles) == 1
    (pile,) = piles
    assert pile.rows == (FIRST_HALF, SECOND_HALF)
    best = pile.alternatives[0]
    assert (best.rows_in, best.rows_out) == ((WHOLE,), (FIRST_HALF, SECOND_HALF))
    # The chromosome elsewhere is in every configuration, and without the two no explanation is left out but none.
    configurations = [np.asarray([*each, True]) for each in itertools.product([False, True], repeat=3)]
    reached = [each for each in configurations if each[:3].any()]
    chance = np.exp([total(energy, each) for each in reached])
    expected = {tuple(each): value for each, value in zip(map(tuple, reached), chance / chance.sum(), strict=True)}
    assert best.probability == pytest.approx(expected[(True, False, False, True)], abs=1e-3)
    assert pile.probability == pytest.approx(expected[(False, True, True, True)], abs=1e-3)


def test_piles_apart_have_probabilities_of_their_own_the_least_certain_first() -> None:
    energy = replace(
        empty_energy(4),
        single=np.asarray([0.1, -1.0, 6.0, -6.0]),
        free=np.ones(4, np.bool_),
    )
    piles = pile_alternatives(energy, np.asarray([True, False, True, False]))
    assert [pile.alternatives[0].rows_out or pile.alternatives[0].rows_in for pile in piles] == [(0,), (1,)]
    assert piles[0].probability == pytest.approx(1.0 / (1.0 + np.exp(-0.1)))
    assert piles[1].alternatives[0].probability == pytest.approx(1.0 / (1.0 + np.e))


def test_no_proposal_no_alternative() -> None:
    assert pile_alternatives(empty_energy(0), np.zeros(0, np.bool_)) == ()


def test_a_third_of_a_class_costs_and_an_empty_place_draws() -> None:
    chance = np.zeros((3, 24))
    chance[:, 4] = 1.0
    energy = replace(
        empty_energy(3), class_probability=chance, third_price=2.0, place_gain=0.5, free=np.ones(3, np.bool_)
    )
    two = np.asarray([True, True, False])
    assert energy.gains(two).tolist() == pytest.approx([-0.5, -0.5, -2.0])

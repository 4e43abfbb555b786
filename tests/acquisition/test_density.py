"""How many analysable cells: exact where it can be counted, honest about what is not known."""

from datetime import UTC, datetime
from itertools import product

import numpy as np
import pytest

from acquisition.plan.density import (
    CellDensity,
    Expected,
    FieldYield,
    density_of,
    expected_cells,
    step_mm2,
    yields_of,
)
from acquisition.plan.stopping import StopReason, count_distribution, probability_of_at_least, stop_reason
from acquisition.protocol import Stop
from acquisition.records import CandidateRecord, CandidateStatus, FieldRecord, FieldStatus

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


def field(index, *, status=FieldStatus.DONE, columns=4):
    row, column = divmod(index, columns)
    place = (1000.0 + 800 * column, 2000.0 + 600 * row)
    return FieldRecord(index, row, column, *place, *place, 3.0, status, NOON, 35.0, 1.0, 10.0, 60.0, 1)


def candidate(field_index, score, analysable=None):
    return CandidateRecord(
        f"c{field_index}-{score}-{analysable}", field_index, 0.0, 0.0, 20.0, score, 1, CandidateStatus.SELECTED,
        analysable=analysable,
    )  # fmt: skip


def test_the_distribution_of_the_count_agrees_with_counting_all_cases():
    chances = (0.9, 0.5, 0.2, 0.75)
    exactly = np.zeros(5)
    for outcome in product((0, 1), repeat=4):
        exactly[sum(outcome)] += np.prod([p if hit else 1 - p for p, hit in zip(chances, outcome, strict=True)])
    assert count_distribution(chances) == pytest.approx(exactly)
    assert probability_of_at_least(3, chances) == pytest.approx(exactly[3:].sum())


def test_certain_cells_are_counted_and_uncertain_ones_are_given_with_an_interval():
    assert expected_cells([1.0] * 7) == Expected(7.0, 7, 7)
    assert expected_cells([]) == Expected(0.0, 0, 0)
    # 100 coins: 95 of 100 times between 40 and 60.
    assert expected_cells([0.5] * 100) == Expected(50.0, 40, 60)


def test_the_stop_rule_goes_by_what_is_analysable_and_not_by_what_is_a_metaphase():
    stop = Stop(cells=20, probability=0.95)
    assert stop_reason(stop, [0.99] * 22, 0.0) is StopReason.ENOUGH_CELLS
    assert stop_reason(stop, [0.5] * 44, 0.0) is None
    assert stop_reason(stop, [0.5] * 60, 0.0) is StopReason.ENOUGH_CELLS


def test_calibrated_chances_stop_a_scan_with_too_few_cells_no_more_often_than_allowed():
    rng = np.random.default_rng(3)
    stop, short = Stop(cells=15, probability=0.9), 0
    for _ in range(200):
        chances: list[float] = []
        while stop_reason(stop, chances, 0.0) is None:
            chances.append(float(rng.beta(3, 1.5)))
        short += (rng.random(len(chances)) < chances).sum() < 15
    assert short / 200 <= 0.1 + 3 * np.sqrt(0.1 * 0.9 / 200)


def test_a_field_yields_the_sum_of_the_chances_on_it():
    fields = [field(0), field(1), field(2, status=FieldStatus.FAILED)]
    # Whether it is a metaphase, and whether that one can be analysed: both have to be so.
    yields = yields_of(
        fields, [candidate(0, 1.0, 0.5), candidate(0, 0.8), candidate(1, 0.5, 0.6), candidate(2, 0.9)]
    )
    assert sorted(yields) == [0, 1]
    assert (yields[0].cells, yields[0].variance) == (pytest.approx(1.3), pytest.approx(0.25 + 0.16))
    assert (yields[1].cells, yields[1].variance) == (pytest.approx(0.3), pytest.approx(0.21))


def test_a_field_adds_the_step_of_the_grid_and_a_single_row_tells_none():
    assert step_mm2([field(index) for index in range(12)]) == pytest.approx(0.48)
    assert step_mm2([field(index) for index in (0, 2, 9, 11)]) == pytest.approx(0.48)
    assert step_mm2([field(index) for index in range(4)]) is None


def test_cells_strewn_at_random_give_the_gamma_poisson_answer():
    yields = {index: FieldYield(1.0 if index % 4 == 0 else 0.0) for index in range(100)}
    density = density_of(yields, 0.5)
    assert density == CellDensity(25.0, 100, 0.5, 1.0)
    # Posterior Gamma(25.5, 100) a field, from tables of the Gamma distribution.
    assert density.per_mm2.mean == pytest.approx(0.51)
    assert (density.per_mm2.low, density.per_mm2.high) == (
        pytest.approx(0.332, abs=2e-3),
        pytest.approx(0.726, abs=2e-3),
    )
    # Another 100 fields: negative binomial, mean 25.5 and variance 51.
    assert density.on(50.0) == Expected(pytest.approx(25.5), 13.0, 41.0)


def test_no_cell_seen_is_not_no_cell_there():
    density = density_of(dict.fromkeys(range(50), FieldYield()), 0.5)
    assert density.per_mm2.mean == pytest.approx(0.02)
    assert 0.08 < density.per_mm2.high < 0.12
    assert density_of({}, 0.5) is None


def test_cells_in_patches_leave_more_doubt():
    rng = np.random.default_rng(8)
    even = density_of({i: FieldYield(float(n)) for i, n in enumerate(rng.poisson(0.5, 200))}, 0.5)
    patchy = density_of(
        {i: FieldYield(float(n)) for i, n in enumerate(rng.poisson(rng.gamma(0.25, 2.0, 200)))}, 0.5
    )
    assert even.dispersion < 1.4 < 2.0 < patchy.dispersion
    assert patchy.on(50).high - patchy.on(50).low > 1.3 * (even.on(50).high - even.on(50).low)


@pytest.mark.parametrize("clumping", [None, 0.3])
def test_the_interval_holds_the_truth_as_often_as_it_says(clumping):
    rng = np.random.default_rng(9)
    held = 0
    for _ in range(150):
        rate = rng.uniform(0.1, 1.5)
        rates = np.full(240, rate) if clumping is None else rng.gamma(clumping, rate / clumping, 240)
        counts = rng.poisson(rates)
        chances = [rng.beta(4, 1, n) for n in counts]
        real = np.array([(rng.random(p.size) < p).sum() for p in chances])
        seen = {
            index: FieldYield(float(p.sum()), float((p * (1 - p)).sum())) for index, p in enumerate(chances[:120])
        }
        there = density_of(seen, 0.5).on(60.0)
        held += there.low <= real[120:].sum() <= there.high
    assert held / 150 >= 0.9


def test_the_area_that_is_needed_holds_enough_cells():
    density = CellDensity(100.0, 200, 0.5)
    area_mm2 = density.area_for(20, 0.95, at_most_mm2=500.0)
    assert 20.0 < area_mm2 < 40.0
    assert density.on(area_mm2).mean > 20
    assert density.area_for(20, 0.99, at_most_mm2=500.0) > area_mm2
    assert density.area_for(20, 0.95, at_most_mm2=15.0) is None
    assert density.on(0.0) == Expected(0.0, 0.0, 0.0)

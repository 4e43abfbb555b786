"""The search of both passes: it climbs, ends, and takes joint changes where single ones gain nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.selection.search import MIN_GAIN, improve_selection


@dataclass
class Pairwise:
    """Each proposal has a value, each pair selected together a price; joint changes of the pairs given."""

    value: NDArray[np.float64]
    price: NDArray[np.float64]
    joint: list[tuple[int, ...]] = field(default_factory=list)

    def total(self, selected: NDArray[np.bool_]) -> float:
        return float(self.value[selected].sum() - 0.5 * self.price[np.ix_(selected, selected)].sum())

    def gain(self, selected: NDArray[np.bool_], rows: tuple[int, ...]) -> float:
        changed = selected.copy()
        changed[list(rows)] = ~changed[list(rows)]
        return self.total(changed) - self.total(selected)

    def gains(self, selected: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.asarray([self.gain(selected, (row,)) for row in range(len(selected))])

    def replacements(self, selected: NDArray[np.bool_]) -> Iterator[tuple[float, NDArray[np.intp]]]:
        for rows in self.joint:
            yield self.gain(selected, rows), np.asarray(rows, np.intp)


@st.composite
def objectives(draw: st.DrawFn) -> Pairwise:
    count = draw(st.integers(0, 7))
    number = st.floats(-5.0, 5.0)
    value = np.asarray([draw(number) for _ in range(count)])
    price = np.zeros((count, count))
    for i in range(count):
        for j in range(i):
            price[i, j] = price[j, i] = draw(st.floats(0.0, 5.0))
    return Pairwise(value, price)


@given(objectives(), st.data())
@settings(max_examples=80, deadline=None)
def test_what_the_search_returns_no_single_change_improves(objective: Pairwise, data: st.DataObject) -> None:
    start = np.asarray([data.draw(st.booleans()) for _ in objective.value], np.bool_)
    selected = improve_selection(objective, start, max_changes=1000)
    assert objective.total(selected) >= objective.total(start)
    assert (objective.gains(selected) <= MIN_GAIN).all()
    again = improve_selection(objective, selected, max_changes=1000)
    assert again.tolist() == selected.tolist()


def test_a_whole_replaces_two_halves_only_by_a_joint_change() -> None:
    value = np.asarray([2.0, 2.0, 5.0])
    price = np.asarray([[0.0, 0.0, 9.0], [0.0, 0.0, 9.0], [9.0, 9.0, 0.0]])
    halves = np.asarray([True, True, False])
    assert improve_selection(Pairwise(value, price), halves, max_changes=9).tolist() == halves.tolist()
    joint = Pairwise(value, price, [(0, 1, 2)])
    assert improve_selection(joint, halves, max_changes=9).tolist() == [False, False, True]


def test_the_search_starts_where_it_is_told_and_leaves_that_alone() -> None:
    objective = Pairwise(np.asarray([1.0, 2.0, 3.0]), np.zeros((3, 3)))
    start = np.zeros(3, np.bool_)
    assert improve_selection(objective, start, max_changes=2).tolist() == [False, True, True]
    assert not start.any()


def test_minus_infinity_keeps_a_proposal_as_it_is() -> None:
    @dataclass
    class Fixed(Pairwise):
        def gains(self, selected: NDArray[np.bool_]) -> NDArray[np.float64]:
            return np.where(np.arange(len(selected)) == 1, -np.inf, super().gains(selected))

    objective = Fixed(np.asarray([1.0, 9.0, -1.0]), np.zeros((3, 3)))
    assert improve_selection(objective, np.asarray([False, False, True]), max_changes=9).tolist() == [
        True,
        False,
        False,
    ]

"""The simulated reviewer: what each fault of a drawn cell costs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.metrics.corrections import (
    STRICT_RULE,
    CorrectionKind,
    DrawnAlternative,
    DrawnObject,
    cheapest_corrections,
)

CELL_WIDTH_PX, HEIGHT_PX, WIDTH_PX = 100.0, 60.0, 20.0


def chromosome(place: int, name: str) -> DrawnObject:
    """One upright chromosome of a row in which none touches another."""
    left = place * CELL_WIDTH_PX
    return DrawnObject(name, (left, 0.0, left + WIDTH_PX, HEIGHT_PX))


def piece(whole: DrawnObject, top: float, bottom: float) -> DrawnObject:
    """A piece of a chromosome between two fractions of its length."""
    left, upper, right, lower = whole.box_px
    length = lower - upper
    return replace(whole, box_px=(left, upper + top * length, right, upper + bottom * length))


def around(*members: DrawnObject, name: str = "1") -> DrawnObject:
    """One object that holds several."""
    boxes = [each.box_px for each in members]
    return DrawnObject(
        name,
        (min(b[0] for b in boxes), min(b[1] for b in boxes), max(b[2] for b in boxes), max(b[3] for b in boxes)),
    )


def side_by_side(count: int) -> list[DrawnObject]:
    """A pile of parallel chromosomes."""
    return [DrawnObject(str(k + 1), (k * WIDTH_PX, 0.0, (k + 1) * WIDTH_PX, HEIGHT_PX)) for k in range(count)]


CELL = [chromosome(place, name) for place, name in enumerate(["1", "1", "2", "21", "X", "Y"])]
cells = st.lists(st.sampled_from(["1", "2", "3", "21", "X", "Y"]), min_size=1, max_size=12).map(
    lambda names: [chromosome(place, name) for place, name in enumerate(names)]
)


@given(cells)
@settings(max_examples=30, deadline=None)
def test_a_right_cell_takes_no_correction_in_any_order(cell: list[DrawnObject]) -> None:
    assert cheapest_corrections(cell[::-1], cell).total == 0


@given(cells, st.data())
@settings(max_examples=30, deadline=None)
def test_what_is_missing_is_added_and_what_is_false_is_deleted(
    cell: list[DrawnObject], data: st.DataObject
) -> None:
    kept = data.draw(st.lists(st.booleans(), min_size=len(cell), max_size=len(cell)))
    drawn = [each for each, keep in zip(cell, kept, strict=True) if keep]
    missing = len(cell) - len(drawn)
    assert cheapest_corrections(drawn, cell).total == cheapest_corrections(cell, drawn).total == missing
    assert set(cheapest_corrections(drawn, cell).counts) == ({CorrectionKind.ADD} if missing else set())
    assert set(cheapest_corrections(cell, drawn).counts) == ({CorrectionKind.DELETE} if missing else set())


@given(cells, st.permutations(range(12)))
@settings(max_examples=30, deadline=None)
def test_wrong_classes_take_a_drag_each_at_the_most_and_exchanges_fewer(
    cell: list[DrawnObject], order: list[int]
) -> None:
    names = [cell[k].class_name for k in order if k < len(cell)]
    drawn = [replace(each, class_name=name) for each, name in zip(cell, names, strict=True)]
    wrong = sum(a.class_name != b.class_name for a, b in zip(drawn, cell, strict=True))
    total = cheapest_corrections(drawn, cell).total
    # Each drag sets at most two chromosomes right.
    assert (wrong + 1) // 2 <= total <= wrong


@pytest.mark.parametrize(
    ("drawn_names", "kinds"),
    [
        (["2", "1", "3"], {CorrectionKind.EXCHANGE: 1}),
        (["2", "3", "1"], {CorrectionKind.EXCHANGE: 2}),
        (["1", "2", "?"], {CorrectionKind.MOVE: 1}),
        (["2", "3", "X"], {CorrectionKind.MOVE: 3}),
    ],
)
def test_an_exchange_sets_two_classes_right(drawn_names: list[str], kinds: dict[CorrectionKind, int]) -> None:
    truth = [chromosome(place, name) for place, name in enumerate(["1", "2", "3"])]
    drawn = [replace(each, class_name=name) for each, name in zip(truth, drawn_names, strict=True)]
    assert cheapest_corrections(drawn, truth).counts == kinds


def test_pieces_of_one_chromosome_are_joined() -> None:
    first, rest = CELL[0], CELL[1:]
    halves = [piece(first, 0.0, 0.5), piece(first, 0.5, 1.0)]
    thirds = [piece(first, 0.0, 0.33), piece(first, 0.33, 0.66), piece(first, 0.66, 1.0)]
    assert cheapest_corrections([*halves, *rest], CELL).counts in (
        {CorrectionKind.JOIN: 1},
        {CorrectionKind.DELETE: 1},
    )
    assert cheapest_corrections([*halves, *rest], CELL, rule=STRICT_RULE).counts == {CorrectionKind.JOIN: 1}
    assert cheapest_corrections([*thirds, *rest], CELL, rule=STRICT_RULE).counts == {CorrectionKind.JOIN: 2}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_pile_in_one_object_is_separated_by_lines(count: int) -> None:
    pile = side_by_side(count)
    counts = cheapest_corrections([around(*pile)], pile).counts
    assert sum(counts.values()) == count - 1
    if count > 2:
        # Of two, the object is still one of them by its box, and adding the other costs as much as the line.
        assert counts == {CorrectionKind.SEPARATE: count - 1}


def test_a_scrap_of_a_mask_is_outlined_anew() -> None:
    scrap = piece(CELL[2], 0.0, 0.3)
    drawn = [*CELL[:2], scrap, *CELL[3:]]
    assert cheapest_corrections(drawn, CELL).counts == {CorrectionKind.OUTLINE: 1}
    gnawed = piece(CELL[2], 0.0, 0.6)
    drawn[2] = gnawed
    assert cheapest_corrections(drawn, CELL).total == 0
    assert cheapest_corrections(drawn, CELL, rule=STRICT_RULE).counts == {CorrectionKind.OUTLINE: 1}


def test_an_alternative_is_chosen_where_it_saves_corrections() -> None:
    pile, rest = side_by_side(3), [chromosome(place, "X") for place in (8, 9)]
    truth = [*pile, *rest]
    drawn = [around(*pile), *rest]
    right = DrawnAlternative(frozenset({0}), tuple(pile), 0.3)
    wrong = DrawnAlternative(frozenset({1}), (), 0.1)
    assert cheapest_corrections(drawn, truth).total == 2
    assert cheapest_corrections(drawn, truth, [wrong, right]).counts == {CorrectionKind.ALTERNATIVE: 1}
    assert cheapest_corrections(truth, truth, [replace(wrong, replaces=frozenset({3}))]).total == 0


def test_of_two_alternatives_of_one_pile_only_one_is_chosen() -> None:
    pile = side_by_side(4)
    halves = [
        DrawnAlternative(frozenset({0}), tuple(pile[:2])),
        DrawnAlternative(frozenset({0}), tuple(pile[2:])),
    ]
    assert cheapest_corrections([around(*pile)], pile, halves).total == 3


@given(cells, cells)
@settings(max_examples=30, deadline=None)
def test_corrections_never_cost_more_than_drawing_all_anew(
    drawn: list[DrawnObject], truth: list[DrawnObject]
) -> None:
    total = cheapest_corrections(drawn, truth).total
    assert abs(len(drawn) - len(truth)) <= total <= len(drawn) + len(truth)
    assert cheapest_corrections(drawn, truth, [DrawnAlternative(frozenset({0}), tuple(truth[:1]))]).total <= total

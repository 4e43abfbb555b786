from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.case.case_iscn import count_effect, parse_case
from analysis.case.clones import CaseOrigin, CellKaryotype, composite, find_clones
from analysis.errors import IscnError
from analysis.structures.classes import AUTOSOMES


def cells_of(*kinds: tuple[str, int]) -> list[CellKaryotype]:
    return [CellKaryotype.from_iscn(f"{text} {n}", text) for text, count in kinds for n in range(count)]


@pytest.mark.parametrize(
    ("kinds", "constitutional", "acquired"),
    [
        ([("47,XX,+21", 12), ("46,XX", 8)], "mos 47,XX,+21[12]/46,XX[8]", "47,XX,+21[12]/46,XX[8]"),
        ([("45,X", 15), ("46,XX", 5)], "mos 45,X[15]/46,XX[5]", "45,X,-X[15]/46,XX[5]"),
        ([("46,XY", 17), ("45,X", 3)], "mos 45,X[3]/46,XY[17]", "45,X,-Y[3]/46,XY[17]"),
        ([("47,XXY", 20)], "47,XXY[20]", "47,XY,+X[20]"),
        ([("46,X,i(X)(q10)", 6), ("45,X", 5)], "mos 46,X,i(X)(q10)[6]/45,X[5]", "46,X,i(X)(q10)[6]/45,X,-X[5]"),
        ([("45,XX,-7", 2), ("46,XX", 18)], "46,XX[20]", "46,XX[20]"),
        ([("45,XX,-7", 3), ("46,XX", 17)], "mos 45,XX,-7[3]/46,XX[17]", "45,XX,-7[3]/46,XX[17]"),
        ([("47,XX,+8", 1), ("46,XX", 9)], "46,XX[10]", "46,XX[10]"),
        ([("47,XX,+8", 2), ("46,XX", 9)], "mos 47,XX,+8[2]/46,XX[9]", "47,XX,+8[2]/46,XX[9]"),
        (
            [("46,XX,t(9;22)(q34;q11.2)", 5), ("47,XX,+8,t(9;22)(q34;q11.2)", 2), ("46,XX", 1)],
            "mos 46,XX,t(9;22)(q34;q11.2)[5]/47,XX,+8,t(9;22)(q34;q11.2)[2]/46,XX[1]",
            "46,XX,t(9;22)(q34;q11.2)[5]/47,XX,+8,t(9;22)(q34;q11.2)[2]/46,XX[1]",
        ),
        ([("69,XXX", 3)], "69,XXX[3]", "69,XXX[3]"),
        ([("92,XXYY", 1), ("46,XY", 19)], "46,XY[20]", "46,XY[20]"),
        ([("46,XY", 1)], "46,XY[1]", "46,XY[1]"),
    ],
)
def test_clones_by_the_rules(kinds: list[tuple[str, int]], constitutional: str, acquired: str) -> None:
    cells = cells_of(*kinds)
    assert find_clones(cells).text == constitutional
    assert find_clones(cells, CaseOrigin.ACQUIRED).text == acquired


def test_what_is_not_clonal_is_reported_and_its_cell_counted() -> None:
    case = find_clones(cells_of(("47,XX,+8", 5), ("48,XX,+8,+21", 1), ("45,XX,-3", 1), ("46,XX", 3)))
    assert case.text == "mos 47,XX,+8[6]/46,XX[4]"
    assert {finding.item: len(finding.cells) for finding in case.nonclonal} == {"+21": 1, "-3": 1}
    assert case.nonclonal[0].cells == ("48,XX,+8,+21 0",)
    assert case.mosaic


def test_a_second_copy_is_a_change_of_its_own() -> None:
    case = find_clones(cells_of(("48,XX,+8,+8", 1), ("47,XX,+8", 3)))
    assert case.text == "47,XX,+8[4]"
    assert [finding.item for finding in case.nonclonal] == ["+8"]


def test_cells_that_all_differ_make_a_composite() -> None:
    cells = cells_of(("47,XX,+8", 1), ("48,XX,+8,+21", 1), ("47,XX,+21", 1))
    assert composite(cells) == "47~48,XX,+8[2],+21[2][cp3]"
    assert find_clones(cells, CaseOrigin.ACQUIRED).text == composite(cells)
    line = parse_case(composite(cells)).lines[0]
    assert (line.composite, line.cells, line.item_cells) == (True, 3, (2, 2))


def test_no_cells_no_string() -> None:
    assert find_clones([]).text == ""
    assert composite([]) == ""


@pytest.mark.parametrize(
    "text",
    [
        "46,XY,+21",
        "47,XX",
        "46",
        "46,XX,",
        "46,YX",
        "46,XX,zz(3)",
        "46,XX,+23",
        "46,XX,t(9;22)(q34;q11.2",
        "46,XX[0]",
        "mos 46,XX",
        "mos 46,XX[20]",
        "46,XX/47,XX,+8[3]",
        "45,XX,rob(14;21)(q10;q10),+21",
        "46,XX,-7,-7,-7,+8,+9,+10",
        "45~48,XX,+8[12],-7[3][cp10]",
        "47,idem,+8",
        "",
    ],
)
def test_strings_that_are_wrong_are_refused(text: str) -> None:
    with pytest.raises(IscnError):
        parse_case(text)


@pytest.mark.parametrize(
    "text",
    [
        "46,XX",
        "mos 47,XX,+21[12]/46,XX[8]",
        "46,XX,rob(14;21)(q10;q10),+21",
        "46,X,i(X)(q10)",
        "46,Y,t(X;22)(p11;q11)",
        "45,X,-Y[3]/46,XY[17]",
        "46,XX,t(9;22)(q34;q11.2)[5]/47,idem,+8[3]",
        "45~48,XX,+8[4],-7[3][cp10]",
        "47,XX,+der(22)t(11;22)(q23;q11.2)",
        "70<3n>,XXY,+8",
        "47,XY,+mar",
        "46,XX,inc",
        "46,XX,del(5)(q13q33)dn",
    ],
)
def test_strings_that_are_right_are_read(text: str) -> None:
    assert parse_case(text).lines


autosomal = st.lists(
    st.tuples(st.sampled_from("+-"), st.sampled_from(AUTOSOMES)).map("".join),
    max_size=3,
    unique_by=lambda i: i[1:],
)
structural = st.lists(
    st.sampled_from(["t(9;22)(q34;q11.2)", "del(5)(q13q33)", "inv(9)(p12q13)"]), max_size=1, unique=True
)
kinds = st.builds(
    lambda sex, items, more: (sex, (*items, *more)),
    st.sampled_from(["XX", "XY", "X", "XXY", "XXX"]),
    autosomal,
    structural,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(kinds, st.integers(1, 4)), min_size=1, max_size=5),
    st.sampled_from(CaseOrigin),
)
def test_every_case_string_reads_back(
    groups: list[tuple[tuple[str, tuple[str, ...]], int]], nature: CaseOrigin
) -> None:
    cells = [
        CellKaryotype(f"{k}.{n}", sex, items)
        for k, ((sex, items), count) in enumerate(groups)
        for n in range(count)
    ]
    case = find_clones(cells, CaseOrigin(nature))
    parsed = parse_case(case.text)
    assert sum(line.cells or 0 for line in parsed.lines) == len(cells)
    assert sorted(name for clone in case.clones for name in clone.cells) == sorted(cell.name for cell in cells)
    assert [clone.normal for clone in case.clones[:-1]] == [False] * (len(case.clones) - 1)
    for clone in case.clones:
        again = CellKaryotype.from_iscn("again", clone.text)
        assert len(AUTOSOMES) * 2 + len(again.sex) + sum(count_effect(item) for item in again.items) == int(
            clone.text.split(",")[0]
        )
        if not clone.normal:
            assert len(clone.cells) >= 2
    for finding in case.nonclonal:
        assert len(finding.cells) == len(set(finding.cells))


@settings(max_examples=60, deadline=None)
@given(kinds, st.integers(3, 6))
def test_a_case_of_like_cells_is_their_own_karyotype(kind: tuple[str, tuple[str, ...]], count: int) -> None:
    sex, items = kind
    case = find_clones([CellKaryotype(str(n), sex, items) for n in range(count)])
    (clone,) = case.clones
    again = CellKaryotype.from_iscn("again", clone.text)
    assert again.sex == sex
    assert Counter(again.items) == Counter(items)
    assert case.nonclonal == ()

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.case.case_iscn import parse_case
from analysis.karyotyping.iscn import LOSSES_BELIEVED, MAX_NEAR_DIPLOID, MAX_NEAR_TRIPLOID, compose_iscn
from analysis.structures.classes import AUTOSOMES, CLASS_NAMES, MARKER

PAIRS = [name for name in CLASS_NAMES[:22] for _ in range(2)]
_FORM = re.compile(
    r"(?P<count>\d+)(?:<(?P<ploidy>[234])n>)?,(?P<sex>X+Y*)(?P<changes>(?:,[+-]\d+)*)(?:,\+(?P<markers>[2-9]|[1-9]\d+)?(?P<mar>mar))?(?P<inc>,inc)?"
)


def chromosome_counts(text: str) -> Counter[str]:
    """Copies of every class that an ISCN string speaks of; a ValueError where its parts don't add up."""
    form = _FORM.fullmatch(text)
    if form is None:
        raise ValueError(f"not a numerical karyotype: {text!r}")
    total, sex = int(form["count"]), form["sex"]
    ploidy = (
        int(form["ploidy"])
        if form["ploidy"]
        else 2
        if total <= MAX_NEAR_DIPLOID
        else 3
        if total <= MAX_NEAR_TRIPLOID
        else 4
    )
    counts = Counter(dict.fromkeys(AUTOSOMES, ploidy))
    counts.update({"X": sex.count("X"), "Y": sex.count("Y")})
    for change in filter(None, form["changes"].split(",")):
        if change[1:] not in AUTOSOMES:
            raise ValueError(f"there is no chromosome {change[1:]!r}: {text!r}")
        counts[change[1:]] += 1 if change[0] == "+" else -1
    if form["mar"]:
        counts[MARKER] = int(form["markers"] or 1)
    named = sum(counts.values())
    if min(counts.values()) < 0 or (named != total and not form["inc"]):
        raise ValueError(f"the parts make {named}, not {total}: {text!r}")
    return counts


def cell(sex: str, gained: tuple[str, ...] = (), lost: tuple[str, ...] = (), sets: int = 2) -> list[str]:
    names = [name for name in CLASS_NAMES[:22] for _ in range(sets)] + list(sex) + list(gained)
    for name in lost:
        names.remove(name)
    return names


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (cell("XX"), "46,XX"),
        (cell("XY"), "46,XY"),
        (cell("X"), "45,X"),
        (cell("XXY"), "47,XXY"),
        (cell("XYY"), "47,XYY"),
        (cell("XXX"), "47,XXX"),
        (cell("XY", ("21",)), "47,XY,+21"),
        (cell("XXY", ("21",)), "48,XXY,+21"),
        (cell("X", ("21",)), "46,X,+21"),
        (cell("XX", ("8", "8")), "48,XX,+8,+8"),
        (cell("XX", (), ("7",)), "45,XX,-7"),
        (cell("XY", ("21", "3"), ("7",)), "47,XY,+3,-7,+21"),
        (cell("XXX", sets=3), "69,XXX"),
        (cell("XXY", ("8",), sets=3), "70<3n>,XXY,+8"),
        (cell("XXXX", sets=4), "92,XXXX"),
        ([*cell("XX"), "mar"], "47,XX,+mar"),
        ([*cell("XY", ("8",), ("7",)), "mar", "mar"], "48,XY,-7,+8,+2mar"),
        ([*cell("XXX", sets=3), "mar"], "70<3n>,XXX,+mar"),
        ([*cell("XX", (), ("7",)), "mar", "?"], "46,XX,+mar,inc"),
        ([*cell("XX"), "?"], "46,XX,inc"),
        ([*cell("XY", ("21",), ("7",)), "?"], "46,XY,+21,inc"),
    ],
)
def test_composition(names: list[str], text: str) -> None:
    assert compose_iscn(names).text == text
    assert compose_iscn(reversed(names)).text == text


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["1"] * 34, "34 chromosomes"),
        (["1"] * 104, "104 chromosomes"),
        ([], "0 chromosomes"),
        (cell("Y"), "no X"),
        (["?"] * 46, "0 chromosomes"),
        ([*cell("XX"), *["?"] * 26], "26 objects"),
    ],
)
def test_refusals_have_a_reason(names: list[str], reason: str) -> None:
    result = compose_iscn(names)
    assert result.text is None
    assert reason in result.reason


@given(
    st.sampled_from(["X", "XX", "XY", "XXY", "XYY", "XXX", "XXYY"]),
    st.lists(st.sampled_from(CLASS_NAMES[:22]), max_size=12),
    st.sets(st.sampled_from(range(44)), max_size=9),
    st.integers(0, 11),
)
def test_composed_strings_count_back(sex: str, gained: list[str], lost: set[int], markers: int) -> None:
    names = [name for k, name in enumerate(PAIRS) if k not in lost] + gained + list(sex) + ["mar"] * markers
    text = compose_iscn(names).text
    assert text is not None
    counted = chromosome_counts(text)
    assert {name: count for name, count in counted.items() if count} == dict(Counter(names))


@pytest.mark.parametrize(
    "text",
    [
        "46,XY,+21",
        "47,XX",
        "46",
        "47,XX,+23",
        "46,XX,t(9;22)",
        "46,YX",
        "",
        "47,XX,+0",
        "47,XX,+1mar",
        "47,XX,+2mar",
    ],
)
def test_arithmetic_that_does_not_add_up_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"the parts make|not a numerical|no chromosome"):
        chromosome_counts(text)


def test_a_case_reads_the_markers_of_its_cells() -> None:
    assert parse_case("48,XY,-7,+8,+2mar").lines[0].items == ("-7", "+8", "+2mar")


def test_many_missing_chromosomes_are_not_called_losses() -> None:
    cell = [*PAIRS, "X", "Y"]
    for name in ("2", "7", "13"):
        cell.remove(name)
    assert compose_iscn(cell, losses_believed=LOSSES_BELIEVED).text == "43,XY,-2,-7,-13"
    cell.remove("14")
    assert compose_iscn(cell, losses_believed=LOSSES_BELIEVED).text == "42,XY,inc"
    assert compose_iscn(cell).text == "42,XY,-2,-7,-13,-14"

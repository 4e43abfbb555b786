"""Flags that return: a structural change seen in two cells of a case is a candidate for a clone (ISCN)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Final

from analysis.homologues.comparison import region
from analysis.structures.band_reading import HomologueDifference

CELLS_OF_A_CLONE: Final = 2
TOLERANCE: Final = 0.08
"""Share of a chromosome by which two flagged stretches may miss each other."""
MEETING: Final = 0.7
"""Share of flags of one class in normal cells of two people (train, val) whose stretches meet."""
BY_CHANCE: Final = 0.05
"""Groups of flags expected of a normal case from which on they mean nothing."""


@dataclass(frozen=True, slots=True)
class CandidateClone:
    """The same pair flagged at the same place in several cells.

    Attributes
    ----------
    class_name
        Of the pair.
    where
        What the flagged stretches have in common, or span, as bands.
    cells
        Names, in the order given.
    expected
        Groups of as many flags as rare that a normal case of as many pairs would show by chance.
    """

    class_name: str
    where: str
    cells: tuple[str, ...]
    expected: float

    @property
    def words(self) -> str:
        """One line for people; it never is a karyotype."""
        return f"check {self.where}: homologues differ in {len(self.cells)} cells"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "class": self.class_name,
            "where": self.where,
            "cells": list(self.cells),
            "expected_by_chance": round(self.expected, 5),
            "words": self.words,
        }


def candidate_clones(
    cells: Mapping[str, Sequence[HomologueDifference]], *, by_chance: float = BY_CHANCE
) -> tuple[CandidateClone, ...]:
    """Find flags that two cells or more of a case share, and that chance doesn't explain.

    Normal pairs of a person's cells are flagged independently of one another (of 94 pairs whose like was flagged
    in another cell of the same person none was), each with the rarity of the flag. The least rare flag of a group
    so tells how many groups of its size all the classes and cells compared would show; where that is more than
    ``by_chance``, it is none. In more cells flags must be rarer, or return more often.

    Parameters
    ----------
    cells
        Differences of each cell, by its name; pairs that weren't compared aren't among them.
    by_chance
        Groups expected of a normal case at the most.

    Returns
    -------
    tuple of CandidateClone
        Those of most cells first.
    """
    by_class: dict[str, list[tuple[str, HomologueDifference]]] = {}
    compared: Counter[str] = Counter()
    for name, differences in cells.items():
        for each in differences:
            compared[each.class_name] += 1
            if each.structural:
                by_class.setdefault(each.class_name, []).append((name, each))
    made = []
    for class_name, flags in by_class.items():
        # The rarest first: a weak flag must not take from what the others show.
        group = sorted(_largest_group(flags), key=lambda flag: flag[1].rarity)
        for size in range(len(group), CELLS_OF_A_CLONE - 1, -1):
            expected = _by_chance(compared, size, group[size - 1][1].rarity)
            if expected <= by_chance:
                kept = {name for name, _ in group[:size]}
                names = tuple(name for name in cells if name in kept)
                where = _common(class_name, [each for _, each in group[:size]])
                made.append(CandidateClone(class_name, where, names, expected))
                break
    return tuple(sorted(made, key=lambda clone: -len(clone.cells)))


def _by_chance(compared: Mapping[str, int], size: int, rarity: float) -> float:
    """Groups of so many flags at one place that normal pairs would give."""
    single = rarity**size * MEETING ** (size - 1)
    return sum(comb(number, size) for number in compared.values()) * single


def _largest_group(
    flags: Sequence[tuple[str, HomologueDifference]],
) -> list[tuple[str, HomologueDifference]]:
    """The most cells whose stretches meet one of them."""
    groups = [
        [
            (name, other)
            for name, other in flags
            if min(each.stop, other.stop) - max(each.start, other.start) >= -TOLERANCE
        ]
        for _, each in flags
    ]
    return max(groups, key=len, default=[])


def _common(class_name: str, flags: Sequence[HomologueDifference]) -> str:
    start, stop = max(each.start for each in flags), min(each.stop for each in flags)
    if start >= stop:
        start, stop = min(each.start for each in flags), max(each.stop for each in flags)
    return region(class_name, start, stop)

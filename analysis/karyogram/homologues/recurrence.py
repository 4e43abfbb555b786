"""Flags that return: a structural change seen in two cells of a case is a candidate for a clone (ISCN)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from analysis.karyogram.homologues.comparison import HomologueDifference, region

CELLS_OF_A_CLONE: Final = 2
TOLERANCE: Final = 0.08
"""Share of a chromosome by which two flagged stretches may miss each other."""


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
        Cells of so many in which normal pairs of one class would be flagged by chance.
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
            "expected_by_chance": round(self.expected, 3),
            "words": self.words,
        }


def candidate_clones(
    cells: Mapping[str, Sequence[HomologueDifference]], *, false_flags: float = 0.02
) -> tuple[CandidateClone, ...]:
    """Find flags that two cells or more of a case share.

    Parameters
    ----------
    cells
        Differences of each cell, by its name.
    false_flags
        Share of normal pairs that are flagged.

    Returns
    -------
    tuple of CandidateClone
        Those of most cells first.
    """
    by_class: dict[str, list[tuple[str, HomologueDifference]]] = {}
    seen: dict[str, int] = {}
    for name, differences in cells.items():
        for each in differences:
            seen[each.class_name] = seen.get(each.class_name, 0) + 1
            if each.structural:
                by_class.setdefault(each.class_name, []).append((name, each))
    made = []
    for class_name, flags in by_class.items():
        group = _largest_group(flags)
        if len(group) >= CELLS_OF_A_CLONE:
            where = _common(class_name, [each for _, each in group])
            names = tuple(name for name, _ in group)
            made.append(CandidateClone(class_name, where, names, false_flags * seen[class_name]))
    return tuple(sorted(made, key=lambda clone: -len(clone.cells)))


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

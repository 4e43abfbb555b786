"""Recurrent flags: a structural change in two cells of a case is a candidate for a clone (ISCN)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any, Final

from analysis.homologues.comparison import band_range
from analysis.structures.band_reading import HomologueDifference


@dataclass(frozen=True, slots=True)
class RecurrenceSettings:
    """Hand-set numbers of recurrent flags.

    Attributes
    ----------
    least_cells
        Cells of a candidate clone (ISCN: a structural change in two).
    gap_tolerance
        Fraction of a chromosome by which two flagged stretches may miss each other: a band or two.
    overlap_rate
        Fraction of flags of one class in normal cells of two people (train, val) whose stretches meet.
    most_expected
        Groups of flags expected of a normal case from which on they mean nothing.
    """

    least_cells: int = 2
    gap_tolerance: float = 0.08
    overlap_rate: float = 0.7
    most_expected: float = 0.05


_SETTINGS: Final = RecurrenceSettings()


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
        Groups of as many flags, as improbable, that a normal case of as many pairs would show by chance.
    """

    class_name: str
    where: str
    cells: tuple[str, ...]
    expected: float

    @property
    def text(self) -> str:
        """One line for people; it never is a karyotype."""
        return f"check {self.where}: homologues differ in {len(self.cells)} cells"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "class": self.class_name,
            "where": self.where,
            "cells": list(self.cells),
            "expected_by_chance": round(self.expected, 5),
            "text": self.text,
        }


def candidate_clones(
    differences_by_cell: Mapping[str, Sequence[HomologueDifference]],
    *,
    most_expected: float = _SETTINGS.most_expected,
) -> tuple[CandidateClone, ...]:
    """Find flags that recur in two cells or more of a case, and that chance doesn't explain.

    Normal pairs of a person's cells are flagged independently of one another (of 94 pairs whose like was flagged
    in another cell of the same person none was), each with the flag's p value. The largest p value of a group
    gives how many groups of its size all the classes and cells compared would show; where that is more than
    ``most_expected``, it is none. In more cells flags must be rarer, or return more often.

    Parameters
    ----------
    differences_by_cell
        Differences of each cell, by its name; pairs that weren't compared aren't among them.
    most_expected
        Groups expected of a normal case at the most.

    Returns
    -------
    tuple of CandidateClone
        Those of most cells first.
    """
    by_class: dict[str, list[tuple[str, HomologueDifference]]] = {}
    compared: Counter[str] = Counter()
    for name, differences in differences_by_cell.items():
        for each in differences:
            compared[each.class_name] += 1
            if each.structural:
                by_class.setdefault(each.class_name, []).append((name, each))
    made = []
    for class_name, flags in by_class.items():
        # The smallest p value first: a weak flag must not take from what the others show.
        group = sorted(_largest_group(flags), key=lambda flag: flag[1].p_value)
        for size in range(len(group), _SETTINGS.least_cells - 1, -1):
            expected = _expected_groups(compared, size, group[size - 1][1].p_value)
            if expected <= most_expected:
                kept = {name for name, _ in group[:size]}
                names = tuple(name for name in differences_by_cell if name in kept)
                where = _common(class_name, [each for _, each in group[:size]])
                made.append(CandidateClone(class_name, where, names, expected))
                break
    return tuple(sorted(made, key=lambda clone: -len(clone.cells)))


def _expected_groups(compared: Mapping[str, int], size: int, p_value: float) -> float:
    """Groups of so many flags at one place that normal pairs would give."""
    single = p_value**size * _SETTINGS.overlap_rate ** (size - 1)
    return sum(comb(number, size) for number in compared.values()) * single


def _largest_group(
    flags: Sequence[tuple[str, HomologueDifference]],
) -> list[tuple[str, HomologueDifference]]:
    """The most cells whose stretches meet one of them."""
    groups = [
        [
            (name, other)
            for name, other in flags
            if min(each.stop, other.stop) - max(each.start, other.start) >= -_SETTINGS.gap_tolerance
        ]
        for _, each in flags
    ]
    return max(groups, key=len, default=[])


def _common(class_name: str, flags: Sequence[HomologueDifference]) -> str:
    start, stop = max(each.start for each in flags), min(each.stop for each in flags)
    if start >= stop:
        start, stop = min(each.start for each in flags), max(each.stop for each in flags)
    return band_range(class_name, start, stop)

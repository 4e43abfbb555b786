"""Whether cells with a chromosome too many or too few are told from those with 46, and by which chromosome.

A method that fits every cell into 23 pairs never raises a false alarm, and never sees a trisomy. So sensitivity
and specificity are told side by side, for the count and for the karyotype, with intervals over cases: cells of one
patient share stain and abnormality.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.cells import CellRecord, named_counts
from analysis.metrics.statistics import bootstrap
from analysis.structures.classes import AUTOSOMES, CLASS_NAMES, UNCLASSIFIED

DIPLOID: Final = 46


@dataclass(frozen=True, slots=True)
class _Cell:
    """Truth and claim of one cell.

    Attributes
    ----------
    case
        Patient.
    true_count, count
        Chromosomes there are; chromosomes that were named.
    truth, claim
        Deviations from 46,XX and 46,XY.
    complete
        Whether nothing was left without a class, so that a loss can be claimed.
    """

    case: str
    true_count: int
    count: int
    truth: frozenset[tuple[str, int]]
    claim: frozenset[tuple[str, int]]
    complete: bool


def deviations(counts: Counter[str]) -> frozenset[tuple[str, int]]:
    """Classes with their surplus: autosomes that aren't two, X and Y beyond XX and XY.

    The sex chromosomes of XXY are ("X", 1) relative to XY, those of a single X are ("X", -1) relative to XX.
    """
    found = {(name, counts[name] - 2) for name in AUTOSOMES if counts[name] != 2}
    base_x, base_y = (1, 1) if counts["Y"] else (2, 0)
    for name, base in (("X", base_x), ("Y", base_y)):
        if counts[name] != base:
            found.add((name, counts[name] - base))
    return frozenset(found)


def aneuploidy_figures(
    records: Sequence[CellRecord], *, detected: bool
) -> dict[str, float | int | tuple[float, float]]:
    """Sensitivity and specificity of the count and of the extra or missing class.

    Parameters
    ----------
    records
        Cells, normal and abnormal; those with a chromosome whose class nobody knows are left out.
    detected
        True for the own segmentation, False for the true boxes or crops given.

    Returns
    -------
    dict
        ``cells, aneuploid`` cells in all and those whose true classes aren't 46,XX or 46,XY;
        ``count_sensitivity, count_specificity``: cells of another count than 46 told as such, cells of 46 told
        as 46; ``count_exact``: the right count, over all cells;
        ``class_sensitivity``: abnormal cells whose deviations are named exactly, ``class_specificity``: normal
        cells called exactly normal; ``missed``: abnormal cells called completely normal; ``false_alarms``: normal
        cells for which a gain or loss is claimed (with objects left without a class no loss is claimed, so that
        a cell may be neither called normal nor abnormal). Shares of 1; ``_ci95`` is (low, high) by bootstrap over
        cases, NaN where there are fewer than two.
    """
    known = [record for record in records if set(record.truth) <= set(CLASS_NAMES)]
    cells = [_compared(record, detected=detected) for record in known]
    figures: dict[str, float | int | tuple[float, float]] = {
        "cells": len(cells),
        "aneuploid": sum(bool(cell.truth) for cell in cells),
    }
    cases = np.asarray([cell.case for cell in cells])
    for name, (asked, right) in _QUESTIONS.items():
        table = np.asarray([(asked(cell), asked(cell) and right(cell)) for cell in cells], np.float64)
        figures[name] = _share(table.reshape(-1, 2))
        figures[f"{name}_ci95"] = _interval(table.reshape(-1, 2), cases)
    return figures


_Test = Callable[[_Cell], bool]
_QUESTIONS: Final[dict[str, tuple[_Test, _Test]]] = {
    "count_sensitivity": (lambda cell: cell.true_count != DIPLOID, lambda cell: cell.count != DIPLOID),
    "count_specificity": (lambda cell: cell.true_count == DIPLOID, lambda cell: cell.count == DIPLOID),
    "count_exact": (lambda _cell: True, lambda cell: cell.count == cell.true_count),
    "class_sensitivity": (lambda cell: bool(cell.truth), lambda cell: cell.complete and cell.claim == cell.truth),
    "class_specificity": (lambda cell: not cell.truth, lambda cell: cell.complete and not cell.claim),
    "missed": (lambda cell: bool(cell.truth), lambda cell: cell.complete and not cell.claim),
    "false_alarms": (lambda cell: not cell.truth, lambda cell: bool(cell.claim)),
}


def _compared(record: CellRecord, *, detected: bool) -> _Cell:
    named = record.detected if detected else record.given
    counts = named_counts(named or ())
    left_out = counts.pop(UNCLASSIFIED, 0)
    claim = deviations(counts)
    if left_out:
        # What seems to be lost may be among the objects that have no class.
        claim = frozenset(entry for entry in claim if entry[1] > 0)
    truth = deviations(Counter(record.truth))
    return _Cell(record.case, len(record.truth), sum(counts.values()), truth, claim, left_out == 0)


def _share(table: NDArray[np.float64]) -> float:
    asked = float(table[:, 0].sum())
    return float(table[:, 1].sum()) / asked if asked else float("nan")


def _interval(table: NDArray[np.float64], cases: NDArray[np.str_]) -> tuple[float, float]:
    groups = [np.flatnonzero(cases == case) for case in np.unique(cases)]

    def figure(drawn: NDArray[np.int64]) -> float:
        return _share(np.concatenate([table[groups[number]] for number in drawn]))

    return bootstrap(len(groups), figure)

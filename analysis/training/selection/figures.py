"""Figures of a selection: errors with intervals over cases, and by what the cell is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.metrics.statistics import bootstrap
from analysis.structures.classes import AUTOSOMES
from analysis.training.selection.prepared import PreparedCell


@dataclass(frozen=True, slots=True)
class SelectionFigures:
    """Errors of a selection over many cells.

    Attributes
    ----------
    cells, false, missed
        How many.
    aer, aer_interval
        False and missed over all true chromosomes, and the interval of 95 % with cases drawn.
    whole
        Fraction of cells without an error.
    abnormal_aer, abnormal_whole
        The same of cells that are labelled other than 46,XX or 46,XY.
    surplus
        Found less true chromosomes, mean over cells of 45, 46 and 47; NaN where there is none.
    """

    cells: int
    false: int
    missed: int
    aer: float
    aer_interval: tuple[float, float]
    whole: float
    abnormal_aer: float
    abnormal_whole: float
    surplus: dict[int, float]

    def text(self) -> str:
        """One line."""
        low, high = self.aer_interval
        counts = "  ".join(f"{count}: {value:+.2f}" for count, value in self.surplus.items())
        return (
            f"AER {self.aer:.4f} ({low:.4f} to {high:.4f})  false {self.false}  missed {self.missed}  whole "
            f"{self.whole:.3f}  abnormal AER {self.abnormal_aer:.4f}, whole {self.abnormal_whole:.3f}  "
            f"found minus true {counts}"
        )

    def metrics(self, name: str) -> dict[str, float]:
        """Figures for a manifest, their names after ``name``."""
        values = {
            "false": self.false,
            "missed": self.missed,
            "aer": self.aer,
            "whole": self.whole,
            "abnormal_aer": self.abnormal_aer,
            "abnormal_whole": self.abnormal_whole,
        }
        return {f"{name}_{key}": float(value) for key, value in values.items()}


def selection_figures(cells: Sequence[PreparedCell], selections: Sequence[NDArray[np.bool_]]) -> SelectionFigures:
    """Measure selections.

    Parameters
    ----------
    cells
        Prepared.
    selections
        bool, shape (k,), one a cell.
    """
    outcomes = np.asarray([cell.outcome(each) for cell, each in zip(cells, selections, strict=True)])
    errors, true = outcomes.sum(axis=1), np.asarray([len(cell.true_classes) for cell in cells])
    surplus = np.asarray([int(each.sum()) for each in selections]) - true
    abnormal = np.asarray([not is_normal(cell.true_classes) for cell in cells])
    cases, case = np.unique([cell.case for cell in cells], return_inverse=True)
    case_errors, case_true = np.bincount(case, errors), np.bincount(case, true)
    return SelectionFigures(
        cells=len(cells),
        false=int(outcomes[:, 0].sum()),
        missed=int(outcomes[:, 1].sum()),
        aer=float(errors.sum() / true.sum()),
        aer_interval=bootstrap(len(cases), lambda drawn: float(case_errors[drawn].sum() / case_true[drawn].sum())),
        whole=float((errors == 0).mean()),
        abnormal_aer=float(errors[abnormal].sum() / max(int(true[abnormal].sum()), 1)),
        abnormal_whole=float((errors[abnormal] == 0).mean()) if abnormal.any() else float("nan"),
        surplus={count: float(surplus[true == count].mean()) for count in (45, 46, 47) if (true == count).any()},
    )


def is_normal(classes: Sequence[str]) -> bool:
    """Tell whether labelled classes are those of 46,XX or 46,XY."""
    counts = Counter(classes)
    pairs = all(counts[name] == 2 for name in AUTOSOMES)
    return pairs and (counts["X"], counts["Y"]) in ((2, 0), (1, 1))

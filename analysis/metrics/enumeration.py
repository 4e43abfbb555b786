"""Enumeration of chromosomes: WCR, AER and Acc."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_BOOTSTRAPS: Final = 1000
_INTERVAL_PERCENTILES: Final = (2.5, 97.5)
"""Ends of a 95 % interval."""
_SEED: Final = 20230104


@dataclass(frozen=True, slots=True)
class Count:
    """One image's outcome.

    Attributes
    ----------
    case
        Patient.
    matched
        True chromosomes that were detected (TP).
    false
        Detections that are none (FP).
    missed
        True chromosomes that were missed (FN).
    """

    case: str
    matched: int
    false: int
    missed: int


def enumeration_figures(counts: Sequence[Count]) -> dict[str, float]:
    """Return ``wcr, aer, acc`` pooled over all chromosomes and ``_per_image`` twins, as fractions of 1.

    Acc = TP / (TP + FP + FN); AER = (FP + FN) / (TP + FN); WCR is the fraction of images without any error.
    KaryoXpert defines the sums over all images but tabulates means over images: both are given. For WCR
    the two are the same.
    """
    table = np.asarray([(c.matched, c.false, c.missed) for c in counts], np.float64)
    figures = {"wcr": _wcr(table), "aer": _aer(table), "acc": _acc(table)}
    single = [table[k : k + 1] for k in range(len(table))]
    figures["wcr_per_image"] = figures["wcr"]
    figures["aer_per_image"] = float(np.mean([_aer(row) for row in single]))
    figures["acc_per_image"] = float(np.mean([_acc(row) for row in single]))
    return figures


def enumeration_intervals(counts: Sequence[Count]) -> dict[str, float]:
    """Return 95 % intervals of the pooled figures, cases drawn with replacement: ``aer_ci95_low`` ..."""
    table = np.asarray([(c.matched, c.false, c.missed) for c in counts], np.float64)
    cases = [c.case for c in counts]
    out: dict[str, float] = {}
    for name, figure in (("wcr", _wcr), ("aer", _aer), ("acc", _acc)):
        out.update(bootstrap_interval(name, table, cases, figure))
    return out


def bootstrap_interval(
    name: str,
    table: NDArray[np.float64],
    cases: Sequence[str],
    figure: Callable[[NDArray[np.float64]], float],
) -> dict[str, float]:
    """95 % interval of a figure of a table's rows by the bootstrap (Efron 1979), whole cases drawn together.

    Parameters
    ----------
    name
        Name of the figure.
    table
        Shape (n, columns): what the figure is made of.
    cases
        The case of each row.
    figure
        Computes the figure of some rows.

    Returns
    -------
    dict
        ``NAME_ci95_low`` and ``NAME_ci95_high``.
    """
    by_case: dict[str, list[int]] = {}
    for row, case in enumerate(cases):
        by_case.setdefault(case, []).append(row)
    groups = [np.asarray(rows) for rows in by_case.values()]
    rng = np.random.default_rng(_SEED)
    values = []
    for _ in range(_BOOTSTRAPS):
        drawn = rng.integers(0, len(groups), len(groups))
        values.append(figure(table[np.concatenate([groups[k] for k in drawn])]))
    low, high = np.percentile(values, _INTERVAL_PERCENTILES)
    return {f"{name}_ci95_low": float(low), f"{name}_ci95_high": float(high)}


def _wcr(table: NDArray[np.float64]) -> float:
    return float(np.mean((table[:, 1] == 0) & (table[:, 2] == 0)))


def _aer(table: NDArray[np.float64]) -> float:
    matched, false, missed = table.sum(axis=0)
    return float((false + missed) / max(matched + missed, 1.0))


def _acc(table: NDArray[np.float64]) -> float:
    matched, false, missed = table.sum(axis=0)
    return float(matched / max(matched + false + missed, 1.0))

"""Classes for all chromosomes of a cell at once.

Every class has its expected slots and a few extra ones; objects and slots are matched at least total cost, where
an extra chromosome, a missing chromosome and an object that fits nothing have a price each. Sex complements
compete by their total cost. Nothing forces 23 pairs: a trisomy costs one extra slot once, and strong evidence pays
it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from analysis.classification.classes import CLASS_NAMES, UNCLASSIFIED

X_INDEX, Y_INDEX = CLASS_NAMES.index("X"), CLASS_NAMES.index("Y")
EXTRA_SLOTS = 3
FORBIDDEN = 1e6
MARGIN_CAP = 30.0


@dataclass(frozen=True, slots=True)
class AssignmentPrices:
    """Prices in nats, tuned on aneuploid cells.

    Attributes
    ----------
    extra, missing
        One chromosome more, or one less, than the hypothesis has.
    unclassified
        An object that is left without a class, whatever the classifier says.
    refused
        The same, on top of the classifier's own "no single chromosome"; the cheaper one counts.
    odd_sex
        A sex complement other than XX and XY, on top of the slots.
    sharpness
        Turns the price of the second-best assignment into a probability; calibrated on the validation split.
    """

    extra: float = 3.0
    missing: float = 3.0
    unclassified: float = 7.0
    refused: float = 1.0
    odd_sex: float = 2.0
    sharpness: float = 1.0


SEX_COMPLEMENTS: tuple[tuple[str, int, int], ...] = (
    ("XX", 2, 0),
    ("XY", 1, 1),
    ("X", 1, 0),
    ("XXX", 3, 0),
    ("XXY", 2, 1),
    ("XYY", 1, 2),
)
"""Name, copies of X, copies of Y."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """Classes of one cell.

    Attributes
    ----------
    classes
        A class name for every object, "?" where none is claimed.
    probability
        float32, shape (n,): calibrated probability that the object is of its class, given its cell; for "?" that
        it is rightly left out.
    hypothesis
        Sex complement that won: "XX", "XY", "X" ...
    margin
        Nats by which the best assignment beats the best one that differs in any class; 0 for an empty cell.
    extra, missing
        Class names beyond, and short of, two autosomes each and the winning sex complement, with repetition.
    """

    classes: tuple[str, ...]
    probability: NDArray[np.float32]
    hypothesis: str
    margin: float
    extra: tuple[str, ...]
    missing: tuple[str, ...]


def assign(
    log_prob: NDArray[np.floating],
    log_none: NDArray[np.floating] | None = None,
    prices: AssignmentPrices | None = None,
    *,
    margins: bool = True,
) -> Assignment:
    """Assign all objects of a cell jointly.

    Parameters
    ----------
    log_prob
        Shape (n, 24): log probabilities of the classes, object by object (`ClassScores.log_prob`).
    log_none
        Shape (n,): log probability that an object is no single chromosome; none of them is where it is None.
    prices
        What deviations cost.
    margins
        False leaves the probabilities (then all 1) and the margin (then 0) out, which take most of the time.

    Returns
    -------
    Assignment
        In the order of the rows.
    """
    prices = prices or AssignmentPrices()
    cost = -np.asarray(log_prob, dtype=np.float64)
    if len(cost) == 0:
        return Assignment((), np.zeros(0, np.float32), "XX", 0.0, (), ())
    left_out = np.full(len(cost), prices.unclassified)
    if log_none is not None:
        none = np.minimum(np.asarray(log_none, dtype=np.float64), -1e-6)
        cost = cost - np.log(-np.expm1(none))[:, None]
        left_out = np.minimum(left_out, prices.refused - none)
    problems = [_Problem(cost, left_out, x, y, prices) for _, x, y in SEX_COMPLEMENTS]
    solved = [problem.solve() for problem in problems]
    best = int(np.argmin([total for total, _ in solved]))
    total, chosen = solved[best]
    rivals = [k for k, (other, _) in enumerate(solved) if other - total < MARGIN_CAP]
    margin = np.full(len(cost), np.inf if not margins else 0.0)
    for row in range(len(cost) if margins else 0):
        second = min(_best_without(problems[k], solved[k], row, int(chosen[row])) for k in rivals)
        margin[row] = np.clip(second - total, 0.0, MARGIN_CAP)
    probability = 1.0 / (1.0 + np.exp(-prices.sharpness * margin))
    _, copies_x, copies_y = SEX_COMPLEMENTS[best]
    surplus = np.bincount(chosen[chosen < len(CLASS_NAMES)], minlength=len(CLASS_NAMES))
    surplus = surplus - _expected(copies_x, copies_y)
    return Assignment(
        tuple(CLASS_NAMES[k] if k < len(CLASS_NAMES) else UNCLASSIFIED for k in chosen),
        probability.astype(np.float32),
        SEX_COMPLEMENTS[best][0],
        float(margin.min()) if margins else 0.0,
        _repeated(np.maximum(surplus, 0)),
        _repeated(np.maximum(-surplus, 0)),
    )


class _Problem:
    """Objects against the slots of one sex complement."""

    def __init__(
        self,
        cost: NDArray[np.float64],
        left_out: NDArray[np.float64],
        copies_x: int,
        copies_y: int,
        prices: AssignmentPrices,
    ) -> None:
        count = len(cost)
        expected = _expected(copies_x, copies_y)
        regular = np.repeat(np.arange(len(CLASS_NAMES)), expected)
        extra = np.repeat(np.arange(len(CLASS_NAMES)), EXTRA_SLOTS)
        self.slot_class = np.concatenate([regular, extra, np.full(count, len(CLASS_NAMES))])
        # A filled regular slot saves the price of a missing chromosome, so that all empty ones are paid here.
        self.base = prices.missing * len(regular)
        self.base += 0.0 if (copies_x, copies_y) in ((2, 0), (1, 1)) else prices.odd_sex
        refusals = np.repeat(left_out[:, None], count, axis=1)
        self.matrix = np.hstack([cost[:, regular] - prices.missing, cost[:, extra] + prices.extra, refusals])

    def solve(self) -> tuple[float, NDArray[np.intp]]:
        """Least total cost and the class index of every row (24: left out)."""
        return self._solved(self.matrix)

    def solve_without(self, row: int, class_index: int) -> float:
        """Least total cost where an object isn't of a class."""
        matrix = self.matrix.copy()
        matrix[row, self.slot_class == class_index] = FORBIDDEN
        return self._solved(matrix)[0]

    def _solved(self, matrix: NDArray[np.float64]) -> tuple[float, NDArray[np.intp]]:
        rows, columns = linear_sum_assignment(matrix)
        total = self.base + float(matrix[rows, columns].sum())
        return total, self.slot_class[columns]


def _best_without(problem: _Problem, solved: tuple[float, NDArray[np.intp]], row: int, class_index: int) -> float:
    # Where the hypothesis' own best already differs there, nothing needs to be solved again.
    if int(solved[1][row]) != class_index:
        return solved[0]
    return problem.solve_without(row, class_index)


def _expected(copies_x: int, copies_y: int) -> NDArray[np.intp]:
    expected = np.full(len(CLASS_NAMES), 2, dtype=np.intp)
    expected[X_INDEX], expected[Y_INDEX] = copies_x, copies_y
    return expected


def _repeated(counts: NDArray[np.intp]) -> tuple[str, ...]:
    return tuple(name for name, count in zip(CLASS_NAMES, counts, strict=True) for _ in range(int(count)))

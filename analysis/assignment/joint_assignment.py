"""Classes for all chromosomes of a cell at once.

Every class has its expected slots and a few extra ones; objects and slots are matched at least total cost, where
an extra chromosome, a missing chromosome and an object that fits nothing have a price each. Sex complements
compete by their total cost. Nothing forces 23 pairs: a trisomy costs one extra slot once, and strong evidence pays
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import load_parameters
from analysis.structures.assignment import Assignment
from analysis.structures.classes import CLASS_NAMES, UNCLASSIFIED

X_INDEX, Y_INDEX = CLASS_NAMES.index("X"), CLASS_NAMES.index("Y")
EXTRA_SLOTS = 3
"""Chromosomes beyond the expected ones that a class has room for: a tetrasomy and one more."""
LEFT_OUT = len(CLASS_NAMES)
"""Index of what has no class, after those of the classes."""
_OUTSIDE = LEFT_OUT + 1
_NODES = LEFT_OUT + 2
MARGIN_CAP = 30.0
"""Nats beyond which a margin tells nothing more: its probability is 1 in single precision."""
_GREATEST_LOG_NONE = -1e-6
"""Keeps the logarithm of the complement finite."""


@dataclass(frozen=True, slots=True)
class AssignmentCosts:
    """Costs in nats: the parameter set ``assignment-costs``, and the sharpness of the evidence.

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
        Turns the price of the second-best assignment into a probability; at 1 a nat of margin is one of log odds.
        It belongs to the evidence that is assigned: see `Manifest.calibration` and `FusionWeights`.
    """

    extra: float
    missing: float
    unclassified: float
    refused: float
    odd_sex: float
    sharpness: float = 1.0

    @classmethod
    def calibrated(cls, calibration: Mapping[str, float]) -> AssignmentCosts:
        """Prices with those that weights were calibrated to, see `Manifest.calibration`."""
        names = {entry.name for entry in fields(cls)}
        return replace(
            load_assignment_costs(), **{name: value for name, value in calibration.items() if name in names}
        )


@cache
def load_assignment_costs() -> AssignmentCosts:
    """The costs that come with the product.

    Raises
    ------
    WeightsError
        Where they are missing or damaged.
    """
    return load_parameters(ParameterSetName.ASSIGNMENT_COSTS).coefficients(AssignmentCosts)


SEX_COMPLEMENTS: tuple[tuple[str, int, int], ...] = (
    ("XX", 2, 0),
    ("XY", 1, 1),
    ("X", 1, 0),
    ("XXX", 3, 0),
    ("XXY", 2, 1),
    ("XYY", 1, 2),
)
"""Name, copies of X, copies of Y."""


def assign(
    log_prob: NDArray[np.floating],
    log_none: NDArray[np.floating] | None = None,
    prices: AssignmentCosts | None = None,
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
        False leaves the probabilities (then all 1) and the margin (then 0) out.

    Returns
    -------
    Assignment
        In the order of the rows.
    """
    prices = prices or load_assignment_costs()
    cost = -np.asarray(log_prob, dtype=np.float64)
    if len(cost) == 0:
        return Assignment((), np.zeros(0, np.float32), "XX", 0.0, (), ())
    left_out = np.full(len(cost), prices.unclassified)
    sound = np.ones(len(cost), dtype=np.bool_)
    if log_none is not None:
        none = np.minimum(np.asarray(log_none, dtype=np.float64), _GREATEST_LOG_NONE)
        cost = cost - np.log(-np.expm1(none))[:, None]
        sound = prices.refused - none >= prices.unclassified
        left_out = np.minimum(left_out, prices.refused - none)
    choices = np.hstack([cost, left_out[:, None]])
    problems = [_Problem(choices, x, y, prices) for _, x, y in SEX_COMPLEMENTS]
    solved = [problem.solve() for problem in problems]
    best = int(np.argmin([total for total, _ in solved]))
    total, chosen = solved[best]
    margin = np.full(len(cost), np.inf)
    if margins:
        rivals = [k for k, (other, _) in enumerate(solved) if other - total < MARGIN_CAP]
        forced = np.min([problems[k].totals_where_forced(*solved[k]) for k in rivals], axis=0)
        forced[np.arange(len(cost)), chosen] = np.inf
        margin = np.clip(forced.min(axis=1) - total, 0.0, MARGIN_CAP)
    probability = 1.0 / (1.0 + np.exp(-prices.sharpness * margin))
    _, copies_x, copies_y = SEX_COMPLEMENTS[best]
    surplus = np.bincount(chosen[chosen < LEFT_OUT], minlength=LEFT_OUT) - _expected(copies_x, copies_y)
    return Assignment(
        tuple(CLASS_NAMES[k] if k < LEFT_OUT else UNCLASSIFIED for k in chosen),
        probability.astype(np.float32),
        SEX_COMPLEMENTS[best][0],
        float(margin.min()) if margins else 0.0,
        _repeated(np.maximum(surplus, 0)),
        _repeated(np.maximum(-surplus, 0)),
        tuple(int(row) for row in np.flatnonzero((chosen == LEFT_OUT) & sound)),
    )


class _Problem:
    """Objects against the slots of one sex complement."""

    def __init__(
        self, choices: NDArray[np.float64], copies_x: int, copies_y: int, prices: AssignmentCosts
    ) -> None:
        self._choices = choices
        self._prices = prices
        self._expected = _expected(copies_x, copies_y)
        odd = (copies_x, copies_y) not in ((2, 0), (1, 1))
        # A filled regular slot saves the price of a missing chromosome, so that all empty ones are paid here.
        self._base = prices.missing * float(self._expected.sum()) + (prices.odd_sex if odd else 0.0)

    def solve(self) -> tuple[float, NDArray[np.intp]]:
        """Least total cost and the class index of every row (24: left out)."""
        count = len(self._choices)
        classes = np.arange(LEFT_OUT)
        regular, extra = np.repeat(classes, self._expected), np.repeat(classes, EXTRA_SLOTS)
        slot_class = np.concatenate([regular, extra, np.full(count, LEFT_OUT)])
        matrix = self._choices[:, slot_class]
        matrix[:, : len(regular)] -= self._prices.missing
        matrix[:, len(regular) : len(regular) + len(extra)] += self._prices.extra
        rows, columns = linear_sum_assignment(matrix)
        return self._base + float(matrix[rows, columns].sum()), slot_class[columns]

    def totals_where_forced(self, total: float, chosen: NDArray[np.intp]) -> NDArray[np.float64]:
        """Least total cost where one object is given one class, whatever it does to the others.

        An object that is put elsewhere sets off one chain of moves, which is a shortest path between classes
        in the residual graph of the optimum (Ahuja, Magnanti and Orlin, Network Flows, section 3.5). All pairs of
        classes at once take less time than one assignment, let alone one for every object.

        Parameters
        ----------
        total, chosen
            What `solve` found.

        Returns
        -------
        NDArray[np.float64]
            Shape (n, 25): `total` where the object is of that class anyway.
        """
        rows = np.arange(len(chosen))
        change = self._choices - self._choices[rows, chosen][:, None]
        path = np.full((_NODES, _NODES), np.inf)
        np.minimum.at(path[:, : LEFT_OUT + 1], chosen, change)
        path[: LEFT_OUT + 1, _OUTSIDE], path[_OUTSIDE, : LEFT_OUT + 1] = self._prices_of_counts(chosen)
        np.fill_diagonal(path, 0.0)
        for middle in range(_NODES):
            np.minimum(path, path[:, middle, None] + path[middle], out=path)
        back = path[: LEFT_OUT + 1].T[chosen]
        return np.asarray(total + change + back, dtype=np.float64)

    def _prices_of_counts(self, chosen: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Price of one object more, and of one less, in every class and among what is left out."""
        held = np.bincount(chosen, minlength=LEFT_OUT + 1)
        surplus = held[:LEFT_OUT] - self._expected
        extra, missing = self._prices.extra, self._prices.missing
        more = np.where(surplus < 0, -missing, np.where(surplus < EXTRA_SLOTS, extra, np.inf))
        less = np.where(surplus > 0, -extra, missing)
        return np.append(more, 0.0), np.where(held > 0, np.append(less, 0.0), np.inf)


def _expected(copies_x: int, copies_y: int) -> NDArray[np.intp]:
    expected = np.full(LEFT_OUT, 2, dtype=np.intp)
    expected[X_INDEX], expected[Y_INDEX] = copies_x, copies_y
    return expected


def _repeated(counts: NDArray[np.intp]) -> tuple[str, ...]:
    return tuple(name for name, count in zip(CLASS_NAMES, counts, strict=True) for _ in range(int(count)))

"""The search of both passes of the selection: the best change at a time until none gains."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

MIN_GAIN: Final = 1e-9
"""A smaller gain is rounding, and could lead round in a circle."""


class SelectionObjective(Protocol):
    """What a selection of n proposals is good for, asked for change by change."""

    def gains(self, selected: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Gain of adding or removing each proposal: shape (n,); minus infinity for those that stay."""
        ...

    def replacements(self, selected: NDArray[np.bool_]) -> Iterable[tuple[float, NDArray[np.intp]]]:
        """Gain and rows of changes of several proposals at once; ``selected`` has shape (n,)."""
        ...


def improve_selection(
    objective: SelectionObjective, selected: NDArray[np.bool_], *, max_changes: int
) -> NDArray[np.bool_]:
    """Take the change that gains most until none gains (steepest ascent).

    Parameters
    ----------
    objective
        Gains of changes.
    selected
        bool, shape (n,): where the search starts.
    max_changes
        Bound of the search.

    Returns
    -------
    NDArray[np.bool_]
        Shape (n,).
    """
    current = selected.copy()
    for _ in range(max_changes):
        best, change = MIN_GAIN, np.zeros(0, np.intp)
        single = objective.gains(current)
        if len(single) and single.max() > best:
            best, change = float(single.max()), np.asarray([single.argmax()], np.intp)
        for gain, rows in objective.replacements(current):
            if gain > best:
                best, change = gain, rows
        if not len(change):
            break
        current[change] = ~current[change]
    return current

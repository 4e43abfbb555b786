"""The few best other explanations of each pile of a cell, with their probabilities (N-best).

Every change of one or a few proposals that compete with one another is scored, the rest of the cell fixed. Changes
that touch the same proposals exclude each other and belong to one pile: a softmax over their scores and the
selection's own gives the probability of each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from analysis.selection.energy import SelectionEnergy

_LEAST_LOG_ODDS: Final = -12.0
"""Changes that are less likely than this against the selection add nothing to any sum of probabilities."""


@dataclass(frozen=True, slots=True)
class AlternativeSettings:
    """Which other explanations are kept.

    Attributes
    ----------
    min_probability
        Below one in fifty nobody would look at it: a click on each takes longer than to draw it.
    most
        A pile: what a reviewer can take in at once.
    """

    min_probability: float = 0.02
    most: int = 4


DEFAULT_ALTERNATIVES: Final = AlternativeSettings()


@dataclass(frozen=True, slots=True)
class PileAlternative:
    """Another explanation of a pile.

    Attributes
    ----------
    rows_in
        Proposals that it adds.
    rows_out
        Selected proposals that it takes out.
    probability
        In [0, 1], the rest of the cell fixed.
    """

    rows_in: tuple[int, ...]
    rows_out: tuple[int, ...]
    probability: float


@dataclass(frozen=True, slots=True)
class PileAlternatives:
    """The other explanations of one pile.

    Attributes
    ----------
    rows
        Selected proposals that stand in one of them or beside it.
    probability
        Of the selection as it is, in [0, 1].
    alternatives
        Likeliest first.
    """

    rows: tuple[int, ...]
    probability: float
    alternatives: tuple[PileAlternative, ...]


def pile_alternatives(
    energy: SelectionEnergy, selected: NDArray[np.bool_], settings: AlternativeSettings = DEFAULT_ALTERNATIVES
) -> tuple[PileAlternatives, ...]:
    """List the other explanations of a cell's piles, the least certain pile first.

    Parameters
    ----------
    energy
        Terms of the score of a selection.
    selected
        bool, shape (n,): the selection.
    settings
        Which are kept.
    """
    listed = list(_local_changes(energy, selected))
    gains = energy.gains_of(selected, listed).tolist()
    changes = [(gain, rows) for gain, rows in zip(gains, listed, strict=True) if gain > _LEAST_LOG_ODDS]
    piles = [
        _alternatives_of([changes[place] for place in group], energy, selected, settings)
        for group in _piles([rows for _, rows in changes], energy)
    ]
    return tuple(sorted((pile for pile in piles if pile.alternatives), key=lambda pile: pile.probability))


def _local_changes(energy: SelectionEnergy, selected: NDArray[np.bool_]) -> Iterator[NDArray[np.intp]]:
    """Each change of proposals that compete with one another, once."""
    for row in np.flatnonzero(energy.free):
        yield np.asarray([row], np.intp)
    listed: set[frozenset[int]] = set()
    for rows in energy.exchanges(selected):
        key = frozenset(rows.tolist())
        if key not in listed:
            listed.add(key)
            yield rows


def _piles(changes: list[NDArray[np.intp]], energy: SelectionEnergy) -> list[list[int]]:
    """Group changes that touch the same proposals, or ones that compete: places of ``changes``, a list a pile."""
    if not changes:
        return []
    touched = np.zeros((len(changes), len(energy)), np.bool_)
    for place, rows in enumerate(changes):
        touched[place, rows] = True
    near = energy.competing | np.eye(len(energy), dtype=np.bool_)
    linked = (touched.astype(np.int32) @ near.astype(np.int32) @ touched.T.astype(np.int32)) > 0
    count, labels = connected_components(csr_array(linked.astype(np.int8)), directed=False)
    return [np.flatnonzero(labels == label).tolist() for label in range(count)]


def _alternatives_of(
    changes: list[tuple[float, NDArray[np.intp]]],
    energy: SelectionEnergy,
    selected: NDArray[np.bool_],
    settings: AlternativeSettings,
) -> PileAlternatives:
    gains = np.asarray([0.0, *(gain for gain, _ in changes)])
    weights = np.exp(gains - gains.max())
    probability = weights / weights.sum()
    order = np.argsort(-gains[1:], kind="stable")
    alternatives = [
        PileAlternative(
            tuple(int(row) for row in changes[place][1] if not selected[row]),
            tuple(int(row) for row in changes[place][1] if selected[row]),
            float(probability[1 + place]),
        )
        for place in order[: settings.most]
        if probability[1 + place] >= settings.min_probability
    ]
    touched = np.zeros(len(selected), np.bool_)
    for _, rows in changes:
        touched[rows] = True
    beside = selected & (touched | energy.competing[touched].any(axis=0))
    return PileAlternatives(
        tuple(int(row) for row in np.flatnonzero(beside)), float(probability[0]), tuple(alternatives)
    )

"""How well a selection among a cell's proposals explains the cell: single and pair terms, and places of classes.

The score of a selection is a quadratic function of which proposals are selected, plus a price for what each class
holds beyond two and a gain for what it holds up to two. What a change does to it is therefore exact and cheap, and
a softmax over configurations that differ in one pile gives their probabilities, the rest of the cell fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.structures.classes import AUTOSOMES, CLASS_NAMES

_AUTOSOME_COUNT: Final = len(AUTOSOMES)

_MAX_REPLACED: Final = 3
"""Proposals that one may replace at once, or that may replace one: a chromosome seldom falls into more pieces."""


@dataclass(frozen=True, slots=True)
class SelectionEnergy:
    """Terms of the score of a selection among n proposals, in log odds; higher is better.

    Attributes
    ----------
    single
        float64, shape (n,): gain of a proposal that nothing competes with.
    pair
        float64, shape (n, n): gain, mostly negative, of both together; symmetric, 0 on the diagonal.
    free
        bool, shape (n,): proposals that may be added or removed; the others stay as they are.
    competing
        bool, shape (n, n): which stand for the same stain; symmetric, False on the diagonal.
    class_probability
        float64, shape (n, 24): by both nets.
    third_price
        Price of a chromosome of a class beyond two.
    place_gain
        Gain of filling one of the two places of an autosome, or of X and Y together.
    """

    single: NDArray[np.float64]
    pair: NDArray[np.float64]
    free: NDArray[np.bool_]
    competing: NDArray[np.bool_]
    class_probability: NDArray[np.float64]
    third_price: float = 0.0
    place_gain: float = 0.0

    def __len__(self) -> int:
        return len(self.single)

    def gain(self, selected: NDArray[np.bool_], rows: NDArray[np.intp]) -> float:
        """Gain of adding or removing proposals, all at once.

        Parameters
        ----------
        selected
            bool, shape (n,): the selection before.
        rows
            Shape (m,): proposals that change.
        """
        return float(self.gains_of(selected, [rows])[0])

    def gains_of(self, selected: NDArray[np.bool_], changes: Sequence[NDArray[np.intp]]) -> NDArray[np.float64]:
        """Gain of each of several changes.

        Parameters
        ----------
        selected
            bool, shape (n,): the selection before.
        changes
            Rows of the proposals that each adds or removes, all at once.

        Returns
        -------
        NDArray[np.float64]
            One a change.
        """
        longest = max((len(rows) for rows in changes), default=0)
        if not longest:
            return np.zeros(len(changes))
        at = np.zeros((len(changes), longest), np.intp)
        sign = np.zeros((len(changes), longest))
        for place, rows in enumerate(changes):
            at[place, : len(rows)] = rows
            sign[place, : len(rows)] = np.where(selected[rows], -1.0, 1.0)
        field = self.single + self.pair @ selected
        among = np.einsum("mi,mj,mij->m", sign, sign, self.pair[at[:, :, None], at[:, None, :]])
        held = self.class_probability[selected].sum(axis=0)
        after = held + np.einsum("mi,mic->mc", sign, self.class_probability[at])
        places = self._places(after) - self._places(held[None])
        return np.asarray((sign * field[at]).sum(axis=1) + 0.5 * among + places, np.float64)

    def gains(self, selected: NDArray[np.bool_]) -> NDArray[np.float64]:
        """See `SelectionObjective.gains`."""
        sign = np.where(selected, -1.0, 1.0)
        held = self.class_probability[selected].sum(axis=0)
        places = self._places(held[None] + sign[:, None] * self.class_probability) - self._places(held[None])
        gain = sign * (self.single + self.pair @ selected) + places
        return np.where(self.free, gain, -np.inf)

    def replacements(self, selected: NDArray[np.bool_]) -> Iterator[tuple[float, NDArray[np.intp]]]:
        """See `SelectionObjective.replacements`: one for those it competes with, and some for one.

        Changes of one proposal at a time would never get there: beside its halves a whole looks worse than they do
        alone.
        """
        changes = list(self.exchanges(selected))
        yield from zip(self.gains_of(selected, changes).tolist(), changes, strict=True)

    def exchanges(self, selected: NDArray[np.bool_]) -> Iterator[NDArray[np.intp]]:
        """Rows of the changes that take some proposals out and put others that compete with them in their place.

        Parameters
        ----------
        selected
            bool, shape (n,): the selection before.
        """
        others = np.flatnonzero(self.free & ~selected)
        for row in others:
            rivals = np.flatnonzero(self.competing[row] & selected)
            if 0 < len(rivals) <= _MAX_REPLACED and self.free[rivals].all():
                yield np.append(rivals, row)
                # One of several rivals may be the wrong one alone.
                if len(rivals) > 1:
                    for rival in rivals:
                        yield np.asarray([rival, row], np.intp)
        for row in np.flatnonzero(self.free & selected):
            parts = np.flatnonzero(self.free & ~selected & self.competing[row])
            for place, first in enumerate(parts):
                for second in parts[place + 1 :]:
                    if not self.competing[first, second]:
                        yield np.asarray([row, first, second], np.intp)

    def _places(self, held: NDArray[np.float64]) -> NDArray[np.float64]:
        """Gain of what classes hold, rows of shape (24,), less the price of what they hold beyond two."""
        if not self.third_price and not self.place_gain:
            return np.zeros(len(held))
        autosomes, sex = held[:, :_AUTOSOME_COUNT], held[:, _AUTOSOME_COUNT:].sum(axis=1)
        filled = np.minimum(autosomes, 2.0).sum(axis=1) + np.minimum(sex, 2.0)
        beyond = np.clip(held - 2.0, 0.0, None).sum(axis=1)
        return np.asarray(self.place_gain * filled - self.third_price * beyond, np.float64)


def empty_energy(count: int) -> SelectionEnergy:
    """Energy of ``count`` proposals of which nothing is measured: every term is 0, none is free."""
    return SelectionEnergy(
        np.zeros(count),
        np.zeros((count, count)),
        np.zeros(count, np.bool_),
        np.zeros((count, count), np.bool_),
        np.full((count, len(CLASS_NAMES)), 1.0 / len(CLASS_NAMES)),
    )

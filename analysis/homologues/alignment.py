"""Align banding profiles of two chromosomes that are never stretched alike.

Dynamic programming over the displacement between both (dynamic time warping, Sakoe and Chiba 1978), in which both
are displaced by half of it: their order makes no difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AlignmentSettings:
    """Hand-set numbers of the alignment.

    Attributes
    ----------
    step
        Bins between two displacements: homologues are stretched by less than a bin a bin.
    reach
        Largest displacement in steps: 3 of 64 bins, a twentieth of the length.
    tip_reach
        The same at the tips, where the outline's end fixes both.
    stretch_cost
        Cost of one step of stretch; profiles of spread 1 differ by squares.
    fine
        Parts of a bin that profiles are interpolated at; half a step on either side.
    """

    step: float = 0.5
    reach: int = 6
    tip_reach: int = 2
    stretch_cost: float = 0.3
    fine: int = 4


_SETTINGS: Final = AlignmentSettings()


def align(
    first: NDArray[np.floating], second: NDArray[np.floating], weight: NDArray[np.floating] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Align rows of profiles.

    Parameters
    ----------
    first, second
        Shape (n, bins): row k of one is aligned with row k of the other.
    weight
        Shape (n, bins) or (bins,): what a difference counts at each place; 1 where it is None.

    Returns
    -------
    residual
        float32, shape (n, bins): first less second after the alignment, at places midway between both.
    displacement
        float32, shape (n, bins): bins by which the second lies further from the upper tip than the first.
    """
    count, bins = first.shape
    states = 2 * _SETTINGS.reach + 1
    upper, lower = _places(bins)
    # Rows of profiles last: every step of the loop then runs along memory.
    difference = _fine(first)[upper] - _fine(second)[lower]
    cost = difference * difference
    if weight is not None:
        cost *= np.broadcast_to(np.asarray(weight, dtype=np.float32), (count, bins)).T[:, None, :]
    came = np.zeros((bins, states, count), dtype=np.int8)
    away = np.abs(np.arange(states) - _SETTINGS.reach)
    tip = np.where(away <= _SETTINGS.tip_reach, _SETTINGS.stretch_cost * away, np.inf).astype(np.float32)[:, None]
    total = cost[0] + tip
    from_both = np.full((states + 2, count), np.inf, dtype=np.float32)
    for place in range(1, bins):
        np.add(total, np.float32(_SETTINGS.stretch_cost), out=from_both[1:-1])
        below, above = from_both[:-2], from_both[2:]
        moved = np.minimum(below, above)
        came[place] = np.where(total <= moved, 0, np.where(below <= above, -1, 1))
        np.minimum(total, moved, out=total)
        total += cost[place]
    state = np.argmin(total + tip, axis=0)
    chosen = np.empty((bins, count), dtype=np.intp)
    columns = np.arange(count)
    for place in range(bins - 1, -1, -1):
        chosen[place] = state
        state = state + came[place, state, columns]
    residual = np.take_along_axis(difference, chosen[:, None, :], axis=1)[:, 0, :].T
    return np.ascontiguousarray(residual), ((chosen.T - _SETTINGS.reach) * _SETTINGS.step).astype(np.float32)


def _fine(profile: NDArray[np.floating]) -> NDArray[np.float32]:
    """Linear interpolation at quarters of a bin: shape (quarters, n)."""
    values = np.asarray(profile, dtype=np.float32).T
    after = np.concatenate([values[1:], values[-1:]])
    fraction = (np.arange(_SETTINGS.fine, dtype=np.float32) / _SETTINGS.fine)[None, :, None]
    between = values[:, None] * (1.0 - fraction) + after[:, None] * fraction
    return np.asarray(between.reshape(-1, values.shape[1]), dtype=np.float32)


@cache
def _places(bins: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Index into the fine profiles for every place and displacement."""
    half = ((np.arange(2 * _SETTINGS.reach + 1) - _SETTINGS.reach) * _SETTINGS.step / 2.0 * _SETTINGS.fine).astype(
        np.intp
    )
    at = np.arange(bins)[:, None] * _SETTINGS.fine
    last = bins * _SETTINGS.fine - _SETTINGS.fine
    return np.clip(at - half, 0, last), np.clip(at + half, 0, last)

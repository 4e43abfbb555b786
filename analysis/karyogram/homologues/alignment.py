"""Align banding profiles of two chromosomes that are never stretched alike.

Dynamic programming over the displacement between both (dynamic time warping, Sakoe and Chiba 1978), in which both
give way by half of it: which of them is called the first makes no difference.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

STEP: Final = 0.5
"""Bins between two displacements."""
REACH: Final = 6
"""Largest displacement, in steps."""
TIP_REACH: Final = 2
"""Largest displacement at the tips, in steps."""
STRETCH_PRICE: Final = 0.3
"""Price of one step of stretch; the profiles are of spread 1 and differ by squares."""
_FINE: Final = 4


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
    states = 2 * REACH + 1
    upper, lower = _places(bins)
    one = _fine(np.asarray(first, dtype=np.float32))[:, upper]
    two = _fine(np.asarray(second, dtype=np.float32))[:, lower]
    difference = one - two
    cost = difference * difference
    if weight is not None:
        cost *= np.broadcast_to(np.asarray(weight, dtype=np.float32), (count, bins))[:, :, None]
    came = np.zeros((bins, count, states), dtype=np.int8)
    away = np.abs(np.arange(states) - REACH)
    tip = np.where(away <= TIP_REACH, STRETCH_PRICE * away, np.inf).astype(np.float32)
    total = cost[:, 0] + tip
    from_both = np.full((count, states + 2), np.inf, dtype=np.float32)
    for place in range(1, bins):
        from_both[:, 1:-1] = total
        below, above = from_both[:, :-2] + STRETCH_PRICE, from_both[:, 2:] + STRETCH_PRICE
        turned = np.where(below <= above, np.int8(-1), np.int8(1))
        moved = np.minimum(below, above)
        stays = total <= moved
        came[place] = np.where(stays, np.int8(0), turned)
        total = np.where(stays, total, moved) + cost[:, place]
    state = np.argmin(total + tip, axis=1)
    chosen = np.empty((count, bins), dtype=np.intp)
    rows = np.arange(count)
    for place in range(bins - 1, -1, -1):
        chosen[:, place] = state
        state = state + came[place, rows, state]
    residual = np.take_along_axis(difference, chosen[:, :, None], axis=2)[:, :, 0]
    return residual, ((chosen - REACH) * STEP).astype(np.float32)


def _fine(profile: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear interpolation at quarters of a bin."""
    after = np.concatenate([profile[:, 1:], profile[:, -1:]], axis=1)
    share = np.arange(_FINE, dtype=np.float32) / _FINE
    return (profile[:, :, None] * (1.0 - share) + after[:, :, None] * share).reshape(len(profile), -1)


@cache
def _places(bins: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Index into the fine profiles for every place and displacement."""
    half = ((np.arange(2 * REACH + 1) - REACH) * STEP / 2.0 * _FINE).astype(np.intp)
    at = np.arange(bins)[:, None] * _FINE
    last = bins * _FINE - _FINE
    return np.clip(at - half, 0, last), np.clip(at + half, 0, last)

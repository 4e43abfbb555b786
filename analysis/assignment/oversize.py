"""Whether an object is too large for the class it was given: most likely several chromosomes in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.structures.relative_length import RELATIVE_LENGTH

OVERSIZE: Final = 1.6
"""Ratio above which an object is several: of 995 rightly cut and classified chromosomes of the Tseng validation
split 4 exceed it; of 123 others, 14."""
MIN_OBJECTS: Final = 10
"""Fewer objects say nothing about the scale of the cell."""


def oversize_ratio(areas_px: NDArray[np.floating], classes: Sequence[str]) -> NDArray[np.float64]:
    """Area of every object over what its class should have in this cell.

    Parameters
    ----------
    areas_px
        Shape (n,): areas of the masks.
    classes
        Class names; "?" has no expectation.

    Returns
    -------
    ndarray
        float64, shape (n,): 1 is as expected; 1 for "?" and for cells of fewer than ten classified objects.
    """
    expected = np.array([RELATIVE_LENGTH.get(name, np.nan) for name in classes], dtype=np.float64)
    classified = np.isfinite(expected)
    ratio = np.ones(len(classes))
    if np.count_nonzero(classified) < MIN_OBJECTS:
        return ratio
    raw = np.asarray(areas_px, dtype=np.float64)[classified] / expected[classified]
    # The median holds as long as most objects are what they are called.
    ratio[classified] = raw / np.median(raw)
    return ratio

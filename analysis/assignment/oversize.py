"""Whether an object is too large for the class it was given: most likely several chromosomes in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.structures.relative_length import RELATIVE_LENGTH

# Of 995 rightly cut and classified chromosomes of the Tseng validation split 4 exceed this; of 123 others, 14.
OVERSIZE = 1.6
# Fewer objects than this say nothing about the scale of the cell.
MIN_OBJECTS = 10


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
    known = np.isfinite(expected)
    ratio = np.ones(len(classes))
    if np.count_nonzero(known) < MIN_OBJECTS:
        return ratio
    raw = np.asarray(areas_px, dtype=np.float64)[known] / expected[known]
    # The median holds as long as most objects are what they are called.
    ratio[known] = raw / np.median(raw)
    return ratio

"""The line a chromosome is straightened along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class MedialAxis:
    """The line a chromosome is straightened along.

    Attributes
    ----------
    points_px
        float32, shape (n, 2): x, y at equal arc distances from one end of the mask to the other. The first is the
        upper end in the image (the left one of two at the same height).
    length_px
        Arc length.
    width_px
        Mean width: mask area over length.
    """

    points_px: NDArray[np.float32]
    length_px: float
    width_px: float

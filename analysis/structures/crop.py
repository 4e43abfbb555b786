"""A chromosome cut out of its image, and the same one straightened for the classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

_LEAST_RATIO: Final = 1e-3
"""Keeps logarithms finite; no chromosome is that small beside the others of its cell."""
CROP_ROWS: Final = 96

CROP_COLUMNS: Final = 24


@dataclass(frozen=True, slots=True)
class ObjectPixels:
    """One object cut out of its image.

    Attributes
    ----------
    density
        float32, shape (h, w): optical density (log10 of background over grey), not below 0.
    mask
        bool, shape (h, w).
    """

    density: NDArray[np.float32]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ChromosomeCrop:
    """One chromosome, straight, ready for the classifier.

    Attributes
    ----------
    image
        float32, shape (CROP_ROWS, CROP_COLUMNS): optical density over the cell's median; one arm up, nobody knows
        which; the length always fills all rows, the width is to the cell's scale.
    relative_length, relative_area, relative_density
        Arc length, mask area and mean optical density over the median of the cell's objects: the only sizes there
        are, because the scale of a picture isn't known and condensation differs from cell to cell.
    """

    image: NDArray[np.float32]
    relative_length: float
    relative_area: float
    relative_density: float
    around: NDArray[np.float32] | None = None

    def views(self) -> NDArray[np.float32]:
        """float32, shape (2, CROP_ROWS, CROP_COLUMNS): the chromosome alone, and with what lies around it."""
        return np.stack([self.image, self.image if self.around is None else self.around])

    def features(self) -> NDArray[np.float32]:
        """float32, shape (3,): natural logarithms of the relative length, area and density."""
        values = (self.relative_length, self.relative_area, self.relative_density)
        return np.log(np.maximum(values, _LEAST_RATIO)).astype(np.float32)

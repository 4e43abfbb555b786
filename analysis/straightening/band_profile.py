"""Banding and width profile of a straightened chromosome."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIDDLE_FRACTION = 0.6
"""Fraction of the local width that is averaged: the edges are lighter for optical reasons."""
EMPTY_DENSITY = 0.05
"""Relative density from which on a pixel belongs to the chromosome."""


def profiles(images: NDArray[np.float32], bins: int = 64) -> NDArray[np.float32]:
    """Banding profile and width profile.

    Parameters
    ----------
    images
        float32, shape (n, rows, columns): relative densities, 0 outside the chromosome.
    bins
        Samples along the length.

    Returns
    -------
    NDArray[np.float32]
        Shape (n, 2, bins): mean density over the middle 60 % of the local width, and the fraction of the columns
        that the chromosome covers.
    """
    count, rows, columns = images.shape
    inside = images > EMPTY_DENSITY
    width = inside.sum(axis=2)
    position = np.arange(columns, dtype=np.float32)
    middle = (inside * position).sum(axis=2) / np.maximum(width, 1)
    reach = np.maximum(0.5 * MIDDLE_FRACTION * width, 0.5)
    core = np.abs(position - middle[:, :, None]) <= reach[:, :, None]
    banding = (images * core).sum(axis=2) / np.maximum(core.sum(axis=2), 1)
    both = np.stack([banding, width / columns], axis=1).astype(np.float32)
    if bins == rows:
        return both
    wanted = (np.arange(bins) + 0.5) / bins * rows - 0.5
    left = np.clip(np.floor(wanted).astype(np.intp), 0, rows - 1)
    right = np.minimum(left + 1, rows - 1)
    fraction = np.clip(wanted - left, 0.0, 1.0).astype(np.float32)
    return np.asarray(both[:, :, left] * (1 - fraction) + both[:, :, right] * fraction).reshape(count, 2, bins)

"""Whitening of residual band profiles by the Cholesky factors of their covariances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

LOCAL_BINS: Final = 12
"""Bins of the stretch that differs most: a fifth of a chromosome, about a large band and its neighbours."""
_LEAST_SQUARE: Final = 1e-6
"""Keeps the logarithm of a residual of 0 finite."""


@dataclass(frozen=True, slots=True)
class Whitener:
    """Turns residuals into independent numbers, from the upper tip down and from the lower tip up.

    Attributes
    ----------
    down, up
        float32, shape (n, bins, bins): inverse Cholesky factors. The first k numbers belong to the first k bins
        alone, so that their squares are the distance of a part of a chromosome from what is normal.
    log_down, log_up
        float32, shape (n, bins): logarithms of the factors' diagonals.
    """

    down: NDArray[np.float32]
    up: NDArray[np.float32]
    log_down: NDArray[np.float32]
    log_up: NDArray[np.float32]


def whitener(covariance: NDArray[np.floating]) -> Whitener:
    """Factor covariances of shape (n, bins, bins)."""
    parts = [[*_factor(each), *_factor(each[::-1, ::-1])] for each in np.asarray(covariance, dtype=np.float64)]
    down, log_down, up, log_up = (np.array(part, dtype=np.float32) for part in zip(*parts, strict=True))
    return Whitener(down, up, log_down, log_up)


def distances(
    inner: NDArray[np.float32], white: Whitener, class_rows: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logarithm of the mean square of the whitened residual: over all, and in the worst stretch.

    Parameters
    ----------
    inner
        float32, shape (n, bins): residuals without the tips.
    white
        Whiteners of the classes.
    class_rows
        Shape (n,): the whitener of each residual.

    Returns
    -------
    over_all, locally
        Shape (n,): nats.
    """
    numbers = np.einsum("nij,nj->ni", white.down[class_rows], inner).astype(np.float64)
    squares = np.maximum(numbers * numbers, _LEAST_SQUARE)
    sums = np.cumsum(np.pad(squares, ((0, 0), (1, 0))), axis=1)
    local = (sums[:, LOCAL_BINS:] - sums[:, :-LOCAL_BINS]) / LOCAL_BINS
    return np.log(squares.mean(axis=1)), np.log(local.max(axis=1))


def _factor(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lower = np.linalg.cholesky(covariance)
    inverse = solve_triangular(lower, np.eye(len(lower)), lower=True)
    return inverse, np.log(np.diag(lower))

"""Logistic regression with a ridge on standardised columns."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

WRITTEN_DECIMALS: Final = 5
"""Decimals of coefficients that are written: far finer than their sampling error, and alike on every machine."""
_LEAST_SPREAD: Final = 1e-3

Floats = NDArray[np.float64]


def ridge_logistic(features: Floats, labels: Floats, ridge: float) -> Floats:
    """Fit log odds as a weighted sum.

    Parameters
    ----------
    features
        Shape (n, columns); the first column is constant 1 and isn't held back by the ridge.
    labels
        Shape (n,), 0 or 1.
    ridge
        Price of a squared weight, halved, of columns that vary by 1.

    Returns
    -------
    NDArray[np.float64]
        Shape (columns,): weights of the columns as they are given.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    mean[0] = 0.0
    # What hardly varies can't be weighed; its noise must not be.
    spread[spread < _LEAST_SPREAD] = 1.0
    scaled = (features - mean) / spread

    def loss(weights: Floats) -> tuple[float, Floats]:
        odds = scaled @ weights
        chance = 1.0 / (1.0 + np.exp(-odds))
        held_back = ridge * np.r_[0.0, weights[1:]]
        value = np.sum(np.logaddexp(0.0, odds) - labels * odds) + 0.5 * float(held_back @ weights)
        return float(value), np.asarray(scaled.T @ (chance - labels) + held_back, np.float64)

    found = minimize(loss, np.zeros(features.shape[1]), jac=True, method="L-BFGS-B").x
    weights = found / spread
    weights[0] = found[0] - float((weights[1:] * mean[1:]).sum())
    return np.asarray(weights, np.float64)

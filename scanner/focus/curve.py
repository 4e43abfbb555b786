"""The curve of a focus measure over z, from few planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# How far real curves are from the fitted one, as a share of their height.
_MODEL_SHARE = 0.04
# Planes whose measure lies below this share of the best are left out of a fit that has enough others.
_NEAR_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class PeakFit:
    """Where a focus curve peaks.

    Attributes
    ----------
    z_um
        Peak; None where the planes show none, only a side of the curve.
    uphill
        -1 or 1: on which side of the best plane the curve rises.
    """

    z_um: float | None
    uphill: int


def fit_peak(z_um: NDArray[np.float64], values: NDArray[np.float64], noise: float) -> PeakFit:
    """Peak of a focus curve through three planes or more.

    Parameters
    ----------
    z_um
        float64, shape (n,), ascending.
    values
        float64, shape (n,), measures, not negative.
    noise
        Standard deviation of a measure.

    Notes
    -----
    The disc of defocus grows linearly with the distance from focus, and the energy of a structure falls with the
    square of its blur: the reciprocal of a measure is about a parabola, in the tails as well as near the peak,
    where a parabola through the measures or their logarithms would open the wrong way.
    """
    best = int(np.argmax(values))
    near = values >= _NEAR_SHARE * values[best]
    near[max(best - 1, 0) : best + 2] = True
    if np.count_nonzero(near) < 3:
        near[:] = True
    z, height = z_um[near] - z_um[best], values[near] / values[best]
    height = np.maximum(height, 1e-3)
    # Errors of a value v are errors of 1 / v times 1 / v^2.
    weights = height**2 / np.hypot(noise / values[best], _MODEL_SHARE * height)
    curve = np.polyfit(z, 1.0 / height, 2, w=weights)
    slope = float(curve[1])
    uphill = 1 if slope < 0.0 else -1
    if curve[0] <= 0.0:
        return PeakFit(None, uphill)
    return PeakFit(float(z_um[best] - slope / (2.0 * curve[0])), uphill)

"""The height of the specimen over the slide, from a few measured places, with how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from scanner.coordinates import SlidePoint

# What is known of glass before anything is measured, as standard deviations: the mean height within the range of
# the first search, a tilt of some tens of um over the length, and a gentle warp on top of it.
HEIGHT_UM = 60.0
TILT_UM_PER_MM = 1.0
WARP_UM = 4.0
WARP_LENGTH_MM = 12.0
# Repeatability of one focus search with the reference objective.
NOISE_UM = 0.5
# A point whose height the others, without it, expect further off than this many deviations is an outlier: dust on
# the coverslip, say.
OUTLIER_DEVIATIONS = 4.0
MIN_POINTS = 4


@dataclass(frozen=True, slots=True)
class FocusPoint:
    """A place whose focus was measured with the reference objective."""

    where: SlidePoint
    z_um: float


@dataclass(frozen=True, slots=True)
class FocusSurface:
    """Gaussian process over the slide: a tilted plane with a smooth warp (Rasmussen and Williams 2006, ch. 2).

    Attributes
    ----------
    points
        Points used, outliers left out.
    rejected
        Outliers.
    rms_um
        Root mean square of the residuals of `points`.
    """

    points: tuple[FocusPoint, ...]
    rejected: tuple[FocusPoint, ...]
    rms_um: float
    _middle_um: float
    _weights: NDArray[np.float64]
    _factor: tuple[NDArray[np.float64], bool]

    @classmethod
    def fit(cls, points: Sequence[FocusPoint]) -> FocusSurface:
        """Fit robustly: outliers are dropped one by one, never below four points.

        Raises
        ------
        ValueError
            There is no point.
        """
        if not points:
            raise ValueError("a focus surface needs at least one point")
        kept = list(points)
        rejected: list[FocusPoint] = []
        while len(kept) > MIN_POINTS and (worst := _outlier(kept)) is not None:
            rejected.append(kept.pop(worst))
        middle_um, factor, weights = _solve(kept)
        # The smoothed height of a measured point differs from its measurement by noise times weight.
        rms_um = float(np.sqrt(np.mean((NOISE_UM**2 * weights) ** 2)))
        return cls(tuple(kept), tuple(rejected), rms_um, middle_um, weights, factor)

    def z_um(self, where: SlidePoint) -> float:
        """Expected focus of the reference objective at a place of the slide."""
        return self._middle_um + float((self._covariance(where) @ self._weights)[0])

    def deviation_um(self, where: SlidePoint) -> float:
        """Standard deviation of `z_um`: small near measured points, large far from them."""
        near = self._covariance(where)
        prior = _kernel([where], [where])[0, 0]
        explained = float((near @ cho_solve(self._factor, near.T))[0, 0])
        return float(np.sqrt(max(0.0, prior - explained)))

    def _covariance(self, where: SlidePoint) -> NDArray[np.float64]:
        return _kernel([where], [point.where for point in self.points])


def _places_mm(points: Sequence[SlidePoint]) -> NDArray[np.float64]:
    return np.array([[point.x_um, point.y_um] for point in points]) / 1000


# Tilts are counted from the middle of the glass, so that the prior is as wide at one end as at the other.
_CENTRE_MM = np.array([38.0, 13.0])


def _kernel(first: Sequence[SlidePoint], second: Sequence[SlidePoint]) -> NDArray[np.float64]:
    a, b = _places_mm(first) - _CENTRE_MM, _places_mm(second) - _CENTRE_MM
    squared = np.sum((a[:, None, :] - b[None, :, :]) ** 2, axis=2)
    warp = WARP_UM**2 * np.exp(-squared / (2 * WARP_LENGTH_MM**2))
    return np.asarray(HEIGHT_UM**2 + TILT_UM_PER_MM**2 * (a @ b.T) + warp, dtype=np.float64)


def _solve(
    points: Sequence[FocusPoint],
) -> tuple[float, tuple[NDArray[np.float64], bool], NDArray[np.float64]]:
    heights = np.array([point.z_um for point in points])
    middle_um = float(np.median(heights))
    places = [point.where for point in points]
    matrix = _kernel(places, places) + NOISE_UM**2 * np.eye(len(points))
    factor, lower = cho_factor(matrix, lower=True)
    weights = np.asarray(cho_solve((factor, lower), heights - middle_um), dtype=np.float64)
    return middle_um, (np.asarray(factor, dtype=np.float64), bool(lower)), weights


def _outlier(points: Sequence[FocusPoint]) -> int | None:
    """Index of the point that all others, without it, contradict most, if they do so by far.

    Leave-one-out residuals and their deviations come in closed form from the inverse of the covariance (Rasmussen
    and Williams 2006, section 5.4.2).
    """
    _, factor, weights = _solve(points)
    diagonal = np.diag(cho_solve(factor, np.eye(len(points))))
    ratios = np.abs(weights / diagonal) * np.sqrt(diagonal)
    worst = int(np.argmax(ratios))
    return worst if ratios[worst] > OUTLIER_DEVIATIONS else None

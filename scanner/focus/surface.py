"""The height of the specimen over the slide, from a few measured places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner.coordinates import SlidePoint

# A point further than this many deviations from the surface through the others is an outlier: dust on the
# coverslip, say.
OUTLIER_DEVIATIONS = 4.0
# Deviations below this are the search's own repeatability at 10x and never make an outlier.
MIN_DEVIATION_UM = 1.0
_POINTS_FOR_PLANE = 3
_POINTS_FOR_QUADRATIC = 9


@dataclass(frozen=True, slots=True)
class FocusPoint:
    """A place whose focus was measured with the reference objective."""

    where: SlidePoint
    z_um: float


@dataclass(frozen=True, slots=True)
class FocusSurface:
    """Smooth surface through measured points: constant, plane or quadratic, by the number of points.

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
    _centre: SlidePoint
    _scale_um: float
    _coefficients: tuple[float, ...]

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
        centre = SlidePoint(
            float(np.mean([p.where.x_um for p in points])), float(np.mean([p.where.y_um for p in points]))
        )
        scale_um = max(1.0, max(centre.distance_um(p.where) for p in points))
        kept = list(points)
        rejected: list[FocusPoint] = []
        while len(kept) > _POINTS_FOR_PLANE + 1 and (worst := _outlier(kept, centre, scale_um)) is not None:
            rejected.append(kept.pop(worst))
        coefficients = _solve(kept, centre, scale_um)
        residuals = _residuals(kept, centre, scale_um, coefficients)
        rms_um = float(np.sqrt(np.mean(residuals**2)))
        return cls(tuple(kept), tuple(rejected), rms_um, centre, scale_um, tuple(coefficients))

    def z_um(self, where: SlidePoint) -> float:
        """Expected focus of the reference objective at a place of the slide."""
        return _height(where, self._centre, self._scale_um, np.array(self._coefficients))


def _terms(where: SlidePoint, centre: SlidePoint, scale_um: float, count: int) -> NDArray[np.float64]:
    x = (where.x_um - centre.x_um) / scale_um
    y = (where.y_um - centre.y_um) / scale_um
    return np.array([1.0, x, y, x * x, x * y, y * y][:count])


def _solve(points: Sequence[FocusPoint], centre: SlidePoint, scale_um: float) -> NDArray[np.float64]:
    if len(points) < _POINTS_FOR_PLANE:
        count = 1
    elif len(points) < _POINTS_FOR_QUADRATIC:
        count = 3
    else:
        count = 6
    design = np.array([_terms(p.where, centre, scale_um, count) for p in points])
    heights = np.array([p.z_um for p in points])
    return np.asarray(np.linalg.lstsq(design, heights, rcond=None)[0], dtype=np.float64)


def _residuals(
    points: Sequence[FocusPoint], centre: SlidePoint, scale_um: float, coefficients: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.array([p.z_um - _height(p.where, centre, scale_um, coefficients) for p in points])


def _outlier(points: Sequence[FocusPoint], centre: SlidePoint, scale_um: float) -> int | None:
    """Index of the point that the surface through all others misses most, if it misses it by far.

    Each point is judged by a fit without it: within the common fit, an outlier among few points bends the surface
    towards itself and makes its neighbours look wrong.
    """
    ratios = []
    for index, point in enumerate(points):
        others = [*points[:index], *points[index + 1 :]]
        coefficients = _solve(others, centre, scale_um)
        residuals = _residuals(others, centre, scale_um, coefficients)
        spread_um = max(MIN_DEVIATION_UM, float(np.sqrt(np.mean(residuals**2))))
        ratios.append(abs(point.z_um - _height(point.where, centre, scale_um, coefficients)) / spread_um)
    worst = int(np.argmax(ratios))
    return worst if ratios[worst] > OUTLIER_DEVIATIONS else None


def _height(where: SlidePoint, centre: SlidePoint, scale_um: float, coefficients: NDArray[np.float64]) -> float:
    return float(_terms(where, centre, scale_um, len(coefficients)) @ coefficients)

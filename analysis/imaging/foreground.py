"""Which pixels are stained: an adaptive threshold in optical density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_BINS: Final = 256
"""Of the histogram for Otsu's threshold."""

_FINE_BINS: Final = 2048
"""Of the histogram for its upper end."""

_TOP_FRACTION: Final = 0.999
"""Of the pixels below the upper end of Otsu's histogram: single hot pixels don't stretch it."""

_LEAST_TOP: Final = 1e-6
"""Optical density: below it nothing varies."""

_BELOW: Final = 0.99999
_ABOVE: Final = 1.00001
"""The last bin of a histogram is half open: values at its end are brought just below, or the end just above."""


@dataclass(frozen=True, slots=True)
class ForegroundSettings:
    """Where the border of a chromosome lies.

    Attributes
    ----------
    edge
        Place of the border between local background (0) and local chromosome (1). The optical edge lies at one
        half; a little lower keeps pale bands and ends.
    min_threshold, max_threshold
        The local threshold stays within these multiples of the global one.
    half_height
        Of the typical stain: the global threshold is no higher. Otsu's lies too high where few chromosomes are
        dark.
    sigma_widths
        Neighbourhood in chromosome widths: some chromosomes and the slide between them.
    rounds
        Of local thresholds.
    fine_px
        Sigma of a neighbourhood's mean after reduction: means over several widths need no full resolution.
    prior_weight
        Of the prior where few pixels of a kind are near.
    """

    edge: float = 0.45
    min_threshold: float = 0.6
    max_threshold: float = 1.6
    half_height: float = 0.5
    sigma_widths: float = 1.5
    rounds: int = 2
    fine_px: float = 5.0
    prior_weight: float = 0.02


DEFAULT_FOREGROUND: Final = ForegroundSettings()


@dataclass(frozen=True, slots=True)
class Foreground:
    """Stained pixels and their thresholds.

    Attributes
    ----------
    mask
        bool, shape (h, w).
    threshold
        float32, shape (h, w): the local optical density of the border.
    level
        Median optical density of the stained pixels.
    """

    mask: NDArray[np.bool_]
    threshold: NDArray[np.float32]
    level: float


def otsu(density: NDArray[np.float32], valid: NDArray[np.bool_] | None = None) -> float:
    """Compute Otsu's threshold (Otsu 1979).

    Parameters
    ----------
    density
        float32, shape (h, w): optical density.
    valid
        bool, shape (h, w): pixels that take part; all where None.

    Returns
    -------
    float
        In optical density; 0 where nothing varies.
    """
    top = _top(density, valid)
    if top <= _LEAST_TOP:
        return 0.0
    edges = np.linspace(0.0, top, _BINS + 1)
    counts = _histogram(np.minimum(density, np.float32(_BELOW * top)), valid, _BINS, top)
    centres = (edges[:-1] + edges[1:]) / 2.0
    weight = np.cumsum(counts)
    moment = np.cumsum(counts * centres)
    rest = weight[-1] - weight
    with np.errstate(divide="ignore", invalid="ignore"):
        between = weight * rest * (moment / weight - (moment[-1] - moment) / rest) ** 2
    # All pixels in one bin: there are no two sides.
    return 0.0 if np.isnan(between).all() else float(centres[int(np.nanargmax(between))])


def _top(density: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> float:
    """Density that one valid pixel in a thousand is above, to a two-thousandth of the highest; 0 for none."""
    highest = float(density.max()) if density.size else 0.0
    if highest <= _LEAST_TOP:
        return 0.0
    counts = _histogram(density, valid, _FINE_BINS, _ABOVE * highest)
    total = np.cumsum(counts)
    if total[-1] == 0.0:
        return 0.0
    return float((np.searchsorted(total, _TOP_FRACTION * total[-1]) + 1) * highest / _FINE_BINS)


def _histogram(
    values: NDArray[np.float32], valid: NDArray[np.bool_] | None, bins: int, top: float
) -> NDArray[np.float64]:
    mask = None if valid is None else valid.astype(np.uint8)
    flat = np.ascontiguousarray(values, dtype=np.float32)
    counts = cv2.calcHist([flat], [0], mask, [bins], [0.0, top])
    return np.asarray(counts, dtype=np.float64).ravel()


def find_foreground(
    density: NDArray[np.float32],
    excluded: NDArray[np.bool_],
    width_px: float,
    settings: ForegroundSettings = DEFAULT_FOREGROUND,
) -> Foreground:
    """Find the stained pixels outside what is excluded.

    The border of a chromosome lies between the density around it and its own, both taken from its
    neighbourhood: in the middle of a dense cell the slide between chromosomes is greyed by their halos and a
    global threshold joins them.

    Parameters
    ----------
    density
        float32, shape (h, w).
    excluded
        bool, shape (h, w): nuclei.
    width_px
        Typical width of a chromosome.
    settings
        Where the border lies.
    """
    valid = ~excluded
    level = otsu(density, valid)
    stained = (density > level) & valid
    if level <= 0.0 or not stained.any():
        return Foreground(np.zeros(density.shape, np.bool_), np.full(density.shape, np.inf, np.float32), 0.0)
    typical = float(np.median(density[stained]))
    base = min(level, settings.half_height * typical)
    threshold = np.full(density.shape, base, np.float32)
    for _ in range(settings.rounds):
        stained = (density > threshold) & valid
        inside = _local_mean(density, stained, width_px, prior=typical, settings=settings)
        outside = _local_mean(density, valid & ~stained, width_px, prior=0.0, settings=settings)
        border = outside + settings.edge * (inside - outside)
        threshold = np.clip(border, settings.min_threshold * base, settings.max_threshold * base)
    stained = (density > threshold) & valid
    return Foreground(stained, threshold.astype(np.float32), typical)


def _local_mean(
    values: NDArray[np.float32],
    where: NDArray[np.bool_],
    width_px: float,
    *,
    prior: float,
    settings: ForegroundSettings,
) -> NDArray[np.float32]:
    """Average over the chosen pixels of the neighbourhood, drawn to the prior where there are few."""
    sigma = settings.sigma_widths * width_px
    step = max(1, int(sigma / settings.fine_px))
    height, width = values.shape
    size = (max(1, width // step), max(1, height // step))
    weight = where.astype(np.float32)
    total = cv2.GaussianBlur(cv2.resize(values * weight, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / step)
    weights = cv2.GaussianBlur(cv2.resize(weight, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / step)
    mean = (total + settings.prior_weight * prior) / (weights + settings.prior_weight)
    return np.asarray(cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)

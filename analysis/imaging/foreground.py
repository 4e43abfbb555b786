"""Which pixels are stained: an adaptive threshold in optical density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_BINS: Final = 256
_FINE_BINS: Final = 2048
_EDGE: Final = 0.45
"""Place of the border between local background (0) and local chromosome (1). The optical edge lies at one half;
a little lower keeps pale bands and ends."""

_PALE: Final = 0.6
_DENSE: Final = 1.6
"""The local threshold stays within these multiples of the global one."""


@dataclass(frozen=True, slots=True)
class Foreground:
    """Stained pixels and what told them.

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
    """Return Otsu's threshold (Otsu 1979) over the valid pixels; 0 where nothing varies."""
    top = _top(density, valid)
    if top <= 1e-6:
        return 0.0
    edges = np.linspace(0.0, top, _BINS + 1)
    counts = _histogram(np.minimum(density, np.float32(0.99999 * top)), valid, _BINS, top)
    centres = (edges[:-1] + edges[1:]) / 2.0
    weight = np.cumsum(counts)
    moment = np.cumsum(counts * centres)
    rest = weight[-1] - weight
    with np.errstate(divide="ignore", invalid="ignore"):
        between = weight * rest * (moment / weight - (moment[-1] - moment) / rest) ** 2
    return float(centres[int(np.nanargmax(between))])


def _top(density: NDArray[np.float32], valid: NDArray[np.bool_] | None) -> float:
    """Density that one valid pixel in a thousand is above, to a two-thousandth of the highest; 0 for none."""
    highest = float(density.max()) if density.size else 0.0
    if highest <= 1e-6:
        return 0.0
    counts = _histogram(density, valid, _FINE_BINS, 1.00001 * highest)
    total = np.cumsum(counts)
    if total[-1] == 0.0:
        return 0.0
    return float((np.searchsorted(total, 0.999 * total[-1]) + 1) * highest / _FINE_BINS)


def _histogram(
    values: NDArray[np.float32], valid: NDArray[np.bool_] | None, bins: int, top: float
) -> NDArray[np.float64]:
    mask = None if valid is None else valid.astype(np.uint8)
    flat = np.ascontiguousarray(values, dtype=np.float32)
    counts = cv2.calcHist([flat], [0], mask, [bins], [0.0, top])
    return np.asarray(counts, dtype=np.float64).ravel()


def find_foreground(density: NDArray[np.float32], excluded: NDArray[np.bool_], width_px: float) -> Foreground:
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
    """
    valid = ~excluded
    level = otsu(density, valid)
    stained = (density > level) & valid
    if level <= 0.0 or not stained.any():
        return Foreground(np.zeros(density.shape, np.bool_), np.full(density.shape, np.inf, np.float32), 0.0)
    # The half-height between empty slide and typical stain; Otsu lies too high where few chromosomes are dark.
    typical = float(np.median(density[stained]))
    base = min(level, 0.5 * typical)
    threshold = np.full(density.shape, base, np.float32)
    for _ in range(2):
        stained = (density > threshold) & valid
        inside = _local_mean(density, stained, sigma=1.5 * width_px, prior=typical)
        outside = _local_mean(density, valid & ~stained, sigma=1.5 * width_px, prior=0.0)
        threshold = np.clip(outside + _EDGE * (inside - outside), _PALE * base, _DENSE * base)
    stained = (density > threshold) & valid
    return Foreground(stained, threshold.astype(np.float32), typical)


def _local_mean(
    values: NDArray[np.float32], where: NDArray[np.bool_], *, sigma: float, prior: float
) -> NDArray[np.float32]:
    """Average over the chosen pixels of the neighbourhood, drawn to the prior where there are few."""
    # Means over several widths need no full resolution.
    step = max(1, int(sigma / 5.0))
    height, width = values.shape
    size = (max(1, width // step), max(1, height // step))
    weight = where.astype(np.float32)
    total = cv2.GaussianBlur(cv2.resize(values * weight, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / step)
    weights = cv2.GaussianBlur(cv2.resize(weight, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / step)
    pull = 0.02
    mean = (total + pull * prior) / (weights + pull)
    return np.asarray(cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)

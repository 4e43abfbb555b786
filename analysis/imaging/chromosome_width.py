"""How wide a chromosome is on this image: the yardstick of everything that follows.

Magnification, camera and preparation differ by a factor of eight between laboratories; the width of a chromatid
pair hardly differs within a cell. All sizes in the segmentation are therefore given in chromosome widths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class WidthSettings:
    """What of the ridges of the distance transform is a chromosome's.

    Attributes
    ----------
    min_ridge_px
        Half a thickness: thinner bodies are single pixels and hairs.
    max_body
        A body this many times thicker than the typical one is no chromosome and doesn't take part.
    rounds
        Of leaving such bodies out, at the most.
    min_ridge_count
        Ridge pixels below which the estimate before stays.
    tolerance
        Relative change at which the estimate has settled.
    width_over_ridge
        Width over the weighted median of the ridge: twice, and a tenth more because ridge pixels near rounded
        ends and at narrow bands lower the median.
    ridge_tolerance_px
        Of the comparison with neighbours: rounding of the distance transform.
    """

    min_ridge_px: float = 1.4
    max_body: float = 2.0
    rounds: int = 8
    min_ridge_count: int = 10
    tolerance: float = 0.01
    width_over_ridge: float = 2.2
    ridge_tolerance_px: float = 1e-3


DEFAULT_WIDTH: Final = WidthSettings()


def estimate_width(foreground: NDArray[np.bool_], settings: WidthSettings = DEFAULT_WIDTH) -> float:
    """Estimate the typical thickness of the elongated bodies in a mask.

    The ridge of the distance transform runs along the middle of each body; its height is half the local
    thickness. The median over all ridge pixels is the chromosomes', as they have more length than all debris,
    once bodies far thicker (nuclei) are left out.

    Parameters
    ----------
    foreground
        bool, shape (h, w).
    settings
        What counts as a chromosome.

    Returns
    -------
    float
        Width in px; 0 where there is no body thick enough, or nothing else.
    """
    if foreground.all():
        return 0.0
    mask = foreground.astype(np.uint8)
    distance = np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, 5), dtype=np.float32)
    highest = cv2.dilate(distance, np.ones((3, 3), np.uint8))
    ridge = (distance >= highest - settings.ridge_tolerance_px) & (distance >= settings.min_ridge_px)
    if not ridge.any():
        return 0.0
    count, components = cv2.connectedComponents(mask, connectivity=4)
    labels = np.asarray(components, dtype=np.int32)
    thickest = np.zeros(count, np.float32)
    np.maximum.at(thickest, labels[ridge], distance[ridge])
    heights, bodies = distance[ridge], thickest[labels[ridge]]
    half = float(np.median(heights))
    for _ in range(settings.rounds):
        # Weighted by itself, as debris has much ridge but little of it high.
        used = bodies <= settings.max_body * half
        if np.count_nonzero(used) < settings.min_ridge_count:
            break
        before, half = half, _weighted_median(heights[used], heights[used])
        if abs(half - before) < settings.tolerance * before:
            break
    return settings.width_over_ridge * half


def _weighted_median(values: NDArray[np.float32], pixel_weights: NDArray[np.float32]) -> float:
    order = np.argsort(values)
    cumulated = np.cumsum(pixel_weights[order], dtype=np.float64)
    return float(values[order][np.searchsorted(cumulated, cumulated[-1] / 2.0)])

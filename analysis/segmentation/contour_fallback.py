"""Contours fill in what the detector missed: in pictures unlike those it was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.box_geometry import distance_to_mask, window_of
from analysis.segmentation.settings import FALLBACK, FallbackSettings
from analysis.structures.instance import Instance
from analysis.structures.placement import touching_instances
from analysis.structures.region import Region

_TINY = 1e-6
"""Keeps fractions of no stain finite."""


def leaves_many_free(
    regions: Sequence[Region], mask: NDArray[np.bool_], settings: FallbackSettings = FALLBACK
) -> bool:
    """Tell whether many pieces of stain that look like the detected chromosomes hold none.

    Parameters
    ----------
    regions
        Pixels of the detected chromosomes, at least one.
    mask
        bool, shape (h, w): stain.
    settings
        What counts as many.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    held = np.zeros(count, np.bool_)
    for region in regions:
        held[region.crop_of(np.asarray(labels, dtype=np.float32))[region.mask].astype(np.int64)] = True
    typical = float(np.median([region.area_px for region in regions]))
    least, most = (factor * typical for factor in settings.free_area)
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    areas[0] = 0.0
    bodies = areas >= least
    free = bodies & ~held & (areas <= most)
    fraction = float(areas[free].sum()) / max(float(areas[bodies].sum()), _TINY)
    return bool(np.count_nonzero(free) >= settings.min_free and fraction >= settings.min_free_fraction)


def add_from_contours(
    detected: Sequence[Instance],
    contours: Sequence[Instance],
    shape: tuple[int, ...],
    *,
    width_px: float,
    settings: FallbackSettings = FALLBACK,
) -> tuple[Instance, ...]:
    """Add instances of the contours that the detector doesn't explain, the best scored first.

    Parameters
    ----------
    detected
        Instances of the detector.
    contours
        Instances of the contours on the same image.
    shape
        (height, width) of the image.
    width_px
        Typical width of a chromosome, in px of the image.
    settings
        Which are added, and how many.
    """
    covered = np.zeros(shape, np.bool_)
    for instance in detected:
        covered[window_of(np.asarray(instance.box_px, np.float32))] |= instance.mask
    distance = distance_to_mask(covered)
    max_distance_px = settings.max_distance_widths * width_px
    free = []
    for instance in contours:
        around = distance[window_of(np.asarray(instance.box_px, np.float32))][instance.mask]
        if float((around == 0.0).mean()) <= settings.max_covered and float(around.min()) <= max_distance_px:
            free.append(instance)
    free.sort(key=lambda instance: -instance.score)
    both = [*detected, *free[: max(0, settings.max_total - len(detected))]]
    neighbours = touching_instances([(instance.box_px, instance.mask) for instance in both])
    return tuple(replace(instance, overlaps=neighbours[k]) for k, instance in enumerate(both))

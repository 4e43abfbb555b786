"""Thin dark bodies, and the crowds they form: at 10x a metaphase is a crowd of thin dark bodies."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from analysis.finder.flatten import WORK_UM_PER_PX, FlatField

# A chromosome is 0.8-1.5 um wide and a few of them side by side stay below this; a nucleus (8-15 um) does not.
_OPENING_UM = 7.2
_MIN_OD = 0.05
_NOISE_FACTOR = 4.0
# Crowds are looked for at these radii: tight spreads to widely scattered ones.
_SCALES_UM = (5.0, 8.0, 12.0)
# Share of the area that thin bodies cover where a crowd begins, and at its peak.
_EDGE_COVER = 0.10
_PEAK_COVER = 0.16
# Two peaks nearer than this are one crowd.
_MIN_DISTANCE_UM = 24.0
_MIN_CROWD_UM2 = 80.0


@dataclass(frozen=True, slots=True)
class Bodies:
    """Thin dark bodies of a field.

    Attributes
    ----------
    thin
        float32, shape (h, w): optical density of structures thinner than a nucleus.
    mask
        bool, shape (h, w): pixels of thin bodies.
    thick
        bool, shape (h, w): pixels of nuclei and other large dark bodies.
    """

    thin: NDArray[np.float32]
    mask: NDArray[np.bool_]
    thick: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Crowd:
    """A region in which thin bodies crowd, in px of the work image.

    Attributes
    ----------
    x_px, y_px
        Centre of mass of its thin bodies.
    radius_px
        Radius that holds 95 % of them.
    top, left
        Corner of `region`.
    region
        bool: the crowd's own pixels in the rectangle at `top`, `left`.
    """

    x_px: float
    y_px: float
    radius_px: float
    top: int
    left: int
    region: NDArray[np.bool_]


def find_bodies(field: FlatField) -> Bodies:
    """Separate thin dark bodies from nuclei by a white top-hat on the optical density."""
    size = round(_OPENING_UM / WORK_UM_PER_PX) | 1
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    smooth = cv2.GaussianBlur(field.od, (0, 0), 0.6)
    opened = cv2.morphologyEx(smooth, cv2.MORPH_OPEN, disk)
    thin = np.asarray(np.maximum(smooth - opened, 0.0), dtype=np.float32)
    threshold = max(_MIN_OD, _NOISE_FACTOR * field.noise_od)
    # A nucleus is filled: what is open at that size and dark throughout.
    thick = opened > max(2 * threshold, 0.15)
    return Bodies(thin, np.asarray((thin > threshold) & ~thick), np.asarray(thick))


def find_crowds(bodies: Bodies) -> list[Crowd]:
    """Regions in which thin bodies cover much of the area, over several radii, one per peak."""
    mask = bodies.mask.astype(np.float32)
    cover = np.zeros(mask.shape, np.float32)
    for radius_um in _SCALES_UM:
        cover = np.maximum(cover, _box_blur(mask, radius_um / WORK_UM_PER_PX))
    wide = _box_blur(mask, _SCALES_UM[-1] / WORK_UM_PER_PX)
    reach = round(_MIN_DISTANCE_UM / WORK_UM_PER_PX) | 1
    top = cv2.dilate(wide, np.ones((reach, reach), np.uint8))
    seeds = (wide >= top) & (cover > _PEAK_COVER)
    labels = _territories(seeds, cover > _EDGE_COVER, wide)
    return _crowds_of(labels, bodies)


def _box_blur(mask: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    # Two box filters are near enough to a Gaussian here, at a cost that does not grow with the radius.
    side = round(sigma_px * 6**0.5) | 1
    once = cv2.blur(mask, (side, side), borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.blur(once, (side, side), borderType=cv2.BORDER_CONSTANT), dtype=np.float32)


def _territories(
    seeds: NDArray[np.bool_], area: NDArray[np.bool_], height: NDArray[np.float32]
) -> NDArray[np.int32]:
    """Connected areas of the crowd, divided between their seeds along the valleys of `height`."""
    _, markers = cv2.connectedComponents((seeds & area).astype(np.uint8), connectivity=8)
    markers = markers.astype(np.int32) + 1
    markers[area & (markers == 1)] = 0
    relief = np.clip(255 * (1 - height / max(float(height.max()), 1e-6)), 0, 255).astype(np.uint8)
    cv2.watershed(cv2.cvtColor(relief, cv2.COLOR_GRAY2BGR), markers)
    labels = np.where(markers > 1, markers - 1, 0)
    return np.asarray(labels, dtype=np.int32)


def _crowds_of(labels: NDArray[np.int32], bodies: Bodies) -> list[Crowd]:
    crowds: list[Crowd] = []
    count = int(labels.max())
    if count == 0:
        return crowds
    for label, window in enumerate(find_objects(labels, max_label=count), start=1):
        if window is None:
            continue
        rows, columns = window[0], window[1]
        region = labels[rows, columns] == label
        if region.sum() * WORK_UM_PER_PX**2 < _MIN_CROWD_UM2:
            continue
        ys, xs = np.nonzero(region & bodies.mask[rows, columns])
        if xs.size == 0:
            continue
        x, y = float(xs.mean()), float(ys.mean())
        radius = float(np.percentile(np.hypot(xs - x, ys - y), 95))
        crowds.append(Crowd(x + columns.start, y + rows.start, radius, rows.start, columns.start, region))
    return crowds

"""Thin dark bodies, and the crowds they form: at 10x a metaphase is a crowd of thin dark bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from analysis.finder.flatten import MIN_OD, WORK_UM_PER_PX, FlattenedField

_RELIEF_TINY: Final = 1e-6
"""Keeps the relief of an empty field finite."""

_BYTE_LIMIT: Final = 254.0
"""Highest threshold in 8 bits that anything can exceed."""


@dataclass(frozen=True, slots=True)
class BodySettings:
    """How thin bodies are told from nuclei, and where crowds of them lie.

    Attributes
    ----------
    opening_um
        A chromosome is 0.8-1.5 um wide and a few of them side by side stay below this; a nucleus (8-15 um) does
        not.
    levels_per_od
        Bodies are separated in 8 bits, four times as many pixels an instruction as in 32: steps of 0.005 up to OD
        1.07.
    smooth_px
        Sigma against the noise of single pixels.
    thick_od, thick_glow
        Nuclei are darker than the first; what shines round a cell a little out of focus is as bright as the
        second.
    scales_um
        Radii at which crowds are searched: tight spreads to widely scattered ones.
    min_distance_um
        Two peaks nearer than this are one crowd.
    min_crowd_um2
        Smaller crowds are specks.
    fold
        Crowds are far larger than a pixel: they are searched in the mean over this many px a side.
    radius_fraction
        Of a crowd's thin bodies within its radius.
    """

    opening_um: float = 7.2
    levels_per_od: float = 200.0
    smooth_px: float = 0.6
    thick_od: float = 0.15
    thick_glow: float = 0.30
    scales_um: tuple[float, ...] = (5.0, 8.0, 12.0)
    min_distance_um: float = 24.0
    min_crowd_um2: float = 80.0
    fold: int = 4
    radius_fraction: float = 0.95

    @property
    def fold_um(self) -> float:
        """Side of a pixel in which crowds are searched, um."""
        return self.fold * WORK_UM_PER_PX


BODIES: Final = BodySettings()


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How far a body stands out, in optical density and in standard deviations of the noise; both are needed."""

    min_od: float
    noise_factor: float


@dataclass(frozen=True, slots=True)
class CrowdLimits:
    """Fraction of the area that thin bodies cover where a crowd begins, and at its peak at least."""

    edge_cover: float
    peak_cover: float


@dataclass(frozen=True, slots=True)
class Bodies:
    """Thin dark bodies of a field.

    Attributes
    ----------
    mask
        uint8, shape (h, w): 255 on thin bodies, 0 elsewhere.
    thick
        uint8, shape (h, w): 255 on nuclei and other large dark bodies, 0 elsewhere.
    """

    mask: NDArray[np.uint8]
    thick: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Crowd:
    """A region in which thin bodies crowd, in px of the work image.

    Attributes
    ----------
    x_px, y_px
        Centre of mass of its thin bodies.
    radius_px
        Radius that holds 95 % of them.
    cover
        Largest fraction of the area that thin bodies cover in it, in [0, 1].
    top, left
        Corner of `region`.
    region
        bool: the crowd's own pixels in the rectangle at `top`, `left`.
    """

    x_px: float
    y_px: float
    radius_px: float
    cover: float
    top: int
    left: int
    region: NDArray[np.bool_]


def find_bodies(field: FlattenedField, limits: BodyLimits, settings: BodySettings = BODIES) -> Bodies:
    """Separate thin dark bodies from nuclei by a white top-hat on the optical density.

    Parameters
    ----------
    field
        A field as optical density.
    limits
        How far a body stands out.
    settings
        How thin bodies are told from nuclei.
    """
    size, scale = round(settings.opening_um / WORK_UM_PER_PX) | 1, settings.levels_per_od
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    levels = cv2.convertScaleAbs(field.od, alpha=scale, beta=-MIN_OD * scale)
    smooth = cv2.GaussianBlur(levels, (0, 0), settings.smooth_px)
    opened = cv2.morphologyEx(smooth, cv2.MORPH_OPEN, disk)
    threshold = max(limits.min_od, limits.noise_factor * field.noise_od)
    _, thin = cv2.threshold(
        cv2.subtract(smooth, opened), min(_BYTE_LIMIT, threshold * scale), 255, cv2.THRESH_BINARY
    )
    # A nucleus is filled: what is open at that size and dark throughout.
    thick_od = settings.thick_glow if field.fluorescence else settings.thick_od
    full = (max(2 * threshold, thick_od) - MIN_OD) * scale
    _, thick = cv2.threshold(opened, min(_BYTE_LIMIT, full), 255, cv2.THRESH_BINARY)
    mask = cv2.bitwise_and(thin, cv2.bitwise_not(thick))
    return Bodies(np.asarray(mask, dtype=np.uint8), np.asarray(thick, dtype=np.uint8))


def find_crowds(bodies: Bodies, limits: CrowdLimits, settings: BodySettings = BODIES) -> list[Crowd]:
    """Find regions in which thin bodies cover much of the area, over several radii, one per peak.

    Parameters
    ----------
    bodies
        Of one field.
    limits
        Where a crowd begins.
    settings
        Where crowds lie.
    """
    fold, fold_um = settings.fold, settings.fold_um
    height, width = (side // fold for side in bodies.mask.shape)
    if height < 1 or width < 1:
        return []
    whole = bodies.mask[: height * fold, : width * fold]
    covered = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    covered *= np.float32(1 / 255)
    wide = _box_blur(covered, settings.scales_um[-1] / fold_um)
    cover = wide
    for radius_um in settings.scales_um[:-1]:
        cover = np.maximum(cover, _box_blur(covered, radius_um / fold_um))
    reach = round(settings.min_distance_um / fold_um) | 1
    top = cv2.dilate(wide, np.ones((reach, reach), np.uint8))
    area = cover > limits.edge_cover
    seeds = area & (wide >= top) & (cover > limits.peak_cover)
    return _crowds_of(_basins(seeds, area, wide), whole, cover, settings) if seeds.any() else []


def _box_blur(covered: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    # Two box filters are near enough to a Gaussian here, at a cost that does not grow with the radius.
    side = round(sigma_px * 6**0.5) | 1
    once = cv2.blur(covered, (side, side), borderType=cv2.BORDER_CONSTANT)
    return np.asarray(cv2.blur(once, (side, side), borderType=cv2.BORDER_CONSTANT), dtype=np.float32)


def _basins(seeds: NDArray[np.bool_], area: NDArray[np.bool_], height: NDArray[np.float32]) -> NDArray[np.int32]:
    """Connected areas of the crowd, divided between their seeds along the valleys of `height`."""
    _, markers = cv2.connectedComponents(seeds.astype(np.uint8), connectivity=8)
    markers = markers.astype(np.int32) + 1
    markers[area & (markers == 1)] = 0
    relief = np.clip(255 * (1 - height / max(float(height.max()), _RELIEF_TINY)), 0, 255).astype(np.uint8)
    # The watershed leaves the picture's outermost pixels to nobody; they are added for it and taken away again.
    framed = cv2.copyMakeBorder(markers, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    relief = cv2.copyMakeBorder(relief, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    cv2.watershed(cv2.cvtColor(relief, cv2.COLOR_GRAY2BGR), framed)
    labels = np.where(framed > 1, framed - 1, 0)[1:-1, 1:-1]
    return np.asarray(labels, dtype=np.int32)


def _crowds_of(
    labels: NDArray[np.int32], mask: NDArray[np.uint8], cover: NDArray[np.float32], settings: BodySettings
) -> list[Crowd]:
    fold = settings.fold
    crowds: list[Crowd] = []
    count = int(labels.max())
    if count == 0:
        return crowds
    for label, window in enumerate(find_objects(labels, max_label=count), start=1):
        if window is None:
            continue
        own = labels[window] == label
        if own.sum() * settings.fold_um**2 < settings.min_crowd_um2:
            continue
        top, left = window[0].start * fold, window[1].start * fold
        region = own.repeat(fold, axis=0).repeat(fold, axis=1)
        inside = mask[top : top + region.shape[0] : 2, left : left + region.shape[1]] > 0
        # Every other row will do for a centre and a radius; it stands for the one below it too.
        ys, xs = np.nonzero(inside & region[::2])
        if xs.size == 0:
            continue
        x, y = float(xs.mean()), float(ys.mean()) * 2 + 0.5
        distance = np.hypot(xs - x, ys * 2 + 0.5 - y)
        outer = int(settings.radius_fraction * (distance.size - 1))
        radius = float(np.partition(distance, outer)[outer])
        crowds.append(Crowd(x + left, y + top, radius, float(cover[window][own].max()), top, left, region))
    return crowds

"""Bodies on a picture's grid: each drawn once, brought to a resolution once, placed by fractions of a pixel."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from simulators.specimen.banding import Contrast
from simulators.specimen.clutter import ClutterPatch
from simulators.specimen.slide import SpecimenBody

_CACHE_BYTES = 256 * 2**20
_STAMP_PX = 24
_PHASES = 4
# Pixels of nothing about a body at half the camera's pixel, so that sampling never asks for more than there is.
_BEFORE, _AFTER = 2, 6
# A Gaussian of this many pixels blurs about as much as the mean over one pixel.
_PIXEL_SIGMA = 0.29


@dataclass(slots=True)
class PatchResolution:
    """A body at one resolution.

    Attributes
    ----------
    light
        float32, shape (h, w): transmittance, or emitted light where `emits`.
    um_per_px
        Size of its pixels.
    emits
        Whether it adds its light or lets a share of it pass.
    is_half
        Whether its pixels are exactly half the camera's; `light` then has `_BEFORE` pixels of nothing before and
        `_AFTER` after the body on either axis.
    stamps
        The body on the camera's own pixels, by its place between them; of small bodies only.
    """

    light: NDArray[np.float32]
    um_per_px: float
    emits: bool = False
    is_half: bool = False
    stamps: dict[tuple[int, int], NDArray[np.float32]] = field(default_factory=dict)

    @property
    def nothing(self) -> float:
        """Value where there is no body."""
        return 0.0 if self.emits else 1.0

    @property
    def size_px(self) -> tuple[int, int]:
        """Rows and columns of the body itself."""
        rows, columns = self.light.shape
        border = _BEFORE + _AFTER if self.is_half else 0
        return rows - border, columns - border


@dataclass(slots=True)
class PatchCache:
    """Light of bodies at the resolutions in use, oldest dropped first.

    Attributes
    ----------
    limit_bytes
        Largest sum of the kept arrays.
    """

    limit_bytes: int = _CACHE_BYTES
    _levels: OrderedDict[tuple[object, ...], PatchResolution] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def level(self, body: SpecimenBody, um_per_px: float) -> PatchResolution:
        """The body at a resolution that suits a camera pixel of this size.

        Parameters
        ----------
        body
            What lies on the slide.
        um_per_px
            Size of a camera pixel on the specimen.
        """
        key = (*body.patch_key, round(um_per_px, 6))
        level = self._levels.get(key)
        if level is None:
            level = _make_level(body.render(), um_per_px)
            self._levels[key] = level
            self._bytes += level.light.nbytes
            while self._bytes > self.limit_bytes and len(self._levels) > 1:
                _, dropped = self._levels.popitem(last=False)
                self._bytes -= dropped.light.nbytes
        else:
            self._levels.move_to_end(key)
        return level

    @property
    def held_bytes(self) -> int:
        """Bytes of the kept arrays."""
        return self._bytes


def lay_on(
    canvas: NDArray[np.float32],
    level: PatchResolution,
    body: SpecimenBody,
    corner_um: tuple[float, float],
    um_per_px: float,
) -> None:
    """Darken a canvas by a body, or brighten it by one that emits.

    Parameters
    ----------
    canvas
        float32, shape (h, w): light so far.
    level
        The body at a suitable resolution.
    body
        Where it lies.
    corner_um
        Slide position of the canvas's left upper corner.
    um_per_px
        Pixel of the canvas.
    """
    height, width = level.size_px
    # Left and upper edge of the body, in pixels of the canvas.
    left = (body.x_um - corner_um[0] - width * level.um_per_px / 2.0) / um_per_px
    top = (body.y_um - corner_um[1] - height * level.um_per_px / 2.0) / um_per_px
    if max(height, width) <= _STAMP_PX:
        # Grains are many and small: each is kept at a few places between pixels, and only laid on.
        column, row = divmod(round(left * _PHASES), _PHASES), divmod(round(top * _PHASES), _PHASES)
        stamp = level.stamps.get((column[1], row[1]))
        if stamp is None:
            size = (
                math.ceil(width * level.um_per_px / um_per_px) + 2,
                math.ceil(height * level.um_per_px / um_per_px) + 2,
            )
            stamp = _sample(level, (-column[1] / _PHASES, -row[1] / _PHASES), size, um_per_px)
            level.stamps[(column[1], row[1])] = stamp
        _lay_at(canvas, stamp, column[0], row[0], emits=level.emits)
        return
    x0, y0 = max(math.floor(left), 0), max(math.floor(top), 0)
    x1 = min(math.ceil(left + width * level.um_per_px / um_per_px) + 1, canvas.shape[1])
    y1 = min(math.ceil(top + height * level.um_per_px / um_per_px) + 1, canvas.shape[0])
    if x0 < x1 and y0 < y1:
        sampled = _sample(level, (x0 - left, y0 - top), (x1 - x0, y1 - y0), um_per_px)
        _lay_at(canvas, sampled, x0, y0, emits=level.emits)


def _make_level(patch: ClutterPatch, um_per_px: float) -> PatchResolution:
    emits = patch.contrast is Contrast.EMITS
    light = patch.od if emits else np.power(np.float32(10.0), -patch.od, dtype=np.float32)
    if um_per_px <= 1.6 * patch.um_per_px:
        return PatchResolution(light, patch.um_per_px, emits)
    return PatchResolution(
        _at_half(light, patch.um_per_px, um_per_px / 2.0, 0.0 if emits else 1.0), um_per_px / 2.0, emits, True
    )


def _at_half(
    light: NDArray[np.float32], patch_um_per_px: float, um_per_px: float, nothing: float
) -> NDArray[np.float32]:
    """Bring a body to exactly half the camera's pixel: a frame then places it by three taps an axis."""
    step = um_per_px / patch_um_per_px
    sizes = [math.ceil(side / step) for side in light.shape]
    # Middle of the body to middle of the body; centres of pixels lie at whole numbers.
    rows, columns = (
        (side - 1) / 2.0 - step * ((size - 1) / 2.0 + _BEFORE)
        for side, size in zip(light.shape, sizes, strict=True)
    )
    smooth = cv2.GaussianBlur(light, (0, 0), _PIXEL_SIGMA * step, borderType=cv2.BORDER_REPLICATE)
    reduced = cv2.warpAffine(
        smooth,
        np.array([[step, 0.0, columns], [0.0, step, rows]]),
        (sizes[1] + _BEFORE + _AFTER, sizes[0] + _BEFORE + _AFTER),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(nothing,) * 4,
    )
    return np.asarray(reduced, dtype=np.float32)


def _sample(
    level: PatchResolution, start_px: tuple[float, float], size: tuple[int, int], um_per_px: float
) -> NDArray[np.float32]:
    """Part of a body on the camera's pixels.

    Parameters
    ----------
    level
        The body.
    start_px
        Left and upper edge of the part, in camera pixels from the body's own.
    size
        Columns and rows of the part.
    um_per_px
        Camera pixel.
    """
    if level.is_half:
        return _sample_half(level.light, start_px, size)
    step = um_per_px / level.um_per_px
    # Centre of the first pixel, in pixels of the level, whose own centres lie at whole numbers.
    first = [edge * step + step / 2.0 - 0.5 for edge in start_px]
    sampled = cv2.warpAffine(
        level.light,
        np.array([[step, 0.0, first[0]], [0.0, step, first[1]]]),
        size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(level.nothing,) * 4,
    )
    return np.asarray(sampled, dtype=np.float32)


def _sample_half(
    light: NDArray[np.float32], start_px: tuple[float, float], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Interpolate between half pixels and average two by two, in one: taps (1 - f, 1, f) / 2 at every other pixel.

    No part may start more than a camera pixel before the body, nor end more than two after it.
    """
    taps, corner = [], []
    for start in start_px:
        whole = math.floor(2.0 * start)
        fraction = 2.0 * start - whole
        taps.append(np.array([1.0 - fraction, 1.0, fraction], np.float32) / np.float32(2.0))
        corner.append(whole + _BEFORE)
    columns, rows = 2 * size[0] + 1, 2 * size[1] + 1
    part = light[corner[1] : corner[1] + rows, corner[0] : corner[0] + columns]
    filtered = cv2.sepFilter2D(part, cv2.CV_32F, taps[0], taps[1])
    return np.asarray(filtered[1::2, 1::2], dtype=np.float32)


def _lay_at(
    canvas: NDArray[np.float32], patch: NDArray[np.float32], column: int, row: int, *, emits: bool
) -> None:
    x0, y0 = max(column, 0), max(row, 0)
    x1, y1 = min(column + patch.shape[1], canvas.shape[1]), min(row + patch.shape[0], canvas.shape[0])
    if x0 < x1 and y0 < y1:
        part = canvas[y0:y1, x0:x1]
        (np.add if emits else np.multiply)(part, patch[y0 - row : y1 - row, x0 - column : x1 - column], out=part)

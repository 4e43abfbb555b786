"""Shift of the picture's content between two pictures, to a few hundredths of a pixel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft

from scanner.calibration.errors import BlankCalibrationFieldError, ImplausibleError
from scanner.focus.measure import object_mask, relative_transmission

# A picture with fewer object pixels is blank: noise would be taken for content.
MIN_OBJECT_PX = 150
# Correlation of the object pixels after the shift is undone; below it the two pictures do not show the same.
MIN_CORRELATION = 0.5
_FOLD = 2
_PEAKS = 5
_PEAK_RADIUS_PX = 4
_ROUNDS = 12
_PROCEDURE = "image shift"


@dataclass(frozen=True, slots=True)
class ImageShift:
    """Way that the content went from the first picture to the second.

    Attributes
    ----------
    dx_px, dy_px
        Way.
    correlation
        Of the object pixels after the shift is undone, -1 .. 1.
    """

    dx_px: float
    dy_px: float
    correlation: float

    @property
    def length_px(self) -> float:
        """Length of the way."""
        return math.hypot(self.dx_px, self.dy_px)


def image_shift(first: NDArray[np.uint16], second: NDArray[np.uint16]) -> ImageShift:
    """Measure the shift between two pictures of the same kind.

    Phase correlation with half of the whitening (so that noise in a sparse field doesn't drown the few objects)
    gives candidates; each is judged by the correlation of the object pixels; the best is refined by least squares
    on the grey levels (Lucas and Kanade 1981).

    Parameters
    ----------
    first, second
        uint16, the same shape (h, w).

    Raises
    ------
    BlankCalibrationFieldError
        Too few object pixels in either picture.
    ImplausibleError
        The pictures do not show the same.
    """
    a, b = _Content.of(first), _Content.of(second)
    for content in (a, b):
        if content.object_px < MIN_OBJECT_PX:
            raise BlankCalibrationFieldError(
                _PROCEDURE, f"blank field: {content.object_px} object pixels, {MIN_OBJECT_PX} needed"
            )
    small_a, small_b = a.reduced(), b.reduced()
    scored = [(_correlation(small_a, small_b, way), way) for way in _candidates(small_a, small_b)]
    best, way = max(scored)
    if best < MIN_CORRELATION / 2.0:
        raise ImplausibleError(_PROCEDURE, f"the pictures do not show the same (correlation {best:.2f})")
    dx_px, dy_px = _refine(a, b, (way[0] * _FOLD, way[1] * _FOLD))
    found = _correlation(a, b, (dx_px, dy_px))
    if found < MIN_CORRELATION:
        raise ImplausibleError(
            _PROCEDURE,
            f"the pictures do not show the same: correlation {found:.2f}, {MIN_CORRELATION} needed",
        )
    return ImageShift(dx_px, dy_px, found)


@dataclass(frozen=True, slots=True)
class _Content:
    """Absorption above the background, and where there is any."""

    absorption: NDArray[np.float32]
    mask: NDArray[np.bool_]

    @classmethod
    def of(cls, pixels: NDArray[np.uint16]) -> _Content:
        transmission = relative_transmission(pixels)
        # Bounded, so that one black speck of dust doesn't outweigh a field of chromosomes.
        absorption = np.clip(np.float32(1.0) - transmission, 0.0, 0.8)
        return cls(np.asarray(absorption, dtype=np.float32), object_mask(transmission))

    @property
    def object_px(self) -> int:
        return int(np.count_nonzero(self.mask))

    def reduced(self) -> _Content:
        height, width = self.absorption.shape
        size = (width // _FOLD, height // _FOLD)
        absorption = cv2.resize(self.absorption, size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(self.mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        return _Content(np.asarray(absorption, dtype=np.float32), mask > 0)


def _candidates(a: _Content, b: _Content) -> list[tuple[float, float]]:
    height, width = a.absorption.shape
    # Padded to twice the size: otherwise a shift of three quarters looks like one of a quarter the other way.
    shape = (fft.next_fast_len(2 * height, real=True), fft.next_fast_len(2 * width, real=True))
    spectra = [fft.rfft2(np.where(c.mask, c.absorption, np.float32(0.0)), s=shape) for c in (a, b)]
    cross = np.conj(spectra[0]) * spectra[1]
    strength = np.sqrt(np.abs(cross))
    peak_map = fft.irfft2(cross / np.maximum(strength, 1e-6 * float(strength.max())), s=shape)
    ways: list[tuple[float, float]] = []
    for _ in range(_PEAKS):
        row, column = (int(v) for v in np.unravel_index(int(np.argmax(peak_map)), peak_map.shape))
        dx = column - shape[1] if column > shape[1] // 2 else column
        dy = row - shape[0] if row > shape[0] // 2 else row
        ways.append((float(dx), float(dy)))
        rows = np.arange(row - _PEAK_RADIUS_PX, row + _PEAK_RADIUS_PX + 1) % shape[0]
        columns = np.arange(column - _PEAK_RADIUS_PX, column + _PEAK_RADIUS_PX + 1) % shape[1]
        peak_map[np.ix_(rows, columns)] = -np.inf
    return ways


def _undone(content: NDArray[np.float32], way: tuple[float, float]) -> NDArray[np.float32]:
    height, width = content.shape
    matrix = np.array([[1.0, 0.0, way[0]], [0.0, 1.0, way[1]]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(content, matrix, (width, height), flags=flags), dtype=np.float32)


def _common(a: _Content, b: _Content, way: tuple[float, float]) -> NDArray[np.bool_]:
    """Object pixels of either picture that both pictures show, on the first one's pixels."""
    height, width = a.mask.shape
    dx, dy = round(way[0]), round(way[1])
    rows = slice(max(0, -dy) + 2, min(height, height - dy) - 2)
    columns = slice(max(0, -dx) + 2, min(width, width - dx) - 2)
    shown = np.zeros_like(a.mask)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return shown
    shifted = b.mask[rows.start + dy : rows.stop + dy, columns.start + dx : columns.stop + dx]
    shown[rows, columns] = a.mask[rows, columns] | shifted
    return shown


def _correlation(a: _Content, b: _Content, way: tuple[float, float]) -> float:
    mask = _common(a, b, way)
    if np.count_nonzero(mask) < MIN_OBJECT_PX // 4:
        return -1.0
    first, second = a.absorption[mask], _undone(b.absorption, way)[mask]
    first, second = first - first.mean(), second - second.mean()
    scale = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / scale if scale > 0.0 else -1.0


def _refine(a: _Content, b: _Content, way: tuple[float, float]) -> tuple[float, float]:
    dx, dy = way
    for _ in range(_ROUNDS):
        mask = _common(a, b, (dx, dy))
        if np.count_nonzero(mask) < MIN_OBJECT_PX // 4:
            break
        warped = _undone(b.absorption, (dx, dy))
        across = cv2.Sobel(warped, cv2.CV_32F, 1, 0, scale=0.125)[mask]
        down = cv2.Sobel(warped, cv2.CV_32F, 0, 1, scale=0.125)[mask]
        difference = a.absorption[mask] - warped[mask]
        gradients = np.stack([across, down]).astype(np.float64)
        normal = gradients @ gradients.T
        if np.linalg.cond(normal) > 1e6:
            break
        step = np.linalg.solve(normal, gradients @ (difference - difference.mean()))
        # A step of many pixels is a failed linearisation, not an answer.
        step = np.clip(step, -2.0, 2.0)
        dx, dy = dx + float(step[0]), dy + float(step[1])
        if float(np.abs(step).max()) < 1e-3:
            break
    return dx, dy

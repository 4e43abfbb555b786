"""Training examples of the detector: windows of cells, turned, stained anew, with chromosomes added.

Chromosomes are added in density, as transmittances multiply: where they come to lie on others, densities add.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.detection.preprocessing import SCALE, TOP
from analysis.training.detector.data import DENSITY_STEPS, DetectorCell, Single

PADDING_PX: Final = 6.0
"""Slide round a chromosome in centred boxes, in px of the set: constant, whatever the chromosome's size."""

_LEVELS: Final = np.arange(256, dtype=np.float32) / np.float32(DENSITY_STEPS)
_TRIES: Final = 8
_BLUR_PX: Final = (0.4, 1.1)
"""From hardly to clearly out of focus."""

_SHARPEN_PX: Final = 1.2
_SHARPEN: Final = 0.6
"""As laboratory systems sharpen pictures."""

_LEAST_NOISE: Final = 0.01
_FULL_TURN_DEG: Final = 360.0
_BODY_LEVEL: Final = 0.35
"""Of a chromosome's dark pixels: what is fainter is halo and not of its box."""

_OFF_CENTRE: Final = 0.8
"""How far an added chromosome lies from one that is there, over where they would just touch."""

_NO_AREA: Final = 1e-6


@dataclass(frozen=True, slots=True)
class DetectorAugmentation:
    """How much is changed.

    Attributes
    ----------
    window_px
        Side of the square examples.
    log_scale
        Half range of the logarithm of the size.
    gain, gamma
        Half ranges of the logarithms of factor and exponent of the density.
    offset, noise
        Standard deviation of a constant, greatest one of pixel noise, in relative density.
    blur_fraction, sharpen_fraction, noise_fraction
        Fractions of the examples.
    add_fraction, add_most
        Fraction of the examples that get further chromosomes, and how many at most.
    least_visible
        Boxes of which less lies in the window are neither chromosome nor slide.
    """

    window_px: int = 448
    log_scale: float = 0.14
    gain: float = 0.25
    gamma: float = 0.25
    offset: float = 0.03
    noise: float = 0.06
    blur_fraction: float = 0.2
    sharpen_fraction: float = 0.1
    noise_fraction: float = 0.25
    add_fraction: float = 0.3
    add_most: int = 5
    least_visible: float = 0.6


@dataclass(frozen=True, slots=True)
class Example:
    """One training example.

    Attributes
    ----------
    image
        float32, shape (window_px, window_px): relative density.
    boxes_px
        float32, shape (n, 4): centred boxes, in px of the image.
    classes
        int64, shape (n,).
    ignored_px
        float32, shape (m, 4): boxes mostly outside.
    """

    image: NDArray[np.float32]
    boxes_px: NDArray[np.float32]
    classes: NDArray[np.int64]
    ignored_px: NDArray[np.float32]


def draw_example(
    detector_cell: DetectorCell,
    singles: Sequence[Single],
    rng: np.random.Generator,
    settings: DetectorAugmentation,
) -> Example:
    """Draw an example from a cell.

    Parameters
    ----------
    detector_cell
        The cell.
    singles
        Isolated chromosomes of all cells, to be added.
    rng
        Decides everything.
    settings
        How much is changed.
    """
    side = settings.window_px
    scale = SCALE * float(np.exp(rng.uniform(-settings.log_scale, settings.log_scale)))
    reach = round(side / scale)
    x0, y0 = (_origin(size, reach, rng) for size in detector_cell.density.shape[::-1])
    window = _window(detector_cell.density, x0, y0, reach)
    boxes = detector_cell.boxes_px - np.asarray([x0, y0, x0, y0], np.float32)
    classes = detector_cell.classes
    if singles and rng.random() < settings.add_fraction:
        window, boxes, classes = _with_added(window, boxes, classes, singles, rng, settings.add_most)
    image = np.asarray(cv2.resize(window, (side, side), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    boxes = _rescaled(boxes, side / reach)
    image, boxes = _turned(image, boxes, int(rng.integers(8)))
    clipped = np.clip(boxes, 0.0, float(side))
    visible = _areas(clipped) / np.maximum(_areas(boxes), _NO_AREA)
    kept = visible >= settings.least_visible
    return Example(
        _restained(image, rng, settings), clipped[kept], classes[kept], clipped[~kept & (visible > 0.0)]
    )


def _origin(size: int, reach: int, rng: np.random.Generator) -> int:
    """Place a window along one side: anywhere, or with the whole side in it."""
    low, high = sorted((0, size - reach))
    return int(rng.integers(low - 8, high + 9))


def _window(density: NDArray[np.uint8], x0: int, y0: int, reach: int) -> NDArray[np.uint8]:
    out = np.zeros((reach, reach), np.uint8)
    height, width = density.shape
    left, top, right, bottom = max(0, x0), max(0, y0), min(width, x0 + reach), min(height, y0 + reach)
    out[top - y0 : bottom - y0, left - x0 : right - x0] = density[top:bottom, left:right]
    return out


def _rescaled(boxes: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """Boxes at another size, the slide round the chromosome as wide as before."""
    nominal = np.float32(PADDING_PX) * np.asarray([1, 1, -1, -1], np.float32)
    return np.asarray((boxes + nominal) * factor - nominal * SCALE, dtype=np.float32)


def _turned(
    image: NDArray[np.uint8], boxes: NDArray[np.float32], turn: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Turn by quarters (turn % 4) and mirror (turn >= 4) a square picture and its boxes."""
    side = float(image.shape[0])
    for _ in range(turn % 4):
        boxes = np.stack([boxes[:, 1], side - boxes[:, 2], boxes[:, 3], side - boxes[:, 0]], axis=1)
    turned = np.rot90(image, turn % 4)
    if turn >= 4:
        turned = turned[:, ::-1]
        boxes = np.stack([side - boxes[:, 2], boxes[:, 1], side - boxes[:, 0], boxes[:, 3]], axis=1)
    return np.ascontiguousarray(turned, dtype=np.uint8), np.asarray(boxes, dtype=np.float32)


def _restained(
    image: NDArray[np.uint8], rng: np.random.Generator, settings: DetectorAugmentation
) -> NDArray[np.float32]:
    """Change focus, stain and noise."""
    draw = rng.random()
    if draw < settings.blur_fraction:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(*_BLUR_PX)), dtype=np.uint8)
    elif draw < settings.blur_fraction + settings.sharpen_fraction:
        smooth = cv2.GaussianBlur(image, (0, 0), _SHARPEN_PX)
        image = np.asarray(cv2.addWeighted(image, 1.0 + _SHARPEN, smooth, -_SHARPEN, 0), dtype=np.uint8)
    gain = np.exp(rng.uniform(-settings.gain, settings.gain))
    gamma = np.exp(rng.uniform(-settings.gamma, settings.gamma))
    curve = np.clip(gain * _LEVELS**gamma + rng.normal(0.0, settings.offset), 0.0, TOP).astype(np.float32)
    out = curve[image]
    if rng.random() < settings.noise_fraction:
        sigma = np.float32(rng.uniform(_LEAST_NOISE, settings.noise))
        out = np.maximum(out + sigma * rng.standard_normal(out.shape, dtype=np.float32), np.float32(0.0))
    return np.asarray(out, dtype=np.float32)


def _with_added(
    window: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    singles: Sequence[Single],
    rng: np.random.Generator,
    most: int,
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]:
    """Lay further chromosomes at and across those that are there."""
    window = window.copy()
    for _ in range(int(rng.integers(1, most + 1))):
        single = singles[int(rng.integers(len(singles)))]
        piece, tight = _rotated(single.density, float(rng.uniform(0.0, _FULL_TURN_DEG)))
        place = _place_near(boxes, piece.shape, window.shape[0], rng)
        if place is None:
            continue
        x, y = place
        h, w = piece.shape
        view = window[y : y + h, x : x + w]
        cv2.add(view, piece, dst=view)
        pad = np.float32(PADDING_PX)
        box = tight + np.asarray([x - pad, y - pad, x + pad, y + pad], np.float32)
        boxes = np.vstack([boxes, box[None]])
        labels = np.append(labels, single.class_index)
    return window, boxes, labels


def _rotated(density: NDArray[np.uint8], angle_deg: float) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Turn a chromosome; its picture cut to fit, and its box without the halo."""
    height, width = density.shape
    side = int(np.ceil(np.hypot(height, width))) + 2
    turn = np.asarray(cv2.getRotationMatrix2D((width / 2.0, height / 2.0), angle_deg, 1.0), dtype=np.float64)
    turn[:, 2] += side / 2.0 - np.asarray([width, height]) / 2.0
    turned = cv2.warpAffine(density, turn, (side, side), flags=cv2.INTER_LINEAR)
    body = turned > _BODY_LEVEL * float(np.percentile(density[density > 0], 80))
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    tight = np.asarray([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    return np.asarray(turned, dtype=np.uint8), tight


def _place_near(
    boxes: NDArray[np.float32], shape: tuple[int, ...], side: int, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Find a place that touches or crosses a chromosome without hiding it."""
    h, w = shape
    if not len(boxes) or min(side - w, side - h) <= 0:
        return None
    for _ in range(_TRIES):
        box = boxes[int(rng.integers(len(boxes)))]
        size = box[2:] - box[:2]
        centre = (box[:2] + box[2:]) / 2.0 + rng.uniform(-_OFF_CENTRE, _OFF_CENTRE, 2) * (
            size + np.asarray([w, h])
        ) / 2.0
        x, y = (int(v) for v in centre - np.asarray([w, h]) / 2.0)
        if not (0 <= x < side - w and 0 <= y < side - h):
            continue
        moved = np.asarray([x, y, x + w, y + h], np.float32)
        low, high = np.maximum(boxes[:, :2], moved[:2]), np.minimum(boxes[:, 2:], moved[2:])
        shared = np.clip(high - low, 0.0, None).prod(axis=1)
        if (shared / (_areas(boxes) + w * h - shared)).max() < 0.5:
            return x, y
    return None


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), dtype=np.float32)

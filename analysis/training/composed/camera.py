"""What stain, light, focus, camera, picture processing and compression make of a composed field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

_Range = tuple[float, float]
_WHITE: Final = 255.0
_BASE: Final = 10.0
"""Of optical density."""
_LEAST_BLUR_PX: Final = 0.3
"""A pixel gathers light over its own width."""
_LEAST_SHARPENED_PX: Final = 0.6
"""Over less there is nothing to sharpen."""
_RESAMPLED_PX: Final = 0.8
"""Over which a resampling smooths noise."""
_BRIGHT_PERCENTILE: Final = 99.0
_LEAST_BRIGHT: Final = 0.1
"""Of the dye: what counts as the brightest, and a bound for fields that hardly have any."""
_SMALL: Final = 0.25
"""Size at which the glow is blurred: it is smooth."""


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """How pictures are taken. Lengths in widths of a chromosome, levels in grey levels of 8 bits."""

    density: _Range = (0.10, 0.5)
    """Optical density of the typical stain: from an export with pale grey chromosomes to a dark one."""
    log_gamma: float = 0.35
    """Half range of the logarithm of the density's exponent: cameras and exports aren't linear."""
    blur: _Range = (0.025, 0.11)
    """Of the optics."""
    defocus_fraction: float = 0.1
    defocus: _Range = (0.11, 0.2)
    """Cells that are out of focus."""
    sharpened_fraction: float = 0.3
    sharpening: _Range = (0.3, 2.0)
    sharpened_over: _Range = (0.06, 0.16)
    """Pictures that a laboratory system has sharpened: how strongly, over what distance; halos come of it."""
    light: _Range = (165.0, 250.0)
    """Level of the empty slide."""
    shading: float = 0.12
    """Most fall of the light towards the borders."""
    white_fraction: float = 0.45
    """Exports whose empty slide was brought to white: what is paler than a margin goes with it."""
    white_margin: _Range = (0.0, 0.06)
    """Density below which everything is white there."""
    noise: _Range = (0.3, 5.0)
    """Standard deviation of the noise."""
    correlated_fraction: float = 0.4
    """Pictures whose noise has been smoothed by a resampling."""
    jpeg_fraction: float = 0.7
    jpeg_quality: tuple[int, int] = (45, 97)
    pasted_fraction: float = 0.08
    pasted_reach: _Range = (0.4, 1.6)
    """Pictures with white polygons that a technician pasted in, with what they hold; room about the chromosome."""

    fluorescence_fraction: float = 0.12
    """Pictures of fluorescence, inverted."""
    glow: _Range = (0.0, 0.25)
    glow_over: _Range = (0.5, 2.0)
    """Light that bodies throw about them, and over what distance."""
    brightest: _Range = (120.0, 255.0)
    """Level of the brightest chromosomes."""
    dark_slide: _Range = (0.0, 45.0)
    """Level of the empty slide in fluorescence."""


@dataclass(frozen=True, slots=True)
class CellPicture:
    """A picture of a composed field.

    Attributes
    ----------
    pixels
        uint8, shape (height, width): dark chromosomes on bright.
    inverted
        Whether it is an inverted picture of fluorescence.
    """

    pixels: NDArray[np.uint8]
    inverted: bool


def photograph(
    level: NDArray[np.float32],
    boxes_px: NDArray[np.float32],
    width_px: float,
    rng: np.random.Generator,
    settings: CameraSettings,
) -> CellPicture:
    """Take a picture of a field.

    Parameters
    ----------
    level
        float32, shape (h, w): stain over the typical one, see `SlideField`.
    boxes_px
        float32, shape (n, 4), of the chromosomes: some of them come in pasted polygons.
    width_px
        Of a chromosome.
    rng
        Decides everything.
    settings
        How much pictures vary.
    """
    is_blurred = rng.random() < settings.defocus_fraction
    blur_px = float(rng.uniform(*(settings.defocus if is_blurred else settings.blur))) * width_px
    focused = np.asarray(cv2.GaussianBlur(level, (0, 0), max(blur_px, _LEAST_BLUR_PX)), dtype=np.float32)
    if rng.random() < settings.fluorescence_fraction:
        grey = _shining(focused, width_px, rng, settings)
        return CellPicture(_exported(grey, width_px, rng, settings), inverted=True)
    gamma = np.float32(np.exp(rng.uniform(-settings.log_gamma, settings.log_gamma)))
    low, high = np.log(settings.density)
    stain = np.float32(np.exp(rng.uniform(low, high)))
    density = (stain * np.sign(focused) * np.abs(focused) ** gamma).astype(np.float32)
    light = _light(density.shape, rng, settings)
    if rng.random() < settings.white_fraction:
        density -= np.float32(rng.uniform(*settings.white_margin)) * np.float32(density.max() > 0.0)
        light = np.full_like(light, _WHITE)
    if len(boxes_px) and rng.random() < settings.pasted_fraction:
        light[_pasted(density.shape, boxes_px, width_px, rng, settings)] = _WHITE
    grey = light * np.float32(_BASE) ** -density
    return CellPicture(_exported(grey, width_px, rng, settings), inverted=False)


def _shining(
    level: NDArray[np.float32], width_px: float, rng: np.random.Generator, settings: CameraSettings
) -> NDArray[np.float32]:
    """Fluorescence, inverted: light adds and shines about the bodies."""
    dye = np.maximum(level, 0.0)
    over_px = float(rng.uniform(*settings.glow_over)) * width_px
    small = cv2.resize(dye, None, fx=_SMALL, fy=_SMALL, interpolation=cv2.INTER_AREA)
    glow = cv2.resize(cv2.GaussianBlur(small, (0, 0), over_px * _SMALL), dye.shape[::-1])
    dye = dye + np.float32(rng.uniform(*settings.glow)) * glow
    bright = float(np.percentile(dye[::2, ::2], _BRIGHT_PERCENTILE))
    slide = np.float32(rng.uniform(*settings.dark_slide))
    gain = np.float32((rng.uniform(*settings.brightest) - float(slide)) / max(bright, _LEAST_BRIGHT))
    return np.asarray(_WHITE - (slide + gain * dye), dtype=np.float32)


def _light(shape: tuple[int, ...], rng: np.random.Generator, settings: CameraSettings) -> NDArray[np.float32]:
    """The empty slide, unevenly lit: float32 of the shape given."""
    height, width = shape
    coarse = rng.uniform(-settings.shading, 0.0, (3, 3)).astype(np.float32) * np.float32(rng.random())
    shade = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.float32(rng.uniform(*settings.light)) * (1.0 + shade), dtype=np.float32)


def _pasted(
    shape: tuple[int, ...],
    boxes_px: NDArray[np.float32],
    width_px: float,
    rng: np.random.Generator,
    settings: CameraSettings,
) -> NDArray[np.bool_]:
    """White polygons about some chromosomes: bool of the shape given."""
    mask = np.zeros(shape, np.uint8)
    for row in rng.integers(0, len(boxes_px), int(rng.integers(1, 4))):
        x0, y0, x1, y1 = boxes_px[row]
        corners = np.asarray([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)
        away = np.asarray([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)
        corners += away * rng.uniform(*settings.pasted_reach, (4, 2)) * width_px
        cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)
    return np.asarray(mask > 0, dtype=np.bool_)


def _exported(
    grey: NDArray[np.float32], width_px: float, rng: np.random.Generator, settings: CameraSettings
) -> NDArray[np.uint8]:
    """Noise, sharpening and compression: uint8 of the same shape."""
    noise = rng.standard_normal(grey.shape, dtype=np.float32)
    if rng.random() < settings.correlated_fraction:
        noise = np.asarray(2.0 * cv2.GaussianBlur(noise, (0, 0), _RESAMPLED_PX), dtype=np.float32)
    low, high = np.log(settings.noise)
    grey = grey + np.float32(np.exp(rng.uniform(low, high))) * noise
    if rng.random() < settings.sharpened_fraction:
        over_px = max(_LEAST_SHARPENED_PX, float(rng.uniform(*settings.sharpened_over)) * width_px)
        amount = np.float32(rng.uniform(*settings.sharpening))
        grey = grey + amount * (grey - cv2.GaussianBlur(grey, (0, 0), over_px))
    pixels = np.clip(np.rint(grey), 0, _WHITE).astype(np.uint8)
    if rng.random() < settings.jpeg_fraction:
        quality = int(rng.integers(*settings.jpeg_quality))
        ok, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if ok:
            pixels = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    return pixels

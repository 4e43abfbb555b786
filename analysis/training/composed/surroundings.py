"""What lies on a slide beside the chromosomes: interphase nuclei, cytoplasm, debris, stain precipitate, dust."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.training.composed.field import SlideField

_Range = tuple[float, float]

_BELL_REACH: Final = 1.8
"""Radii beyond which a bell has no stain that an 8-bit picture would show."""
_LEAST_RADIUS_PX: Final = 0.3
"""Smaller bodies are a pixel."""
_DENT: Final = 2.5
_DENT_POINTS: Final = 8.0
"""Strength of broad dents in an outline once they are smoothed, and points that they span."""
_RIM: Final = 0.15
"""Strength of the unevenness from point to point."""
_MARGIN_PX: Final = 5.0
"""Slide about an outline, for its soft edge."""


@dataclass(frozen=True, slots=True)
class SurroundingsSettings:
    """What else lies on a field. Lengths in widths of a chromosome, stain over the typical one of chromosomes."""

    nuclei_mean: float = 1.1
    """Of the Poisson distribution of their number; most pictures are framed about the metaphase."""
    nucleus_radius: _Range = (2.2, 8.0)
    """From a small lymphocyte to a flattened amniocyte."""
    nucleus_log_axes: float = 0.22
    """Half range of the logarithm of the axes: how far from round."""
    nucleus_outline: float = 0.12
    """Standard deviation of the outline's distance before it is smoothed."""
    nucleus_stain: _Range = (0.3, 1.3)
    """Paler than chromosomes, or as dark."""
    nucleus_cover_widths2: float = 9.0
    """Most area of chromosomes under a nucleus: some lie half beneath, hidden ones are nobody's truth."""
    nucleus_grains: tuple[tuple[float, float], ...] = ((0.25, 0.14), (0.7, 0.12), (2.5, 0.16))
    """Size and strength of chromatin: grain, clumps, regions."""
    nucleoli_most: int = 4
    nucleolus_radius: _Range = (0.4, 1.2)
    nucleolus_stain: _Range = (-0.25, 0.4)
    """Paler or darker than what is about them."""
    nucleolus_place: _Range = (0.25, 0.7)
    """Of the corner of its patch, over the nucleus: inside of it."""
    tries: int = 8
    """Places that are tried for a nucleus."""

    cytoplasm_fraction: float = 0.35
    """Cells that lie in remains of their cytoplasm."""
    cytoplasm_stain: _Range = (0.02, 0.28)
    cytoplasm_reach: _Range = (0.8, 1.7)
    """Over the disc of the cell."""
    cytoplasm_grain: float = 0.35
    """Of its own stain."""
    cytoplasm_dents: tuple[float, float] = (5.0, 0.3)
    """Size and strength of the unevenness of its border."""

    debris_mean: float = 1.6
    """Of the Poisson distribution of the number of scraps: broken chromosomes, threads, shreds."""
    scrap_radius: _Range = (0.25, 1.1)
    scrap_stain: _Range = (0.2, 1.6)
    scrap_grain: tuple[float, float] = (0.6, 0.25)
    """Size and strength of a scrap's inner unevenness."""
    thread_fraction: float = 0.3
    thread_length: _Range = (1.0, 6.0)
    thread_width: _Range = (0.08, 0.3)
    thread_smoothing: float = 2.5
    """Of its steps, two dozen a thread: bends, not corners."""
    soft: _Range = (0.05, 0.16)
    """Edges of scraps, from as sharp as the slide to out of focus."""

    specks_fraction: float = 0.6
    """Fields with specks: stain precipitate and dust."""
    specks_log_mean: float = 2.6
    specks_log_spread: float = 1.0
    """Mean and standard deviation of the logarithm of their number: from few to a starry sky."""
    specks_most: int = 150
    speck_radius: _Range = (0.06, 0.28)
    speck_stain: _Range = (0.3, 2.5)
    speck_log_axes: float = 0.25
    """Standard deviation of the logarithm of a speck's axes."""
    ring_fraction: float = 0.25
    """Of the fields with specks: air and crystals refract, bright inside of a dark ring."""
    ring_radius: _Range = (0.12, 0.5)
    ring_light: _Range = (0.2, 0.9)
    """How far below the empty slide's density their middle is."""

    ring_rims: tuple[float, float] = (1.15, 0.7)
    """Of the dark ring and of its bright middle, over the radius."""

    blurs_mean: float = 1.5
    """Of the Poisson distribution of the number of bodies far out of focus."""
    blur_radius: _Range = (0.4, 1.6)
    blur_stain: _Range = (0.05, 0.3)


def add_surroundings(
    slide: SlideField,
    disc_px: tuple[tuple[float, float], tuple[float, float]],
    width_px: float,
    rng: np.random.Generator,
    settings: SurroundingsSettings,
) -> None:
    """Add what lies beside the chromosomes.

    Parameters
    ----------
    slide
        Its chromosomes lie there already; its stain is changed in place.
    disc_px
        Middle and half axes, both (x, y), of the disc that the cell spreads over.
    width_px
        Of a chromosome.
    rng
        Decides everything.
    settings
        What there may be.
    """
    for _ in range(int(rng.poisson(settings.nuclei_mean))):
        _add_nucleus(slide, width_px, rng, settings)
    if rng.random() < settings.cytoplasm_fraction:
        _add_cytoplasm(slide, disc_px, width_px, rng, settings)
    for _ in range(int(rng.poisson(settings.debris_mean))):
        is_thread = rng.random() < settings.thread_fraction
        scrap = _thread(width_px, rng, settings) if is_thread else _scrap(width_px, rng, settings)
        slide.add_stain(scrap, *_anywhere(slide, scrap.shape, rng))
    if rng.random() < settings.specks_fraction:
        _add_specks(slide, width_px, rng, settings)
    for _ in range(int(rng.poisson(settings.blurs_mean))):
        radius_px = float(rng.uniform(*settings.blur_radius)) * width_px
        body = np.float32(rng.uniform(*settings.blur_stain)) * _bell(radius_px)
        slide.add_stain(body, *_anywhere(slide, body.shape, rng))


def _add_nucleus(
    slide: SlideField, width_px: float, rng: np.random.Generator, settings: SurroundingsSettings
) -> None:
    """Draw an interphase nucleus and lay it where it hides hardly any chromosome."""
    level, mask = _nucleus(width_px, rng, settings)
    most = settings.nucleus_cover_widths2 * width_px**2
    for _ in range(settings.tries):
        x, y = _anywhere(slide, mask.shape, rng)
        if slide.occupied_px(mask, x, y) <= most:
            slide.add_stain(level, x, y)
            return


def _nucleus(
    width_px: float, rng: np.random.Generator, settings: SurroundingsSettings
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    low, high = np.log(settings.nucleus_radius)
    radius = float(np.exp(rng.uniform(low, high)))
    axes = radius * width_px * np.exp(rng.uniform(-settings.nucleus_log_axes, settings.nucleus_log_axes, 2))
    mask = _uneven_disc(axes, settings.nucleus_outline, rng)
    level = np.ones(mask.shape, np.float32)
    for size, strength in settings.nucleus_grains:
        level += np.float32(strength) * _grain(mask.shape, size * width_px, rng)
    for _ in range(int(rng.integers(0, settings.nucleoli_most + 1))):
        body = _bell(float(rng.uniform(*settings.nucleolus_radius)) * width_px)
        body *= np.float32(rng.uniform(*settings.nucleolus_stain))
        corner = rng.uniform(*settings.nucleolus_place, 2) * np.asarray(mask.shape)
        part = level[
            int(corner[0]) : int(corner[0]) + body.shape[0], int(corner[1]) : int(corner[1]) + body.shape[1]
        ]
        part += body[: part.shape[0], : part.shape[1]]
    soft_px = max(0.5, float(rng.uniform(*settings.soft)) * width_px)
    edge = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), soft_px)
    stain = np.float32(rng.uniform(*settings.nucleus_stain))
    return np.asarray(stain * np.maximum(level, 0.0) * edge, dtype=np.float32), mask


def _add_cytoplasm(
    slide: SlideField,
    disc_px: tuple[tuple[float, float], tuple[float, float]],
    width_px: float,
    rng: np.random.Generator,
    settings: SurroundingsSettings,
) -> None:
    """Add a pale cloud about the cell."""
    (middle_x, middle_y), half_px = disc_px
    height, width = slide.level.shape
    reach = np.asarray(half_px) * rng.uniform(*settings.cytoplasm_reach, 2)
    x = (np.arange(width, dtype=np.float32) - np.float32(middle_x)) / np.float32(max(reach[0], 1.0))
    y = (np.arange(height, dtype=np.float32) - np.float32(middle_y)) / np.float32(max(reach[1], 1.0))
    distance = x[None, :] ** 2 + y[:, None] ** 2
    dents, strength = settings.cytoplasm_dents
    distance *= 1.0 + strength * _grain((height, width), dents * width_px, rng)
    stain = np.float32(rng.uniform(*settings.cytoplasm_stain))
    cloud = stain * np.clip(1.0 - distance, 0.0, 0.5) * 2.0
    slide.level += cloud * (
        1.0 + np.float32(settings.cytoplasm_grain) * _grain((height, width), 0.5 * width_px, rng)
    )


def _scrap(width_px: float, rng: np.random.Generator, settings: SurroundingsSettings) -> NDArray[np.float32]:
    """Draw a scrap of uneven outline."""
    axes = rng.uniform(*settings.scrap_radius, 2) * width_px
    mask = _uneven_disc(axes, 2.0 * settings.nucleus_outline, rng)
    soft_px = max(0.5, float(rng.uniform(*settings.soft)) * width_px)
    edge = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), soft_px)
    grain, strength = settings.scrap_grain
    uneven = np.maximum(1.0 + strength * _grain(mask.shape, grain * width_px, rng), 0.0)
    return np.asarray(np.float32(rng.uniform(*settings.scrap_stain)) * edge * uneven, dtype=np.float32)


def _thread(width_px: float, rng: np.random.Generator, settings: SurroundingsSettings) -> NDArray[np.float32]:
    """Draw a bent thread."""
    bends = cv2.GaussianBlur(rng.normal(0.0, 2.0, (24, 2)), (1, 13), 1.0, sigmaY=settings.thread_smoothing)
    steps = bends + rng.normal(0.0, 0.5, (1, 2))
    points = np.cumsum(steps, axis=0)
    reach = float(np.ptp(points, axis=0).max())
    points *= float(rng.uniform(*settings.thread_length)) * width_px / max(reach, 1.0)
    margin = width_px
    points += margin - points.min(axis=0)
    size = np.ceil(points.max(axis=0) + margin).astype(int)
    canvas = np.zeros((int(size[1]), int(size[0])), np.float32)
    thick = max(1, round(float(rng.uniform(*settings.thread_width)) * width_px))
    cv2.polylines(
        canvas, [np.rint(points).astype(np.int32)], False, float(rng.uniform(*settings.scrap_stain)), thick
    )
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), max(0.5, settings.soft[0] * width_px)), dtype=np.float32)


def _add_specks(
    slide: SlideField, width_px: float, rng: np.random.Generator, settings: SurroundingsSettings
) -> None:
    """Add dark specks, and in some fields bright ones with a dark ring."""
    count = int(np.exp(rng.normal(settings.specks_log_mean, settings.specks_log_spread)))
    height, width = slide.level.shape
    has_rings = rng.random() < settings.ring_fraction
    for _ in range(min(count, settings.specks_most)):
        middle = np.asarray([rng.uniform(0.0, width), rng.uniform(0.0, height)])
        if has_rings:
            radius_px = float(rng.uniform(*settings.ring_radius)) * width_px
            dark, light = float(rng.uniform(*settings.speck_stain)), float(rng.uniform(*settings.ring_light))
            spot = (dark + light) * _bell(settings.ring_rims[0] * radius_px) / 2.0
            _add_centred(slide, np.asarray(spot, np.float32), middle)
            _add_centred(
                slide,
                np.asarray(-(dark + 2.0 * light) / 2.0 * _bell(settings.ring_rims[1] * radius_px), np.float32),
                middle,
            )
        else:
            radius_px = float(rng.uniform(*settings.speck_radius)) * width_px
            flat = float(np.exp(rng.normal(0.0, settings.speck_log_axes)))
            spot = np.float32(rng.uniform(*settings.speck_stain)) * _bell(radius_px * flat, radius_px / flat)
            _add_centred(slide, spot, middle)


def _add_centred(slide: SlideField, body: NDArray[np.float32], middle_px: NDArray[np.float64]) -> None:
    x, y = np.rint(middle_px - np.asarray(body.shape[::-1]) / 2.0)
    slide.add_stain(body, int(x), int(y))


def _anywhere(slide: SlideField, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[int, int]:
    """Place for a patch, its middle within the field."""
    rows, columns = slide.level.shape
    return (
        int(rng.integers(0, columns)) - shape[1] // 2,
        int(rng.integers(0, rows)) - shape[0] // 2,
    )


def _bell(radius_px: float, radius_y_px: float | None = None) -> NDArray[np.float32]:
    """A round or oval body of full stain in its middle: float32."""
    x, y = (_squares(radius) for radius in (radius_px, radius_px if radius_y_px is None else radius_y_px))
    return np.asarray(np.exp(-((x[None, :] + y[:, None]) ** 2)), dtype=np.float32)


def _squares(radius_px: float) -> NDArray[np.float32]:
    half = int(np.ceil(_BELL_REACH * radius_px)) + 1
    line = np.arange(-half, half + 1, dtype=np.float32) / np.float32(max(radius_px, _LEAST_RADIUS_PX))
    return np.asarray(line**2, dtype=np.float32)


def _uneven_disc(half_axes_px: NDArray[np.float64], outline: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """A turned ellipse of uneven outline: bool, with a margin about it."""
    count = 96
    angles = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    noise = np.tile(rng.normal(0.0, outline, count), 3)[None]
    # Broad dents, and a rim that isn't quite smooth.
    broad = _DENT * cv2.GaussianBlur(noise, (0, 0), _DENT_POINTS)[0, count : 2 * count]
    uneven = 1.0 + broad + _RIM * cv2.GaussianBlur(noise, (0, 0), 1.0)[0, count : 2 * count]
    turn = float(rng.uniform(0.0, np.pi))
    x, y = half_axes_px[0] * np.cos(angles) * uneven, half_axes_px[1] * np.sin(angles) * uneven
    points = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=1)
    points += _MARGIN_PX - points.min(axis=0)
    size = np.ceil(points.max(axis=0)).astype(int) + int(_MARGIN_PX)
    mask = np.zeros((int(size[1]), int(size[0])), np.uint8)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    return np.asarray(mask > 0, dtype=np.bool_)


def _grain(shape: tuple[int, ...], size_px: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Smooth noise of about unit strength: float32 of the shape given."""
    height, width = shape
    coarse = (max(3, round(height / max(size_px, 1.0))), max(3, round(width / max(size_px, 1.0))))
    noise = rng.standard_normal(coarse, dtype=np.float32)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)

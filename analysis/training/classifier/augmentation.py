"""Batch-wise changes of straightened crops that stain, focus, condensation and cutting make in the laboratory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class CropAugmentation:
    """How much is changed; each the standard deviation or half range of the change."""

    stretch: float = 0.1
    """Uneven condensation: how far a band may wander, as a fraction of the length."""
    end_fraction: float = 0.06
    """Length lost or gained at an end of the mask."""
    width: float = 0.22
    """Log width."""
    bend: float = 0.14
    """Sideways wandering of the axis, as a fraction of the crop's width."""
    shear: float = 0.25
    """Slant of the bands: rows moved from edge to edge, as a fraction of the crop's width."""
    contrast: float = 0.28
    """Log gain of the density."""
    gamma: float = 0.35
    """Log exponent of the density."""
    noise: float = 0.06
    """Pixel noise, relative density."""
    feature_noise: float = 0.07
    """Noise of the logarithms of relative length, area and density."""
    blur: float = 0.25
    """Fraction of the crops that are blurred a second time, as poor optics and late condensation do."""
    neighbour: float = 0.4
    """Fraction of the crops that get another chromosome beside them, outside of their mask."""
    bite: float = 0.12
    """Fraction of the crops of which the mask lacks a corner, as where a neighbour took it."""


_MASK_LEVEL: Final = 0.02
"""Relative density from which a pixel is of the mask: outside of it crops hold nothing."""

_TOP_LEVEL: Final = 4.0
"""Densest pixel that is kept."""

_BITE_LENGTH: Final = 0.25
_BITE_WIDTH: Final = 0.6
"""Of a crop's length and width that a missing corner reaches at most."""

_BEND_WAVES: Final = (1.5, 4.0)
"""Of an axis' sideways wandering, in radians from the middle to an end: an arc, and a wave of half its height."""

_FLOOR: Final = 0.25
"""Greatest density of a faint rim that a mask cuts off."""

_BLUR_RANGE: Final = (1.4, 0.4)
"""Width of the range between sharpened and blurred, and how far it lies below 0."""

_LOG_FLOOR: Final = 1e-6


def augment(
    views: Tensor, features: Tensor, generator: torch.Generator, settings: CropAugmentation
) -> tuple[Tensor, Tensor]:
    """Change a batch of crops.

    Parameters
    ----------
    views
        float32, shape (n, 2, rows, columns), relative density: alone, and with what lies around.
    features
        float32, shape (n, 3).
    generator
        Source of all randomness.
    settings
        Strengths.

    Returns
    -------
    tuple of Tensor
        New views and features of the same shapes.
    """
    beside = _with_neighbours(views, generator, settings.neighbour)
    bitten = _bitten(beside, generator, settings.bite)
    toned = _toned(_warped(bitten, generator, settings), generator, settings)
    grain = settings.noise * torch.randn(toned[:, :1].shape, generator=generator)
    noisy = toned + grain * (toned > _MASK_LEVEL)
    jitter = settings.feature_noise * torch.randn(features.shape, generator=generator)
    return noisy.clamp(0.0, _TOP_LEVEL), features + jitter


def _with_neighbours(views: Tensor, generator: torch.Generator, fraction: float) -> Tensor:
    """Lay the chromosome of another crop, pushed aside and turned, below what lies outside of the mask."""
    count, _, _, columns = views.shape
    chosen = torch.rand((count, 1, 1), generator=generator) < fraction
    if count < 2 or not bool(chosen.any()):
        return views
    push = int(torch.randint(columns // 3, 2 * columns // 3, (1,), generator=generator))
    other = torch.roll(views[:, 0], 1, 0).flip(1)
    aside = torch.zeros_like(other)
    # One side for all: the mirror images that follow make the other one.
    aside[:, :, push:] = other[:, :, : columns - push]
    alone, around = views[:, 0], views[:, 1]
    # Densities add where two lie on one another, and the mask's own pixels stay as they are.
    laid = torch.where(alone > _MASK_LEVEL, around, around + aside * chosen)
    return torch.stack([alone, laid], dim=1)


def _bitten(views: Tensor, generator: torch.Generator, fraction: float) -> Tensor:
    count, _, rows, columns = views.shape
    chosen = torch.rand((count, 1, 1), generator=generator) < fraction
    length = torch.rand((count, 1, 1), generator=generator) * _BITE_LENGTH
    side = torch.rand((count, 1, 1), generator=generator) * _BITE_WIDTH
    row = torch.linspace(0, 1, rows)[None, :, None]
    column = torch.linspace(0, 1, columns)[None, None, :]
    at_top = torch.rand((count, 1, 1), generator=generator) < 0.5
    ends = torch.where(at_top, row < length, row > 1 - length)
    gone = chosen & ends & (column < side)
    return torch.stack([torch.where(gone, torch.zeros_like(views[:, 0]), views[:, 0]), views[:, 1]], dim=1)


def _warped(views: Tensor, generator: torch.Generator, settings: CropAugmentation) -> Tensor:
    count, _, rows, columns = views.shape

    def uniform(scale: float, *shape: int) -> Tensor:
        return (torch.rand((count, *shape), generator=generator) * 2 - 1) * scale

    along = torch.linspace(-1 + 1 / rows, 1 - 1 / rows, rows)
    across = torch.linspace(-1 + 1 / columns, 1 - 1 / columns, columns)
    phase = uniform(torch.pi, 2, 1)
    # Two slow waves, nothing at the ends: bands move, the length stays.
    wave = torch.sin(torch.pi * along + 0.0) * uniform(settings.stretch, 1)
    wave = wave + 0.5 * torch.cos(0.5 * torch.pi * along) * uniform(settings.stretch, 1)
    ends = uniform(settings.end_fraction, 2, 1)
    y = along + wave + ends[:, 0] * (1 + along) / 2 + ends[:, 1] * (1 - along) / 2
    bend = torch.sin(_BEND_WAVES[0] * along + phase[:, 0]) * uniform(settings.bend, 1)
    bend = bend + 0.5 * torch.sin(_BEND_WAVES[1] * along + phase[:, 1]) * uniform(settings.bend, 1)
    mirror = torch.where(torch.rand((count, 1, 1), generator=generator) < 0.5, -1.0, 1.0)
    width = mirror * torch.exp(uniform(settings.width, 1, 1))
    x = across[None, None, :] * width + bend[:, :, None]
    shear = uniform(settings.shear, 1, 1) * columns / rows * 2
    grid = torch.stack([x, y[:, :, None] + shear * across[None, None, :]], dim=3)
    return functional.grid_sample(views, grid, padding_mode="zeros", align_corners=False)


def _toned(views: Tensor, generator: torch.Generator, settings: CropAugmentation) -> Tensor:
    count = len(views)

    def spread(scale: float) -> Tensor:
        return torch.exp(scale * torch.randn((count, 1, 1, 1), generator=generator).clamp(-2, 2))

    toned = torch.exp2(spread(settings.gamma) * torch.log2(views.clamp(min=_LOG_FLOOR))) * spread(
        settings.contrast
    )
    # Between sharpened (below 0) and blurred by about two pixels (1).
    mix = torch.rand((count, 1, 1, 1), generator=generator) * _BLUR_RANGE[0] - _BLUR_RANGE[1]
    mixed = torch.lerp(toned, _blurred(toned), mix)
    again = (torch.rand((count, 1, 1, 1), generator=generator) < settings.blur).nonzero()[:, 0]
    if len(again):
        mixed[again] = _blurred(_blurred(mixed[again]))
    # Eroded or ragged masks cut faint rims.
    floor = _FLOOR * torch.rand((count, 1, 1, 1), generator=generator).pow(2)
    return torch.where(mixed > floor, mixed, torch.zeros_like(mixed))


def _blurred(views: Tensor) -> Tensor:
    """Mean over 5 x 3 pixels; sums of shifted copies are several times as fast as a pooling layer here."""
    rows, columns = views.shape[2:]
    padded = functional.pad(views, (1, 1, 2, 2))
    tall = padded[:, :, :rows].clone()
    for k in range(1, 5):
        tall += padded[:, :, k : k + rows]
    wide = tall[..., :columns].clone()
    for k in range(1, 3):
        wide += tall[..., k : k + columns]
    return wide.mul_(1 / 15)

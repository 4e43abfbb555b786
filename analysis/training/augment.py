"""Batch-wise changes of straightened crops that stain, focus, condensation and cutting make in the laboratory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class AugmentSettings:
    """How much is changed; each the standard deviation or half range of the change."""

    stretch: float = 0.08
    """Uneven condensation: how far a band may wander, as a share of the length."""
    end_share: float = 0.05
    """Length lost or gained at an end of the mask."""
    width: float = 0.2
    """Log width."""
    bend: float = 0.12
    """Sideways wandering of the axis, as a share of the crop's width."""
    shear: float = 0.25
    """Slant of the bands: rows moved from edge to edge, as a share of the crop's width."""
    contrast: float = 0.25
    """Log gain of the density."""
    gamma: float = 0.3
    """Log exponent of the density."""
    noise: float = 0.06
    """Pixel noise, relative density."""
    feature_noise: float = 0.07
    """Noise of the logarithms of relative length, area and density."""


def augment(
    images: Tensor, features: Tensor, generator: torch.Generator, settings: AugmentSettings
) -> tuple[Tensor, Tensor]:
    """Change a batch of crops.

    Parameters
    ----------
    images
        float32, shape (n, rows, columns), relative density.
    features
        float32, shape (n, 3).
    generator
        Source of all randomness.
    settings
        Strengths.

    Returns
    -------
    tuple of Tensor
        New images and features of the same shapes.
    """
    warped = _warped(images, generator, settings)
    toned = _toned(warped, generator, settings)
    noisy = toned + settings.noise * torch.randn(toned.shape, generator=generator) * (toned > 0.02)
    jitter = settings.feature_noise * torch.randn(features.shape, generator=generator)
    return noisy.clamp(0.0, 4.0), features + jitter


def _warped(images: Tensor, generator: torch.Generator, settings: AugmentSettings) -> Tensor:
    count, rows, columns = images.shape

    def uniform(scale: float, *shape: int) -> Tensor:
        return (torch.rand((count, *shape), generator=generator) * 2 - 1) * scale

    along = torch.linspace(-1 + 1 / rows, 1 - 1 / rows, rows)
    across = torch.linspace(-1 + 1 / columns, 1 - 1 / columns, columns)
    phase = uniform(torch.pi, 2, 1)
    # Two slow waves, nothing at the ends: bands move, the length stays.
    wave = torch.sin(torch.pi * along + 0.0) * uniform(settings.stretch, 1)
    wave = wave + 0.5 * torch.cos(0.5 * torch.pi * along) * uniform(settings.stretch, 1)
    ends = uniform(settings.end_share, 2, 1)
    y = along + wave + ends[:, 0] * (1 + along) / 2 + ends[:, 1] * (1 - along) / 2
    bend = torch.sin(1.5 * along + phase[:, 0]) * uniform(settings.bend, 1)
    bend = bend + 0.5 * torch.sin(4.0 * along + phase[:, 1]) * uniform(settings.bend, 1)
    mirror = torch.where(torch.rand((count, 1, 1), generator=generator) < 0.5, -1.0, 1.0)
    width = mirror * torch.exp(uniform(settings.width, 1, 1))
    x = across[None, None, :] * width + bend[:, :, None]
    shear = uniform(settings.shear, 1, 1) * columns / rows * 2
    grid = torch.stack([x, y[:, :, None] + shear * across[None, None, :]], dim=3)
    return functional.grid_sample(images[:, None], grid, padding_mode="zeros", align_corners=False)[:, 0]


def _toned(images: Tensor, generator: torch.Generator, settings: AugmentSettings) -> Tensor:
    count = len(images)

    def spread(scale: float) -> Tensor:
        return torch.exp(scale * torch.randn((count, 1, 1), generator=generator).clamp(-2, 2))

    toned = images.clamp(min=0.0).pow(spread(settings.gamma)) * spread(settings.contrast)
    blurred = functional.avg_pool2d(functional.pad(toned[:, None], (1, 1, 2, 2)), (5, 3), stride=1, padding=0)[
        :, 0
    ]
    # Between sharpened (below 0) and blurred by about two pixels (1).
    share = torch.rand((count, 1, 1), generator=generator) * 1.4 - 0.4
    mixed = toned + share * (blurred - toned)
    # Eroded or ragged masks cut faint rims.
    floor = 0.25 * torch.rand((count, 1, 1), generator=generator).pow(2)
    return torch.where(mixed > floor, mixed, torch.zeros_like(mixed))

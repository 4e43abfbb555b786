"""Batch-wise changes of finder crops: what stain, focus, camera, magnification and the proposal's place may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from analysis.nets.finder_net import CROP_SIDE_PX
from analysis.training.finder.table import WIDE_PX

_NOISE_SCALE: Final = 50.0
_MOST_NOISE: Final = 10.0
_OD_STEP: Final = 0.01
_LEAST_OD: Final = -0.2
_MOST_OD: Final = 2.0
"""Densities that stored crops are kept at, see `analysis.training.finder.table`."""

_DARK_OD: Final = 0.02
"""From here on a pixel is stained, and the exponent of the density changes it."""

_PIVOT_OD: Final = 0.3
"""Density that the exponent leaves as it is: that of a stained chromosome."""

_BLUR_PX: Final = 1.1
_BLUR_REACH_PX: Final = 3.0


@dataclass(frozen=True, slots=True)
class FinderAugmentation:
    """How much is changed.

    Attributes
    ----------
    move_px
        Largest shift of the middle along x and y.
    log_scale
        Largest logarithm of the magnification.
    turn_deg
        Largest turn beside quarter turns and mirroring.
    exact_fraction
        Fraction of crops that are turned by quarters and moved by whole pixels alone, which keeps their grain.
    log_gain, log_gamma
        Standard deviation of the logarithm of gain and of exponent of the density.
    level_od
        Standard deviation of the background's level.
    blur_fraction, noise_fraction
        Fraction of crops that are blurred (up to a Gaussian of 1.1 px) and made noisier.
    noise_od
        Largest standard deviation of added noise.
    """

    move_px: float = 9.0
    log_scale: float = 0.15
    turn_deg: float = 10.0
    exact_fraction: float = 0.4
    log_gain: float = 0.15
    log_gamma: float = 0.12
    level_od: float = 0.01
    blur_fraction: float = 0.3
    noise_fraction: float = 0.3
    noise_od: float = 0.03


@dataclass(frozen=True, slots=True)
class FinderBatch:
    """Crops as the net takes them, and what moves with them.

    Attributes
    ----------
    crops
        float32, shape (n, 1, 128, 128).
    extras
        float32, shape (n, 2), see `analysis.finder.net_scores.net_inputs`.
    offset
        float32, shape (n, 2), px.
    log_radius
        float32, shape (n,): logarithm of the cell's radius over 20 um.
    """

    crops: Tensor
    extras: Tensor
    offset: Tensor
    log_radius: Tensor


def augment(
    wide: Tensor, batch: FinderBatch, generator: torch.Generator, settings: FinderAugmentation
) -> FinderBatch:
    """Draw new views of stored crops.

    Parameters
    ----------
    wide
        uint8, shape (n, 160, 160).
    batch
        Extras, offsets and radii that belong to them; its crops are not used.
    generator
        Source of all randomness.
    settings
        Strengths.
    """
    count = len(wide)

    def uniform(reach: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * reach

    exact = torch.rand(count, generator=generator) < settings.exact_fraction
    scale = torch.where(exact, torch.ones(count), torch.exp(uniform(settings.log_scale)))
    quarter = torch.randint(0, 4, (count,), generator=generator) * (torch.pi / 2)
    angle = quarter + torch.where(exact, torch.zeros(count), torch.deg2rad(uniform(settings.turn_deg)))
    move = torch.stack([uniform(settings.move_px), uniform(settings.move_px)], dim=1)
    move = torch.where(exact[:, None], move.round(), move)
    mirror = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    # From a point of the new view to one of the stored crop, both counted from their middles.
    cos, sin = torch.cos(angle), torch.sin(angle)
    back = torch.stack([torch.stack([mirror * cos, -sin], -1), torch.stack([mirror * sin, cos], -1)], 1)
    forth = back.transpose(1, 2) * scale[:, None, None]
    back = back / scale[:, None, None]
    crops = _sampled(wide, back, move)
    offset = (forth @ (batch.offset - move).unsqueeze(2)).squeeze(2)
    gain = torch.exp(settings.log_gain * torch.randn(count, generator=generator))
    crops, added = _toned(crops, gain, generator, settings)
    noise = torch.hypot(batch.extras[:, 1] / _NOISE_SCALE * gain, added)
    radius = batch.extras[:, 0] + torch.log(scale)
    extras = torch.stack([radius, (noise * _NOISE_SCALE).clamp(max=_MOST_NOISE)], dim=1)
    return FinderBatch(crops, extras, offset, batch.log_radius + torch.log(scale))


def _sampled(wide: Tensor, back: Tensor, move: Tensor) -> Tensor:
    steps = torch.arange(CROP_SIDE_PX, dtype=torch.float32) - 0.5 * (CROP_SIDE_PX - 1)
    ys, xs = torch.meshgrid(steps, steps, indexing="ij")
    points = torch.stack([xs, ys], -1).reshape(1, -1, 2)
    places = points @ back.transpose(1, 2) + move[:, None] + 0.5 * (WIDE_PX - 1)
    grid = ((places + 0.5) * (2.0 / WIDE_PX) - 1.0).reshape(len(wide), CROP_SIDE_PX, CROP_SIDE_PX, 2)
    # Optical density: outside of the stored crop there is background, 0.
    density = wide.unsqueeze(1).float() * _OD_STEP + _LEAST_OD
    return functional.grid_sample(density, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _toned(
    crops: Tensor, gain: Tensor, generator: torch.Generator, settings: FinderAugmentation
) -> tuple[Tensor, Tensor]:
    count = len(crops)

    def chosen(fraction: float) -> Tensor:
        return torch.rand(count, generator=generator) * (torch.rand(count, generator=generator) < fraction)

    blur, added = chosen(settings.blur_fraction), chosen(settings.noise_fraction) * settings.noise_od
    gamma = torch.exp(settings.log_gamma * torch.randn(count, generator=generator)).view(-1, 1, 1, 1)
    # Most crops are neither blurred nor made noisier, and needn't be paid for.
    rows = torch.nonzero(blur).squeeze(1)
    if len(rows):
        crops[rows] = torch.lerp(crops[rows], _blurred(crops[rows]), blur[rows].view(-1, 1, 1, 1))
    dark = crops > _DARK_OD
    crops = torch.where(
        dark, torch.exp(gamma * torch.log(crops.clamp(min=_DARK_OD) / _PIVOT_OD)) * _PIVOT_OD, crops
    )
    crops *= gain.view(-1, 1, 1, 1)
    rows = torch.nonzero(added).squeeze(1)
    if len(rows):
        crops[rows] += torch.randn(crops[rows].shape, generator=generator) * added[rows].view(-1, 1, 1, 1)
    level = settings.level_od * torch.randn((count, 1, 1, 1), generator=generator)
    return crops.add_(level).clamp_(_LEAST_OD, _MOST_OD), added


def _blurred(crops: Tensor) -> Tensor:
    line = torch.exp(-0.5 * (torch.arange(-_BLUR_REACH_PX, _BLUR_REACH_PX + 1.0) / _BLUR_PX) ** 2)
    line = line / line.sum()
    across = functional.conv2d(crops, line.view(1, 1, 1, 7), padding=(0, 3))
    return functional.conv2d(across, line.view(1, 1, 7, 1), padding=(3, 0))

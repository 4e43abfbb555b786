"""Losses of the instance mask net: whole masks where they are known, boxes as weak labels elsewhere."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from analysis.nets.instance_mask_net import InstanceMaskOutput
from analysis.training.instance_masks.batches import InstanceMaskBatch

_SOFT: Final = 1.0
"""Pixels added to either side of the Dice ratio, so that empty masks have one."""

_SLIDE_LEVEL: Final = 0.12
"""Stain, in units of the typical one, below which a pixel is slide."""

_SLIDE_WEIGHT: Final = 0.05
"""The slide far from any outline teaches little."""

_REACH_WEIGHT: Final = 0.5
"""Of a mask's reaching the sides of its box: it has one pixel a row to move, the other terms all."""

_OUTSIDE: Final = -15.0
"""Logit of what can't belong to a mask."""


def instance_mask_losses(output: InstanceMaskOutput, batch: InstanceMaskBatch) -> dict[str, Tensor]:
    """Parts of the loss: cross entropy, overlap (Dice), reaching the box (projection), expected overlap.

    Parameters
    ----------
    output
        Of the net.
    batch
        What was asked.
    """
    logits, target, labelled = output.mask, batch.target, batch.labelled
    level = batch.prompted[:, 0]
    weight = labelled * torch.where((level > _SLIDE_LEVEL) | (target > 0.5), 1.0, _SLIDE_WEIGHT)
    crossed = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    crossed = (crossed * weight).sum(dim=(1, 2)) / weight.sum(dim=(1, 2)).clamp(min=1.0)
    shared, either = _dice_terms(logits.sigmoid() * weight, target * weight)
    # Where most of a chromosome is unknown, its overlap says nothing.
    asked = ((target.amax(dim=(1, 2)) > 0.0) & (batch.whole > 0.5)).float()
    dice = 1.0 - (2.0 * shared + _SOFT) / (either + _SOFT)
    overlap = _overlap(logits.detach() > 0.0, target > 0.5, labelled > 0.5)
    quality = functional.binary_cross_entropy_with_logits(output.quality, overlap, reduction="none")
    return {
        "crossed": crossed.mean(),
        "dice": (dice * asked).sum() / asked.sum().clamp(min=1.0),
        "reach": _REACH_WEIGHT * _reach_loss(logits, batch.reach),
        "quality": (quality * batch.whole).sum() / batch.whole.sum().clamp(min=1.0),
    }


def _reach_loss(logits: Tensor, reach: Tensor) -> Tensor:
    """Every row and column within the box holds a pixel of the mask (projection loss of BoxInst)."""
    rows_in, columns_in = reach[:, 0] > 0.5, reach[:, 1] > 0.5
    inside = rows_in[:, :, None] & columns_in[:, None, :]
    held = logits.masked_fill(~inside, _OUTSIDE)
    losses = []
    for projected, wanted in ((held.amax(dim=2), rows_in), (held.amax(dim=1), columns_in)):
        each = functional.softplus(-projected) * wanted
        losses.append(each.sum() / wanted.sum().clamp(min=1.0))
    return losses[0] + losses[1]


def _dice_terms(chance: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return (chance * target).sum(dim=(1, 2)), chance.sum(dim=(1, 2)) + target.sum(dim=(1, 2))


def _overlap(predicted: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
    shared = (predicted & target & labelled).sum(dim=(1, 2)).float()
    return shared / ((predicted | target) & labelled).sum(dim=(1, 2)).float().clamp(min=1.0)

"""What the finder's net is corrected by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from analysis.nets.finder_net import TYPICAL_CHROMOSOMES, FinderOutput

_OFFSET_SCALE_PX: Final = 8.0


@dataclass(frozen=True, slots=True)
class FinderLossWeights:
    """How much each part counts."""

    metaphase: float = 1.0
    analysable: float = 2.0
    wanted: float = 1.0
    offset: float = 0.3
    radius: float = 0.3
    quality: float = 0.5
    chromosomes: float = 1.0
    correct_fraction: float = 0.5


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of n crops: -1 and NaN where it isn't.

    Attributes
    ----------
    metaphase, analysable, wanted
        float32, shape (n,): 1, 0 or -1.
    offset, log_radius, chromosomes, correct_fraction, quality
        As in `FinderOutput`, shares instead of logits.
    """

    metaphase: Tensor
    analysable: Tensor
    wanted: Tensor
    offset: Tensor
    log_radius: Tensor
    chromosomes: Tensor
    correct_fraction: Tensor
    quality: Tensor


def finder_loss(output: FinderOutput, labels: Labels, loss_weights: FinderLossWeights) -> dict[str, Tensor]:
    """Parts of the loss, each weighted, each a mean over the crops of which it is known.

    Parameters
    ----------
    output
        Of n crops.
    labels
        Theirs, of shape (n,) each.
    loss_weights
        Of the parts.
    """
    found = labels.metaphase == 1
    # A reviewer wants a picture of what is a metaphase and can be analysed; a no leaves open which failed.
    wanted = functional.logsigmoid(output.metaphase) + functional.logsigmoid(output.analysable)
    unwanted = torch.log(-torch.expm1(wanted.clamp(max=-1e-4)))
    parts = {
        "metaphase": _mean(_entropy(output.metaphase, labels.metaphase), labels.metaphase >= 0),
        "analysable": _mean(_entropy(output.analysable, labels.analysable), labels.analysable >= 0),
        "wanted": _mean(torch.where(labels.wanted == 1, -wanted, -unwanted), labels.wanted >= 0),
        "offset": _mean(_distance(output.offset, labels.offset, _OFFSET_SCALE_PX).sum(1), found),
        "radius": _mean(_distance(output.log_radius, labels.log_radius, 0.2), found),
        "quality": _mean(_entropy(output.quality, labels.quality), labels.quality >= 0),
        "chromosomes": _mean(
            _distance(output.chromosomes, labels.chromosomes, 0.15 * TYPICAL_CHROMOSOMES), labels.chromosomes >= 0
        ),
        "correct_fraction": _mean(
            _entropy(output.correct_fraction, labels.correct_fraction), labels.correct_fraction >= 0
        ),
    }
    return {name: value * float(getattr(loss_weights, name)) for name, value in parts.items()}


def _entropy(logits: Tensor, target: Tensor) -> Tensor:
    known = torch.nan_to_num(target, nan=0.0).clamp(0.0, 1.0)
    return functional.binary_cross_entropy_with_logits(logits.float(), known, reduction="none")


def _distance(value: Tensor, target: Tensor, scale: float) -> Tensor:
    known = torch.where(torch.isfinite(target), target, value.detach().float())
    return functional.smooth_l1_loss(value.float() / scale, known / scale, reduction="none")


def _mean(values: Tensor, measured: Tensor) -> Tensor:
    return (values * measured).sum() / measured.sum().clamp(min=1)

"""What all trainers do before and between their steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def weight_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters for an optimiser: kernels decay; offsets and scales of the norms, which are vectors, don't."""
    return [
        {"params": [value for value in net.parameters() if value.ndim > 1], "weight_decay": weight_decay},
        {"params": [value for value in net.parameters() if value.ndim <= 1], "weight_decay": 0.0},
    ]


def is_faster_in_half(work: Callable[[], object]) -> bool:
    """Measure whether bfloat16 pays: it is several times faster on a CPU that has tiles for it, else slower.

    Parameters
    ----------
    work
        What a step mostly does; called six times, without gradients.
    """
    seconds = {}
    for half in (False, True):
        for _ in range(3):
            # Of the processor: what else runs on the machine has no say.
            begun = time.process_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=half), torch.no_grad():
                work()
            seconds[half] = time.process_time() - begun
    return seconds[True] < seconds[False]


def take_into_average(
    average: dict[str, Tensor], net: nn.Module, *, step: int, decay: float, ahead: int = 15
) -> None:
    """Move averaged weights towards those of a net, in place.

    Parameters
    ----------
    average
        As `torch.nn.Module.state_dict` has them; what isn't floating point is taken over.
    step
        Steps made: early averages forget faster than ``decay``, by (1 + step) / (ahead + step).
    """
    decay = min(decay, (1 + step) / (ahead + step))
    with torch.no_grad():
        state = net.state_dict()
        floating = [key for key, value in state.items() if value.is_floating_point()]
        torch._foreach_lerp_([average[key] for key in floating], [state[key] for key in floating], 1.0 - decay)
        for key in state.keys() - set(floating):
            average[key].copy_(state[key])


def means(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of the figures of several steps, to four places; one that a step lacks counts as 0 there.

    Parameters
    ----------
    parts
        At least one; the first has all the figures.
    """
    return {key: round(float(np.mean([each.get(key, 0.0) for each in parts])), 4) for key in parts[0]}

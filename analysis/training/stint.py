"""What all trainers do before and between their steps."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn


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


def means(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of the figures of several steps, to four places; one that a step lacks counts as 0 there.

    Parameters
    ----------
    parts
        At least one; the first has all the figures.
    """
    return {key: round(float(np.mean([each.get(key, 0.0) for each in parts])), 4) for key in parts[0]}

"""How a training computes on this machine: threads, tiny numbers, half precision, optimiser groups."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import cv2
import torch
from torch import Tensor, nn

_TRIALS: Final = 3
"""Of either precision: the first ones fill caches and choose kernels."""


@contextmanager
def training_arithmetic(*, flush_denormal: bool = True) -> Iterator[None]:
    """One thread an operation, and subnormal numbers are nothing; as it was before, afterwards.

    Both belong to the process: whoever else computes in it counts on subnormal numbers.

    Parameters
    ----------
    flush_denormal
        Whether subnormal numbers are nothing, which is faster where activations die away.
    """
    threads, cv2_threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if flush_denormal:
        torch.set_flush_denormal(True)
    try:
        yield
    finally:
        if flush_denormal:
            torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv2_threads)


def weight_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters for an optimiser: kernels decay; offsets and scales of the norms, which are vectors, don't.

    Parameters
    ----------
    net
        Whose.
    weight_decay
        Of the kernels.
    """
    return [
        {"params": [value for value in net.parameters() if value.ndim > 1], "weight_decay": weight_decay},
        {"params": [value for value in net.parameters() if value.ndim <= 1], "weight_decay": 0.0},
    ]


def channels_last(net: nn.Module) -> None:
    """Lay a net's kernels out in memory as convolutions on a CPU are fastest with."""
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def is_faster_in_half(work: Callable[[], object]) -> bool:
    """Measure whether bfloat16 pays: it is several times faster on a CPU that has tiles for it, else slower.

    Parameters
    ----------
    work
        What a step mostly does; called six times, without gradients.
    """
    seconds = {}
    for half in (False, True):
        for _ in range(_TRIALS):
            # Of the processor: what else runs on the machine has no say.
            begun = time.process_time()
            with torch.autocast("cpu", torch.bfloat16, enabled=half), torch.no_grad():
                work()
            seconds[half] = time.process_time() - begun
    return seconds[True] < seconds[False]


def stored_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of any shape as they are kept: kernels in half precision, which costs them nothing that shows."""
    return {key: value.half() if value.ndim > 1 else value for key, value in tensors.items()}

"""Gradients of a batch in several threads, each with a copy of the net."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from analysis.training.engine.log import means

_Net = TypeVar("_Net", bound=nn.Module)
_Part = TypeVar("_Part")


class ThreadedGradients(Generic[_Net]):
    """Data parallelism on a CPU: every thread learns from its part of a batch with a net of its own.

    The threads wait for each other once a step; threads that share every operation wait hundreds of times, most of
    the time on a busy machine.

    Parameters
    ----------
    net
        What is trained.
    threads
        How many, and copies of the net.
    """

    def __init__(self, net: _Net, threads: int) -> None:
        self._net = net
        self._copies: list[_Net] = [deepcopy(net) for _ in range(threads)]
        self._pool = ThreadPoolExecutor(max_workers=threads)

    @property
    def threads(self) -> int:
        """Parts that a batch is divided into."""
        return len(self._copies)

    def __call__(
        self, learn: Callable[[_Net, _Part], Mapping[str, Tensor]], parts: Sequence[_Part]
    ) -> dict[str, float]:
        """Leave the mean gradients of all parts in the net, and means of its buffers.

        Parameters
        ----------
        learn
            Gives the parts of a loss, their sum to be minimised.
        parts
            What each thread learns from, one a thread.

        Returns
        -------
        dict
            Means of the losses.
        """

        def one(copy: _Net, part: _Part) -> dict[str, float]:
            copy.load_state_dict(self._net.state_dict())
            copy.train()
            copy.zero_grad(set_to_none=True)
            return backward(learn(copy, part))

        losses = list(self._pool.map(one, self._copies, parts))
        copies = self._copies
        for value, *others in zip(self._net.parameters(), *(each.parameters() for each in copies), strict=True):
            value.grad = torch.stack([_gradient(other) for other in others]).mean(dim=0)
        for value, *others in zip(self._net.buffers(), *(each.buffers() for each in copies), strict=True):
            value.copy_(torch.stack([other.float() for other in others]).mean(dim=0))
        return means(losses)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def backward(losses: Mapping[str, Tensor]) -> dict[str, float]:
    """Take the gradients of the sum of losses, each of shape (); gives their values."""
    torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
    return {key: float(value.detach()) for key, value in losses.items()}


def _gradient(value: Tensor) -> Tensor:
    return torch.zeros_like(value) if value.grad is None else value.grad

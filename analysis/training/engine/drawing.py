"""Batches drawn where they are needed, or ahead by processes of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from typing import Any, Final, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

Arrays = tuple[NDArray[np.generic], ...]
"""A batch as arrays, which are cheaper to hand over than tensors."""

Request = tuple[tuple[int, ...], ...]
"""What a batch is drawn from: numbers alone, so that it is the same wherever it is drawn."""

Draw = Callable[[Request], Arrays]
"""Draws a batch; can be pickled."""

_AHEAD: Final = 4


class _PipeEnd(Protocol):
    """One end of a pipe; its class has another name on Windows."""

    def send(self, obj: object, /) -> None: ...

    # What comes is as it was sent, which no type tells.
    def recv(self) -> Any: ...  # noqa: ANN401

    def close(self) -> None: ...


class BatchSource:
    """Batches by their requests, drawn when they are taken.

    Attributes
    ----------
    ahead
        Steps whose batches should be asked for before they are needed.

    Parameters
    ----------
    draw
        Draws a batch.
    """

    ahead: int = 0

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def ask(self, request: Request) -> None:
        """Say that a batch will be needed; batches are taken in the order they were asked for."""

    def take(self, request: Request) -> Arrays:
        """Give the batch that was asked for first."""
        return self._draw(request)


class _DrawnAhead(BatchSource):
    """Batches drawn by other processes: in threads drawing and nets would wait for the one interpreter."""

    ahead = _AHEAD

    def __init__(self, draw: Draw, drawers: Sequence[_PipeEnd]) -> None:
        super().__init__(draw)
        self._drawers = drawers
        self._asked = 0
        self._taken = 0

    def ask(self, request: Request) -> None:
        self._drawers[self._asked % len(self._drawers)].send(request)
        self._asked += 1

    def take(self, request: Request) -> Arrays:
        del request
        arrays: Arrays = self._drawers[self._taken % len(self._drawers)].recv()
        self._taken += 1
        return arrays


@contextmanager
def batch_source(draw: Draw, processes: int) -> Iterator[BatchSource]:
    """Provide batches for a training.

    Parameters
    ----------
    draw
        Draws a batch.
    processes
        That draw ahead; with 0 batches are drawn where they are taken. Batches are the same.
    """
    if processes == 0:
        yield BatchSource(draw)
        return
    # Forked copies of a process that computes with threads may hang.
    context = multiprocessing.get_context("spawn")
    ends: list[_PipeEnd] = []
    drawers: list[BaseProcess] = []
    try:
        for _ in range(processes):
            own, other = context.Pipe()
            drawer: BaseProcess = context.Process(target=_draw_for, args=(draw, other), daemon=True)
            drawer.start()
            other.close()
            ends.append(own)
            drawers.append(drawer)
        yield _DrawnAhead(draw, ends)
    finally:
        for end in ends:
            end.close()
        for drawer in drawers:
            drawer.join()


def _draw_for(draw: Draw, end: _PipeEnd) -> None:
    """Draw what is asked for until the other end is closed, or its process gone."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with suppress(EOFError, ConnectionError):
        while True:
            end.send(draw(end.recv()))

"""Batches of simulated examples, drawn where they are needed or ahead by processes of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any, Final, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.training.masks.examples import BlobExample, MaskExample, blob_examples, mask_examples
from analysis.training.masks.scene import SceneSettings, draw_scene
from analysis.training.masks.singles import SingleBank

Seeds = tuple[tuple[int, int], ...]
"""Of the scenes of a batch: of the training, and the scene's number."""

_Arrays = tuple[NDArray[np.generic], ...]
_AHEAD: Final = 4


@dataclass(slots=True)
class MaskBatch:
    """Examples of some scenes.

    Attributes
    ----------
    prompted, target
        Of the mask net.
    shown, extras, answers
        Of the blob net.
    """

    prompted: Tensor
    target: Tensor
    shown: Tensor
    extras: Tensor
    answers: Tensor


@dataclass(frozen=True, slots=True)
class _Workplace:
    """What drawing needs for all batches."""

    bank: SingleBank
    scene: SceneSettings
    prompts: int


class _PipeEnd(Protocol):
    """One end of a pipe; its class has another name on Windows."""

    def send(self, obj: object, /) -> None: ...

    # What comes is as it was sent, which no type tells.
    def recv(self) -> Any: ...  # noqa: ANN401

    def close(self) -> None: ...


class Batches:
    """Batches by their seeds, drawn when they are taken.

    Attributes
    ----------
    ahead
        Steps whose batches should be asked for before they are needed.

    Parameters
    ----------
    bank
        Chromosomes that scenes are composed of.
    scene
        How scenes are drawn.
    prompts
        Prompts a batch.
    """

    ahead: int = 0

    def __init__(self, bank: SingleBank, scene: SceneSettings, prompts: int) -> None:
        self._workplace = _Workplace(bank, scene, prompts)

    def ask(self, seeds: Seeds) -> None:
        """Say that a batch will be needed; batches are taken in the order they were asked for."""

    def take(self, seeds: Seeds) -> MaskBatch:
        """Give the batch that was asked for first."""
        return _as_batch(_arrays(self._workplace, seeds))


class _DrawnAhead(Batches):
    """Batches drawn by other processes: in threads drawing and nets would wait for the one interpreter."""

    ahead = _AHEAD

    def __init__(self, drawers: Sequence[_PipeEnd]) -> None:
        self._drawers = drawers
        self._asked = 0
        self._taken = 0

    def ask(self, seeds: Seeds) -> None:
        self._drawers[self._asked % len(self._drawers)].send(seeds)
        self._asked += 1

    def take(self, seeds: Seeds) -> MaskBatch:
        del seeds
        arrays = self._drawers[self._taken % len(self._drawers)].recv()
        self._taken += 1
        return _as_batch(arrays)


@contextmanager
def drawing(bank: SingleBank, scene: SceneSettings, prompts: int, processes: int) -> Iterator[Batches]:
    """Provide batches for a training.

    Parameters
    ----------
    bank
        Chromosomes.
    scene
        How much scenes vary.
    prompts
        Asked in a scene.
    processes
        That draw ahead; with 0 batches are drawn where they are taken. Batches are the same.
    """
    if processes == 0:
        yield Batches(bank, scene, prompts)
        return
    # Forked copies of a process that computes with threads may hang.
    context = multiprocessing.get_context("spawn")
    ends: list[_PipeEnd] = []
    drawers: list[BaseProcess] = []
    try:
        for _ in range(processes):
            own, other = context.Pipe()
            drawer: BaseProcess = context.Process(
                target=_draw_for, args=(_Workplace(bank, scene, prompts), other), daemon=True
            )
            drawer.start()
            other.close()
            ends.append(own)
            drawers.append(drawer)
        yield _DrawnAhead(ends)
    finally:
        for end in ends:
            end.close()
        for drawer in drawers:
            drawer.join()


def _draw_for(workplace: _Workplace, end: _PipeEnd) -> None:
    """Draw what is asked for until the other end is closed, or its process gone."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with suppress(EOFError, ConnectionError):
        while True:
            end.send(_arrays(workplace, end.recv()))


def draw_batch(
    bank: SingleBank, scene: SceneSettings, prompts: int, seeds: Sequence[tuple[int, int]]
) -> MaskBatch:
    """Draw the examples of scenes, one scene a seed.

    Parameters
    ----------
    bank
        Chromosomes.
    scene
        How scenes vary.
    prompts
        Asked in a scene.
    seeds
        One a scene.
    """
    return _as_batch(_arrays(_Workplace(bank, scene, prompts), seeds))


def _arrays(workplace: _Workplace, seeds: Sequence[tuple[int, int]]) -> _Arrays:
    """Draw the examples of scenes as arrays, which are cheaper to hand over than tensors."""
    prompts: list[MaskExample] = []
    blobs: list[BlobExample] = []

    def add(seed: tuple[int, ...]) -> None:
        rng = np.random.default_rng(seed)
        scene = draw_scene(workplace.bank, rng, workplace.scene)
        prompts.extend(mask_examples(scene, rng, workplace.prompts))
        blobs.extend(blob_examples(scene))

    for seed in seeds:
        add(seed)
    # Nets with batch statistics need two examples at the least.
    while len(prompts) < 2 or len(blobs) < 2:
        add((*seeds[0], 1 + len(prompts) + len(blobs)))
    return (
        np.stack([each.prompted for each in prompts]),
        np.stack([each.target > 0.5 for each in prompts]),
        np.stack([each.shown for each in blobs]),
        np.stack([each.extras for each in blobs]),
        np.stack([each.answers for each in blobs]),
    )


def _as_batch(arrays: _Arrays) -> MaskBatch:
    prompted, target, shown, extras, answers = (torch.from_numpy(array) for array in arrays)
    return MaskBatch(
        prompted.contiguous(memory_format=torch.channels_last),
        target.float(),
        shown.contiguous(memory_format=torch.channels_last),
        extras,
        answers,
    )

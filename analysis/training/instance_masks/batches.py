"""Batches of the instance mask net, drawn from prepared cells and single chromosomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from analysis.training.engine.drawing import Arrays, Request
from analysis.training.instance_masks.cells import MaskTrainingCells
from analysis.training.instance_masks.examples import InstanceMaskExample, draw_examples
from analysis.training.instance_masks.scenes import composed_scene, real_scene
from analysis.training.masks.singles import SingleBank, load_bank


@dataclass(slots=True)
class InstanceMaskBatch:
    """Prompts with their answers.

    Attributes
    ----------
    prompted
        float32, shape (n, 4, side, side).
    target, labelled
        float32, shape (n, side, side).
    reach
        float32, shape (n, 2, side): see `InstanceMaskExample`.
    whole
        float32, shape (n,): 1 where the mask is known everywhere.
    """

    prompted: Tensor
    target: Tensor
    labelled: Tensor
    reach: Tensor
    whole: Tensor


@dataclass(frozen=True)
class DrawInstanceMasks:
    """Draws the examples of scenes; each request is (side of the crops, seed, number) a scene.

    Attributes
    ----------
    data_dir, cache_dir
        Data root; where single chromosomes are kept.
    split
        Of the single chromosomes.
    paths
        Prepared cells; their files are read by whoever draws.
    prompts
        Asked in a scene.
    composed_fraction
        Of the scenes, those composed on an empty slide of gband612's chromosomes.
    """

    data_dir: Path
    cache_dir: Path
    split: str
    paths: tuple[Path, ...]
    prompts: int
    composed_fraction: float

    @cached_property
    def _bank(self) -> SingleBank:
        return load_bank(self.data_dir, self.cache_dir, self.split, sources=("gband612",))

    @property
    def singles(self) -> int:
        """Single chromosomes that scenes are composed of."""
        return len(self._bank)

    def __call__(self, request: Request) -> Arrays:
        """Draw the scenes of a request."""
        examples: list[InstanceMaskExample] = []
        for side_px, seed, number in request:
            examples += self._examples(side_px, (seed, number))
        repeat = 0
        # Nets with batch statistics need two examples at the least.
        while len(examples) < 2:
            repeat += 1
            side_px, seed, number = request[0]
            examples += self._examples(side_px, (seed, number, repeat))
        return (
            np.stack([each.prompted for each in examples]).astype(np.float16),
            np.stack([each.target > 0.5 for each in examples]),
            np.stack([each.labelled > 0.5 for each in examples]),
            np.stack([each.reach for each in examples]),
            np.asarray([each.whole for each in examples], np.float32),
        )

    def _examples(self, side_px: int, seed: Sequence[int]) -> list[InstanceMaskExample]:
        rng = np.random.default_rng(list(seed))
        if rng.random() < self.composed_fraction or not self.paths:
            scene = composed_scene(self._bank, rng)
        else:
            cells = MaskTrainingCells(self.paths)
            cell = cells[int(rng.integers(len(cells)))]
            scene = real_scene(cell, cells[int(rng.integers(len(cells)))].singles(), rng)
        return draw_examples(scene, rng, self.prompts, side_px)


def as_batch(arrays: Arrays) -> InstanceMaskBatch:
    """Make tensors of what `DrawInstanceMasks` drew."""
    prompted, target, labelled, reach, whole = (torch.from_numpy(array) for array in arrays)
    return InstanceMaskBatch(
        prompted.float().contiguous(memory_format=torch.channels_last),
        target.float(),
        labelled.float(),
        reach,
        whole,
    )

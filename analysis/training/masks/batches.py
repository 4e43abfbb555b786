"""Batches of simulated examples of the mask net and the blob net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.training.engine.drawing import Arrays, Request
from analysis.training.masks.examples import BlobExample, MaskExample, blob_examples, mask_examples
from analysis.training.masks.scene import SceneSettings, draw_scene
from analysis.training.masks.singles import SingleBank


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
class DrawScenes:
    """Draws the examples of scenes, one scene a seed.

    Attributes
    ----------
    bank
        Chromosomes that scenes are composed of.
    scene
        How scenes are drawn.
    prompts
        Asked in a scene.
    """

    bank: SingleBank
    scene: SceneSettings
    prompts: int

    def __call__(self, seeds: Request) -> Arrays:
        """Draw the scenes of some seeds."""
        masks: list[MaskExample] = []
        blobs: list[BlobExample] = []

        def add(seed: tuple[int, ...]) -> None:
            rng = np.random.default_rng(seed)
            scene = draw_scene(self.bank, rng, self.scene)
            masks.extend(mask_examples(scene, rng, self.prompts))
            blobs.extend(blob_examples(scene))

        for seed in seeds:
            add(seed)
        # Nets with batch statistics need two examples at the least.
        while len(masks) < 2 or len(blobs) < 2:
            add((*seeds[0], 1 + len(masks) + len(blobs)))
        return (
            np.stack([each.prompted for each in masks]),
            np.stack([each.target > 0.5 for each in masks]),
            np.stack([each.shown for each in blobs]),
            np.stack([each.extras for each in blobs]),
            np.stack([each.answers for each in blobs]),
        )


def draw_batch(
    bank: SingleBank, scene: SceneSettings, prompts: int, seeds: Sequence[tuple[int, ...]]
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
    return as_mask_batch(DrawScenes(bank, scene, prompts)(tuple(seeds)))


def as_mask_batch(arrays: Arrays) -> MaskBatch:
    """Make tensors of what `DrawScenes` drew."""
    prompted, target, shown, extras, answers = (torch.from_numpy(array) for array in arrays)
    return MaskBatch(
        prompted.contiguous(memory_format=torch.channels_last),
        target.float(),
        shown.contiguous(memory_format=torch.channels_last),
        extras,
        answers,
    )

"""Masks of single chromosomes by the instance mask net."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.detection.detector import has_tiles
from analysis.nets.instance_mask_net import InstanceMaskNet
from analysis.nets.layers import folded
from analysis.parameters.weights import WEIGHTS_DIR, fill_net, load_weights, read_manifest
from analysis.segmentation.instance_masks.prompts import CropFrame, MaskPrompt, frame_of, prompted_crop

INSTANCE_MASK_WEIGHTS: Final = "instance-masks"

_BATCH_PX: Final = 24 * 128 * 128
"""Pixels that go through the net at once: more doesn't make it faster, and needs memory."""


@dataclass(frozen=True, slots=True)
class PredictedMask:
    """What the net predicts for one prompt.

    Attributes
    ----------
    frame
        Place in the picture.
    probability
        float32, shape (side, side), in [0, 1]: that a pixel belongs to the chromosome.
    quality
        Overlap with the true mask that the net expects, in [0, 1].
    """

    frame: CropFrame
    probability: NDArray[np.float32]
    quality: float


class InstanceMaskPredictor:
    """Predicts masks for boxes, points and strokes.

    Parameters
    ----------
    net
        As trained.
    half
        Whether it computes in half precision (bfloat16), see `has_tiles`.
    """

    def __init__(self, net: InstanceMaskNet, *, half: bool = False) -> None:
        self._net = folded(net, half=half)
        self._number = torch.bfloat16 if half else torch.float32

    @staticmethod
    def load(folder: Path = WEIGHTS_DIR) -> InstanceMaskPredictor:
        """Load weights and manifest.

        Raises
        ------
        WeightsError
            Where they are missing, damaged or another net's.
        """
        net = InstanceMaskNet(**read_manifest(INSTANCE_MASK_WEIGHTS, folder).arguments)
        fill_net(net, load_weights(INSTANCE_MASK_WEIGHTS, folder), INSTANCE_MASK_WEIGHTS)
        return InstanceMaskPredictor(net, half=has_tiles())

    def __call__(self, level: NDArray[np.float32], prompts: Sequence[MaskPrompt]) -> list[PredictedMask]:
        """Predict masks.

        Parameters
        ----------
        level
            float32, shape (h, w): see `stain_level`.
        prompts
            Which chromosomes, in working px.

        Returns
        -------
        list of PredictedMask
            In the order of the prompts.
        """
        frames = [frame_of(prompt) for prompt in prompts]
        out: dict[int, PredictedMask] = {}
        for side in sorted({frame.side_px for frame in frames}):
            numbers = [k for k, frame in enumerate(frames) if frame.side_px == side]
            size = max(1, _BATCH_PX // side**2)
            for start in range(0, len(numbers), size):
                part = numbers[start : start + size]
                crops = np.stack([prompted_crop(level, prompts[k], frames[k]) for k in part])
                for k, probability, quality in zip(part, *self._predict(crops), strict=True):
                    out[k] = PredictedMask(frames[k], probability, float(quality))
        return [out[k] for k in range(len(prompts))]

    def _predict(self, crops: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        with torch.inference_mode():
            stacked = torch.from_numpy(crops).to(self._number, memory_format=torch.channels_last)
            output = self._net(stacked)
            return output.mask.sigmoid().numpy(), output.quality.sigmoid().numpy()

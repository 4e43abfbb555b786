"""Amodal masks of single chromosomes in piles: models 4 and 5 of the stream, one net asked by boxes or points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.detection.detector import has_tiles
from analysis.nets.layers import folded
from analysis.nets.mask_net import MaskNet
from analysis.parameters.weights import WEIGHTS_DIR, fill_net, load_weights, read_manifest
from analysis.segmentation.mask_net.input import box_channel, crop_at, seed_channel

MASK_WEIGHTS: Final = "stream-masks"
_BATCH: Final = 32


@dataclass(frozen=True, slots=True)
class PromptedMask:
    """A mask that the mask net predicts for one prompt.

    Attributes
    ----------
    x0_px, y0_px
        Place of the crop's upper left corner in the mask net's picture.
    probability
        float32, shape (CROP_PX, CROP_PX), in [0, 1]: that a pixel belongs to the chromosome.
    quality
        Overlap with the true mask that the net expects, in [0, 1].
    """

    x0_px: int
    y0_px: int
    probability: NDArray[np.float32]
    quality: float


class MaskPredictor:
    """Predicts masks for boxes and points.

    Parameters
    ----------
    mask_net
        As trained.
    half
        Whether it computes in half precision (bfloat16), see `has_tiles`.
    """

    def __init__(self, mask_net: MaskNet, *, half: bool = False) -> None:
        self._net = folded(mask_net, half=half)
        self._number = torch.bfloat16 if half else torch.float32

    @staticmethod
    def load(folder: Path = WEIGHTS_DIR) -> MaskPredictor:
        """Load weights and manifest.

        Raises
        ------
        WeightsError
            Where they are missing, damaged or another net's.
        """
        net = MaskNet(**read_manifest(MASK_WEIGHTS, folder).arguments)
        fill_net(net, load_weights(MASK_WEIGHTS, folder), MASK_WEIGHTS)
        return MaskPredictor(net, half=has_tiles())

    def at_boxes(self, level: NDArray[np.float32], boxes_px: NDArray[np.float32]) -> list[PromptedMask]:
        """Predict masks for boxes.

        Parameters
        ----------
        level
            float32, shape (h, w): the mask net's picture.
        boxes_px
            float32, shape (n, 4): close-fitting boxes in its px.
        """
        prompts = []
        for box in boxes_px:
            crop, left, top = crop_at(level, float(box[0] + box[2]) / 2.0, float(box[1] + box[3]) / 2.0)
            drawn = box_channel(box - np.asarray([left, top, left, top], np.float32))
            prompts.append((np.stack([crop, drawn, np.zeros_like(crop)]), left, top))
        return self._predict(prompts)

    def at_points(self, level: NDArray[np.float32], points_px: NDArray[np.float32]) -> list[PromptedMask]:
        """Predict masks for points.

        Parameters
        ----------
        level
            float32, shape (h, w): the mask net's picture.
        points_px
            float32, shape (n, 2): x, y in its px.
        """
        prompts = []
        for x, y in points_px:
            crop, left, top = crop_at(level, float(x), float(y))
            prompts.append((np.stack([crop, np.zeros_like(crop), seed_channel()]), left, top))
        return self._predict(prompts)

    def _predict(self, prompts: Sequence[tuple[NDArray[np.float32], int, int]]) -> list[PromptedMask]:
        masks: list[PromptedMask] = []
        for start in range(0, len(prompts), _BATCH):
            part = prompts[start : start + _BATCH]
            stacked = torch.from_numpy(np.stack([crop for crop, _, _ in part]))
            with torch.inference_mode():
                output = self._net(stacked.to(self._number, memory_format=torch.channels_last))
                probabilities, qualities = output.mask.sigmoid().numpy(), output.quality.sigmoid().numpy()
            masks += [
                PromptedMask(left, top, probability, float(quality))
                for (_, left, top), probability, quality in zip(part, probabilities, qualities, strict=True)
            ]
        return masks

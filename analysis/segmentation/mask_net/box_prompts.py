"""The mask net inside of detected boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.mask_net.input import MASK_NET_WIDTH_PX, MaskNetPicture
from analysis.segmentation.mask_net.placement import assign_by_probability, probability_in
from analysis.segmentation.mask_net.predictor import MaskPredictor, PromptedMask
from analysis.structures.region import Region

_REACH_WIDTHS: Final = 0.6
"""Stain farther from every mask belongs to none."""

_SLACK_WIDTHS: Final = 0.35
"""Boxes are right to about this; beyond it nothing belongs to their chromosome."""


@dataclass(frozen=True, slots=True)
class BoxPromptedMasks:
    """Amodal masks for the boxes of a pile.

    Attributes
    ----------
    predictor
        Predicts masks for boxes.
    picture
        The metaphase at the mask net's scale.
    cache
        Masks predicted for boxes of this picture: selections of one cell have most of their boxes in common.
    """

    predictor: MaskPredictor
    picture: MaskNetPicture
    cache: dict[tuple[float, ...], PromptedMask] = field(default_factory=dict, compare=False, repr=False)

    def __call__(self, region: Region, boxes: NDArray[np.float32]) -> list[NDArray[np.bool_]]:
        """Give each box its chromosome.

        Parameters
        ----------
        region
            Connected stain, in working px.
        boxes
            float32, shape (n, 4): close-fitting boxes in working px.

        Returns
        -------
        list
            bool, in the frame of the region, one a box; may be empty.
        """
        scale = self.picture.scale
        predicted = self.predict(boxes)
        width_px = MASK_NET_WIDTH_PX / scale
        probabilities = [
            probability_in(region, mask, scale) * _inside(region, box, _SLACK_WIDTHS * width_px)
            for mask, box in zip(predicted, boxes, strict=True)
        ]
        return assign_by_probability(region.mask, probabilities, reach_px=_REACH_WIDTHS * width_px)

    def predict(self, boxes: NDArray[np.float32]) -> list[PromptedMask]:
        """Predict masks for boxes, shape (n, 4), in working px; those not in the cache as one batch."""
        keys = [tuple(float(side) for side in box) for box in boxes]
        new = [number for number, key in enumerate(keys) if key not in self.cache]
        if new:
            masks = self.predictor.at_boxes(self.picture.level, boxes[new] * np.float32(self.picture.scale))
            self.cache.update(zip((keys[number] for number in new), masks, strict=True))
        return [self.cache[key] for key in keys]


def _inside(region: Region, box: NDArray[np.float32], slack_px: float) -> NDArray[np.float32]:
    out = np.zeros(region.mask.shape, np.float32)
    x0, y0 = (max(0, int(np.floor(box[k] - slack_px)) - at) for k, at in ((0, region.x0_px), (1, region.y0_px)))
    x1, y1 = (int(np.ceil(box[k] + slack_px)) - at for k, at in ((2, region.x0_px), (3, region.y0_px)))
    out[y0 : max(y1, y0), x0 : max(x1, x0)] = 1.0
    return out

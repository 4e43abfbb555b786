"""The peer, a Faster R-CNN, as a segmenter to be compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from analysis.detection.preprocessing import SCALE, density_of, filled_up, relative_density, resized
from analysis.errors import NoMetaphaseError
from analysis.nets.faster_rcnn import PEER_WEIGHTS, peer_net
from analysis.parameters.weights import fill_net, load_weights, read_manifest
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.segmentation import Segmentation, UnselectedProposal

PADDING_PX: Final = 6.0
"""Slide round a chromosome in the boxes it learns, in px of the set."""


@dataclass(frozen=True, slots=True)
class PeerSegmenter:
    """The peer as a segmenter. Masks are what is stained in its boxes: only its boxes mean anything.

    Attributes
    ----------
    net
        Ready for use.
    least_score
        Weaker finds are left out.
    """

    net: nn.Module
    least_score: float = field(default=0.5)

    def __call__(self, image: GreyImage) -> Segmentation:
        """Segment an image of the detector's kind: bright field, of the Tseng set's size.

        Raises
        ------
        NoMetaphaseError
            Where nothing was found.
        """
        relative = relative_density(density_of(image.pixels))
        picture = torch.from_numpy(filled_up(resized(relative, SCALE)))
        with torch.inference_mode():
            (found,) = self.net([picture[None]])
        boxes, scores = found["boxes"].numpy() / SCALE, found["scores"].numpy()
        strong = scores >= self.least_score
        instances = _instances(relative, boxes[strong], scores[strong])
        if not instances:
            raise NoMetaphaseError(f"{image.source}: no metaphase found (0 chromosomes)")
        empty = np.zeros(image.pixels.shape, np.float32)
        left_out = [
            UnselectedProposal(_tight(box), float(score))
            for box, score in zip(boxes[~strong], scores[~strong], strict=True)
        ]
        return Segmentation(instances, empty, empty > 0.0, tuple(left_out))


def load_peer(folder: Path) -> nn.Module:
    """Load the peer's weights.

    Raises
    ------
    WeightsError
        Where they are missing or damaged.
    """
    net = peer_net(**read_manifest(PEER_WEIGHTS, folder).arguments)
    fill_net(net, load_weights(PEER_WEIGHTS, folder), PEER_WEIGHTS)
    return net


def _instances(
    relative: NDArray[np.float32], boxes: NDArray[np.float32], scores: NDArray[np.float32]
) -> tuple[Instance, ...]:
    height, width = relative.shape
    made = []
    for box, score in zip(boxes, scores, strict=True):
        extent = _tight(box)
        x0, y0 = max(0, round(extent[0])), max(0, round(extent[1]))
        x1, y1 = min(width, round(extent[2])), min(height, round(extent[3]))
        if x1 - x0 > 1 and y1 - y0 > 1:
            window = relative[y0:y1, x0:x1]
            mask = window > 0.5 * window.max()
            made.append(
                Instance((x0, y0, x1, y1), mask, float(score), SegmentationRoute.TWO_STAGE_PEER, extent_px=extent)
            )
    return tuple(made)


def _tight(box: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Take the slide off a box, but no more than a third of a side."""
    off = np.minimum(PADDING_PX, (box[2:] - box[:2]) / 3.0)
    x0, y0, x1, y1 = (float(value) for value in (*(box[:2] + off), *(box[2:] - off)))
    return x0, y0, x1, y1

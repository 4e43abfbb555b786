"""Chromosomes as boxes with classes, proposed by a net."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.detection.preprocessing import SCALE, filled_up, resized
from analysis.detection.test_time_augmentation import FOUR_VIEWS, PLAIN, ImageOrientation, merged
from analysis.nets.detector_net import DetectorNet, boxes_at, points
from analysis.nets.layers import folded
from analysis.parameters.weights import WEIGHTS_DIR, fill_net, load_weights, read_manifest
from analysis.structures.box_proposals import BoxProposals

DETECTOR_WEIGHTS: Final = "detector"

_MIN_SCORE: Final = 0.03
"""Points of lower scores are no proposals: the least one selected on the val split has 0.2."""

_MAX_POINTS: Final = 700
"""Several a chromosome of two crowded cells: a bound on time and memory."""

_MANY_PX: Final = 1_500_000
"""Pictures larger than this, in input px, are proposed from in one orientation: time counts for more there."""


class Detector:
    """Proposes chromosomes.

    Parameters
    ----------
    detector_net
        Ready for use.
    views
        Orientations in which every picture is given to it.
    half
        Whether the net computes in half precision (bfloat16), see `has_tiles`.
    """

    def __init__(
        self, detector_net: DetectorNet, views: Sequence[ImageOrientation] = PLAIN, *, half: bool = False
    ) -> None:
        self._net = folded(detector_net, half=half)
        self._views = tuple(views)
        self._number = torch.bfloat16 if half else torch.float32

    @staticmethod
    def load(folder: Path = WEIGHTS_DIR, views: Sequence[ImageOrientation] = FOUR_VIEWS) -> Detector:
        """Load weights and manifest.

        Parameters
        ----------
        folder
            Where they lie.
        views
            Orientations in which every picture is given to the net.

        Raises
        ------
        WeightsError
            Where they are missing, damaged or another net's.
        """
        manifest = read_manifest(DETECTOR_WEIGHTS, folder)
        net = DetectorNet(**manifest.arguments)
        fill_net(net, load_weights(DETECTOR_WEIGHTS, folder), DETECTOR_WEIGHTS)
        return Detector(net, views, half=has_tiles())

    def candidates(self, relative: NDArray[np.float32], *, scale: float = SCALE) -> BoxProposals:
        """Propose chromosomes: merged over the views, or of a single view every point that may stand for one.

        Parameters
        ----------
        relative
            float32, shape (h, w): see `relative_density`.
        scale
            Input px of the net a px of the picture; `SCALE` for pictures of the size of the training set's.
        """
        image = resized(relative, scale)
        height, width = relative.shape
        back = np.asarray([width / image.shape[1], height / image.shape[0]] * 2, np.float32)
        limit = np.asarray([width, height] * 2, np.float32)
        proposals = []
        for view in self._views if image.size <= _MANY_PX else PLAIN:
            score, probability, boxes = self._forward(filled_up(view.of(image)))
            placed = np.clip(view.back(boxes, image.shape) * back, 0.0, limit)
            proposals.append(BoxProposals(placed.astype(np.float32), score, probability))
        return proposals[0] if len(proposals) == 1 else merged(proposals)

    def _forward(
        self, image: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Score, class probabilities and boxes of the points that may be one, best first."""
        picture = torch.from_numpy(image)[None, None].to(self._number, memory_format=torch.channels_last)
        with torch.inference_mode():
            output = self._net(picture)
            score = output.score[0].sigmoid().numpy()
            rows = np.flatnonzero(score > _MIN_SCORE)
            rows = rows[np.argsort(-score[rows], kind="stable")[:_MAX_POINTS]]
            at = torch.from_numpy(rows)
            boxes = boxes_at(points(*image.shape)[at], self._net.expected(output.borders[0][at]))
            probability = torch.softmax(output.classes[0][at], dim=1)
            return score[rows], probability.numpy(), boxes.numpy()


def has_tiles() -> bool:
    """Whether the processor multiplies matrices of half precision in tiles, several times as fast as others."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))

"""Chromosomes as boxes with classes, proposed by a net."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.models.weights import WEIGHTS_DIR, fill_net, load_weights, read_manifest
from analysis.segmentation.detector_input import SCALE, filled_up, resized
from analysis.segmentation.detector_net import CLASS_COUNT, DetectorNet, boxes_at, points

DETECTOR_WEIGHTS: Final = "detector"

_LEAST_SCORE: Final = 0.03
_MOST_CANDIDATES: Final = 700
_LEAST_PROBABILITY: Final = 1e-6
_SAME_IOU: Final = 0.5
_FIT_POWER: Final = 4.0


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector proposes, best first.

    Attributes
    ----------
    boxes_px
        float32, shape (n, 4): xmin, ymin, xmax, ymax, with as much slide round a chromosome on every side.
    score
        float32, shape (n,), in [0, 1]: that there is a chromosome, and the box fits it.
    class_probability
        float32, shape (n, 24): of 1..22, X, Y.
    """

    boxes_px: NDArray[np.float32]
    score: NDArray[np.float32]
    class_probability: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.score)

    @property
    def class_log_prob(self) -> NDArray[np.float32]:
        """Natural logarithm of the class probabilities, float32, shape (n, 24), never minus infinity."""
        return log_probability(self.class_probability)

    def classes_at(self, boxes_px: NDArray[np.float64]) -> NDArray[np.float32]:
        """Tell the classes of chromosomes whose boxes are known, by the proposals that fit those.

        Parameters
        ----------
        boxes_px
            Shape (n, 4), with as much slide round a chromosome as the proposals have. The proposals shouldn't be
            suppressed yet: every point that stands for a chromosome has a say, by score and fit.

        Returns
        -------
        NDArray[np.float32]
            Shape (n, 24): natural logarithms of probabilities; where nothing fits, all classes are alike.
        """
        iou = box_overlaps(boxes_px, self.boxes_px)
        say = np.where(iou >= _SAME_IOU, iou, 0.0) ** _FIT_POWER * self.score
        total = say.sum(axis=1, keepdims=True)
        even = np.full(self.class_probability.shape[1:], 1.0 / CLASS_COUNT)
        mean = np.where(total > 0.0, say @ self.class_probability / np.maximum(total, 1e-12), even)
        return log_probability(mean)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Detections:
        """Take some of them, in the order given."""
        return Detections(self.boxes_px[rows], self.score[rows], self.class_probability[rows])


def box_overlaps(
    first_px: NDArray[np.float32] | NDArray[np.float64], second_px: NDArray[np.float32] | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Intersection over union of boxes (n, 4) and (m, 4): shape (n, m)."""
    first, second = first_px.astype(np.float64)[:, None], second_px.astype(np.float64)[None]
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = np.clip(sides, 0.0, None).prod(axis=2)
    areas = [(each[..., 2:] - each[..., :2]).prod(axis=2) for each in (first, second)]
    return np.asarray(shared / np.maximum(areas[0] + areas[1] - shared, 1e-6), dtype=np.float64)


def log_probability(probability: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float32]:
    """Natural logarithm of probabilities, none below 1e-6: float32, same shape."""
    return np.log(np.maximum(probability, _LEAST_PROBABILITY)).astype(np.float32)


class Detector:
    """Proposes chromosomes.

    Parameters
    ----------
    net
        Ready for use.
    """

    def __init__(self, net: DetectorNet) -> None:
        self._net = net

    @staticmethod
    def load(folder: Path = WEIGHTS_DIR) -> Detector:
        """Load weights and manifest.

        Raises
        ------
        WeightsError
            Where they are missing, damaged or another net's.
        """
        manifest = read_manifest(DETECTOR_WEIGHTS, folder)
        net = DetectorNet(**manifest.arguments)
        fill_net(net, load_weights(DETECTOR_WEIGHTS, folder), DETECTOR_WEIGHTS)
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Detector(net)

    def candidates(self, relative: NDArray[np.float32], *, scale: float = SCALE) -> Detections:
        """Propose every point that may stand for a chromosome; most chromosomes are proposed several times.

        Parameters
        ----------
        relative
            float32, shape (h, w): see `relative_density`.
        scale
            Input px of the net a px of the picture; `SCALE` for pictures of the size of the training set's.
        """
        image = resized(relative, scale)
        score, probability, boxes = self._answers(filled_up(image))
        height, width = relative.shape
        back = np.asarray([width / image.shape[1], height / image.shape[0]] * 2, np.float32)
        limit = np.asarray([width, height] * 2, np.float32)
        placed = np.clip(boxes * back, 0.0, limit)
        return Detections(placed.astype(np.float32), score, probability)

    def _answers(
        self, image: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Score, class probabilities and boxes of the points that may be one, best first."""
        picture = torch.from_numpy(image)[None, None].contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            output = self._net(picture)
            score = output.score[0].sigmoid().numpy()
            rows = np.flatnonzero(score > _LEAST_SCORE)
            rows = rows[np.argsort(-score[rows], kind="stable")[:_MOST_CANDIDATES]]
            at = torch.from_numpy(rows)
            boxes = boxes_at(points(*image.shape)[at], self._net.expected(output.borders[0][at]))
            probability = torch.softmax(output.classes[0][at], dim=1)
            return score[rows], probability.numpy(), boxes.numpy()


def suppress(found: Detections, *, iou: float) -> Detections:
    """Keep the best of those that overlap by more than this (greedy non-maximum suppression)."""
    low = found.boxes_px[:, :2]
    high = found.boxes_px[:, 2:]
    areas = (high - low).prod(axis=1)
    alive = np.ones(len(found), np.bool_)
    kept = []
    for row in range(len(found)):
        if not alive[row]:
            continue
        kept.append(row)
        size = np.clip(np.minimum(high, high[row]) - np.maximum(low, low[row]), 0.0, None)
        shared = size.prod(axis=1)
        alive &= shared <= iou * (areas + areas[row] - shared)
    return found.take(np.asarray(kept, np.intp))

"""Proposals: boxes with scores and classes, and what of them overlaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.structures.boxes import box_iou
from analysis.structures.classes import CLASS_NAMES

_LEAST_PROBABILITY: Final = 1e-6
_LEAST_WEIGHT: Final = 1e-12
"""Bounds that keep logarithms and ratios finite."""
_SAME_IOU: Final = 0.5
"""Intersection over union from which a proposal stands for the chromosome of a given box."""
_FIT_POWER: Final = 4.0
"""How much more a close fit counts than a loose one."""


@dataclass(frozen=True, slots=True)
class BoxProposals:
    """Boxes that a detector proposes, best first.

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
        """Classes of chromosomes whose boxes are given, by the proposals that fit those.

        Parameters
        ----------
        boxes_px
            Shape (n, 4), with as much slide round a chromosome as the proposals have. The proposals shouldn't be
            suppressed yet: every point that stands for a chromosome counts, by score and fit.

        Returns
        -------
        NDArray[np.float32]
            Shape (n, 24): natural logarithms of probabilities; where nothing fits, all classes are alike.
        """
        iou = box_iou(boxes_px, self.boxes_px)
        weight = np.where(iou >= _SAME_IOU, iou, 0.0) ** _FIT_POWER * self.score
        total = weight.sum(axis=1, keepdims=True)
        even = np.full(self.class_probability.shape[1:], 1.0 / len(CLASS_NAMES))
        mean = np.where(total > 0.0, weight @ self.class_probability / np.maximum(total, _LEAST_WEIGHT), even)
        return log_probability(mean)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> BoxProposals:
        """Take some of them in the order given, by rows of shape (m,) or a mask of shape (n,)."""
        return BoxProposals(self.boxes_px[rows], self.score[rows], self.class_probability[rows])


def log_probability(probability: NDArray[np.float32] | NDArray[np.float64]) -> NDArray[np.float32]:
    """Natural logarithm of probabilities, none below 1e-6: float32, same shape."""
    return np.log(np.maximum(probability, _LEAST_PROBABILITY)).astype(np.float32)

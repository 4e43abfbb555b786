"""Test-time augmentation: a picture mirrored and turned, and the proposals of all orientations merged.

The errors of a net differ between orientations. What is proposed in most of them at much the same place is there;
the mean of their boxes is closer than any of them (weighted boxes fusion, Solovyev et al. 2021).
Proposals are put together, not points: those that answer for a chromosome lie elsewhere in a mirrored picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.structures.box_proposals import BoxProposals
from analysis.structures.boxes import box_iou

_SAME_IOU: Final = 0.65
"""Proposals that overlap by more than this mean the same chromosome."""

_FIT_POWER: Final = 4.0
"""A view's box counts the less the worse it fits the best one."""


@dataclass(frozen=True, slots=True)
class ImageOrientation:
    """An orientation of a picture.

    Attributes
    ----------
    transposed
        Rows and columns change places, before anything else.
    mirrored
        Left and right change places.
    upside_down
        Above and below change places.
    """

    transposed: bool = False
    mirrored: bool = False
    upside_down: bool = False

    def of(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring a picture, shape (h, w), to this orientation."""
        turned = picture.T if self.transposed else picture
        turned = turned[:, ::-1] if self.mirrored else turned
        return np.ascontiguousarray(turned[::-1] if self.upside_down else turned)

    def back(self, boxes_px: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Bring boxes back to the picture as it is.

        Parameters
        ----------
        boxes_px
            float32, shape (n, 4): in the px of this orientation.
        shape
            (height, width) of the picture as it is.
        """
        height, width = shape[::-1] if self.transposed else shape
        boxes = boxes_px.copy()
        if self.upside_down:
            boxes[:, [1, 3]] = height - boxes[:, [3, 1]]
        if self.mirrored:
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        return boxes[:, [1, 0, 3, 2]] if self.transposed else boxes


PLAIN: Final = (ImageOrientation(),)
"""The picture as it is."""

FOUR_VIEWS: Final = (
    ImageOrientation(),
    ImageOrientation(mirrored=True, upside_down=True),
    ImageOrientation(transposed=True),
    ImageOrientation(transposed=True, mirrored=True, upside_down=True),
)
"""As it is and turned by half, and both transposed."""


def merged(views: Sequence[BoxProposals]) -> BoxProposals:
    """Merge the proposals of several views of a picture, in the picture's own px (weighted boxes fusion).

    From the best proposal on, each is joined with the best one of every view that means the same chromosome. Boxes
    and classes are means by score and fit; the score is the mean over all views, 0 where a view has nothing there.
    """
    whole = BoxProposals(
        np.concatenate([each.boxes_px for each in views]),
        np.concatenate([each.score for each in views]),
        np.concatenate([each.class_probability for each in views]),
    )
    view = np.repeat(np.arange(len(views)), [len(each) for each in views])
    order = np.argsort(-whole.score, kind="stable")
    whole, view = whole.take(order), view[order]
    free = np.ones(len(whole), np.bool_)
    boxes, scores, classes = [], [], []
    for row in range(len(whole)):
        if not free[row]:
            continue
        left = np.flatnonzero(free[row:]) + row
        overlap = box_iou(whole.boxes_px[row : row + 1], whole.boxes_px[left])[0]
        overlap[0] = 1.0
        near = overlap >= _SAME_IOU
        same, fit = left[near], overlap[near]
        free[same] = False
        first = np.unique(view[same], return_index=True)[1]
        best = same[first]
        weight = whole.score[best] * fit[first] ** _FIT_POWER
        weight /= weight.sum()
        boxes.append(weight @ whole.boxes_px[best])
        classes.append(weight @ whole.class_probability[best])
        scores.append(whole.score[best].sum() / len(views))
    score = np.asarray(scores, np.float32)
    together = BoxProposals(
        np.asarray(boxes, np.float32).reshape(-1, 4),
        score,
        np.asarray(classes, np.float32).reshape(-1, whole.class_probability.shape[1]),
    )
    return together.take(np.argsort(-score, kind="stable"))

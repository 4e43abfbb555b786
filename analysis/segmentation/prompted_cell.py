"""A metaphase in which the mask net is prompted: by a box, by a point, by a scribble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.imaging.working_image import WorkingImage
from analysis.segmentation.box_geometry import largest_component
from analysis.segmentation.instance_masks.division import PredictsMasks, with_rim
from analysis.segmentation.instance_masks.predictor import PredictedMask
from analysis.segmentation.instance_masks.prompts import MaskPrompt, cropped_to
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.instance import Instance
from analysis.structures.region import Region, cropped

_INSIDE: Final = 0.5
"""Probability from which a pixel belongs to the chromosome."""


@dataclass(frozen=True, slots=True)
class PromptedRegion:
    """What the mask net takes for the chromosome that it was prompted for.

    Attributes
    ----------
    region
        Its pixels, in working px; None where it sees no chromosome there.
    quality
        Overlap with the true mask that the net expects, in [0, 1].
    """

    region: Region | None
    quality: float


@dataclass(frozen=True, slots=True)
class PromptedCell:
    """A metaphase at the scales that masks are predicted at.

    Attributes
    ----------
    working
        The working image.
    stain
        bool, shape (h, w): stained pixels, in working px.
    predictor
        Predicts masks.
    level
        float32, shape (h, w): see `stain_level`.
    size
        (height, width) of the image.
    detections
        The detector's proposals, not suppressed, in working px; None where it wasn't asked.
    padding_px
        Slide round a chromosome in the boxes of those, in working px.
    neighbours_px
        float32, shape (m, 4): boxes of the chromosomes that are there already, in working px; the net shares stain
        out among them and the one that it is prompted for.
    """

    working: WorkingImage
    stain: NDArray[np.bool_]
    predictor: PredictsMasks
    level: NDArray[np.float32]
    size: tuple[int, int]
    detections: BoxProposals | None = None
    padding_px: float = 0.0
    neighbours_px: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    def beside(self, instances: Sequence[Instance]) -> PromptedCell:
        """The same metaphase with these chromosomes as neighbours of what is prompted for."""
        boxes_px = [each.box_px if each.extent_px is None else each.extent_px for each in instances]
        rows = np.asarray(boxes_px, np.float32).reshape(-1, 4) * np.float32(self.working.factor)
        return replace(self, neighbours_px=rows)

    def classes_in(self, boxes_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Classes of chromosomes by the detector.

        Parameters
        ----------
        boxes_px
            float64, shape (n, 4): close-fitting boxes in image px.

        Returns
        -------
        NDArray[np.float64]
            Shape (n, 24): log probabilities; NaN where the detector wasn't asked.
        """
        if self.detections is None:
            return np.full((len(boxes_px), len(CLASS_NAMES)), np.nan)
        grown = boxes_px * self.working.factor + self.padding_px * np.asarray([-1.0, -1.0, 1.0, 1.0])
        return self.detections.classes_at(grown).astype(np.float64)

    def at_boxes(self, boxes_px: NDArray[np.float64]) -> list[PromptedRegion]:
        """Predict masks for close-fitting boxes, shape (n, 4), in working px."""
        rows = np.asarray(boxes_px, np.float32)
        return self._predicted([MaskPrompt(box_px=row, neighbours_px=self.neighbours_px) for row in rows])

    def at_points(self, points_px: NDArray[np.float64]) -> list[PromptedRegion]:
        """Predict masks for points, shape (n, 2), x and y in working px."""
        rows = np.asarray(points_px, np.float32)
        return self._predicted([MaskPrompt(stroke_px=row[None], neighbours_px=self.neighbours_px) for row in rows])

    def along(self, points_px: NDArray[np.float64]) -> PromptedRegion:
        """Predict the mask of the chromosome that a scribble, shape (n, 2), x and y in working px, runs along."""
        stroke_px = np.asarray(points_px, np.float32)
        return self._predicted([MaskPrompt(stroke_px=stroke_px, neighbours_px=self.neighbours_px)])[0]

    def _predicted(self, prompts: Sequence[MaskPrompt]) -> list[PromptedRegion]:
        if not prompts:
            return []
        return [self._placed(mask) for mask in self.predictor(self.level, prompts)]

    def _placed(self, predicted: PredictedMask) -> PromptedRegion:
        """A predicted mask as a region of the working image."""
        inside, frame = largest_component(predicted.probability > _INSIDE), predicted.frame
        if not inside.any():
            return PromptedRegion(None, predicted.quality)
        inside = with_rim(inside, cropped_to(self.level, frame), self.working.width_px)
        return PromptedRegion(cropped(inside, frame.left_px, frame.top_px), predicted.quality)


def common_frame(regions: Sequence[Region]) -> Region:
    """The smallest frame that holds all regions, at least one; its mask is empty."""
    x0, y0 = min(each.x0_px for each in regions), min(each.y0_px for each in regions)
    x1 = max(each.x0_px + each.mask.shape[1] for each in regions)
    y1 = max(each.y0_px + each.mask.shape[0] for each in regions)
    return Region(x0, y0, np.zeros((y1 - y0, x1 - x0), np.bool_))


def in_frame(region: Region, frame: Region) -> NDArray[np.bool_]:
    """A region in another frame, what lies outside left out.

    Parameters
    ----------
    region
        The region.
    frame
        The frame, of the same pixels.

    Returns
    -------
    NDArray[np.bool_]
        The shape of the frame's mask.
    """
    frame_height, frame_width = frame.mask.shape
    out = np.zeros((frame_height, frame_width), np.bool_)
    left, top = region.x0_px - frame.x0_px, region.y0_px - frame.y0_px
    height, width = region.mask.shape
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(frame_width, left + width), min(frame_height, top + height)
    if x1 > x0 and y1 > y0:
        out[y0:y1, x0:x1] = region.mask[y0 - top : y1 - top, x0 - left : x1 - left]
    return out


def covered_by(
    masks: Sequence[tuple[tuple[int, int, int, int], NDArray[np.bool_]]],
    size: tuple[int, int],
    working_size: tuple[int, ...],
) -> NDArray[np.bool_]:
    """Working pixels that lie in some mask of the image.

    Parameters
    ----------
    masks
        Box in image px and mask of each.
    size
        (height, width) of the image.
    working_size
        The same of the working image.

    Returns
    -------
    NDArray[np.bool_]
        Shape ``working_size``.
    """
    covered = np.zeros(size, np.uint8)
    for (x0, y0, x1, y1), mask in masks:
        covered[y0:y1, x0:x1] |= mask
    if working_size != size:
        covered = np.asarray(
            cv2.resize(covered, (working_size[1], working_size[0]), interpolation=cv2.INTER_NEAREST), np.uint8
        )
    return covered > 0

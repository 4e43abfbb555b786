"""A metaphase in which the mask net is prompted: by a box, by a point, by a scribble."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.imaging.working_image import WorkingImage
from analysis.segmentation.box_geometry import largest_component
from analysis.segmentation.mask_net.input import CROP_PX, MASK_NET_WIDTH_PX, MaskNetPicture
from analysis.segmentation.mask_net.placement import probability_in
from analysis.segmentation.mask_net.predictor import PromptedMask
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.region import Region, cropped

_SCRIBBLE_SPACING_WIDTHS: Final = 1.0
"""Points along a scribble at which the net is prompted lie this far apart: one a width meets every arm."""
_MOST_SCRIBBLE_POINTS: Final = 12
"""Of a scribble: the longest chromosome is some ten widths long."""
_INSIDE: Final = 0.5
"""Probability from which a pixel belongs to the chromosome."""


class MaskPrompts(Protocol):
    """Anything that predicts masks for boxes and points, such as a `MaskPredictor`."""

    def at_boxes(self, level: NDArray[np.float32], boxes_px: NDArray[np.float32]) -> list[PromptedMask]:
        """Predict masks for boxes.

        Parameters
        ----------
        level
            float32, shape (h, w): the mask net's picture.
        boxes_px
            float32, shape (n, 4): close-fitting boxes in its px.
        """
        ...

    def at_points(self, level: NDArray[np.float32], points_px: NDArray[np.float32]) -> list[PromptedMask]:
        """Predict masks for points.

        Parameters
        ----------
        level
            float32, shape (h, w): the mask net's picture.
        points_px
            float32, shape (n, 2): x, y in its px.
        """
        ...


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
    picture
        The metaphase at the mask net's scale.
    size
        (height, width) of the image.
    detections
        The detector's proposals, not suppressed, in working px; None where it wasn't asked.
    padding_px
        Slide round a chromosome in the boxes of those, in working px.
    """

    working: WorkingImage
    stain: NDArray[np.bool_]
    predictor: MaskPrompts
    picture: MaskNetPicture
    size: tuple[int, int]
    detections: BoxProposals | None = None
    padding_px: float = 0.0

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
        if len(boxes_px) == 0:
            return []
        boxes = (boxes_px * self.picture.scale).astype(np.float32)
        return [self._placed(mask) for mask in self.predictor.at_boxes(self.picture.level, boxes)]

    def at_points(self, points_px: NDArray[np.float64]) -> list[PromptedRegion]:
        """Predict masks for points, shape (n, 2), x and y in working px."""
        if len(points_px) == 0:
            return []
        points = (points_px * self.picture.scale).astype(np.float32)
        return [self._placed(mask) for mask in self.predictor.at_points(self.picture.level, points)]

    def along(self, points_px: NDArray[np.float64]) -> PromptedRegion:
        """Predict the mask of the chromosome that a scribble runs along.

        The net is prompted with points of the scribble; what most of them agree on is the chromosome. Its quality
        is the mean of the answers that took part.

        Parameters
        ----------
        points_px
            float64, shape (n, 2): the scribble, x and y in working px.
        """
        prompts = _along_polyline(points_px, _SCRIBBLE_SPACING_WIDTHS * self.working.width_px)
        answers = self.at_points(prompts)
        parts = [each for each in answers if each.region is not None]
        if not parts:
            return PromptedRegion(None, 0.0)
        frame = common_frame([each.region for each in parts if each.region is not None])
        votes = np.zeros(frame.mask.shape, np.float64)
        for each in parts:
            if each.region is not None:
                votes += each.quality * in_frame(each.region, frame)
        total = sum(each.quality for each in parts)
        agreed = largest_component(votes > _INSIDE * total)
        # Where the answers have nothing in common, the surest is taken.
        best = max(parts, key=lambda each: each.quality)
        region = cropped(agreed, frame.x0_px, frame.y0_px) if agreed.any() else best.region
        return PromptedRegion(region, float(np.mean([each.quality for each in parts])))

    def _placed(self, predicted: PromptedMask) -> PromptedRegion:
        """A mask of the net's picture in working px."""
        scale = self.picture.scale
        side = int(np.ceil(CROP_PX / scale)) + 1
        x0, y0 = int(np.floor(predicted.x0_px / scale)), int(np.floor(predicted.y0_px / scale))
        frame = Region(x0, y0, np.ones((side, side), np.bool_))
        inside = largest_component(probability_in(frame, predicted, scale) > _INSIDE)
        return PromptedRegion(cropped(inside, x0, y0) if inside.any() else None, predicted.quality)

    @property
    def width_px(self) -> float:
        """Typical width of a chromosome, in working px."""
        return MASK_NET_WIDTH_PX / self.picture.scale


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


def _along_polyline(points_px: NDArray[np.float64], spacing_px: float) -> NDArray[np.float64]:
    """Points at even distances along a polyline, both ends included."""
    moves = np.diff(points_px, axis=0)
    steps = np.hypot(moves[:, 0], moves[:, 1])
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    count = int(np.clip(round(arc[-1] / spacing_px) + 1, 1, _MOST_SCRIBBLE_POINTS))
    at = np.linspace(0.0, arc[-1], count) if count > 1 else np.array([arc[-1] / 2.0])
    return np.stack([np.interp(at, arc, points_px[:, axis]) for axis in (0, 1)], axis=1)


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

"""Detector and contours together: which chromosomes there are, and the pixels of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.detection.detector import Detector
from analysis.detection.non_maximum_suppression import suppress_overlapping
from analysis.detection.preprocessing import SCALE, relative_density
from analysis.errors import NoMetaphaseError, WeightsError
from analysis.imaging.fluorescence import as_absorbing, fluorescence_levels
from analysis.imaging.foreground import Foreground, find_foreground
from analysis.imaging.working_image import WorkingImage, at_image_size, make_working_image
from analysis.segmentation.box_geometry import tight_boxes
from analysis.segmentation.contour_fallback import add_from_contours, leaves_many_free
from analysis.segmentation.contours.segmenter import segment_by_contours
from analysis.segmentation.hypotheses import (
    RevisableSegmentation,
    SegmentationHypotheses,
    SegmentedMetaphase,
)
from analysis.segmentation.instance_masks.division import BoxMasks, PredictsMasks
from analysis.segmentation.instance_masks.predictor import InstanceMaskPredictor
from analysis.segmentation.instance_masks.prompts import stain_level
from analysis.segmentation.prompted_cell import PromptedCell
from analysis.segmentation.settings import (
    DETECTOR_SCALE,
    FALLBACK,
    METAPHASE,
    FallbackSettings,
    MetaphaseSettings,
    SegmentationSettings,
)
from analysis.selection.initial_selection import (
    SelectionSettings,
    class_certainty,
    load_selection_settings,
    select_proposals,
)
from analysis.selection.measurements import ProposalMeasurements, measure_proposals
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.segmentation import Segmentation


class Proposer(Protocol):
    """Anything that proposes chromosomes as boxes, such as a `Detector`."""

    def candidates(self, relative: NDArray[np.float32], *, scale: float) -> BoxProposals:
        """Propose chromosomes in a picture.

        Parameters
        ----------
        relative
            float32, shape (h, w): see `relative_density`.
        scale
            Input px of the detector a px of the picture.
        """
        ...


@dataclass(frozen=True, slots=True)
class DetectorSegmenter:
    """Segments a metaphase: chromosomes by a detector, their pixels by contours and a mask net.

    The detector was trained on G-bands. In fluorescence it detects chromosomes as well, but not their classes.

    Attributes
    ----------
    detector
        Proposes boxes with classes.
    settings
        What a laboratory may set, as for the contours alone.
    selection
        Prices of the selection among the proposals of a cell.
    masks
        Predicts the masks of the selected boxes; None for cuts by contours, and growing where no cut fits.
    fluorescence
        Whether fluorescence is segmented by the detector too, as if it were bright field; else by contours.
    metaphase
        When an image is no metaphase.
    fallback
        When contours fill in what the detector missed.
    """

    detector: Proposer
    settings: SegmentationSettings = field(default_factory=SegmentationSettings)
    selection: SelectionSettings = field(default_factory=load_selection_settings)
    masks: PredictsMasks | None = None
    fluorescence: bool = False
    metaphase: MetaphaseSettings = METAPHASE
    fallback: FallbackSettings = FALLBACK

    def __call__(self, image: GreyImage) -> Segmentation:
        """Segment an image.

        Raises
        ------
        NoMetaphaseError
            If nothing like a metaphase is there.
        """
        if image.inverted and not self.fluorescence:
            return segment_by_contours(image, self.settings)
        absorbing = as_absorbing(image)
        working, foreground = _preprocessed(absorbing)
        hypotheses = self._hypotheses(working, foreground, image.pixels.shape)
        selected = select_proposals(hypotheses.measurements, self.selection)
        self._check_is_metaphase(hypotheses.measurements.score[selected], image)
        segmented = hypotheses.cut(selected)
        self._check_count(len(segmented.instances), image)
        background, nuclei = at_image_size(working, image.pixels.shape)
        levels = fluorescence_levels(background) if image.inverted else background
        left_out = hypotheses.left_out(selected)
        if self._is_incomplete(hypotheses, segmented):
            instances = self._with_contours(segmented.instances, absorbing, working.width_px / working.factor)
            return Segmentation(instances, levels, nuclei, left_out)
        return RevisableSegmentation(
            segmented.instances, levels, nuclei, left_out, hypotheses=hypotheses, rows=segmented.rows
        )

    def classes_at(
        self, image: GreyImage, boxes_px: NDArray[np.float64], *, padded: bool = True
    ) -> NDArray[np.float32]:
        """Classify chromosomes whose boxes are given, by the detector's proposals alone.

        Parameters
        ----------
        image
            The picture, bright field.
        boxes_px
            Shape (n, 4), in image px.
        padded
            Whether the boxes have slide round their chromosomes, as those that people draw; False for boxes of
            masks.

        Returns
        -------
        NDArray[np.float32]
            Shape (n, 24), see `BoxProposals.classes_at`.
        """
        working = make_working_image(as_absorbing(image))
        boxes = boxes_px.astype(np.float64) * working.factor
        if not padded:
            boxes += _padding_px(working) * np.asarray([-1.0, -1.0, 1.0, 1.0])
        return self._detected(working).classes_at(boxes)

    def prompted_cell(self, image: GreyImage) -> PromptedCell:
        """The metaphase of a picture, to prompt the mask net in; the detector detects in it once.

        Raises
        ------
        NoMetaphaseError
            If nothing is stained on the image.
        WeightsError
            Without a mask net.
        """
        if self.masks is None:
            raise WeightsError("without the weights of the mask net nothing can be prompted")
        working, foreground = _preprocessed(as_absorbing(image))
        return PromptedCell(
            working=working,
            stain=foreground.mask,
            predictor=self.masks,
            level=stain_level(working.density, foreground.level),
            size=(image.height_px, image.width_px),
            detections=self._detected(working),
            padding_px=_padding_px(working),
        )

    def measure(self, image: GreyImage) -> tuple[ProposalMeasurements, NDArray[np.float64]]:
        """Detect, suppress and measure proposals: what the selection rests on.

        Returns
        -------
        tuple
            Of n proposals, best first: their measurements; float64, shape (n, 4), extents in image px.

        Raises
        ------
        NoMetaphaseError
            If nothing is stained on the image.
        """
        working, foreground = _preprocessed(as_absorbing(image))
        hypotheses = self._hypotheses(working, foreground, image.pixels.shape)
        return hypotheses.measurements, hypotheses.tight_px.astype(np.float64) / working.factor

    def _hypotheses(
        self, working: WorkingImage, foreground: Foreground, size: tuple[int, ...]
    ) -> SegmentationHypotheses:
        """Detect chromosomes, suppress duplicates, measure what is left."""
        proposals = suppress_overlapping(self._detected(working), iou=self.selection.nms_iou)
        tight_px = tight_boxes(proposals.boxes_px, _padding_px(working))
        masks = None
        if self.masks is not None:
            masks = BoxMasks(self.masks, stain_level(working.density, foreground.level), working.width_px)
        return SegmentationHypotheses(
            proposals=proposals,
            tight_px=tight_px,
            measurements=measure_proposals(proposals, tight_px, foreground.mask),
            mask=foreground.mask,
            working=working,
            masks=masks,
            size=size,
        )

    def _detected(self, working: WorkingImage) -> BoxProposals:
        return self.detector.candidates(relative_density(working.density), scale=detector_scale(working))

    def _check_is_metaphase(self, scores: NDArray[np.float64], image: GreyImage) -> None:
        self._check_count(int(np.count_nonzero(scores >= self.metaphase.sound_score)), image)
        if len(scores) > self.metaphase.max_chromosomes:
            raise NoMetaphaseError(f"{image.source}: no metaphase found, the whole field is stained or noisy")

    def _check_count(self, count: int, image: GreyImage) -> None:
        if count < self.settings.min_chromosomes:
            raise NoMetaphaseError(f"{image.source}: no metaphase found ({count} chromosome{'s' * (count != 1)})")

    def _is_incomplete(self, hypotheses: SegmentationHypotheses, segmented: SegmentedMetaphase) -> bool:
        """Tell whether an image unlike the training set has stain left that looks like chromosomes."""
        uncertain = class_certainty(hypotheses.measurements, self.selection) < self.selection.sure_at
        return (
            uncertain
            and len(segmented.instances) < self.fallback.max_detected
            and leaves_many_free(segmented.regions, hypotheses.mask, self.fallback)
        )

    def _with_contours(
        self, detected: tuple[Instance, ...], image: GreyImage, width_px: float
    ) -> tuple[Instance, ...]:
        try:
            contours = segment_by_contours(image, self.settings).instances
        except NoMetaphaseError:
            return detected
        return add_from_contours(detected, contours, image.pixels.shape, width_px=width_px, settings=self.fallback)


def load_detector_segmenter(*, masks: bool = True) -> DetectorSegmenter:
    """Load the segmenter with the product's weights, fluorescence included.

    Parameters
    ----------
    masks
        Whether masks are those of the instance mask net; else stain is cut by contours.

    Raises
    ------
    WeightsError
        Where they are missing or damaged.
    """
    predictor = InstanceMaskPredictor.load() if masks else None
    return DetectorSegmenter(Detector.load(), masks=predictor, fluorescence=True)


def detector_scale(working: WorkingImage) -> float:
    """Input px of the detector a working px.

    Chromosomes are of much the same size wherever the training pictures come from; an image is brought to that
    size only where its own is clearly another one, as the width is measured to a tenth only.
    """
    low, high = DETECTOR_SCALE.width_range_px
    if low <= working.width_px / working.factor <= high:
        return SCALE / working.factor
    return SCALE * DETECTOR_SCALE.width_px / working.width_px


def _preprocessed(image: GreyImage) -> tuple[WorkingImage, Foreground]:
    working = make_working_image(image)
    return working, find_foreground(working.density, working.nuclei, working.width_px)


def _padding_px(working: WorkingImage) -> float:
    """Slide round a detected chromosome, in working px."""
    return DETECTOR_SCALE.padding_px * SCALE / detector_scale(working)

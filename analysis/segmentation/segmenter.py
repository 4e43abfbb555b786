"""Detector and contours together: which chromosomes there are, and the pixels of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.detection.detector import Detector
from analysis.detection.non_maximum_suppression import suppress_overlapping
from analysis.detection.preprocessing import SCALE, relative_density
from analysis.errors import NoMetaphaseError
from analysis.imaging.fluorescence import as_absorbing, fluorescence_levels
from analysis.imaging.foreground import find_foreground
from analysis.imaging.working_image import WorkingImage, at_image_size, make_working_image
from analysis.segmentation.contours.segmenter import segment_by_contours
from analysis.segmentation.hypotheses import RevisableSegmentation, SegmentationHypotheses
from analysis.segmentation.mask_net.box_prompts import BoxPromptedMasks
from analysis.segmentation.mask_net.input import stream_picture
from analysis.segmentation.mask_net.predictor import MaskPredictor
from analysis.segmentation.pixel_assignment import distance_from, window_of
from analysis.segmentation.settings import SegmentationSettings
from analysis.selection.initial_selection import (
    ProposalMeasurements,
    SelectionSettings,
    certainty,
    load_selection_settings,
    measure_proposals,
    select_measured,
)
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.placement import touching_instances
from analysis.structures.region import Region
from analysis.structures.segmentation import Segmentation

_KNOWN_WIDTH_PX: Final = (10.0, 27.0)
"""Widths of chromosomes in the pictures the detector learned from; others are brought to the middle one."""

_USUAL_WIDTH_PX: Final = 17.0

_PADDING_PX: Final = 6.0
"""Slide round a chromosome in detected boxes, in px of the training set."""

_FREE_SIZE: Final = (0.4, 3.0)
"""Areas, of the typical found chromosome's, of pieces of stain that may be one nobody found."""

_MANY_FREE: Final = 6
_FREE_SHARE: Final = 0.15
"""Such pieces, and their share of the stain, from which contours are asked too: in pictures alone of which the
detector isn't sure, as beside G-banded cells it knows dirt and neighbours better than contours do."""

_FEW: Final = 36
_ENOUGH: Final = 46
"""Chromosomes up to which a cell is looked for more, and up to which contours may fill it."""

_LIKELY: Final = 0.5
"""Score of what must be there in some number: dust and noise are proposed too, at lower ones. Of 184 pictures of
metaphases the poorest has 16 chromosomes with it, drawn dust one and drawn noise four."""

_MOST: Final = 200
"""Chromosomes of two crowded cells at the most; of a noisy field with no end to it hundreds are proposed."""

_TAKEN: Final = 0.2
"""Share of a contour's find that the detector explains already, up to which it is another chromosome."""

_NEAR: Final = 7.0
"""Widths between chromosomes of a cell at the most."""


class Proposer(Protocol):
    """Anything that proposes chromosomes as boxes, such as a `Detector`."""

    def candidates(self, relative: NDArray[np.float32], *, scale: float) -> BoxProposals:
        """Propose chromosomes in a picture, see `Detector.candidates`."""
        ...


@dataclass(frozen=True, slots=True)
class DetectorSegmenter:
    """Finds the chromosomes of a metaphase by a detector, their pixels by contours.

    The detector learned from G-bands. In fluorescence it sees chromosomes as well, but not their classes.

    Attributes
    ----------
    detector
        Proposes boxes with classes.
    settings
        As for the contours alone.
    selection
        How the proposals of a cell are weighed against one another.
    masks
        Parts the piles no cut of the contours fits; None where there are no weights for it.
    cuts
        Whether cuts of the contours are tried before the mask net.
    fluorescence
        Whether fluorescence is shown to the detector too, as if it were bright field; else it is left to the
        contours.
    """

    detector: Proposer
    settings: SegmentationSettings = field(default_factory=SegmentationSettings)
    selection: SelectionSettings = field(default_factory=load_selection_settings)
    masks: MaskPredictor | None = None
    cuts: bool = True
    fluorescence: bool = False

    def __call__(self, image: GreyImage) -> Segmentation:
        """Segment an image.

        Raises
        ------
        NoMetaphaseError
            If nothing like a metaphase is there.
        """
        if image.inverted and not self.fluorescence:
            return segment_by_contours(image, self.settings)
        given, image = image, as_absorbing(image)
        working = make_working_image(image)
        stained = find_foreground(working.density, working.nuclei, working.width_px)
        mask = stained.mask
        found, tight, known = self._gathered(working, mask)
        chosen = select_measured(known, self.selection)
        self._ask_for_enough(int(np.count_nonzero(known.score[chosen] >= _LIKELY)), image)
        if len(chosen) > _MOST:
            raise NoMetaphaseError(f"{image.source}: no metaphase found, the whole field is stained or noisy")
        net = None
        if self.masks is not None:
            net = BoxPromptedMasks(self.masks, stream_picture(working.density, stained.level, working.width_px))
        cell = SegmentationHypotheses(found, tight, known, mask, working, net, self.cuts, image.pixels.shape)
        cut = cell.cut(chosen)
        self._ask_for_enough(len(cut.instances), image)
        made = cut.instances
        background, nuclei = at_image_size(working, image.pixels.shape)
        levels = fluorescence_levels(background) if given.inverted else background
        left_out = cell.left_out(chosen)
        unsure = certainty(known, self.selection) < self.selection.sure_at
        if unsure and len(made) < _FEW and _leaves_many(cut.regions, mask):
            made = self._with_contours(made, image, _NEAR * working.width_px / working.factor)
            return Segmentation(made, levels, nuclei, left_out)
        return RevisableSegmentation(made, levels, nuclei, left_out, hypotheses=cell, rows=cut.rows)

    def classes_at(
        self, image: GreyImage, boxes_px: NDArray[np.float64], *, padded: bool = True
    ) -> NDArray[np.float32]:
        """Tell the classes of chromosomes whose boxes are known, by the detector's proposals alone.

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
        asked = boxes_px.astype(np.float64) * working.factor
        if not padded:
            asked += _PADDING_PX * SCALE / detector_scale(working) * np.asarray([-1.0, -1.0, 1.0, 1.0])
        return self._proposals(working).classes_at(asked)

    def weighed(self, image: GreyImage) -> tuple[ProposalMeasurements, NDArray[np.float64]]:
        """Tell what the choice of chromosomes rests on.

        Returns
        -------
        tuple
            Of n proposals, best first: what is known of them; float64, shape (n, 4), extents in image px.

        Raises
        ------
        NoMetaphaseError
            If nothing is stained on the image.
        """
        working = make_working_image(as_absorbing(image))
        stained = find_foreground(working.density, working.nuclei, working.width_px)
        _, tight, known = self._gathered(working, stained.mask)
        return known, tight.astype(np.float64) / working.factor

    def _gathered(
        self, working: WorkingImage, mask: NDArray[np.bool_]
    ) -> tuple[BoxProposals, NDArray[np.float32], ProposalMeasurements]:
        """Proposals, their close-fitting boxes, and what is known of them."""
        found = suppress_overlapping(self._proposals(working), iou=self.selection.nms_iou)
        tight = tight_boxes(found.boxes_px, _PADDING_PX * SCALE / detector_scale(working))
        return found, tight, measure_proposals(found, tight, mask)

    def _with_contours(self, made: tuple[Instance, ...], image: GreyImage, near_px: float) -> tuple[Instance, ...]:
        """Add what the contours find beside what the detector found: far from it there is only dirt."""
        try:
            others = segment_by_contours(image, self.settings).instances
        except NoMetaphaseError:
            return made
        taken = np.zeros(image.pixels.shape, np.bool_)
        for entry in made:
            taken[window_of(np.asarray(entry.box_px, np.float32))] |= entry.mask
        away = distance_from(taken)
        free = []
        for entry in others:
            around = away[window_of(np.asarray(entry.box_px, np.float32))][entry.mask]
            if float((around == 0.0).mean()) <= _TAKEN and float(around.min()) <= near_px:
                free.append(entry)
        free.sort(key=lambda entry: -entry.score)
        both = [*made, *free[: max(0, _ENOUGH - len(made))]]
        beside = touching_instances([(entry.box_px, entry.mask) for entry in both])
        return tuple(replace(entry, overlaps=beside[k]) for k, entry in enumerate(both))

    def _ask_for_enough(self, count: int, image: GreyImage) -> None:
        if count < self.settings.min_chromosomes:
            raise NoMetaphaseError(f"{image.source}: no metaphase found ({count} chromosomes)")

    def _proposals(self, working: WorkingImage) -> BoxProposals:
        return self.detector.candidates(relative_density(working.density), scale=detector_scale(working))


def load_detector_segmenter(*, masks: bool = True) -> DetectorSegmenter:
    """Segmenter with the product's weights; it sees fluorescence too.

    Parameters
    ----------
    masks
        Piles are parted by the stream's mask net, faster and no worse than by cuts of the contours; else by those.

    Raises
    ------
    WeightsError
        Where they are missing or damaged.
    """
    net = MaskPredictor.load() if masks else None
    return DetectorSegmenter(Detector.load(), masks=net, cuts=not masks, fluorescence=True)


def detector_scale(working: WorkingImage) -> float:
    """Input px of the detector a working px.

    Chromosomes are of much the same size wherever the training pictures come from; an image is brought to that
    size only where its own is clearly another one, as the width is known to a tenth only.
    """
    low, high = _KNOWN_WIDTH_PX
    if low <= working.width_px / working.factor <= high:
        return SCALE / working.factor
    return SCALE * _USUAL_WIDTH_PX / working.width_px


def tight_boxes(boxes_px: NDArray[np.float32], padding_px: float) -> NDArray[np.float32]:
    """Take the slide off boxes (n, 4), but no more than a third of a side."""
    size = boxes_px[:, 2:] - boxes_px[:, :2]
    off = np.minimum(padding_px, size / 3.0)
    return np.asarray(np.concatenate([boxes_px[:, :2] + off, boxes_px[:, 2:] - off], axis=1), dtype=np.float32)


def _leaves_many(found: Sequence[Region], mask: NDArray[np.bool_]) -> bool:
    """Tell whether many pieces of stain that look like those found are left without a chromosome."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    held = np.zeros(count, np.bool_)
    for region in found:
        held[region.crop_of(np.asarray(labels, dtype=np.float32))[region.mask].astype(np.int64)] = True
    low, high = (share * float(np.median([region.area_px for region in found])) for share in _FREE_SIZE)
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    areas[0] = 0.0
    bodies = areas >= low
    free = bodies & ~held & (areas <= high)
    share = float(areas[free].sum()) / max(float(areas[bodies].sum()), 1e-6)
    return bool(np.count_nonzero(free) >= _MANY_FREE and share >= _FREE_SHARE)

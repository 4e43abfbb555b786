"""Detector and contours together: which chromosomes there are, and the pixels of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.errors import NoMetaphaseError
from analysis.image import GreyImage
from analysis.segmentation.detections import Detections, suppress
from analysis.segmentation.detector import Detector
from analysis.segmentation.detector_input import SCALE, relative_density
from analysis.segmentation.detector_masks import MasksOfBoxes, Share, share_out
from analysis.segmentation.detector_selection import SelectionSettings, certainty, choose, gather
from analysis.segmentation.fluorescence import as_absorbing, fluorescence_levels
from analysis.segmentation.instance import Instance, LeftOut, Segmentation
from analysis.segmentation.plausibility import load_plausibility
from analysis.segmentation.region import Region, cropped
from analysis.segmentation.resolve import Cell
from analysis.segmentation.segmenter import (
    MIN_PIECE,
    TYPICAL_AREA,
    SegmentationSettings,
    Working,
    full_size,
    neighbours,
    place_in,
    prepare,
    segment,
)
from analysis.segmentation.strays import find_strays
from analysis.segmentation.stream.box_masks import BoxMasks
from analysis.segmentation.stream.masks import MaskProposer
from analysis.segmentation.stream.picture import stream_picture
from analysis.segmentation.threshold import find_foreground

_KNOWN_WIDTH_PX: Final = (10.0, 27.0)
"""Widths of chromosomes in the pictures the detector learned from; others are brought to the middle one."""

_USUAL_WIDTH_PX: Final = 17.0

_PADDING_PX: Final = 6.0
"""Slide round a chromosome in detected boxes, in px of the training set."""

_PART_OF: Final = 0.8
"""Share of an unclaimed piece within a box from which it is a part of that chromosome."""

_CRUMB: Final = 0.03
"""Smaller pieces, in squared widths, are dust, and no part of a chromosome that fell apart."""

_REACH: Final = 0.8
"""Widths of the gap a chromosome may have."""

_ARM: Final = 0.5
"""Least area, in squared widths, of a piece that is bridged to."""

_FACING: Final = 1.3
"""Gaps within which a pale band is bridged, over the narrowest: its ends aren't quite parallel."""

_FREE_SIZE: Final = (0.4, 3.0)
"""Areas, of the typical found chromosome's, of pieces of stain that may be one nobody found."""

_MANY_FREE: Final = 6
_FREE_SHARE: Final = 0.15
"""Such pieces, and their share of the stain, from which contours are asked too: in pictures alone of which the
detector isn't sure, as beside G-banded cells it knows dirt and neighbours better than contours do."""

_FEW: Final = 36
_ENOUGH: Final = 46
"""Chromosomes up to which a cell is looked for more, and up to which contours may fill it."""

_TAKEN: Final = 0.2
"""Share of a contour's find that the detector explains already, up to which it is another chromosome."""

_NEAR: Final = 7.0
"""Widths between chromosomes of a cell at the most."""

_LEAST_STAIN: Final = 0.1
"""Least stained share of a box."""


class Proposer(Protocol):
    """Anything that proposes chromosomes as boxes, such as a `Detector`."""

    def candidates(self, relative: NDArray[np.float32], *, scale: float) -> Detections:
        """Propose chromosomes in a picture, see `Detector.candidates`."""
        ...


@dataclass(frozen=True, slots=True)
class DetectorSegmenter:
    """Finds the chromosomes of a metaphase by a detector, their pixels by contours.

    Pictures the detector knows nothing of, such as fluorescence, are left to the contours alone.

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
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    masks: MaskProposer | None = None
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
            return segment(image, self.settings)
        given, image = image, as_absorbing(image)
        working = prepare(image)
        scale = detector_scale(working)
        found = suppress(self._proposals(working), iou=self.selection.nms_iou)
        stained = find_foreground(working.density, working.nuclei, working.width_px)
        mask = stained.mask
        tight = tight_boxes(found.boxes_px, _PADDING_PX * SCALE / scale)
        known = gather(found, tight, mask)
        chosen = choose(known, self.selection)
        self._ask_for_enough(len(chosen), image)
        net = None
        if self.masks is not None:
            net = BoxMasks(self.masks, stream_picture(working.density, stained.level, working.width_px))
        shares = _shares(tight[chosen], mask, working, net, cuts=self.cuts)
        strays = find_strays([share.region for share in shares], working.density, working.width_px)
        shares = [share for share, stray in zip(shares, strays, strict=True) if not stray]
        self._ask_for_enough(len(shares), image)
        made = _instances(found.take(chosen), tight[chosen] / working.factor, shares, working, image.pixels.shape)
        unsure = certainty(known, self.selection) < self.selection.sure_at
        if unsure and len(made) < _FEW and _leaves_many([share.region for share in shares], mask):
            made = self._with_contours(made, image, _NEAR * working.width_px / working.factor)
        others = np.setdiff1d(np.arange(len(found)), chosen)
        left_out = tuple(
            LeftOut(_sides(tight[row] / working.factor), float(found.score[row]), found.class_log_prob[row])
            for row in others
        )
        background, nuclei = full_size(working, image.pixels.shape)
        levels = fluorescence_levels(background) if given.inverted else background
        return Segmentation(made, levels, nuclei, left_out)

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
            Shape (n, 24), see `Detections.classes_at`.
        """
        working = prepare(as_absorbing(image))
        asked = boxes_px.astype(np.float64) * working.factor
        if not padded:
            asked += _PADDING_PX * SCALE / detector_scale(working) * np.asarray([-1.0, -1.0, 1.0, 1.0])
        return self._proposals(working).classes_at(asked)

    def _with_contours(self, made: tuple[Instance, ...], image: GreyImage, near_px: float) -> tuple[Instance, ...]:
        """Add what the contours find beside what the detector found: far from it there is only dirt."""
        try:
            others = segment(image, self.settings).instances
        except NoMetaphaseError:
            return made
        taken = np.zeros(image.pixels.shape, np.bool_)
        for entry in made:
            taken[_window(np.asarray(entry.box_px, np.float32))] |= entry.mask
        away = _distance(taken)
        free = []
        for entry in others:
            around = away[_window(np.asarray(entry.box_px, np.float32))][entry.mask]
            if float((around == 0.0).mean()) <= _TAKEN and float(around.min()) <= near_px:
                free.append(entry)
        free.sort(key=lambda entry: -entry.score)
        both = [*made, *free[: max(0, _ENOUGH - len(made))]]
        beside = neighbours([(entry.box_px, entry.mask) for entry in both])
        return tuple(replace(entry, overlaps=beside[k]) for k, entry in enumerate(both))

    def _ask_for_enough(self, count: int, image: GreyImage) -> None:
        if count < self.settings.min_chromosomes:
            raise NoMetaphaseError(f"{image.source}: no metaphase found ({count} chromosomes)")

    def _proposals(self, working: Working) -> Detections:
        return self.detector.candidates(relative_density(working.density), scale=detector_scale(working))


def load_detector_segmenter(*, masks: bool = True) -> DetectorSegmenter:
    """Segmenter with the product's weights.

    Parameters
    ----------
    masks
        Piles are parted by the stream's mask net, faster and no worse than by cuts of the contours; else by those.

    Raises
    ------
    WeightsError
        Where they are missing or damaged.
    """
    return DetectorSegmenter(Detector.load(), masks=MaskProposer.load() if masks else None, cuts=not masks)


def detector_scale(working: Working) -> float:
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


def _instances(
    chosen: Detections,
    extents_px: NDArray[np.float32],
    shares: list[Share],
    working: Working,
    size: tuple[int, ...],
) -> tuple[Instance, ...]:
    """Make an instance of every chosen detection that has stained pixels."""
    made = []
    for share in shares:
        placed = place_in(share.region, working.factor, size)
        if placed is not None:
            made.append((placed, share))
    beside = neighbours([placed for placed, _ in made])
    return tuple(
        Instance(
            box,
            own,
            float(chosen.score[share.box]),
            f"detector, {share.route}",
            beside[k],
            chosen.class_log_prob[share.box],
            _sides(extents_px[share.box]),
        )
        for k, ((box, own), share) in enumerate(made)
    )


def _shares(
    tight: NDArray[np.float32],
    mask: NDArray[np.bool_],
    working: Working,
    net: MasksOfBoxes | None,
    *,
    cuts: bool,
) -> list[Share]:
    """Give the stained pixels of the cell to the boxes, in the order of the boxes."""
    count, found, measured, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    labels, stats = np.asarray(found, dtype=np.int32), np.asarray(measured, dtype=np.int32)
    least_px = MIN_PIECE * working.width_px**2
    held: dict[int, list[int]] = {}
    pale: list[int] = []
    for number, box in enumerate(tight):
        counts = np.bincount(labels[_window(box)].ravel(), minlength=1)
        counts[0] = 0
        label = int(counts.argmax())
        area = float((box[2:] - box[:2]).prod())
        if counts[label] < max(1.0, _LEAST_STAIN * area) or stats[label, cv2.CC_STAT_AREA] < least_px:
            pale.append(number)
        else:
            held.setdefault(label, []).append(number)
    cell = Cell(
        working.width_px,
        _median_area(held, stats, working.width_px),
        MIN_PIECE,
        working.density,
        load_plausibility(),
    )
    shares: list[Share] = []
    for label, numbers in held.items():
        piece = _piece(labels, stats, label)
        parted = share_out(piece, tight[numbers], cell, net=net, cuts=cuts)
        shares += [Share(numbers[share.box], share.region, share.route) for share in parted]
    crumb_px = _CRUMB * working.width_px**2
    free = {label for label in range(1, count) if label not in held and stats[label, cv2.CC_STAT_AREA] >= crumb_px}
    reach_px = _REACH * working.width_px
    shares = [_completed(share, tight[share.box], labels, free, reach_px) for share in shares]
    shares += [share for number in pale if (share := _pale(number, tight[number], working)) is not None]
    return sorted(shares, key=lambda share: share.box)


def _median_area(held: dict[int, list[int]], stats: NDArray[np.int32], width_px: float) -> float:
    """Typical area of a chromosome: that of the pieces that hold exactly one."""
    areas = [stats[label, cv2.CC_STAT_AREA] / width_px**2 for label, numbers in held.items() if len(numbers) == 1]
    return float(np.median([*areas, *([TYPICAL_AREA] * 3)]))


def _piece(labels: NDArray[np.int32], stats: NDArray[np.int32], label: int) -> Region:
    x, y, width, height = (int(value) for value in stats[label, :4])
    return cropped(labels[y : y + height, x : x + width] == label, x, y)


def _completed(
    share: Share, box: NDArray[np.float32], labels: NDArray[np.int32], free: set[int], reach_px: float
) -> Share:
    """Add unclaimed pieces within the box and near by: a chromosome may fall apart at a pale band.

    The pale band before an arm is part of it: bridged, it has one axis, and is measured and compared as a whole.
    Smaller pieces are satellites, or dust, and stay apart.
    """
    region, window = share.region, _window(box)
    near = labels[window]
    inside = [
        label
        for label in np.unique(near)
        if label in free and np.count_nonzero(near == label) >= _PART_OF * np.count_nonzero(labels == label)
    ]
    if not inside:
        return share
    top, left = min(window[0].start, region.y0_px), min(window[1].start, region.x0_px)
    y0, x0 = window[0].start - top, window[1].start - left
    height, width = region.mask.shape
    row, column = region.y0_px - top, region.x0_px - left
    canvas = np.zeros((max(y0 + near.shape[0], row + height), max(x0 + near.shape[1], column + width)), np.bool_)
    canvas[row : row + height, column : column + width] = region.mask
    pieces = np.zeros(canvas.shape, np.int32)
    pieces[y0 : y0 + near.shape[0], x0 : x0 + near.shape[1]] = near
    bare = np.zeros(canvas.shape, np.bool_)
    bare[y0 : y0 + near.shape[0], x0 : x0 + near.shape[1]] = near == 0
    away = _distance(canvas)
    least_arm_px = _ARM * (reach_px / _REACH) ** 2
    for label in inside:
        part = pieces == label
        gap_px = float(away[part].min())
        if gap_px <= reach_px:
            canvas |= part
            if np.count_nonzero(part) >= least_arm_px:
                # What lies between facing ends is about as far from both together as they are from each other.
                canvas |= bare & (away + _distance(part) <= _FACING * gap_px + 1.0)
    return Share(share.box, cropped(canvas, left, top), share.route)


def _leaves_many(found: list[Region], mask: NDArray[np.bool_]) -> bool:
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


def _distance(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of every px from a mask."""
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3), dtype=np.float32)


def _pale(number: int, box: NDArray[np.float32], working: Working) -> Share | None:
    """Find what is stained in a box the threshold of the cell found nothing in."""
    window = _window(box)
    inside = working.density[window]
    if inside.size == 0:
        return None
    level = 0.5 * float(np.percentile(inside, 95))
    mask = (inside > level) & ~working.nuclei[window]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    largest = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return Share(number, cropped(largest, window[1].start, window[0].start), "pale")


def _sides(row: NDArray[np.float32]) -> tuple[float, float, float, float]:
    return float(row[0]), float(row[1]), float(row[2]), float(row[3])


def _window(box: NDArray[np.float32]) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (max(0, round(float(value))) for value in box)
    return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))

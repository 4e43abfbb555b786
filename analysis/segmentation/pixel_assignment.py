"""The stain of a cell shared out among the boxes that were chosen, and instances of it."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.imaging.working_image import WorkingImage
from analysis.segmentation.cluster_splitting import BoxMaskPredictor, PixelAssignment, split_cluster
from analysis.segmentation.contours.plausibility import load_plausibility
from analysis.segmentation.contours.settings import CONTOURS
from analysis.segmentation.contours.split_tree import ContourContext
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.placement import place_region, touching_instances
from analysis.structures.region import Region, cropped

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

_LEAST_STAIN: Final = 0.1
"""Least stained share of a box."""


def instances_of(
    chosen: BoxProposals,
    extents_px: NDArray[np.float32],
    shares: list[PixelAssignment],
    working: WorkingImage,
    size: tuple[int, ...],
) -> tuple[tuple[Instance, ...], tuple[PixelAssignment, ...]]:
    """Make an instance of every share that has pixels in the image.

    Parameters
    ----------
    chosen
        The boxes that the shares count.
    extents_px
        float32, shape (n, 4): their close-fitting boxes, in image px.
    shares
        Pixels of each.
    working
        The picture worked on.
    size
        (height, width) of the image.

    Returns
    -------
    tuple
        The instances, and the share of each.
    """
    placed = [(place_region(share.region, working.factor, size), share) for share in shares]
    made = [(where, share) for where, share in placed if where is not None]
    beside = touching_instances([where for where, _ in made])
    instances = tuple(
        Instance(
            box,
            own,
            float(chosen.score[share.box]),
            share.route,
            beside[k],
            chosen.class_log_prob[share.box],
            sides_of(extents_px[share.box]),
        )
        for k, ((box, own), share) in enumerate(made)
    )
    return instances, tuple(share for _, share in made)


def assign_pixels(
    tight: NDArray[np.float32],
    mask: NDArray[np.bool_],
    working: WorkingImage,
    net: BoxMaskPredictor | None,
    *,
    cuts: bool,
    parted: dict[bytes, list[PixelAssignment]] | None = None,
) -> list[PixelAssignment]:
    """Give the stained pixels of the cell to the boxes.

    Parameters
    ----------
    tight
        float32, shape (n, 4): close-fitting boxes, in working px.
    mask
        bool, shape (h, w): stain.
    working
        The picture worked on.
    net, cuts
        See `SegmentationHypotheses`.
    parted
        How pieces of stain were parted among their boxes before, and now: choices for one cell share most of them.

    Returns
    -------
    list of Share
        In the order of the boxes.
    """
    count, found, measured, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    labels, stats = np.asarray(found, dtype=np.int32), np.asarray(measured, dtype=np.int32)
    least_px = CONTOURS.min_piece * working.width_px**2
    held: dict[int, list[int]] = {}
    pale: list[int] = []
    for number, box in enumerate(tight):
        counts = np.bincount(labels[window_of(box)].ravel(), minlength=1)
        counts[0] = 0
        label = int(counts.argmax())
        area = float((box[2:] - box[:2]).prod())
        if counts[label] < max(1.0, _LEAST_STAIN * area) or stats[label, cv2.CC_STAT_AREA] < least_px:
            pale.append(number)
        else:
            held.setdefault(label, []).append(number)
    cell = piece_cell(working, _median_area(held, stats, working.width_px))
    before = {} if parted is None else parted
    shares: list[PixelAssignment] = []
    for label, numbers in held.items():
        key = tight[numbers].tobytes()
        if key not in before:
            before[key] = split_cluster(_piece(labels, stats, label), tight[numbers], cell, net=net, cuts=cuts)
        shares += [PixelAssignment(numbers[share.box], share.region, share.route) for share in before[key]]
    crumb_px = _CRUMB * working.width_px**2
    free = {label for label in range(1, count) if label not in held and stats[label, cv2.CC_STAT_AREA] >= crumb_px}
    reach_px = _REACH * working.width_px
    shares = [_completed(share, tight[share.box], labels, free, reach_px) for share in shares]
    shares += [share for number in pale if (share := _pale(number, tight[number], working)) is not None]
    return sorted(shares, key=lambda share: share.box)


def piece_cell(working: WorkingImage, area: float = CONTOURS.typical_area) -> ContourContext:
    """Say what is typical on this image; ``area`` of a chromosome, in squared widths."""
    return ContourContext(working.width_px, area, CONTOURS.min_piece, working.density, load_plausibility())


def _median_area(held: dict[int, list[int]], stats: NDArray[np.int32], width_px: float) -> float:
    """Typical area of a chromosome: that of the pieces that hold exactly one."""
    areas = [stats[label, cv2.CC_STAT_AREA] / width_px**2 for label, numbers in held.items() if len(numbers) == 1]
    return float(np.median([*areas, *([CONTOURS.typical_area] * 3)]))


def _piece(labels: NDArray[np.int32], stats: NDArray[np.int32], label: int) -> Region:
    x, y, width, height = (int(value) for value in stats[label, :4])
    return cropped(labels[y : y + height, x : x + width] == label, x, y)


def _completed(
    share: PixelAssignment, box: NDArray[np.float32], labels: NDArray[np.int32], free: set[int], reach_px: float
) -> PixelAssignment:
    """Add unclaimed pieces within the box and near by: a chromosome may fall apart at a pale band.

    The pale band before an arm is part of it: bridged, it has one axis, and is measured and compared as a whole.
    Smaller pieces are satellites, or dust, and stay apart.
    """
    region, window = share.region, window_of(box)
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
    away = distance_from(canvas)
    least_arm_px = _ARM * (reach_px / _REACH) ** 2
    for label in inside:
        part = pieces == label
        gap_px = float(away[part].min())
        if gap_px <= reach_px:
            canvas |= part
            if np.count_nonzero(part) >= least_arm_px:
                # What lies between facing ends is about as far from both together as they are from each other.
                canvas |= bare & (away + distance_from(part) <= _FACING * gap_px + 1.0)
    return PixelAssignment(share.box, cropped(canvas, left, top), share.route)


def distance_from(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Distance of every px from a mask."""
    return np.asarray(cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3), dtype=np.float32)


def _pale(number: int, box: NDArray[np.float32], working: WorkingImage) -> PixelAssignment | None:
    """Find what is stained in a box the threshold of the cell found nothing in."""
    window = window_of(box)
    inside = working.density[window]
    if inside.size == 0:
        return None
    level = 0.5 * float(np.percentile(inside, 95))
    mask = (inside > level) & ~working.nuclei[window]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    largest = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return PixelAssignment(
        number, cropped(largest, window[1].start, window[0].start), SegmentationRoute.DETECTOR_PALE
    )


def sides_of(row: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Sides of a box (4,) as plain numbers."""
    return float(row[0]), float(row[1]), float(row[2]), float(row[3])


def window_of(box: NDArray[np.float32]) -> tuple[slice, slice]:
    """Index the pixels of a box (4,): one px at least."""
    x0, y0, x1, y1 = (max(0, round(float(value))) for value in box)
    return slice(y0, max(y1, y0 + 1)), slice(x0, max(x1, x0 + 1))

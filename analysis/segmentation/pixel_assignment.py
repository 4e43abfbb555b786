"""The stain of a cell assigned to the boxes that were selected, and instances of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.imaging.working_image import WorkingImage
from analysis.segmentation.box_geometry import distance_to_mask, sides_of, window_of
from analysis.segmentation.cluster_splitting import PixelAssignment, split_cluster
from analysis.segmentation.contours.plausibility import load_plausibility
from analysis.segmentation.contours.settings import CONTOURS
from analysis.segmentation.contours.split_tree import ContourContext
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.placement import place_region, touching_instances
from analysis.structures.region import Region, cropped


@dataclass(frozen=True, slots=True)
class PixelAssignmentSettings:
    """Which stain belongs to a box; areas in squared widths.

    Attributes
    ----------
    min_stained
        Fraction of a box that is stained at the least: with less the cell's threshold missed its chromosome.
    part_inside
        Fraction of an unassigned piece within a box from which it is a part of that chromosome.
    min_part
        Smaller pieces are dust, and no part of a chromosome that fell apart.
    max_gap_widths
        Of the gap a chromosome may have.
    min_arm
        Least area of a piece that is bridged to; smaller ones are satellites, or dust, and stay apart.
    facing
        Gaps within which a pale band is bridged, over the narrowest: its ends aren't quite parallel.
    pale_percentile
        Of the density in a box the cell's threshold left empty: half of it is that box's own threshold.
    """

    min_stained: float = 0.1
    part_inside: float = 0.8
    min_part: float = 0.03
    max_gap_widths: float = 0.8
    min_arm: float = 0.5
    facing: float = 1.3
    pale_percentile: float = 95.0


PIXEL_ASSIGNMENT: Final = PixelAssignmentSettings()


def instances_of(
    selected: BoxProposals,
    extents_px: NDArray[np.float32],
    assignments: list[PixelAssignment],
    working: WorkingImage,
    size: tuple[int, ...],
) -> tuple[tuple[Instance, ...], tuple[PixelAssignment, ...]]:
    """Make an instance of every assignment that has pixels in the image.

    Parameters
    ----------
    selected
        The proposals that the assignments count.
    extents_px
        float32, shape (n, 4): their close-fitting boxes, in image px.
    assignments
        Pixels of each.
    working
        The working image.
    size
        (height, width) of the image.

    Returns
    -------
    tuple
        The instances, and the assignment of each.
    """
    placed = [(place_region(each.region, working.factor, size), each) for each in assignments]
    visible = [(where, assignment) for where, assignment in placed if where is not None]
    neighbours = touching_instances([where for where, _ in visible])
    class_log_prob = selected.class_log_prob
    instances = tuple(
        Instance(
            box_px=box_px,
            mask=mask,
            score=float(selected.score[assignment.box]),
            route=assignment.route,
            overlaps=neighbours[k],
            class_log_prob=class_log_prob[assignment.box],
            extent_px=sides_of(extents_px[assignment.box]),
        )
        for k, ((box_px, mask), assignment) in enumerate(visible)
    )
    return instances, tuple(assignment for _, assignment in visible)


def assign_pixels(
    tight: NDArray[np.float32],
    mask: NDArray[np.bool_],
    working: WorkingImage,
    *,
    split_cache: dict[bytes, list[PixelAssignment]] | None = None,
    settings: PixelAssignmentSettings = PIXEL_ASSIGNMENT,
) -> list[PixelAssignment]:
    """Give the stained pixels of the cell to the boxes.

    Parameters
    ----------
    tight
        float32, shape (n, 4): close-fitting boxes, in working px.
    mask
        bool, shape (h, w): stain.
    working
        The working image.
    split_cache
        Splits of pieces by their boxes, read and filled: selections of one cell have most of them in common.
    settings
        Which stain belongs to a box.

    Returns
    -------
    list of PixelAssignment
        In the order of the boxes.
    """
    count, components, measured, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    labels, stats = np.asarray(components, dtype=np.int32), np.asarray(measured, dtype=np.int32)
    min_piece_px = CONTOURS.min_piece * working.width_px**2
    boxes_of, pale = _boxes_of_pieces(tight, labels, stats, min_piece_px, settings)
    cell = contour_context(working, _median_area(boxes_of, stats, working.width_px))
    splits = {} if split_cache is None else split_cache
    assignments: list[PixelAssignment] = []
    for label, numbers in boxes_of.items():
        key = tight[numbers].tobytes()
        if key not in splits:
            splits[key] = split_cluster(_piece(labels, stats, label), tight[numbers], cell)
        assignments += [PixelAssignment(numbers[each.box], each.region, each.route) for each in splits[key]]
    min_part_px = settings.min_part * working.width_px**2
    free = {
        label
        for label in range(1, count)
        if label not in boxes_of and stats[label, cv2.CC_STAT_AREA] >= min_part_px
    }
    max_gap_px = settings.max_gap_widths * working.width_px
    assignments = [
        _completed(each, tight[each.box], labels, free, max_gap_px, settings=settings) for each in assignments
    ]
    pale_assignments = [find_pale(number, tight[number], working, settings) for number in pale]
    assignments += [assignment for assignment in pale_assignments if assignment is not None]
    return sorted(assignments, key=lambda assignment: assignment.box)


def _boxes_of_pieces(
    tight: NDArray[np.float32],
    labels: NDArray[np.int32],
    stats: NDArray[np.int32],
    min_piece_px: float,
    settings: PixelAssignmentSettings,
) -> tuple[dict[int, list[int]], list[int]]:
    """List the boxes that each piece of stain fills, and those in which hardly anything is stained."""
    boxes_of: dict[int, list[int]] = {}
    pale: list[int] = []
    for number, box in enumerate(tight):
        counts = np.bincount(labels[window_of(box)].ravel(), minlength=1)
        counts[0] = 0
        label = int(counts.argmax())
        area = float((box[2:] - box[:2]).prod())
        if counts[label] < max(1.0, settings.min_stained * area) or stats[label, cv2.CC_STAT_AREA] < min_piece_px:
            pale.append(number)
        else:
            boxes_of.setdefault(label, []).append(number)
    return boxes_of, pale


def contour_context(working: WorkingImage, area: float = CONTOURS.typical_area) -> ContourContext:
    """Describe what is typical on this image.

    Parameters
    ----------
    working
        The working image.
    area
        Typical area of a chromosome, in squared widths.
    """
    return ContourContext(working.width_px, area, CONTOURS.min_piece, working.density, load_plausibility())


def _median_area(boxes_of: dict[int, list[int]], stats: NDArray[np.int32], width_px: float) -> float:
    """Typical area of a chromosome: that of the pieces that hold exactly one."""
    areas = [
        stats[label, cv2.CC_STAT_AREA] / width_px**2 for label, numbers in boxes_of.items() if len(numbers) == 1
    ]
    return float(np.median([*areas, *([CONTOURS.typical_area] * CONTOURS.typical_weight)]))


def _piece(labels: NDArray[np.int32], stats: NDArray[np.int32], label: int) -> Region:
    x, y, width, height = (int(value) for value in stats[label, :4])
    return cropped(labels[y : y + height, x : x + width] == label, x, y)


def _completed(
    assignment: PixelAssignment,
    box: NDArray[np.float32],
    labels: NDArray[np.int32],
    free: set[int],
    max_gap_px: float,
    *,
    settings: PixelAssignmentSettings,
) -> PixelAssignment:
    """Add unassigned pieces within the box and near by: a chromosome may fall apart at a pale band.

    The pale band before an arm is part of it: bridged, it has one axis, and is measured and compared as a whole.
    Smaller pieces are satellites, or dust, and stay apart.
    """
    region, window = assignment.region, window_of(box)
    near = labels[window]
    inside = [
        label
        for label in np.unique(near)
        if label in free
        and np.count_nonzero(near == label) >= settings.part_inside * np.count_nonzero(labels == label)
    ]
    if not inside:
        return assignment
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
    away = distance_to_mask(canvas)
    min_arm_px = settings.min_arm * (max_gap_px / settings.max_gap_widths) ** 2
    for label in inside:
        part = pieces == label
        gap_px = float(away[part].min())
        if gap_px <= max_gap_px:
            canvas |= part
            if np.count_nonzero(part) >= min_arm_px:
                # What lies between facing ends is about as far from both together as they are from each other.
                canvas |= bare & (away + distance_to_mask(part) <= settings.facing * gap_px + 1.0)
    return PixelAssignment(assignment.box, cropped(canvas, left, top), assignment.route)


def find_pale(
    number: int,
    box: NDArray[np.float32],
    working: WorkingImage,
    settings: PixelAssignmentSettings = PIXEL_ASSIGNMENT,
) -> PixelAssignment | None:
    """Find what is stained in a box that the threshold of the cell left empty; None where nothing is.

    Parameters
    ----------
    number
        Of the box.
    box
        float32, shape (4,): close-fitting, in working px.
    working
        The working image.
    settings
        Which stain belongs to a box.
    """
    window = window_of(box)
    inside = working.density[window]
    if inside.size == 0:
        return None
    level = 0.5 * float(np.percentile(inside, settings.pale_percentile))
    mask = (inside > level) & ~working.nuclei[window]
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return None
    largest = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return PixelAssignment(
        number, cropped(largest, window[1].start, window[0].start), SegmentationRoute.DETECTOR_PALE
    )

"""Masks for detected boxes: the contour where a piece holds one chromosome, guided cuts where it holds several.

The detector says how many chromosomes a connected piece of stain holds and how far each reaches; contours say
where the border between them runs. Of all cuts the contours propose, the one is taken whose parts reach as far
as the boxes on either side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.box_geometry import largest_component
from analysis.segmentation.contours.split import Split
from analysis.segmentation.contours.split_tree import ContourContext, Piece, describe, proposals
from analysis.structures.instance import SegmentationRoute
from analysis.structures.region import Region

_TINY: Final = 1e-6
"""Keeps ratios finite."""

_RELIEF_TOP: Final = 255.0
_RELIEF_RANGE: Final = 254.0
"""Levels of the relief that is flooded, dark first; the outside is highest."""


@dataclass(frozen=True, slots=True)
class ClusterSplittingSettings:
    """How the pixels of a piece follow its boxes.

    Attributes
    ----------
    slack_widths
        In chromosome widths: boxes are right to about this.
    min_fit
        Least overlap of either part's extent with its boxes for a cut to be taken.
    good_fit
        A cut that fits its boxes so well isn't compared with further ones.
    min_outside
        Fraction of a piece outside its only box from which something else is taken to hang on it.
    core_inset
        Of a box's sides, that is taken off for its core; pixels in the core count double for the side it lies on.
    seed_core
        Of a box's sides: its middle, from which pixels are grown where hardly any lie in no other box.
    min_own
        Fraction of a box's pixels that lie in no other, from which those alone are its seed.
    min_arm
        Arms smaller than this, in squared widths, are crumbs.
    bridge_widths
        The shared area between two arms is as wide as this.
    """

    slack_widths: float = 0.25
    min_fit: float = 0.6
    good_fit: float = 0.7
    min_outside: float = 0.12
    core_inset: float = 0.15
    seed_core: float = 0.6
    min_own: float = 0.25
    min_arm: float = 0.25
    bridge_widths: float = 0.9


CLUSTER_SPLITTING: Final = ClusterSplittingSettings()

_SPLIT_ROUTES: Final = {
    SegmentationRoute.WATERSHED: SegmentationRoute.DETECTOR_WATERSHED,
    SegmentationRoute.CUT: SegmentationRoute.DETECTOR_CUT,
    SegmentationRoute.CROSSING: SegmentationRoute.DETECTOR_CROSSING,
}
"""Route of a part, by how contours split the piece between its boxes."""

Boxes = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PixelAssignment:
    """The part of a piece that belongs to one box.

    Attributes
    ----------
    box
        Index of the box.
    region
        Its pixels.
    route
        How they were told from those of the other boxes.
    """

    box: int
    region: Region
    route: SegmentationRoute


def split_cluster(
    piece: Region,
    boxes: Boxes,
    context: ContourContext,
    *,
    settings: ClusterSplittingSettings = CLUSTER_SPLITTING,
) -> list[PixelAssignment]:
    """Give the pixels of a connected piece to the boxes it fills.

    Parameters
    ----------
    piece
        Connected foreground.
    boxes
        float32, shape (n, 4): close-fitting boxes in working px, at least one.
    context
        What is typical on this image.
    settings
        How pixels follow boxes.
    """
    assignments: list[PixelAssignment] = []
    waiting: list[tuple[Region, SegmentationRoute, list[int]]] = [
        (piece, SegmentationRoute.DETECTOR_CONTOUR, list(range(len(boxes))))
    ]
    while waiting:
        region, route, held = waiting.pop()
        if len(held) == 1:
            whole = PixelAssignment(held[0], region, route)
            assignments.append(_clipped(whole, boxes[held[0]], context.width_px, settings))
            continue
        parts = _best_cut(describe(region, SegmentationRoute.SINGLE, context), boxes, held, context, settings)
        if parts is not None:
            waiting.extend(parts)
        else:
            assignments.extend(_by_watershed(region, boxes, held, context, settings))
    return assignments


def _best_cut(
    part: Piece, boxes: Boxes, held: list[int], context: ContourContext, settings: ClusterSplittingSettings
) -> list[tuple[Region, SegmentationRoute, list[int]]] | None:
    """Find the cut whose parts reach as far as the boxes they hold."""
    local = boxes[held] - _corner(part.region)
    best, best_fit = None, settings.min_fit
    for split in proposals(part, context):
        sides = _sides(split, local, settings)
        if sides.all() or not sides.any():
            continue
        fit = min(
            _extent_fit(split.first, _hull(local[~sides])),
            _extent_fit(split.second, _hull(local[sides])),
        )
        if fit > best_fit:
            best, best_fit = (split, sides), fit
            if fit > settings.good_fit:
                break
    if best is None:
        return None
    split, sides = best
    numbers = np.asarray(held)
    return [
        (part.region.part(mask), _SPLIT_ROUTES[split.route], [int(number) for number in numbers[own]])
        for mask, own in ((split.first, ~sides), (split.second, sides))
    ]


def _sides(split: Split, local: Boxes, settings: ClusterSplittingSettings) -> NDArray[np.bool_]:
    """Tell for each box whether the second part fills it better than the first."""
    if split.route is SegmentationRoute.CROSSING:
        # Both own the shared area: the part whose extent is the box's.
        return np.asarray(
            [_extent_fit(split.second, box) > _extent_fit(split.first, box) for box in local], np.bool_
        )
    sides = []
    for box in local:
        window = _window(box, split.first.shape, 0.0)
        core = _window(box, split.first.shape, -settings.core_inset)
        first = np.count_nonzero(split.first[window]) + 2 * np.count_nonzero(split.first[core])
        second = np.count_nonzero(split.second[window]) + 2 * np.count_nonzero(split.second[core])
        sides.append(second > first)
    return np.asarray(sides, np.bool_)


def _clipped(
    assignment: PixelAssignment, box: Boxes, width_px: float, settings: ClusterSplittingSettings
) -> PixelAssignment:
    """Take off what reaches beyond the box by more than boxes are wrong."""
    mask = assignment.region.mask
    inside = np.zeros_like(mask)
    window = _window(box - _corner(assignment.region), mask.shape, settings.slack_widths * width_px, absolute=True)
    inside[window] = mask[window]
    if not inside.any() or np.count_nonzero(mask & ~inside) < settings.min_outside * np.count_nonzero(mask):
        return assignment
    return PixelAssignment(
        assignment.box, assignment.region.part(largest_component(inside)), SegmentationRoute.DETECTOR_BOX
    )


def _by_watershed(
    region: Region, boxes: Boxes, held: list[int], context: ContourContext, settings: ClusterSplittingSettings
) -> list[PixelAssignment]:
    """Grow every box's pixels from those that lie in no other box, dark first (watershed)."""
    mask = region.mask
    local = boxes[held] - _corner(region)
    slack = settings.slack_widths * context.width_px
    inside = np.stack([_filled(box, mask, slack) for box in local])
    several = inside.sum(axis=0) > 1
    seeds = [_seed(mine, several, box, settings) for mine, box in zip(inside, local, strict=True)]
    markers = np.where(mask, 0, 1).astype(np.int32)
    for number, seed in enumerate(seeds):
        markers[seed & (markers == 0)] = number + 2
    density = region.crop_of(context.density)
    top = max(float(density[mask].max()), _TINY)
    height = _RELIEF_TOP - _RELIEF_RANGE * np.clip(density / top, 0.0, 1.0)
    relief = np.where(mask, height, _RELIEF_TOP).astype(np.uint8)
    cv2.watershed(cv2.merge([relief, relief, relief]), markers)
    assignments = []
    for number, box in enumerate(held):
        basin = markers == number + 2
        # The lines between basins (-1) belong to both.
        wide = cv2.dilate(basin.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        own = (basin | (wide & (markers < 2))) & inside[number]
        if own.any():
            assignments.append(
                PixelAssignment(
                    box,
                    region.part(_bridged(own, mask, context.width_px, settings)),
                    SegmentationRoute.DETECTOR_BOX,
                )
            )
    return assignments


def _seed(
    mine: NDArray[np.bool_], several: NDArray[np.bool_], box: Boxes, settings: ClusterSplittingSettings
) -> NDArray[np.bool_]:
    """Pixels that are surely this box's: in no other, or where there are none, about its middle."""
    alone = mine & ~several
    if np.count_nonzero(alone) >= settings.min_own * np.count_nonzero(mine):
        return alone
    middle = np.zeros_like(mine)
    window = _window(box, mine.shape, -settings.seed_core / 2.0)
    middle[window] = mine[window]
    return largest_component(alone | middle)


def _bridged(
    own: NDArray[np.bool_], mask: NDArray[np.bool_], width_px: float, settings: ClusterSplittingSettings
) -> NDArray[np.bool_]:
    """Join the arms of a chromosome that lies under another, across the shared area; drop crumbs."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(own.astype(np.uint8), connectivity=8)
    if count < 3:
        return own
    areas = stats[:, cv2.CC_STAT_AREA]
    order = 1 + np.argsort(-areas[1:])
    joined = np.asarray(labels == order[0], dtype=np.bool_)
    for label in order[1:]:
        if areas[label] < settings.min_arm * width_px**2:
            continue
        arm = labels == label
        start, end = _nearest(joined, arm)
        bridge = np.zeros(own.shape, np.uint8)
        cv2.line(bridge, start, end, 1, max(1, round(settings.bridge_widths * width_px)))
        joined |= arm | ((bridge > 0) & mask)
    return joined


def _nearest(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the pixels (x, y) in which two masks come nearest."""
    away, places = cv2.distanceTransformWithLabels(
        (~first).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    at = int(np.argmin(np.where(second, away, np.inf)))
    row, column = divmod(at, first.shape[1])
    rows, columns = np.nonzero(first & (places == places[row, column]))
    return (int(columns[0]), int(rows[0])), (column, row)


def _filled(box: Boxes, mask: NDArray[np.bool_], slack: float) -> NDArray[np.bool_]:
    out = np.zeros_like(mask)
    window = _window(box, mask.shape, slack, absolute=True)
    out[window] = mask[window]
    return out


def _window(box: Boxes, shape: tuple[int, ...], grow: float, *, absolute: bool = False) -> tuple[slice, slice]:
    """Index the pixels of a box grown by px on every side (absolute) or by a fraction of its sides."""
    x0, y0, x1, y1 = (float(value) for value in box)
    wide, high = (grow, grow) if absolute else (grow * (x1 - x0), grow * (y1 - y0))
    columns = slice(max(0, round(x0 - wide)), max(0, min(shape[1], round(x1 + wide))))
    rows = slice(max(0, round(y0 - high)), max(0, min(shape[0], round(y1 + high))))
    return rows, columns


def _corner(region: Region) -> Boxes:
    return np.asarray([region.x0_px, region.y0_px] * 2, np.float32)


def _hull(boxes: Boxes) -> Boxes:
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _extent_fit(mask: NDArray[np.bool_], box: Boxes) -> float:
    """Overlap (intersection over union) of a mask's extent with a box."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return 0.0
    own = np.asarray([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    size = np.clip(np.minimum(own[2:], box[2:]) - np.maximum(own[:2], box[:2]), 0.0, None)
    shared = float(size.prod())
    return shared / max(float((own[2:] - own[:2]).prod() + (box[2:] - box[:2]).prod()) - shared, _TINY)

"""Stain of chromosome-like size that lies in no mask, and what the mask net makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.nucleus_fragments import surroundings_ratio
from analysis.segmentation.prompted_cell import (
    PromptedCell,
    PromptedRegion,
    common_frame,
    covered_by,
    in_frame,
)
from analysis.structures.boxes import box_iou
from analysis.structures.instance import Instance
from analysis.structures.placement import PlacedMask, place_region
from analysis.structures.region import Region, connected_regions, cropped
from analysis.structures.segmentation import UnselectedProposal
from analysis.structures.unexplained import UnexplainedReason

STAIN_MEASURES: Final = (
    "quality by box",
    "quality by point",
    "uncovered part of its mask",
    "explained by its mask",
    "relative area",
    "relative density",
    "surroundings",
    "best proposal left out",
    "inside of an extent",
)
"""What is measured of uncovered stain, see `UncoveredStain`."""


@dataclass(frozen=True, slots=True)
class UnexplainedStainSettings:
    """Which uncovered stain is measured as a possible chromosome.

    Attributes
    ----------
    rim_widths
        Round every mask, that counts as covered: masks end at half the height of the stain's edge.
    opening_widths
        Radius of the disc that has to fit in: what is thinner is the rim of a neighbour.
    min_area
        Least area over the median of the cell's chromosomes: a chromosome 21 or a Y has .3 of it, and half of that
        may lie under its neighbour.
    max_area
        Most area over the same: larger bodies are nuclei.
    adjoining_widths
        Distance to a mask within which stain counts as adjoining.
    least_density
        Floor of a mean density that is divided by.
    same_iou
        Overlap of boxes from which a proposal that was left out is of this stain.
    same_object
        Overlap over the smaller mask from which two pieces of stain are one object.
    most_objects
        Of a cell; a dirty slide has hundreds of specks.
    min_proposal_score
        Score from which a proposal that wasn't selected is measured too, where no mask covers it: what a nucleus
        swallowed is no stain of its own.
    """

    rim_widths: float = 0.2
    opening_widths: float = 0.15
    min_area: float = 0.12
    max_area: float = 2.5
    adjoining_widths: float = 0.35
    least_density: float = 1e-3
    same_iou: float = 0.3
    same_object: float = 0.5
    most_objects: int = 24
    min_proposal_score: float = 0.3


UNEXPLAINED_STAIN: Final = UnexplainedStainSettings()


@dataclass(frozen=True, slots=True)
class UncoveredStain:
    """A piece of stain that lies in no mask.

    Attributes
    ----------
    placed
        Box in image px and mask that it would have as a chromosome.
    reason
        Whether it lies apart or adjoins a mask.
    measures
        float64, shape (measures,), as `STAIN_MEASURES`: overlap with the truth that the mask net expects when
        prompted by box and by point; fraction of the mask it predicts that lies in no other mask; fraction of the
        stain that lies in the predicted mask; logarithms of area and mean density over those of the cell's
        chromosomes; density around it over its own; best score of a proposal of this place that wasn't selected;
        fraction of it that lies within the extent of one chromosome.
    """

    placed: PlacedMask
    reason: UnexplainedReason
    measures: NDArray[np.float64]


def find_uncovered_stain(
    cell: PromptedCell,
    instances: Sequence[Instance],
    left_out: Sequence[UnselectedProposal],
    settings: UnexplainedStainSettings = UNEXPLAINED_STAIN,
) -> list[UncoveredStain]:
    """Find stain of chromosome-like size that lies in no mask.

    Parameters
    ----------
    cell
        The metaphase.
    instances
        Its chromosomes.
    left_out
        What was proposed and not selected.
    settings
        Which stain is measured.

    Returns
    -------
    list of UncoveredStain
        From the largest on.
    """
    if not instances:
        return []
    width_px = cell.working.width_px
    covered = covered_by([(each.box_px, each.mask) for each in instances], cell.size, cell.stain.shape)
    near = _dilated(covered, settings.rim_widths * width_px)
    free = _opened(cell.stain & ~near, settings.opening_widths * width_px)
    areas_px = [np.count_nonzero(each.mask) * cell.working.factor**2 for each in instances]
    median_px = float(np.median(areas_px))
    low_px, high_px = settings.min_area * median_px, settings.max_area * median_px
    pieces = [piece for piece in connected_regions(free, min_area_px=low_px) if piece.area_px <= high_px]
    pieces = sorted(pieces, key=lambda piece: -piece.area_px)[: settings.most_objects]
    pieces += _uncovered_proposals(cell.beside(instances), covered, left_out, (low_px, high_px), settings)
    if not pieces:
        return []
    prompted = cell.beside(instances)
    by_point = prompted.at_points(np.stack([_deepest_point(piece) for piece in pieces]))
    by_box = prompted.at_boxes(np.stack([_box_of(piece) for piece in pieces]))
    density = float(np.mean(cell.working.density[covered])) if covered.any() else 1.0
    scene = _Scene(cell, covered, median_px, max(density, settings.least_density), instances, left_out)
    made = [
        scene.measured(piece, point, box, settings)
        for piece, point, box in zip(pieces, by_point, by_box, strict=True)
    ]
    return _distinct([each for each in made if each is not None], settings.same_object)


def _uncovered_proposals(
    cell: PromptedCell,
    covered: NDArray[np.bool_],
    left_out: Sequence[UnselectedProposal],
    area_range_px: tuple[float, float],
    settings: UnexplainedStainSettings,
) -> list[Region]:
    """What no mask covers of proposals that weren't selected, best score first."""
    sure = [each for each in left_out if each.score >= settings.min_proposal_score]
    sure = sorted(sure, key=lambda each: -each.score)[: settings.most_objects]
    boxes_px = np.asarray([each.extent_px for each in sure], np.float64).reshape(-1, 4) * cell.working.factor
    pieces = []
    for answer in cell.at_boxes(boxes_px):
        if answer.region is None:
            continue
        window = _window(answer.region, covered.shape)
        inside = in_frame(answer.region, window)
        bare = inside & ~covered[_slices(window)]
        count = np.count_nonzero(bare)
        if area_range_px[0] <= count <= area_range_px[1] and 2 * count >= np.count_nonzero(inside):
            pieces.append(cropped(bare, window.x0_px, window.y0_px))
    return pieces


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a piece of stain is measured against."""

    cell: PromptedCell
    covered: NDArray[np.bool_]
    median_area_px: float
    density: float
    instances: Sequence[Instance]
    left_out: Sequence[UnselectedProposal]

    def measured(
        self, piece: Region, point: PromptedRegion, box: PromptedRegion, settings: UnexplainedStainSettings
    ) -> UncoveredStain | None:
        """Measure a piece; None where it lies outside of the image."""
        body = self._body(piece, point, box)
        placed = place_region(body, self.cell.working.factor, self.cell.size)
        if placed is None:
            return None
        window = _window(body, self.covered.shape)
        inside = in_frame(body, window)
        own_covered = self.covered[_slices(window)]
        density = self.cell.working.density[_slices(window)][inside]
        width_px = self.cell.working.width_px
        measures = (
            box.quality,
            point.quality,
            1.0 - int(np.count_nonzero(own_covered & inside)) / max(int(np.count_nonzero(inside)), 1),
            int(np.count_nonzero(in_frame(piece, window) & inside)) / max(piece.area_px, 1),
            np.log(max(body.area_px, 1) / self.median_area_px),
            np.log(max(float(density.mean()), settings.least_density) / self.density),
            surroundings_ratio(piece, self.cell.working.density, self.covered, width_px),
            self._best_left_out(placed, settings),
            self._inside_extent(piece),
        )
        reach_px = settings.adjoining_widths * width_px
        adjoins = bool(
            _dilated(in_frame(piece, _grown(window, reach_px, self.covered.shape)), reach_px)[
                self.covered[_slices(_grown(window, reach_px, self.covered.shape))]
            ].any()
        )
        reason = UnexplainedReason.ADJOINING_STAIN if adjoins else UnexplainedReason.FREE_STAIN
        return UncoveredStain(placed, reason, np.asarray(measures, np.float64))

    def _body(self, piece: Region, point: PromptedRegion, box: PromptedRegion) -> Region:
        """The mask of the surer prompt, where it holds most of the piece; else the piece itself."""
        for answer in sorted((point, box), key=lambda each: -each.quality):
            if answer.region is None:
                continue
            frame = common_frame([answer.region, piece])
            held = in_frame(answer.region, frame) & in_frame(piece, frame)
            free = answer.region.area_px - np.count_nonzero(
                self.covered[_slices(_window(answer.region, self.covered.shape))]
                & in_frame(answer.region, _window(answer.region, self.covered.shape))
            )
            if 2 * np.count_nonzero(held) >= piece.area_px and 2 * free >= answer.region.area_px:
                return answer.region
        return piece

    def _best_left_out(self, placed: PlacedMask, settings: UnexplainedStainSettings) -> float:
        if not self.left_out:
            return 0.0
        extents_px = np.asarray([each.extent_px for each in self.left_out], np.float64)
        iou = box_iou(np.asarray([placed[0]], np.float64), extents_px)[0]
        scores = np.asarray([each.score for each in self.left_out])
        return float(np.max(np.where(iou >= settings.same_iou, scores, 0.0)))

    def _inside_extent(self, piece: Region) -> float:
        """Largest fraction of a piece within the extent of one chromosome."""
        rows, columns = np.nonzero(piece.mask)
        factor = self.cell.working.factor
        x, y = (columns + piece.x0_px) / factor, (rows + piece.y0_px) / factor
        best = 0.0
        for each in self.instances:
            x0, y0, x1, y1 = each.box_px if each.extent_px is None else each.extent_px
            best = max(best, float(np.mean((x >= x0) & (x < x1) & (y >= y0) & (y < y1))))
        return best


def _distinct(stain: Sequence[UncoveredStain], same_object: float) -> list[UncoveredStain]:
    """Leave out what is mostly the object of an earlier, larger piece."""
    kept: list[UncoveredStain] = []
    for each in stain:
        if all(_shared_fraction(each.placed, other.placed) < same_object for other in kept):
            kept.append(each)
    return kept


def _shared_fraction(first: PlacedMask, second: PlacedMask) -> float:
    """Pixels that two masks share, over the smaller."""
    regions = [Region(box[0], box[1], mask) for box, mask in (first, second)]
    frame = common_frame(regions)
    shared = np.count_nonzero(in_frame(regions[0], frame) & in_frame(regions[1], frame))
    return shared / max(min(each.area_px for each in regions), 1)


def _deepest_point(piece: Region) -> NDArray[np.float64]:
    """X and y of the point farthest from the piece's border."""
    depth = cv2.distanceTransform(np.pad(piece.mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
    row, column = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return np.asarray([piece.x0_px + column, piece.y0_px + row], np.float64)


def _box_of(piece: Region) -> NDArray[np.float64]:
    rows, columns = np.flatnonzero(piece.mask.any(axis=1)), np.flatnonzero(piece.mask.any(axis=0))
    sides = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    return np.asarray(sides, np.float64) + np.asarray([piece.x0_px, piece.y0_px] * 2, np.float64)


def _window(region: Region, size: tuple[int, ...]) -> Region:
    """The part of a region's frame that lies within a picture, as an empty region."""
    height, width = region.mask.shape
    x0, y0 = max(0, region.x0_px), max(0, region.y0_px)
    x1, y1 = min(size[1], region.x0_px + width), min(size[0], region.y0_px + height)
    return Region(x0, y0, np.zeros((max(0, y1 - y0), max(0, x1 - x0)), np.bool_))


def _grown(window: Region, reach_px: float, size: tuple[int, ...]) -> Region:
    margin = int(np.ceil(reach_px)) + 1
    height, width = window.mask.shape
    return _window(
        Region(
            window.x0_px - margin,
            window.y0_px - margin,
            np.zeros((height + 2 * margin, width + 2 * margin), np.bool_),
        ),
        size,
    )


def _slices(window: Region) -> tuple[slice, slice]:
    height, width = window.mask.shape
    return slice(window.y0_px, window.y0_px + height), slice(window.x0_px, window.x0_px + width)


def _dilated(mask: NDArray[np.bool_], radius_px: float) -> NDArray[np.bool_]:
    return cv2.dilate(mask.astype(np.uint8), _disc(radius_px)) > 0


def _opened(mask: NDArray[np.bool_], radius_px: float) -> NDArray[np.bool_]:
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, _disc(radius_px)) > 0


def _disc(radius_px: float) -> NDArray[np.uint8]:
    side = 2 * max(1, round(radius_px)) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), dtype=np.uint8)

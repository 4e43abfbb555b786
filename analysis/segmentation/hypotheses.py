"""A cell's proposals, and the instances that any selection of them makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.imaging.working_image import WorkingImage
from analysis.segmentation.box_geometry import sides_of, window_of
from analysis.segmentation.cluster_splitting import PixelAssignment, split_cluster
from analysis.segmentation.instance_masks.division import BoxMasks, divide_stain
from analysis.segmentation.instance_masks.overlaps import are_apart, overlapping_groups, stroke_along, union_of
from analysis.segmentation.instance_masks.predictor import PredictedMask
from analysis.segmentation.nucleus_fragments import find_nucleus_fragments
from analysis.segmentation.pixel_assignment import (
    assign_pixels,
    contour_context,
    find_pale,
    instances_of,
)
from analysis.selection.alternatives import PileAlternatives
from analysis.selection.features import ProposalFeatures, compute_proposal_features
from analysis.selection.measurements import ProposalMeasurements
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.region import Region, cropped
from analysis.structures.segmentation import Segmentation, UnselectedProposal

_COMPETING_IOU: Final = 0.45
"""Selected boxes that overlap more with another proposal stand for the same stain: it would replace them."""

_MARGIN_WIDTHS: Final = 0.5
"""Round a box, within which the stain of an alternative is cut: chromosomes end within half a width of it."""


@dataclass(frozen=True, slots=True)
class SegmentedMetaphase:
    """Instances of one selection.

    Attributes
    ----------
    instances
        The chromosomes.
    rows
        The proposal behind each.
    regions
        Their pixels, in working px.
    """

    instances: tuple[Instance, ...]
    rows: tuple[int, ...]
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class SegmentationHypotheses:
    """A cell whose chromosomes are proposed, and not selected yet.

    Attributes
    ----------
    proposals
        Of n chromosomes, in working px.
    tight_px
        float32, shape (n, 4): their close-fitting boxes, in working px.
    measurements
        Of the proposals.
    mask
        bool, shape (h, w): stain, in working px.
    working
        The working image.
    masks
        Predicts masks for boxes; None for cuts by contours.
    size
        (height, width) of the image.
    """

    proposals: BoxProposals
    tight_px: NDArray[np.float32]
    measurements: ProposalMeasurements
    mask: NDArray[np.bool_]
    working: WorkingImage
    masks: BoxMasks | None
    size: tuple[int, ...]

    @cached_property
    def _split_cache(self) -> dict[bytes, list[PixelAssignment]]:
        return {}

    @cached_property
    def features(self) -> ProposalFeatures:
        """Features of the proposals."""
        return compute_proposal_features(self.measurements, self.tight_px, self.mask)

    def cut(self, selected: NDArray[np.intp], only: NDArray[np.intp] | None = None) -> SegmentedMetaphase:
        """Assign the stain to selected proposals, and remove what turns out to be pieces of nuclei.

        Parameters
        ----------
        selected
            Shape (m,): rows of the proposals, best score first.
        only
            Places in ``selected`` of those that get their stain, ascending, None for all; the others are merely
            known to be there.
        """
        tight_px = self.tight_px[selected]
        places = np.arange(len(selected)) if only is None else only
        assignments = self._assigned(tight_px, places)
        regions = [assignment.region for assignment in assignments]
        fragments = find_nucleus_fragments(regions, self.working.density, self.working.width_px)
        bodies = [each for each, is_fragment in zip(assignments, fragments, strict=True) if not is_fragment]
        extents_px = tight_px / self.working.factor
        instances, placed = instances_of(
            self.proposals.take(selected), extents_px, bodies, self.working, self.size
        )
        return SegmentedMetaphase(
            instances,
            tuple(int(selected[assignment.box]) for assignment in placed),
            tuple(assignment.region for assignment in placed),
        )

    def _assigned(self, tight_px: NDArray[np.float32], places: NDArray[np.intp]) -> list[PixelAssignment]:
        """Pixels of the boxes at some places: as the net predicts them, else by contours."""
        if self.masks is None:
            by_contours = assign_pixels(tight_px, self.mask, self.working, split_cache=self._split_cache)
            return [assignment for assignment in by_contours if assignment.box in places]
        own_px, level, width_px = tight_px[places], self.masks.level, self.working.width_px
        others_px = [np.delete(tight_px, place, axis=0) for place in places]
        predicted = self.masks.predict(own_px, others_px)
        regions = divide_stain(predicted, own_px, self.mask, level, width_px)
        parted: dict[int, PixelAssignment] = {}
        groups = overlapping_groups(regions, width_px)
        if groups:
            parted = self._parted(self.masks, groups, predicted, regions, own_px, others_px)
        assignments = [
            parted[number]
            if number in parted
            else find_pale(number, own_px[number], self.working)
            if region is None
            else PixelAssignment(number, region, SegmentationRoute.DETECTOR_MASK_NET)
            for number, region in enumerate(regions)
        ]
        return [replace(each, box=int(places[each.box])) for each in assignments if each is not None]

    def _parted(
        self,
        masks: BoxMasks,
        groups: Sequence[list[int]],
        predicted: Sequence[PredictedMask],
        regions: Sequence[Region | None],
        tight_px: NDArray[np.float32],
        others_px: Sequence[NDArray[np.float32]],
    ) -> dict[int, PixelAssignment]:
        """Part what the net took for each of several chromosomes, which boxes alone didn't tell apart.

        Contours say which arms belong together; a line along each piece then tells the net which chromosome is
        meant. Where it still takes one for another, the pieces stay as the contours part them.
        """
        context = contour_context(self.working)
        by_contours: dict[int, PixelAssignment] = {}
        for numbers in groups:
            whole = union_of([region for number in numbers if (region := regions[number]) is not None])
            for each in split_cluster(whole, tight_px[numbers], context):
                number = numbers[each.box]
                by_contours[number] = PixelAssignment(number, each.region, each.route)
        meant = [number for numbers in groups for number in numbers]
        strokes = [stroke_along(by_contours[n].region) if n in by_contours else None for n in meant]
        revised = [*predicted]
        again = masks.predict(tight_px[meant], [others_px[number] for number in meant], strokes)
        for number, mask in zip(meant, again, strict=True):
            revised[number] = mask
        by_net = divide_stain(revised, tight_px, self.mask, masks.level, self.working.width_px)
        parted: dict[int, PixelAssignment] = {}
        for numbers in groups:
            apart = are_apart([by_net[number] for number in numbers])
            for number in numbers:
                region = by_net[number]
                if apart and region is not None:
                    parted[number] = PixelAssignment(number, region, SegmentationRoute.DETECTOR_MASK_NET)
                elif number in by_contours:
                    parted[number] = by_contours[number]
        return parted

    def left_out(self, selected: NDArray[np.intp]) -> tuple[UnselectedProposal, ...]:
        """List the proposals that aren't among the selected rows, shape (m,)."""
        others = np.setdiff1d(np.arange(len(self.proposals)), selected)
        extents_px, log_prob = self.tight_px / self.working.factor, self.proposals.class_log_prob
        return tuple(
            UnselectedProposal(sides_of(extents_px[row]), float(self.proposals.score[row]), log_prob[row])
            for row in others
        )

    def alternatives(self, rows: NDArray[np.intp], selected: NDArray[np.intp]) -> tuple[Instance | None, ...]:
        """Cut proposals that weren't selected as if they had been, each in the place of those it competes with.

        Parameters
        ----------
        rows
            Shape (k,): the proposals to cut.
        selected
            Shape (m,): rows of the selected proposals.

        Returns
        -------
        tuple
            In the order of ``rows``; None where nothing stained is there.
        """
        if self.masks is not None:
            return self._predicted_alternatives(rows, selected, self.masks)
        labels = cv2.connectedComponents(self.mask.astype(np.uint8), connectivity=4)[1]
        return tuple(self._alternative(int(row), selected, np.asarray(labels, np.int32)) for row in rows)

    def _predicted_alternatives(
        self, rows: NDArray[np.intp], selected: NDArray[np.intp], masks: BoxMasks
    ) -> tuple[Instance | None, ...]:
        """Masks of proposals among the selected ones that they don't compete with."""
        overlap = self.measurements.overlap
        others = [selected[overlap[row, selected] <= _COMPETING_IOU] for row in rows]
        predicted = masks.predict(
            self.tight_px[rows], [self.tight_px[each[each != row]] for row, each in zip(rows, others, strict=True)]
        )
        out: list[Instance | None] = []
        for row, mask in zip(rows, predicted, strict=True):
            only = np.asarray([row], np.intp)
            tight_px = self.tight_px[only]
            region = divide_stain(
                [mask], tight_px, self.mask, masks.level, self.working.width_px, with_rest=False
            )[0]
            if region is None:
                out.append(None)
                continue
            assignment = PixelAssignment(0, region, SegmentationRoute.DETECTOR_MASK_NET)
            instances, _ = instances_of(
                self.proposals.take(only), tight_px / self.working.factor, [assignment], self.working, self.size
            )
            out.append(instances[0] if instances else None)
        return tuple(out)

    def _alternative(self, row: int, selected: NDArray[np.intp], labels: NDArray[np.int32]) -> Instance | None:
        piece = self.measurements.piece[row]
        if piece < 0:
            return None
        margin_px = np.float32(_MARGIN_WIDTHS * self.working.width_px)
        window = window_of(self.tight_px[row] + margin_px * np.asarray([-1, -1, 1, 1], np.float32))
        own = labels[window] == piece + 1
        if not own.any():
            return None
        region = cropped(own, window[1].start, window[0].start)
        neighbours = [
            int(other)
            for other in selected
            if self.measurements.piece[other] == piece
            and self.measurements.overlap[row, other] <= _COMPETING_IOU
            and _intersect(self.tight_px[row], self.tight_px[other])
        ]
        rows = np.asarray([row, *neighbours], np.intp)
        assignments = split_cluster(region, self.tight_px[rows], contour_context(self.working))
        own_assignments = [assignment for assignment in assignments if assignment.box == 0]
        extents_px = self.tight_px[rows] / self.working.factor
        instances, _ = instances_of(
            self.proposals.take(rows), extents_px, own_assignments, self.working, self.size
        )
        return instances[0] if instances else None


@dataclass(frozen=True, slots=True)
class RevisableSegmentation(Segmentation):
    """A segmentation by one selection among a metaphase's proposals, which can be replaced by another selection.

    Attributes
    ----------
    hypotheses
        The proposals.
    rows
        The proposal behind each instance.
    alternatives
        Other explanations of its piles, where the selection lists them.
    rescored
        Whether the selection was made with its proposals classified: what isn't, has no alternatives either.
    """

    hypotheses: SegmentationHypotheses = field(kw_only=True, compare=False, repr=False)
    rows: tuple[int, ...] = field(kw_only=True, compare=False)
    alternatives: tuple[PileAlternatives, ...] = field(default=(), kw_only=True, compare=False, repr=False)
    rescored: bool = field(default=False, kw_only=True, compare=False)

    @property
    def selected(self) -> NDArray[np.bool_]:
        """The selection: bool, shape (proposals,)."""
        selected = np.zeros(len(self.hypotheses.proposals), np.bool_)
        selected[list(self.rows)] = True
        return selected

    def reselect(self, rows: Sequence[int]) -> RevisableSegmentation:
        """Segment the metaphase by another selection: ``rows`` of its proposals."""
        scores = self.hypotheses.proposals.score
        selected = np.asarray(sorted(rows, key=lambda row: -scores[row]), np.intp)
        segmented = self.hypotheses.cut(selected)
        return RevisableSegmentation(
            segmented.instances,
            self.background,
            self.nuclei,
            self.hypotheses.left_out(selected),
            hypotheses=self.hypotheses,
            rows=segmented.rows,
        )


def _intersect(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    return bool((np.minimum(first[2:], second[2:]) > np.maximum(first[:2], second[:2])).all())

"""A cell's proposals, and the chromosomes that any choice among them makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.imaging.working_image import WorkingImage
from analysis.segmentation.cluster_splitting import BoxMaskPredictor, PixelAssignment, split_cluster
from analysis.segmentation.mask_net.box_prompts import BoxPromptedMasks
from analysis.segmentation.nucleus_fragments import find_nucleus_fragments
from analysis.segmentation.pixel_assignment import (
    assign_pixels,
    instances_of,
    piece_cell,
    sides_of,
    window_of,
)
from analysis.selection.features import ProposalFeatures, compute_proposal_features
from analysis.selection.initial_selection import ProposalMeasurements
from analysis.structures.box_proposals import BoxProposals
from analysis.structures.instance import Instance
from analysis.structures.region import Region, cropped
from analysis.structures.segmentation import Segmentation, UnselectedProposal

_INSTEAD_IOU: Final = 0.45
"""Chosen boxes that overlap more with another proposal stand for the same stain: it would replace them."""

_MARGIN_WIDTHS: Final = 0.5


@dataclass(frozen=True, slots=True)
class SegmentedMetaphase:
    """What a choice makes of a cell.

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
    """A cell whose chromosomes are proposed, and not chosen yet.

    Attributes
    ----------
    found
        Proposals, in working px.
    tight_px
        float32, shape (n, 4): their close-fitting boxes, in working px.
    known
        What is known of them.
    mask
        bool, shape (h, w): stain, in working px.
    working
        The picture worked on.
    net
        Parts piles; None for cuts by contours alone.
    cuts
        Whether cuts by contours are tried first.
    size
        (height, width) of the image.
    """

    found: BoxProposals
    tight_px: NDArray[np.float32]
    known: ProposalMeasurements
    mask: NDArray[np.bool_]
    working: WorkingImage
    net: BoxMaskPredictor | None
    cuts: bool
    size: tuple[int, ...]

    @cached_property
    def _parted(self) -> dict[bytes, list[PixelAssignment]]:
        return {}

    @cached_property
    def traits(self) -> ProposalFeatures:
        """What speaks for and against each proposal."""
        return compute_proposal_features(self.known, self.tight_px, self.mask)

    def cut(self, chosen: NDArray[np.intp]) -> SegmentedMetaphase:
        """Share the stain out among chosen proposals; what turns out to be no chromosome is left away."""
        tight = self.tight_px[chosen]
        shares = assign_pixels(tight, self.mask, self.working, self.net, cuts=self.cuts, parted=self._parted)
        strays = find_nucleus_fragments(
            [share.region for share in shares], self.working.density, self.working.width_px
        )
        shares = [share for share, stray in zip(shares, strays, strict=True) if not stray]
        extents = self.tight_px[chosen] / self.working.factor
        made, kept = instances_of(self.found.take(chosen), extents, shares, self.working, self.size)
        return SegmentedMetaphase(
            made,
            tuple(int(chosen[share.box]) for share in kept),
            tuple(share.region for share in kept),
        )

    def left_out(self, chosen: NDArray[np.intp]) -> tuple[UnselectedProposal, ...]:
        """Say what wasn't chosen."""
        others = np.setdiff1d(np.arange(len(self.found)), chosen)
        extents, log_prob = self.tight_px / self.working.factor, self.found.class_log_prob
        return tuple(
            UnselectedProposal(sides_of(extents[row]), float(self.found.score[row]), log_prob[row])
            for row in others
        )

    def alternatives(self, rows: NDArray[np.intp], chosen: NDArray[np.intp]) -> tuple[Instance | None, ...]:
        """Cut proposals that weren't chosen as if they had been, each in the place of those it stands against.

        Parameters
        ----------
        rows
            The proposals to cut.
        chosen
            Those that were chosen.

        Returns
        -------
        tuple
            In the order of ``rows``; None where nothing stained is there.
        """
        if isinstance(self.net, BoxPromptedMasks) and len(rows):
            self.net.ask(self.tight_px[rows])
        labels = cv2.connectedComponents(self.mask.astype(np.uint8), connectivity=4)[1]
        return tuple(self._alternative(int(row), chosen, np.asarray(labels, np.int32)) for row in rows)

    def _alternative(self, row: int, chosen: NDArray[np.intp], labels: NDArray[np.int32]) -> Instance | None:
        piece = self.known.piece[row]
        if piece < 0:
            return None
        margin_px = np.float32(_MARGIN_WIDTHS * self.working.width_px)
        window = window_of(self.tight_px[row] + margin_px * np.asarray([-1, -1, 1, 1], np.float32))
        own = labels[window] == piece + 1
        if not own.any():
            return None
        region = cropped(own, window[1].start, window[0].start)
        beside = [
            int(other)
            for other in chosen
            if self.known.piece[other] == piece
            and self.known.overlap[row, other] <= _INSTEAD_IOU
            and _touch(self.tight_px[row], self.tight_px[other])
        ]
        rows = np.asarray([row, *beside], np.intp)
        shares = split_cluster(region, self.tight_px[rows], piece_cell(self.working), net=self.net, cuts=self.cuts)
        mine = [share for share in shares if share.box == 0]
        extents = self.tight_px[rows] / self.working.factor
        made, _ = instances_of(self.found.take(rows), extents, mine, self.working, self.size)
        return made[0] if made else None


@dataclass(frozen=True, slots=True)
class RevisableSegmentation(Segmentation):
    """A segmentation by one selection among a metaphase's proposals, which can be replaced by another selection.

    Attributes
    ----------
    hypotheses
        The proposals.
    rows
        The proposal behind each instance.
    """

    hypotheses: SegmentationHypotheses = field(kw_only=True, compare=False, repr=False)
    rows: tuple[int, ...] = field(kw_only=True, compare=False)

    @property
    def selected(self) -> NDArray[np.bool_]:
        """The selection: bool, shape (proposals,)."""
        selected = np.zeros(len(self.hypotheses.found), np.bool_)
        selected[list(self.rows)] = True
        return selected

    def reselect(self, rows: Sequence[int]) -> RevisableSegmentation:
        """Segment the metaphase by another selection: ``rows`` of its proposals."""
        scores = self.hypotheses.found.score
        chosen = np.asarray(sorted(rows, key=lambda row: -scores[row]), np.intp)
        cut = self.hypotheses.cut(chosen)
        return RevisableSegmentation(
            cut.instances,
            self.background,
            self.nuclei,
            self.hypotheses.left_out(chosen),
            hypotheses=self.hypotheses,
            rows=cut.rows,
        )


def _touch(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    return bool((np.minimum(first[2:], second[2:]) > np.maximum(first[:2], second[:2])).all())

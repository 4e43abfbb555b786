"""The five-way stream as a segmenter of its own: no box was ever drawn for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.errors import NoMetaphaseError
from analysis.evaluation.box_free.blob_classifier import BlobAnswer, BlobClassifier, BlobKind
from analysis.imaging.foreground import find_foreground
from analysis.imaging.working_image import at_image_size, make_working_image
from analysis.parameters.weights import WEIGHTS_DIR
from analysis.segmentation.contours.settings import CONTOURS
from analysis.segmentation.mask_net.input import MASK_NET_WIDTH_PX, MaskNetPicture, mask_net_picture
from analysis.segmentation.mask_net.mask_cover import (
    CoverSettings,
    cover,
    is_chromosome_after_all,
    load_cover_settings,
)
from analysis.segmentation.mask_net.placement import assign_by_probability, at_mask_net_scale, probability_in
from analysis.segmentation.mask_net.predictor import MaskPredictor
from analysis.segmentation.settings import SegmentationSettings
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.placement import place_region, touching_instances
from analysis.structures.region import Region, connected_regions
from analysis.structures.segmentation import Segmentation, UnselectedProposal

_MAX_PIECE: Final = 60.0
"""A piece of more typical chromosomes than this is no pile of one cell."""

_REACH_WIDTHS: Final = 0.6
_DOUBT: Final = 0.5
"""What was left out ranks behind what was chosen, unless that is very poor."""


class PieceJudge(Protocol):
    """Tells what pieces are, as a `BlobClassifier` does."""

    def __call__(self, level: NDArray[np.float32], pieces: Sequence[Region]) -> list[BlobAnswer]:
        """Answer for pieces in px of the stream's picture."""
        ...


@dataclass(frozen=True, slots=True)
class _Part:
    region: Region
    score: float
    route: SegmentationRoute


_ROUTES: Final = {
    BlobKind.CONNECTED: SegmentationRoute.BOX_FREE_CONNECTED,
    BlobKind.ATTACHED: SegmentationRoute.BOX_FREE_ATTACHED_NOISE,
}

_Found = tuple[list[_Part], list[UnselectedProposal]]
"""Of a piece; what was left out in working px."""


@dataclass(frozen=True, slots=True)
class StreamSegmenter:
    """Finds the chromosomes of a metaphase by the five-way stream (KaryoXpert, Chen et al., section 3.3).

    Contours are told apart by three questions; piles, and chromosomes with noise at them, are taken apart by a net
    that gives one chromosome's mask. ``Instance.route`` is one of the ``BOX_FREE_`` routes.

    Attributes
    ----------
    judge
        Models 1 to 3.
    proposer
        Models 4 and 5.
    settings
        As for the contours.
    cover
        How masks are weighed against one another.
    second_opinion
        A piece is noise only where the mask net, too, expects less overlap than this for its best mask.
    """

    judge: PieceJudge
    proposer: MaskPredictor
    settings: SegmentationSettings = field(default_factory=SegmentationSettings)
    cover: CoverSettings = field(default_factory=load_cover_settings)
    second_opinion: float = 0.6

    def __call__(self, image: GreyImage) -> Segmentation:
        """Segment an image.

        Raises
        ------
        NoMetaphaseError
            If nothing like a metaphase is there.
        """
        working = make_working_image(image)
        found = find_foreground(working.density, working.nuclei, working.width_px)
        pieces = connected_regions(found.mask, min_area_px=CONTOURS.min_piece * working.width_px**2)
        picture = mask_net_picture(working.density, found.level, working.width_px)
        pairs = [
            (piece, small) for piece in pieces if (small := at_mask_net_scale(piece, picture.scale)) is not None
        ]
        answers = self.judge(picture.level, [small for _, small in pairs])
        typical = _typical_area([small for _, small in pairs], answers)
        found_in = [
            self._parts(piece, small, answer, picture, typical)
            for (piece, small), answer in zip(pairs, answers, strict=True)
        ]
        parts = [part for own, _ in found_in for part in own]
        if len(parts) < self.settings.min_chromosomes:
            raise NoMetaphaseError(f"{image.source}: no metaphase found ({len(parts)} chromosomes)")
        left_out = sorted((one for _, others in found_in for one in others), key=lambda one: -one.score)
        background, nuclei = at_image_size(working, image.pixels.shape)
        return Segmentation(
            _instances(parts, working.factor, image.pixels.shape),
            background,
            nuclei,
            tuple(_full_size(one, working.factor) for one in left_out),
        )

    def _parts(
        self, piece: Region, small: Region, answer: BlobAnswer, picture: MaskNetPicture, typical: float
    ) -> _Found:
        """Send a piece its way."""
        kind = answer.kind
        area = small.area_px / MASK_NET_WIDTH_PX**2
        if area > _MAX_PIECE * typical or area < self.settings.min_area * typical:
            return [], []
        if kind is BlobKind.NOISE and is_chromosome_after_all(
            picture.level, small, self.proposer, quality=self.second_opinion
        ):
            kind = BlobKind.CONNECTED if answer.connected >= 0.5 else BlobKind.SINGLE
        if kind is BlobKind.NOISE:
            return [], [UnselectedProposal(_box_of(piece), _DOUBT * max(answer.pure, answer.attached))]
        if kind is BlobKind.SINGLE:
            score = max(answer.pure, 0.5) * (1.0 - answer.connected)
            return [_Part(piece, score, SegmentationRoute.BOX_FREE_SINGLE)], []
        covering = cover(picture.level, small, self.proposer, self.cover, typical_area=typical)
        others = [
            UnselectedProposal(_divided(box, picture.scale), _DOUBT * chance) for box, chance in covering.left_out
        ]
        masks = covering.masks
        if not masks:
            return (
                [] if kind is BlobKind.ATTACHED else [_Part(piece, 0.1, SegmentationRoute.BOX_FREE_CONNECTED)]
            ), others
        # Of a pile everything belongs to somebody; of noise only what was found.
        reach = _REACH_WIDTHS * MASK_NET_WIDTH_PX / picture.scale if kind is BlobKind.CONNECTED else 0.0
        shares = assign_by_probability(
            piece.mask, [probability_in(piece, mask, picture.scale) for mask in masks], reach_px=reach
        )
        parts = [
            _Part(piece.part(own), mask.quality, _ROUTES[kind])
            for own, mask in zip(shares, masks, strict=True)
            if own.any()
        ]
        return parts, others


def load_stream_segmenter(folder: Path = WEIGHTS_DIR) -> StreamSegmenter:
    """Segmenter with weights of a folder, the product's own by default.

    Raises
    ------
    WeightsError
        Where they are missing or damaged.
    """
    return StreamSegmenter(BlobClassifier.load(folder), MaskPredictor.load(folder))


def _box_of(piece: Region) -> tuple[float, float, float, float]:
    height, width = piece.mask.shape
    return (
        float(piece.x0_px),
        float(piece.y0_px),
        float(piece.x0_px + width),
        float(piece.y0_px + height),
    )


def _divided(box: NDArray[np.float32], scale: float) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = (float(value) / scale for value in box)
    return x0, y0, x1, y1


def _full_size(one: UnselectedProposal, factor: float) -> UnselectedProposal:
    return UnselectedProposal(_divided(np.asarray(one.extent_px, np.float32), factor), one.score)


def _typical_area(pieces: Sequence[Region], answers: Sequence[BlobAnswer]) -> float:
    """Typical area of a chromosome, in squared widths: that of the pieces that hold one."""
    areas = [
        piece.area_px / MASK_NET_WIDTH_PX**2
        for piece, answer in zip(pieces, answers, strict=True)
        if answer.kind is BlobKind.SINGLE
    ]
    return float(np.median([*areas, *([CONTOURS.typical_area] * 3)]))


def _instances(parts: Sequence[_Part], factor: float, size: tuple[int, ...]) -> tuple[Instance, ...]:
    placed = [(place, part) for part in parts if (place := place_region(part.region, factor, size)) is not None]
    beside = touching_instances([place for place, _ in placed])
    return tuple(
        Instance(box, mask, float(np.clip(part.score, 0.0, 1.0)), part.route, beside[k])
        for k, ((box, mask), part) in enumerate(placed)
    )

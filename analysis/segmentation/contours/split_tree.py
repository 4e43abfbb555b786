"""Taking a piece apart until each part looks like one chromosome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.contours.crossings import propose_crossings
from analysis.segmentation.contours.cuts import propose_cuts, propose_ring_cuts
from analysis.segmentation.contours.features import piece_features, single_features, split_features
from analysis.segmentation.contours.plausibility import Plausibility
from analysis.segmentation.contours.settings import SPLIT_SEARCH, SplitSearchSettings
from analysis.segmentation.contours.shape import Shape, measure
from analysis.segmentation.contours.split import Split
from analysis.segmentation.contours.watershed import propose_valleys
from analysis.structures.instance import SegmentationRoute
from analysis.structures.region import Region


@dataclass(frozen=True, slots=True)
class ContourContext:
    """What is typical on this image.

    Attributes
    ----------
    width_px
        Width of a chromosome in the working image.
    median_area
        Median area of a chromosome, in squared widths.
    min_area
        Smallest area of a chromosome, in squared widths.
    density
        float32: the working image in optical density.
    plausibility
        The scores.
    """

    width_px: float
    median_area: float
    min_area: float
    density: NDArray[np.float32]
    plausibility: Plausibility


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece with its measures.

    Attributes
    ----------
    region
        Where it is.
    shape
        Its measures.
    features
        float64, see `PIECE_FEATURES`.
    likeness
        Chance that it is exactly one chromosome, in [0, 1].
    route
        The last split that made it.
    """

    region: Region
    shape: Shape
    features: NDArray[np.float64]
    likeness: float
    route: SegmentationRoute


def describe(region: Region, route: SegmentationRoute, context: ContourContext) -> Piece:
    """Measure a piece.

    Parameters
    ----------
    region
        The piece.
    route
        The split that made it.
    context
        What is typical on this image.
    """
    shape = measure(region.mask, context.width_px)
    features = piece_features(shape, region.crop_of(context.density), region.mask)
    likeness = float(context.plausibility.single(single_features(features, context.median_area)[None])[0])
    return Piece(region, shape, features, likeness, route)


def resolve(
    region: Region, context: ContourContext, *, accept: float, settings: SplitSearchSettings = SPLIT_SEARCH
) -> list[Piece]:
    """Split a piece into chromosomes.

    The split most likely to be right is taken, then the parts are split in turn; a piece without a
    likely split stays whole.

    Parameters
    ----------
    region
        A connected piece of foreground.
    context
        What is typical on this image.
    accept
        Score above which a split is taken; higher leaves more clusters whole.
    settings
        Where the search ends.
    """
    done: list[Piece] = []
    waiting = [(describe(region, SegmentationRoute.SINGLE, context), 0)]
    while waiting:
        part, depth = waiting.pop()
        best = _best_split(part, context, accept, settings) if depth < settings.max_depth else None
        if best is None:
            done.append(part)
        else:
            waiting.extend((child, depth + 1) for child in best)
    return done


def proposals(part: Piece, context: ContourContext) -> Iterator[Split]:
    """Propose every kind of split of a part.

    Parameters
    ----------
    part
        What is to be split.
    context
        What is typical on this image.
    """
    mask = part.region.mask
    density = part.region.crop_of(context.density)
    least = context.min_area * context.width_px**2
    yield from propose_valleys(mask, density, least)
    yield from propose_cuts(mask, density, part.shape, context.width_px, least)
    yield from propose_ring_cuts(mask, density, part.shape, context.width_px, least)
    yield from propose_crossings(mask, part.shape, context.width_px, least)


def children(part: Piece, split: Split, context: ContourContext) -> tuple[Piece, Piece]:
    """Measure the two parts of a split.

    Parameters
    ----------
    part
        What was split.
    split
        How.
    context
        What is typical on this image.
    """
    first, second = (
        describe(part.region.part(mask), split.route, context) for mask in (split.first, split.second)
    )
    return first, second


def features_of(
    part: Piece, split: Split, halves: tuple[Piece, Piece], context: ContourContext
) -> NDArray[np.float64]:
    """Describe a split of a part.

    Parameters
    ----------
    part, split
        What was split, and how.
    halves
        The two parts, measured.
    context
        What is typical on this image.

    Returns
    -------
    NDArray[np.float64]
        Shape (features,), see `SPLIT_FEATURES`.
    """
    return split_features(
        (part.features, part.likeness),
        ((halves[0].features, halves[0].likeness), (halves[1].features, halves[1].likeness)),
        split,
        part.region.crop_of(context.density),
        mask=part.region.mask,
        width_px=context.width_px,
        median_area=context.median_area,
    )


def _best_split(
    part: Piece, context: ContourContext, accept: float, settings: SplitSearchSettings
) -> tuple[Piece, Piece] | None:
    settled = part.likeness > settings.settled and part.shape.area < settings.settled_area * context.median_area
    if settled or part.shape.area < settings.min_areas * context.min_area:
        return None
    options = [(split, children(part, split, context)) for split in proposals(part, context)]
    if not options:
        return None
    rows = np.stack([features_of(part, split, parts, context) for split, parts in options])
    scores = context.plausibility.split(rows)
    best = int(np.argmax(scores))
    return options[best][1] if scores[best] > accept else None

"""From a grey image to chromosomes by contours alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.errors import NoMetaphaseError
from analysis.imaging.foreground import find_foreground
from analysis.imaging.working_image import at_image_size, make_working_image
from analysis.segmentation.contours.features import piece_features, single_features
from analysis.segmentation.contours.plausibility import Plausibility, load_plausibility
from analysis.segmentation.contours.settings import CONTOURS, ContourSettings
from analysis.segmentation.contours.shape import measure
from analysis.segmentation.contours.split_tree import ContourContext, Piece, resolve
from analysis.segmentation.nucleus_fragments import find_nucleus_fragments
from analysis.segmentation.settings import SegmentationSettings
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.placement import place_region, touching_instances
from analysis.structures.region import Region, connected_regions
from analysis.structures.segmentation import Segmentation


def segment_by_contours(
    image: GreyImage,
    settings: SegmentationSettings | None = None,
    contours: ContourSettings = CONTOURS,
) -> Segmentation:
    """Find the chromosomes of a metaphase by contours and scored cuts.

    Parameters
    ----------
    image
        Dark chromosomes on bright, of any magnification: the scale is taken from the chromosomes themselves.
    settings
        What a laboratory may set; defaults where None.
    contours
        What counts as a chromosome.

    Raises
    ------
    NoMetaphaseError
        If nothing like a metaphase is there: a blank field, noise, only nuclei, one shapeless body.
    """
    given = settings or SegmentationSettings()
    working = make_working_image(image)
    foreground = find_foreground(working.density, working.nuclei, working.width_px)
    pieces = connected_regions(foreground.mask, min_area_px=contours.min_piece * working.width_px**2)
    if sum(piece.area_px for piece in pieces) > contours.max_stained * working.width_px**2:
        raise NoMetaphaseError(f"{image.source}: no metaphase found, the whole field is stained or noisy")
    cell = estimate_context(pieces, working.density, working.width_px, given, load_plausibility())
    limit_px = contours.max_piece * cell.median_area * cell.width_px**2
    parts = [
        part
        for piece in pieces
        if piece.area_px <= limit_px
        for part in resolve(piece, cell, accept=given.accept_split)
    ]
    bodies = [part for part in parts if _is_chromosome(part, cell, foreground.level, contours)]
    fragments = find_nucleus_fragments([part.region for part in bodies], working.density, working.width_px)
    bodies = [part for part, is_fragment in zip(bodies, fragments, strict=True) if not is_fragment]
    rods = sum(part.shape.length >= contours.min_rod * part.shape.thickness for part in bodies)
    if rods < given.min_chromosomes:
        raise NoMetaphaseError(f"{image.source}: no metaphase found ({rods} chromosome-like bodies)")
    instances = _instances(bodies, working.factor, image.pixels.shape)
    return Segmentation(instances, *at_image_size(working, image.pixels.shape))


def estimate_context(
    pieces: list[Region],
    density: NDArray[np.float32],
    width_px: float,
    settings: SegmentationSettings,
    plausibility: Plausibility,
    contours: ContourSettings = CONTOURS,
) -> ContourContext:
    """Estimate the typical area from the pieces that look like single chromosomes already.

    Parameters
    ----------
    pieces
        Connected foreground.
    density
        float32, shape (h, w): optical density of the working image.
    width_px
        Typical width of a chromosome on it.
    settings
        What a laboratory may set.
    plausibility
        Of single chromosomes and of splits.
    contours
        What counts as a chromosome.
    """
    typical = contours.typical_area
    least, most = (factor * typical for factor in contours.single_area)
    areas, compact = [], []
    for piece in pieces:
        shape = measure(piece.mask, width_px)
        if not least < shape.area < most:
            continue
        if shape.solidity > contours.compact:
            compact.append(shape.area)
        features = piece_features(shape, piece.crop_of(density), piece.mask)
        if plausibility.single(single_features(features, typical)[None])[0] > contours.surely_single:
            areas.append(shape.area)
    if len(areas) < contours.min_scored * len(compact):
        areas = compact
    median = float(np.median([*areas, *([typical] * contours.typical_weight)]))
    return ContourContext(width_px, median, settings.min_area * median, density, plausibility)


def _is_chromosome(part: Piece, context: ContourContext, level: float, contours: ContourSettings) -> bool:
    """Reject debris: too small, too pale, too thin, or a body as thick as it is long."""
    shape = part.shape
    density = part.region.crop_of(context.density)
    stain = float(density[part.region.mask].mean())
    return (
        (part.likeness >= contours.hardly_single or context.median_area < contours.condensed_area)
        and shape.area >= context.min_area
        and contours.min_stain * level <= stain
        and shape.thickness >= contours.min_thickness
        and shape.area <= contours.max_area * context.median_area
    )


def _instances(pieces: list[Piece], factor: float, size: tuple[int, ...]) -> tuple[Instance, ...]:
    """Bring the parts back to the image's own pixels."""
    parts_placed = []
    for part in pieces:
        placed = place_region(part.region, factor, size)
        if placed is not None:
            parts_placed.append((placed, part))
    overlaps = touching_instances([placed for placed, _ in parts_placed])
    return tuple(
        Instance(box, mask, float(np.clip(part.likeness, 0.0, 1.0)), part.route, overlaps[k])
        for k, ((box, mask), part) in enumerate(parts_placed)
    )

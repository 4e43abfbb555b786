"""Classical ways to cut a metaphase, as KaryoXpert's paper compares itself with (figure 6): named peers, no more.

Both share the first steps with the product's segmentation (background, nuclei, scale), so that what is compared is
the way piles are taken apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.errors import NoMetaphaseError
from analysis.imaging.foreground import otsu
from analysis.imaging.working_image import WorkingImage, at_image_size, make_working_image
from analysis.segmentation.protocol import Segmenter
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.placement import place_region, touching_instances
from analysis.structures.region import Region, connected_regions
from analysis.structures.segmentation import Segmentation

_LEAST_AREA: Final = 0.8
"""Smaller pieces, in squared widths, are dirt."""

_CORE: Final = 0.3
"""Share of a piece's greatest depth from which a pixel is a marker of the watershed."""

_STRAIGHT: Final = 0.75
"""Solidity (area over that of the convex hull) from which a piece counts as one chromosome."""

_SHORT_CUT: Final = 1.5
"""A cut is no longer than this, in widths."""

_DEEP: Final = 0.2
"""Least depth of a concavity, in widths, to be cut from."""

_MOST_CUTS: Final = 30


def threshold_watershed(image: GreyImage) -> Segmentation:
    """Cut by one global threshold (Otsu 1979) and a watershed from the distance transform (Vincent & Soille 1991).

    Raises
    ------
    NoMetaphaseError
        If nothing like a metaphase is there.
    """
    working, pieces = _thresholded(image)
    parts = [part for piece in pieces for part in _flooded(piece)]
    return _segmentation(image, working, parts, SegmentationRoute.THRESHOLD_WATERSHED)


def convex_hull_splitting(image: GreyImage) -> Segmentation:
    """Cut by one global threshold, then between concavities of the hull (after Minaee et al. 2014).

    A piece that fills its convex hull poorly is cut between the two nearest of its deep concave points, where they
    are near; the parts are looked at in the same way.

    Raises
    ------
    NoMetaphaseError
        If nothing like a metaphase is there.
    """
    working, pieces = _thresholded(image)
    parts = [part for piece in pieces for part in _hull_parts(piece, working.width_px)]
    return _segmentation(image, working, parts, SegmentationRoute.THRESHOLD_CONVEX_HULL)


def threshold_alone(image: GreyImage) -> Segmentation:
    """Take connected pieces above one global threshold: the floor.

    Raises
    ------
    NoMetaphaseError
        If nothing like a metaphase is there.
    """
    working, pieces = _thresholded(image)
    return _segmentation(image, working, pieces, SegmentationRoute.THRESHOLD)


BASELINES: Final[dict[str, Segmenter]] = {
    "threshold": threshold_alone,
    "threshold + watershed": threshold_watershed,
    "convex hull": convex_hull_splitting,
}
"""The peers by their names."""


def _thresholded(image: GreyImage) -> tuple[WorkingImage, list[Region]]:
    working = make_working_image(image)
    level = otsu(working.density, ~working.nuclei)
    mask = (working.density > level) & ~working.nuclei
    return working, connected_regions(mask, min_area_px=_LEAST_AREA * working.width_px**2)


def _flooded(piece: Region) -> Iterator[Region]:
    depth = cv2.distanceTransform(piece.mask.astype(np.uint8), cv2.DIST_L2, 5)
    count, cores = cv2.connectedComponents((depth > _CORE * depth.max()).astype(np.uint8))
    if count < 3:
        yield piece
        return
    markers = np.where(piece.mask, 0, 1).astype(np.int32)
    markers[cores > 0] = cores[cores > 0] + 1
    relief = np.clip(255.0 * (1.0 - depth / depth.max()), 0, 255).astype(np.uint8)
    cv2.watershed(cv2.merge([relief, relief, relief]), markers)
    for number in range(2, count + 1):
        basin = (markers == number) & piece.mask
        if basin.any():
            yield piece.part(basin)


def _hull_parts(piece: Region, width_px: float) -> Iterator[Region]:
    waiting, cuts = [piece], 0
    while waiting:
        one = waiting.pop()
        parts = _hull_cut(one, width_px) if cuts < _MOST_CUTS else None
        if parts is None:
            yield one
        else:
            cuts += 1
            waiting.extend(parts)


def _hull_cut(piece: Region, width_px: float) -> list[Region] | None:
    """Cut a piece once; None where it is convex enough, or where no cut is short."""
    contours, _ = cv2.findContours(piece.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=cv2.contourArea)
    hull = cv2.convexHull(outline, returnPoints=False)
    area = cv2.contourArea(cv2.convexHull(outline))
    if len(outline) < 8 or area <= 0 or piece.area_px / area > _STRAIGHT:
        return None
    defects = cv2.convexityDefects(outline, np.sort(hull, axis=0)[::-1])
    if defects is None:
        return None
    points = outline.reshape(-1, 2).astype(np.float32)
    deep = [int(row[2]) for row in defects.reshape(-1, 4).tolist() if row[3] / 256.0 >= _DEEP * width_px]
    pairs = sorted((float(np.hypot(*(points[i] - points[j]))), i, j) for i, j in combinations(deep, 2))
    for length, start, end in pairs:
        if length > _SHORT_CUT * width_px:
            return None
        line = np.zeros(piece.mask.shape, np.uint8)
        cv2.line(line, _pixel(points[start]), _pixel(points[end]), 1, 1)
        parts = connected_regions(piece.mask & (line == 0), min_area_px=_LEAST_AREA * width_px**2)
        if len(parts) > 1:
            return [Region(p.x0_px + piece.x0_px, p.y0_px + piece.y0_px, p.mask) for p in parts]
    return None


def _pixel(point: NDArray[np.float32]) -> tuple[int, int]:
    return int(point[0]), int(point[1])


def _segmentation(
    image: GreyImage, working: WorkingImage, regions: list[Region], route: SegmentationRoute
) -> Segmentation:
    placed = [
        place
        for part in regions
        if part.area_px >= _LEAST_AREA * working.width_px**2
        and (place := place_region(part, working.factor, image.pixels.shape)) is not None
    ]
    if not placed:
        raise NoMetaphaseError(f"{image.source}: no metaphase found, nothing is stained")
    beside = touching_instances(placed)
    instances = tuple(Instance(box, mask, 1.0, route, beside[k]) for k, (box, mask) in enumerate(placed))
    return Segmentation(instances, *at_image_size(working, image.pixels.shape))

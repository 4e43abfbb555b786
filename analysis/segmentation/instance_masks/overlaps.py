"""Masks that share more than a crossing: the net saw several chromosomes as each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.structures.region import Region

_CROSSING_WIDTHS2: Final = 1.2
"""Area, in squared widths, that two crossing chromosomes share at the most, with some of their rims."""

_MOST_SHARED: Final = 0.5
"""Of the smaller mask: crossing chromosomes share less, one chromosome under two names more."""

_LEAST_STROKE_PX: Final = 12
_STROKE_SLICE_PX: Final = 3.0
_STROKE_PLACES: Final = (0.1, 0.35, 0.65, 0.9)
"""Of the px of a mask along its largest extent, where a line through it has its points."""


def overlapping_groups(regions: Sequence[Region | None], width_px: float) -> list[list[int]]:
    """Group the masks that share more than a crossing, directly or by others.

    Parameters
    ----------
    regions
        Masks of one metaphase.
    width_px
        Typical width of a chromosome.

    Returns
    -------
    list of list of int
        Numbers of the masks, two at least in a group.
    """
    most_px = _CROSSING_WIDTHS2 * width_px**2
    group = list(range(len(regions)))
    for first, one in enumerate(regions):
        for second in range(first):
            other = regions[second]
            if one is not None and other is not None and shared_px(one, other) > most_px:
                merged, kept = group[first], group[second]
                group = [kept if number == merged else number for number in group]
    members = [[k for k, number in enumerate(group) if number == each] for each in sorted(set(group))]
    return [numbers for numbers in members if len(numbers) > 1]


def shared_px(first: Region, second: Region) -> int:
    """Count the px that two masks share.

    Parameters
    ----------
    first, second
        The masks, in working px.
    """
    x0, y0 = max(first.x0_px, second.x0_px), max(first.y0_px, second.y0_px)
    x1 = min(first.x0_px + first.mask.shape[1], second.x0_px + second.mask.shape[1])
    y1 = min(first.y0_px + first.mask.shape[0], second.y0_px + second.mask.shape[0])
    if x1 <= x0 or y1 <= y0:
        return 0
    parts = [
        each.mask[y0 - each.y0_px : y1 - each.y0_px, x0 - each.x0_px : x1 - each.x0_px] for each in (first, second)
    ]
    return int(np.count_nonzero(parts[0] & parts[1]))


def are_apart(regions: Sequence[Region | None]) -> bool:
    """Whether there is a mask for each, and none of two shares most of its px with the other."""
    masks = [region for region in regions if region is not None]
    return len(masks) == len(regions) and not any(
        shared_px(one, other) > _MOST_SHARED * min(one.area_px, other.area_px)
        for number, one in enumerate(masks)
        for other in masks[:number]
    )


def stroke_along(region: Region) -> NDArray[np.float32] | None:
    """Draw a line along a mask, through the middle of its px at some places.

    Parameters
    ----------
    region
        The mask, in working px.

    Returns
    -------
    NDArray[np.float32] or None
        Shape (n, 2): x, y in working px; None where it is too small to have a direction.
    """
    inner = cv2.erode(np.pad(region.mask, 1).astype(np.uint8), np.ones((3, 3), np.uint8))[1:-1, 1:-1]
    rows, columns = np.nonzero(inner)
    if rows.size < _LEAST_STROKE_PX:
        return None
    points = np.stack([columns, rows], axis=1).astype(np.float32)
    centred = points - points.mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    along = centred @ vectors[:, 1]
    places = np.quantile(along, _STROKE_PLACES)
    line = [points[np.abs(along - place) < _STROKE_SLICE_PX].mean(axis=0) for place in places]
    return np.asarray(line, np.float32) + np.asarray([region.x0_px, region.y0_px], np.float32)


def union_of(regions: Sequence[Region]) -> Region:
    """Join masks to one.

    Parameters
    ----------
    regions
        One at least.
    """
    x0, y0 = min(each.x0_px for each in regions), min(each.y0_px for each in regions)
    x1 = max(each.x0_px + each.mask.shape[1] for each in regions)
    y1 = max(each.y0_px + each.mask.shape[0] for each in regions)
    out: NDArray[np.bool_] = np.zeros((y1 - y0, x1 - x0), np.bool_)
    for each in regions:
        height, width = each.mask.shape
        out[each.y0_px - y0 : each.y0_px - y0 + height, each.x0_px - x0 : each.x0_px - x0 + width] |= each.mask
    return Region(x0, y0, out)

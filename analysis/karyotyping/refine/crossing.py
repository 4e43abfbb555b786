"""Two crossing chromosomes parted by their axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.errors import EditShapeError
from analysis.karyotyping.refine.picture_masks import Polyline, components, cropped_mask, distance_to_line, union
from analysis.karyotyping.refine.settings import REFINE, RefineSettings
from analysis.structures.placement import PlacedMask

OPERATION = "resolve_crossing"


def resolve_crossing(
    objects: Sequence[PlacedMask],
    axes_px: tuple[Polyline, Polyline],
    size: tuple[int, int],
    width_px: float,
    settings: RefineSettings = REFINE,
) -> list[PlacedMask]:
    """Part the stain of two crossing chromosomes by the axis of each.

    A pixel belongs to the chromosome whose axis is nearer; what lies within half a width of both belongs to both.

    Parameters
    ----------
    objects
        What holds the two: one object, or both as they are.
    axes_px
        The axis of each, from tip to tip: x and y in image px.
    size
        (height, width) of the image.
    width_px
        Typical width of a chromosome, in image px.
    settings
        How far a chromosome reaches from its axis.

    Returns
    -------
    list of PlacedMask
        The two, in the order of the axes.

    Raises
    ------
    EditShapeError
        An axis doesn't lie on the objects, or both are the same line.
    """
    stain = union(objects, size)
    away = [distance_to_line(axis, size) for axis in axes_px]
    near_px = settings.axis_reach * width_px / 2.0
    both = (away[0] <= near_px) & (away[1] <= near_px)
    parts = [
        stain & ((away[0] < away[1]) | both),
        stain & ((away[1] <= away[0]) | both),
    ]
    least_px = settings.least_part_widths2 * width_px**2
    for number, part in enumerate(parts):
        if np.count_nonzero(part & ~parts[1 - number]) < least_px:
            raise EditShapeError(
                OPERATION,
                f"axis {number + 1} has no part of the objects to itself; draw it from tip to tip",
            )
    kept = [_meeting(part, line <= 1.0) for part, line in zip(parts, away, strict=True)]
    made = []
    for number in (0, 1):
        # What an axis doesn't reach, cut off by the other chromosome, is a part of that one.
        placed = cropped_mask(kept[number] | (parts[1 - number] & ~kept[1 - number]))
        if placed is None:
            raise EditShapeError(OPERATION, f"axis {number + 1} doesn't lie on the objects")
        made.append(placed)
    return made


def _meeting(part: NDArray[np.bool_], line: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Connected pieces of a part that its axis meets."""
    kept = np.zeros(part.shape, np.bool_)
    for piece in components(part):
        if (piece & line).any():
            kept |= piece
    return kept

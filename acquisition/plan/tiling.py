"""Fields that cover an area, in serpentine order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from acquisition.errors import PlanError
from acquisition.plan.outline import touches
from acquisition.plan.quantities import ROUNDING
from acquisition.protocol import AnyArea, Area
from scanner.coordinates import SlidePoint

LARGEST_GRID: Final = 1_000_000
"""More than five whole slides under a 63x objective: beyond it a length was written in another unit than um."""


@dataclass(frozen=True, slots=True)
class PlannedField:
    """One field of the scan.

    Attributes
    ----------
    index
        Order of photographing, from 0.
    row, column
        Place in the grid.
    centre
        Slide point in the middle of the field.
    """

    index: int
    row: int
    column: int
    centre: SlidePoint


def steps_to_cover(length_um: float, field_um: float, overlap: float) -> int:
    """Smallest number of fields along one side that covers it with at least this overlap.

    Parameters
    ----------
    length_um
        Length of the side.
    field_um
        Length of a field along it.
    overlap
        Least overlap of neighbours, as fraction of a field, in [0, 1).

    Raises
    ------
    ValueError
        A length isn't positive, or the overlap isn't in [0, 1).
    """
    if not (length_um > 0 and field_um > 0 and 0 <= overlap < 1):
        raise ValueError(f"can't cover {length_um} um with fields of {field_um} um at overlap {overlap}")
    if length_um <= field_um:
        return 1
    # The epsilon keeps an area of exactly n fields from needing n + 1 for the sake of rounding.
    return math.ceil((length_um - field_um) / (field_um * (1 - overlap)) - ROUNDING) + 1


def _centres(low_um: float, high_um: float, field_um: float, overlap: float) -> list[float]:
    count = steps_to_cover(high_um - low_um, field_um, overlap)
    if count == 1:
        return [(low_um + high_um) / 2]
    # Spread evenly: what is too much becomes more overlap instead of a strip outside the area.
    first, last = low_um + field_um / 2, high_um - field_um / 2
    return [first + (last - first) * k / (count - 1) for k in range(count)]


def serpentine(
    area: AnyArea, field_width_um: float, field_height_um: float, overlap: float
) -> tuple[PlannedField, ...]:
    """Cover an area with fields, rows alternately left to right and right to left.

    The fields lie on the grid that covers the area's bounds; those that don't touch the area are left out.

    Parameters
    ----------
    area
        What has to be covered, slide um.
    field_width_um, field_height_um
        Size of a field along the slide's axes.
    overlap
        Least share of a field that it has in common with its neighbour, in [0, 1).

    Returns
    -------
    tuple of PlannedField
        In order of photographing; every point of the area lies in at least one field.

    Raises
    ------
    PlanError
        The area takes more than `LARGEST_GRID` fields.
    """
    bounds = area.bounds
    count = steps_to_cover(bounds.x_max_um - bounds.x_min_um, field_width_um, overlap) * steps_to_cover(
        bounds.y_max_um - bounds.y_min_um, field_height_um, overlap
    )
    if count > LARGEST_GRID:
        raise PlanError(
            f"scan.area: takes {count:,} fields of {field_width_um:.0f} x {field_height_um:.0f} um, at most "
            f"{LARGEST_GRID:,} can be planned; lengths are in um, a slide is 76,000 x 26,000 um"
        )
    xs = _centres(bounds.x_min_um, bounds.x_max_um, field_width_um, overlap)
    ys = _centres(bounds.y_min_um, bounds.y_max_um, field_height_um, overlap)
    half_width, half_height = field_width_um / 2, field_height_um / 2
    whole = isinstance(area, Area)
    fields: list[PlannedField] = []
    for row, y in enumerate(ys):
        columns = [
            column
            for column, x in enumerate(xs)
            if whole
            or touches(area.outline_um, (x - half_width, y - half_height, x + half_width, y + half_height))
        ]
        for column in columns if row % 2 == 0 else reversed(columns):
            fields.append(PlannedField(len(fields), row, column, SlidePoint(xs[column], y)))
    return tuple(fields)


def spread_out(fields: tuple[PlannedField, ...], count: int) -> tuple[PlannedField, ...]:
    """Choose fields far from each other: the centre first, then always the one furthest from those chosen.

    Parameters
    ----------
    fields
        The plan.
    count
        How many to choose; fewer where there are fewer.
    """
    if not fields:
        return ()
    middle = SlidePoint(
        sum(f.centre.x_um for f in fields) / len(fields), sum(f.centre.y_um for f in fields) / len(fields)
    )
    chosen = [min(fields, key=lambda f: (f.centre.distance_um(middle), f.index))]
    while len(chosen) < min(count, len(fields)):
        chosen.append(max(fields, key=lambda f: (min(f.centre.distance_um(c.centre) for c in chosen), -f.index)))
    return tuple(chosen)

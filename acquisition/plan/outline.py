"""Geometry of outlines: what lies inside, and what a field touches."""

from __future__ import annotations

from collections.abc import Sequence

from acquisition.plan.quantities import UM2_PER_MM2

Outline = Sequence[tuple[float, float]]
"""Corners (x, y) in order; the last one is joined to the first."""

BoxUm = tuple[float, float, float, float]
"""(xmin, ymin, xmax, ymax)."""


def contains(outline: Outline, x_um: float, y_um: float) -> bool:
    """Whether a point lies inside; points on the edge may count either way.

    Parameters
    ----------
    outline
        Corners, slide um.
    x_um, y_um
        The point, slide um.
    """
    inside = False
    for (ax, ay), (bx, by) in _edges(outline):
        if (ay > y_um) != (by > y_um) and x_um < ax + (bx - ax) * (y_um - ay) / (by - ay):
            inside = not inside
    return inside


def area_mm2(outline: Outline) -> float:
    """Area inside (the shoelace formula)."""
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in _edges(outline))) / 2 / UM2_PER_MM2


def touches(outline: Outline, box_um: BoxUm) -> bool:
    """Whether an outline and a box have a point in common.

    Parameters
    ----------
    outline
        Corners, slide um.
    box_um
        (x_min, y_min, x_max, y_max), slide um.
    """
    x_min, y_min, x_max, y_max = box_um
    if any(_meets(a, b, box_um) for a, b in _edges(outline)):
        return True
    # No edge in the box: it lies wholly inside, or wholly outside.
    return contains(outline, (x_min + x_max) / 2, (y_min + y_max) / 2)


def _edges(outline: Outline) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    return [(outline[k - 1], outline[k]) for k in range(len(outline))]


def _meets(a: tuple[float, float], b: tuple[float, float], box_um: BoxUm) -> bool:
    """Clip the segment against the box, side by side (Liang and Barsky 1984)."""
    x_min, y_min, x_max, y_max = box_um
    low, high = 0.0, 1.0
    dx, dy = b[0] - a[0], b[1] - a[1]
    for step, room in ((-dx, a[0] - x_min), (dx, x_max - a[0]), (-dy, a[1] - y_min), (dy, y_max - a[1])):
        if step == 0.0:
            if room < 0.0:
                return False
            continue
        share = room / step
        if step < 0.0:
            low = max(low, share)
        else:
            high = min(high, share)
        if low > high:
            return False
    return True

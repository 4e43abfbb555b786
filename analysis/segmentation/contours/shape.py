"""How a piece of foreground is built, in chromosome widths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.contours.outline import Outline, outlines

_THICKNESS_OVER_DEPTH: Final = 4.0
"""Mean depth below the border of a long rod is a quarter of its thickness."""

_CAPS_OVER_THICKNESS: Final = 1.1
"""What rounded ends add to the border of a rod, over its thickness."""

_SLIGHT_TURN_DEG: Final = 30.0
"""Turns at notches up to this much are the waist of a chromosome."""

_TINY: Final = 1e-3
"""Widths; keeps ratios finite."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Measures of one piece; lengths in chromosome widths, areas in their squares.

    Attributes
    ----------
    area
        Area.
    thickness
        Mean thickness: four times the mean depth below the border, exact for a long rod.
    thickest
        Largest thickness.
    length
        Area over thickness.
    tips
        Number of ends.
    solidity
        Area over that of the convex hull.
    waviness
        Border length over that of the rod of the same length and thickness.
    notch_deg
        Sum of the turns at the notches beyond 30 degrees each.
    holes
        Number of holes.
    outlines
        The borders themselves.
    """

    area: float
    thickness: float
    thickest: float
    length: float
    tips: int
    solidity: float
    waviness: float
    notch_deg: float
    holes: int
    outlines: tuple[Outline, ...]


def measure(mask: NDArray[np.bool_], width_px: float) -> Shape:
    """Measure a piece.

    Parameters
    ----------
    mask
        bool, shape (h, w): connected, not empty, with an empty margin.
    width_px
        Typical width of a chromosome.
    """
    byte = mask.astype(np.uint8)
    area_px = int(np.count_nonzero(byte))
    distance = cv2.distanceTransform(byte, cv2.DIST_L2, 3)
    thickness = _THICKNESS_OVER_DEPTH * float(distance.sum()) / area_px / width_px
    borders = outlines(mask, width_px)
    outer = borders[0]
    hull_px = float(cv2.contourArea(cv2.convexHull(outer.points)))
    area = area_px / width_px**2
    length = area / max(thickness, _TINY)
    perimeter = outer.perimeter_px / width_px
    return Shape(
        area=area,
        thickness=thickness,
        thickest=2.0 * float(distance.max()) / width_px,
        length=length,
        tips=len(outer.tips),
        solidity=min(1.0, area_px / max(hull_px + 0.5 * outer.perimeter_px, 1.0)),
        waviness=perimeter / max(2.0 * length + _CAPS_OVER_THICKNESS * thickness, _TINY),
        notch_deg=sum(max(0.0, depth - _SLIGHT_TURN_DEG) for depth in outer.notch_depths),
        holes=len(borders) - 1,
        outlines=borders,
    )

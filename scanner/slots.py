"""Slides that lie on the stage together."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from scanner.coordinates import GLASS_UM, SlideFrame, SlidePoint

# Glass that touches glass does not overlap it.
_TOUCH_UM = 1.0


def overlapping_slides(slides: Mapping[str, SlideFrame]) -> tuple[tuple[str, str], ...]:
    """Pairs of slides of which one would lie on the other.

    Parameters
    ----------
    slides
        Frames by slot, as in `scanner.rig.Rig.slides`.
    """
    outlines = {name: _outline(frame) for name, frame in slides.items()}
    return tuple(
        (one, other)
        for one, other in itertools.combinations(slides, 2)
        if not _are_apart(outlines[one], outlines[other])
    )


def _outline(frame: SlideFrame) -> NDArray[np.float64]:
    """Corners in stage um, in order round the glass, shape (4, 2)."""
    width_um, height_um = GLASS_UM
    corners = ((0.0, 0.0), (width_um, 0.0), (width_um, height_um), (0.0, height_um))
    stage = (frame.to_stage(SlidePoint(x_um, y_um)) for x_um, y_um in corners)
    return np.array([(point.x_um, point.y_um) for point in stage])


def _are_apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether a line along a side of one of two rectangles parts them (separating axis theorem)."""
    for outline in (one, other):
        for side in (outline[1] - outline[0], outline[2] - outline[1]):
            axis = side / np.linalg.norm(side)
            near, far = one @ axis, other @ axis
            if near.max() < far.min() + _TOUCH_UM or far.max() < near.min() + _TOUCH_UM:
                return True
    return False

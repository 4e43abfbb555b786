"""What stands out of the foreground and yet is no chromosome: pieces of nuclei.

A pale or grainy nucleus isn't a body of one density, so that its darkest grains may look like a chromosome; and of
a nucleus cut by the border of the picture only a flat segment is left, no thicker than a chromosome.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.structures.region import Region

_RING: Final = (0.5, 1.2)
"""Distances, in widths, of the surroundings of a body that are looked at."""
_BESIDE: Final = 0.25
"""Widths round other bodies that say nothing: chromosomes fade out there."""
_STAINED: Final = 0.32
"""Lower quartile of the surroundings' density over that of the body. In the 57 pictures it was set on, no
chromosome had more than 0.24 (in the cytoplasm of a mitosis), a grain within a nucleus 0.38."""
_FREE: Final = 0.3
"""Least share of the surroundings that is not of other bodies; in a pile they say nothing."""
_CONTACT: Final = 2.5
"""Widths along the border: a chromosome that runs out of the picture touches it over one (1.0 at the most in the
57 pictures this was set on), segments of nuclei over 3.3 and more."""
_BORDER: Final = 0.35
"""Widths from the border that count as touching it: exported pictures have a white frame."""
_LEAST_BORDER_PX: Final = 3


def find_nucleus_fragments(bodies: Sequence[Region], density: NDArray[np.float32], width_px: float) -> list[bool]:
    """Tell which bodies are pieces of nuclei.

    Parameters
    ----------
    bodies
        All that were taken for chromosomes.
    density
        float32, shape (h, w): optical density.
    width_px
        Typical width of a chromosome.
    """
    bodies = [_inside(body, density.shape) for body in bodies]
    taken = np.zeros(density.shape, np.uint8)
    for body in bodies:
        height, width = body.mask.shape
        taken[body.y0_px : body.y0_px + height, body.x0_px : body.x0_px + width] |= body.mask
    reach = 2 * max(1, round(_BESIDE * width_px)) + 1
    wide = cv2.dilate(taken, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    others = np.asarray(wide, dtype=np.uint8)
    return [
        _contact(body, density.shape, width_px) >= _CONTACT
        or _surroundings(body, density, others, width_px) >= _STAINED
        for body in bodies
    ]


def _inside(body: Region, size: tuple[int, ...]) -> Region:
    """A body without what of its frame lies outside the picture."""
    top, left = max(0, -body.y0_px), max(0, -body.x0_px)
    mask = body.mask[top : max(top, size[0] - body.y0_px), left : max(left, size[1] - body.x0_px)]
    return Region(body.x0_px + left, body.y0_px + top, mask)


def _contact(body: Region, size: tuple[int, ...], width_px: float) -> float:
    """Widths over which a body lies along the border of the picture."""
    depth = max(_LEAST_BORDER_PX, round(_BORDER * width_px))
    height, width = body.mask.shape
    top, left = depth - body.y0_px, depth - body.x0_px
    bottom, right = body.y0_px + height - (size[0] - depth), body.x0_px + width - (size[1] - depth)
    sides = []
    if top > 0:
        sides.append(body.mask[:top].any(axis=0))
    if left > 0:
        sides.append(body.mask[:, :left].any(axis=1))
    if bottom > 0:
        sides.append(body.mask[-bottom:].any(axis=0))
    if right > 0:
        sides.append(body.mask[:, -right:].any(axis=1))
    return max([0.0, *(float(np.count_nonzero(side)) / width_px for side in sides)])


def _surroundings(body: Region, density: NDArray[np.float32], others: NDArray[np.uint8], width_px: float) -> float:
    """Lower quartile of the density round a body, over its own; 0 where too little of it is free."""
    margin = int(np.ceil(_RING[1] * width_px)) + 1
    height, width = body.mask.shape
    y0, x0 = max(0, body.y0_px - margin), max(0, body.x0_px - margin)
    y1 = min(density.shape[0], body.y0_px + height + margin)
    x1 = min(density.shape[1], body.x0_px + width + margin)
    own = np.zeros((y1 - y0, x1 - x0), np.uint8)
    own[body.y0_px - y0 : body.y0_px - y0 + height, body.x0_px - x0 : body.x0_px - x0 + width] = body.mask
    away = cv2.distanceTransform(1 - own, cv2.DIST_L2, 5)
    ring = (away > _RING[0] * width_px) & (away < _RING[1] * width_px)
    free = ring & (others[y0:y1, x0:x1] == 0)
    if np.count_nonzero(free) < max(8.0, _FREE * np.count_nonzero(ring)):
        return 0.0
    window = density[y0:y1, x0:x1]
    return float(np.percentile(window[free], 25) / max(float(window[own > 0].mean()), 1e-6))

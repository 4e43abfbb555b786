"""What stands out of the foreground and yet is no chromosome: pieces of nuclei.

A pale or grainy nucleus isn't a body of one density, so that its darkest grains may look like a chromosome; and of
a nucleus cut by the border of the picture only a flat segment is left, no thicker than a chromosome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.structures.region import Region

_TINY: Final = 1e-6
"""Optical density; keeps ratios finite."""


@dataclass(frozen=True, slots=True)
class NucleusFragmentSettings:
    """How pieces of nuclei differ from chromosomes; lengths in chromosome widths.

    The numbers were set on 57 pictures; what was measured on them stands beside each.

    Attributes
    ----------
    ring_widths
        Distances of the surroundings of a body.
    halo_widths
        Round other bodies, that is no surroundings: chromosomes fade out there.
    min_surroundings
        Lower quartile of the surroundings' density over that of the body, from which it lies in a nucleus. No
        chromosome had more than 0.24 (in the cytoplasm of a mitosis), a grain within a nucleus 0.38.
    surroundings_percentile
        That lower quartile.
    min_free
        Fraction of the surroundings that is not of other bodies; with less, in a pile, they aren't measured.
    min_free_px
        The same in px.
    min_contact_widths
        Along the border: a chromosome that runs out of the picture touches it over one (1.0 at the most), segments
        of nuclei over 3.3 and more.
    border_widths, min_border_px
        From the border that count as touching it: exported pictures have a white frame.
    """

    ring_widths: tuple[float, float] = (0.5, 1.2)
    halo_widths: float = 0.25
    min_surroundings: float = 0.32
    surroundings_percentile: float = 25.0
    min_free: float = 0.3
    min_free_px: float = 8.0
    min_contact_widths: float = 2.5
    border_widths: float = 0.35
    min_border_px: int = 3


NUCLEUS_FRAGMENTS: Final = NucleusFragmentSettings()


def find_nucleus_fragments(
    bodies: Sequence[Region],
    density: NDArray[np.float32],
    width_px: float,
    settings: NucleusFragmentSettings = NUCLEUS_FRAGMENTS,
) -> list[bool]:
    """Tell which bodies are pieces of nuclei.

    Parameters
    ----------
    bodies
        All that pass for chromosomes.
    density
        float32, shape (h, w): optical density.
    width_px
        Typical width of a chromosome.
    settings
        How pieces of nuclei differ.
    """
    bodies = [_inside(body, density.shape) for body in bodies]
    covered = np.zeros(density.shape, np.uint8)
    for body in bodies:
        height, width = body.mask.shape
        covered[body.y0_px : body.y0_px + height, body.x0_px : body.x0_px + width] |= body.mask
    others = _with_halo(covered, width_px, settings)
    return [
        _contact(body, density.shape, width_px, settings) >= settings.min_contact_widths
        or _surroundings(body, density, others, width_px, settings) >= settings.min_surroundings
        for body in bodies
    ]


def surroundings_ratio(
    body: Region,
    density: NDArray[np.float32],
    covered: NDArray[np.bool_],
    width_px: float,
    settings: NucleusFragmentSettings = NUCLEUS_FRAGMENTS,
) -> float:
    """Density around a body over its own: high within a nucleus, near 0 on the slide and where little is free.

    Parameters
    ----------
    body
        The body.
    density
        float32, shape (h, w): optical density.
    covered
        bool, the same shape: other bodies, which are no surroundings.
    width_px
        Typical width of a chromosome.
    settings
        What the surroundings are.
    """
    inside = _inside(body, density.shape)
    occupied = _with_halo(covered.astype(np.uint8), width_px, settings)
    return _surroundings(inside, density, occupied, width_px, settings)


def _with_halo(
    covered: NDArray[np.uint8], width_px: float, settings: NucleusFragmentSettings
) -> NDArray[np.uint8]:
    """Bodies and the halo round them, in which chromosomes fade out."""
    reach = 2 * max(1, round(settings.halo_widths * width_px)) + 1
    wide = cv2.dilate(covered, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return np.asarray(wide, dtype=np.uint8)


def _inside(body: Region, size: tuple[int, ...]) -> Region:
    """A body without what of its frame lies outside the picture."""
    top, left = max(0, -body.y0_px), max(0, -body.x0_px)
    mask = body.mask[top : max(top, size[0] - body.y0_px), left : max(left, size[1] - body.x0_px)]
    return Region(body.x0_px + left, body.y0_px + top, mask)


def _contact(body: Region, size: tuple[int, ...], width_px: float, settings: NucleusFragmentSettings) -> float:
    """Widths over which a body lies along the border of the picture."""
    depth = max(settings.min_border_px, round(settings.border_widths * width_px))
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


def _surroundings(
    body: Region,
    density: NDArray[np.float32],
    others: NDArray[np.uint8],
    width_px: float,
    settings: NucleusFragmentSettings,
) -> float:
    """Lower quartile of the density round a body, over its own; 0 where too little of it is free."""
    inner, outer = settings.ring_widths
    margin = int(np.ceil(outer * width_px)) + 1
    height, width = body.mask.shape
    y0, x0 = max(0, body.y0_px - margin), max(0, body.x0_px - margin)
    y1 = min(density.shape[0], body.y0_px + height + margin)
    x1 = min(density.shape[1], body.x0_px + width + margin)
    own = np.zeros((y1 - y0, x1 - x0), np.uint8)
    own[body.y0_px - y0 : body.y0_px - y0 + height, body.x0_px - x0 : body.x0_px - x0 + width] = body.mask
    away = cv2.distanceTransform(1 - own, cv2.DIST_L2, 5)
    ring = (away > inner * width_px) & (away < outer * width_px)
    free = ring & (others[y0:y1, x0:x1] == 0)
    if np.count_nonzero(free) < max(settings.min_free_px, settings.min_free * np.count_nonzero(ring)):
        return 0.0
    window = density[y0:y1, x0:x1]
    quartile = np.percentile(window[free], settings.surroundings_percentile)
    return float(quartile / max(float(window[own > 0].mean()), _TINY))

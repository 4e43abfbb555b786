"""Objects cut from high-magnification images, reduced to the scale that fields are composed at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

CUTOUT_UM_PER_PX: Final = 0.4
"""Pixel size of cut-outs: the finest magnification that fields are composed at."""

_BAR: Final = 0.35
"""Half length of the bar that a chromosome is in its box, over the box's side."""

_HELD: Final = 0.93
"""Of the far ends that a cell's circle holds: a few chromosomes always lie apart."""

_NO_AREA: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Cutout:
    """One object without its surroundings.

    Attributes
    ----------
    matter
        float32, shape (h, w), `CUTOUT_UM_PER_PX` a pixel: optical density (natural logarithm) over the glass, or,
        in fluorescence, light over the background in units of the image's median chromosome.
    x_px, y_px
        Centre of the object in it.
    radius_um
        Circle about the centre that holds it.
    source, case
        Image and person it was cut from.
    """

    matter: NDArray[np.float32]
    x_px: float
    y_px: float
    radius_um: float
    source: str = ""
    case: str = ""


@dataclass(frozen=True, slots=True)
class CellCutout:
    """A metaphase.

    Attributes
    ----------
    body
        What was cut, chromosomes and the plasm between them.
    boxes_px
        float32, shape (n, 4): xmin, ymin, xmax, ymax of the chromosomes in the body's px; one box for the whole
        where chromosomes are not known.
    chromosomes
        Their number; None where not known.
    overlap_fraction, spread
        See `TrueCell`; None where not known.
    """

    body: Cutout
    boxes_px: NDArray[np.float32]
    chromosomes: int | None
    overlap_fraction: float | None
    spread: float | None


def describe(
    stained: NDArray[np.bool_], boxes_px: NDArray[np.float32]
) -> tuple[tuple[float, float, float], float, float]:
    """Circle (x_px, y_px, radius_px), overlap fraction and spread of chromosomes known by boxes.

    Parameters
    ----------
    stained
        Shape (h, w).
    boxes_px
        Shape (n, 4).
    """
    cover = coverage(stained.shape, boxes_px)
    inside = stained & (cover > 0)
    stained_px = int(np.count_nonzero(inside))
    overlap = int(np.count_nonzero(inside & (cover > 1))) / max(stained_px, 1)
    corners = boxes_px[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
    hull = float(cv2.contourArea(cv2.convexHull(np.ascontiguousarray(corners, dtype=np.float32))))
    spread = min(max(1.0 - stained_px / max(hull, 1.0), 0.0), 1.0)
    return circle_of(boxes_px), overlap, spread


def circle_of(boxes_px: NDArray[np.float32]) -> tuple[float, float, float]:
    """Centre of the mass of boxes (n, 4), and the radius that holds 93 % of their far ends."""
    sides = boxes_px[:, 2:] - boxes_px[:, :2]
    middles = (boxes_px[:, 2:] + boxes_px[:, :2]) / 2.0
    # A chromosome's mass goes with the length of its box, not with the box's area: it lies in it like a bar.
    weight = np.hypot(sides[:, 0], sides[:, 1])
    centre = (middles * weight[:, None]).sum(axis=0) / max(float(weight.sum()), _NO_AREA)
    reach = np.hypot(*(np.abs(middles - centre) + _BAR * sides).T)
    return float(centre[0]), float(centre[1]), float(np.quantile(reach, _HELD))


def coverage(shape: tuple[int, ...], boxes_px: NDArray[np.float32]) -> NDArray[np.uint8]:
    """How many boxes cover each pixel.

    Parameters
    ----------
    shape
        Rows and columns.
    boxes_px
        float32, shape (n, 4).
    """
    cover = np.zeros(shape, np.uint8)
    for xmin, ymin, xmax, ymax in np.rint(boxes_px).astype(int):
        cover[max(ymin, 0) : ymax, max(xmin, 0) : xmax] += 1
    return cover

"""The finder's first stage: places that may be metaphases, and the crops that the second stage scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.finder.bodies import Bodies, BodyLimits, Crowd, CrowdLimits, find_bodies, find_crowds
from analysis.finder.flatten import MAX_OD, MIN_OD, FlattenedField, flatten

CROP_PX = 128
"""Side of a crop in px of the work image, 82 um: the widest spreads with what lies round them."""

LEVELS_PER_OD = 100.0
"""Grey levels of a crop per unit of optical density; level 20 is the background."""

MAX_PROPOSALS = 40
"""No field holds more metaphases; a pile of debris must not cost more than the field's time."""

# The second stage refuses at little cost, what is left out here is lost.
_BODIES = BodyLimits(min_od=0.03, noise_factor=3.0)
_CROWDS = CrowdLimits(edge_cover=0.07, peak_cover=0.10)


@dataclass(frozen=True, slots=True)
class Proposals:
    """What the first stage leaves to the second.

    Attributes
    ----------
    field
        The field at `WORK_UM_PER_PX`.
    bodies
        Its thin and its large bodies.
    crowds
        At most `MAX_PROPOSALS`, the best covered first, in px of the work image.
    """

    field: FlattenedField
    bodies: Bodies
    crowds: list[Crowd]


def propose(pixels: NDArray[np.uint8] | NDArray[np.uint16], um_per_px: float) -> Proposals:
    """Propose places of a field that may be metaphases; hardly one is left out, many are none.

    Parameters
    ----------
    pixels
        uint8 or uint16, shape (height_px, width_px): one field, brightfield or fluorescence.
    um_per_px
        Size of a pixel on the specimen, 0.02 to 2 um.

    Raises
    ------
    ImageError
        The image or the pixel size can't be used.
    """
    field = flatten(pixels, um_per_px)
    bodies = find_bodies(field, _BODIES)
    crowds = sorted(find_crowds(bodies, _CROWDS), key=lambda crowd: -crowd.cover)
    return Proposals(field, bodies, crowds[:MAX_PROPOSALS])


def crops_of(field: FlattenedField, crowds: Sequence[Crowd]) -> NDArray[np.uint8]:
    """Cut the crops of crowds.

    Parameters
    ----------
    field
        A field at `WORK_UM_PER_PX`.
    crowds
        Of that field.

    Returns
    -------
    NDArray[np.uint8]
        Shape (n, CROP_PX, CROP_PX), see `crops_at`.
    """
    centres = np.array([(crowd.x_px, crowd.y_px) for crowd in crowds], np.float32).reshape(-1, 2)
    return crops_at(field, centres)


def crops_at(field: FlattenedField, centres_px: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut crops round places.

    Parameters
    ----------
    field
        A field at `WORK_UM_PER_PX`.
    centres_px
        float32, shape (n, 2): x and y in px of the work image; rounded to whole pixels, which become pixel
        (CROP_PX / 2, CROP_PX / 2) of the crop.

    Returns
    -------
    NDArray[np.uint8]
        Shape (n, CROP_PX, CROP_PX): optical density times `LEVELS_PER_OD`, plus 20. Outside the field there is
        background.
    """
    height, width = field.od.shape
    crops = np.full((len(centres_px), CROP_PX, CROP_PX), round(-MIN_OD * LEVELS_PER_OD), np.uint8)
    for crop, (x, y) in zip(crops, np.rint(centres_px).astype(int) - CROP_PX // 2, strict=True):
        left, top, right, bottom = max(0, x), max(0, y), min(width, x + CROP_PX), min(height, y + CROP_PX)
        if left >= right or top >= bottom:
            continue
        part = np.clip(field.od[top:bottom, left:right], MIN_OD, MAX_OD)
        levels = cv2.convertScaleAbs(part, alpha=LEVELS_PER_OD, beta=-MIN_OD * LEVELS_PER_OD)
        crop[top - y : bottom - y, left - x : right - x] = levels
    return crops

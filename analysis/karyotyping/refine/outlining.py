"""A chromosome's outline as a person drew it."""

from __future__ import annotations

import numpy as np

from analysis.errors import EditShapeError
from analysis.karyotyping.refine.picture_masks import (
    Polyline,
    cropped_mask,
    filled_polygon,
    in_picture,
    require_inside,
)
from analysis.karyotyping.refine.settings import REFINE, RefineSettings
from analysis.structures.placement import PlacedMask

OPERATION = "outline_by_polygon"


def outline_by_polygon(
    placed: PlacedMask,
    outline_px: Polyline,
    size: tuple[int, int],
    width_px: float,
    settings: RefineSettings = REFINE,
) -> PlacedMask:
    """Give a chromosome another outline.

    Parameters
    ----------
    placed
        The chromosome as it is.
    outline_px
        Corners of the outline: x and y in image px.
    size
        (height, width) of the image.
    width_px
        Typical width of a chromosome, in image px.
    settings
        The least area.

    Raises
    ------
    OutsidePictureError
        A corner lies outside of the picture.
    EditShapeError
        The outline encloses too little, or nothing of the chromosome.
    """
    require_inside(outline_px, size, OPERATION)
    mask = filled_polygon(outline_px, size)
    if np.count_nonzero(mask) < settings.least_part_widths2 * width_px**2:
        raise EditShapeError(OPERATION, "the outline encloses less than any chromosome")
    if not (mask & in_picture(placed, size)).any():
        raise EditShapeError(OPERATION, "the outline lies beside the chromosome; add what it encloses instead")
    outlined = cropped_mask(mask)
    if outlined is None:
        raise EditShapeError(OPERATION, "the outline encloses nothing")
    return outlined

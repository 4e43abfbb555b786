"""One object separated along a line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.errors import EditShapeError
from analysis.karyotyping.refine.picture_masks import Polyline, components, cropped_mask, drawn_line, in_picture
from analysis.karyotyping.refine.settings import REFINE, RefineSettings
from analysis.segmentation.box_geometry import distance_to_mask
from analysis.structures.placement import PlacedMask

OPERATION = "separate"


def separate(
    placed: PlacedMask,
    line_px: Polyline,
    size: tuple[int, int],
    width_px: float,
    settings: RefineSettings = REFINE,
) -> list[PlacedMask]:
    """Separate an object along a line.

    Parameters
    ----------
    placed
        The object.
    line_px
        x and y in image px; it is continued a little beyond both ends.
    size
        (height, width) of the image.
    width_px
        Typical width of a chromosome, in image px.
    settings
        How far it is continued, and what counts as a piece.

    Returns
    -------
    list of PlacedMask
        Two pieces or more, largest first; together they are the object.

    Raises
    ------
    EditShapeError
        The line doesn't part the object.
    """
    whole = in_picture(placed, size)
    cut = drawn_line(_continued(line_px, settings.line_reach_widths * width_px), size, 2)
    least_px = settings.least_part_widths2 * width_px**2
    pieces = [each for each in components(whole & ~cut) if np.count_nonzero(each) >= least_px]
    # An object in two pieces isn't parted by a line that misses it.
    before = sum(np.count_nonzero(each) >= least_px for each in components(whole))
    if len(pieces) < 2 or len(pieces) <= before - 1 or not (whole & cut).any():
        raise EditShapeError(
            OPERATION, "the line doesn't part the object into two pieces; draw it across, from edge to edge"
        )
    nearest = np.argmin(np.stack([distance_to_mask(each) for each in pieces]), axis=0)
    made = [cropped_mask(whole & (nearest == number)) for number in range(len(pieces))]
    return [each for each in made if each is not None]


def _continued(line_px: Polyline, reach_px: float) -> list[tuple[float, float]]:
    """A line made longer at both ends."""
    points = np.asarray(line_px, np.float64)
    first, last = _beyond(points[0], points, reach_px), _beyond(points[-1], points[::-1], reach_px)
    return [(float(x), float(y)) for x, y in np.vstack([first, points, last])]


def _beyond(end: NDArray[np.float64], points: NDArray[np.float64], reach_px: float) -> NDArray[np.float64]:
    """A point beyond an end, in the direction that the line has there."""
    away = end - points[1:]
    length = np.hypot(away[:, 0], away[:, 1])
    apart = np.flatnonzero(length > 0.0)
    if apart.size == 0:
        return end
    direction = away[apart[0]] / length[apart[0]]
    return np.asarray(end + reach_px * direction)

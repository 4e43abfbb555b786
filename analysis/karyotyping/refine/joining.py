"""Pieces joined into one chromosome."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from analysis.errors import EditShapeError
from analysis.karyotyping.refine.picture_masks import components, cropped_mask, union
from analysis.karyotyping.refine.settings import REFINE, RefineSettings
from analysis.structures.placement import PlacedMask

OPERATION = "join"


def join(
    pieces: Sequence[PlacedMask], size: tuple[int, int], width_px: float, settings: RefineSettings = REFINE
) -> PlacedMask:
    """Join pieces, and bridge the gap between them.

    Parameters
    ----------
    pieces
        Two at least.
    size
        (height, width) of the image.
    width_px
        Typical width of a chromosome, in image px.
    settings
        The widest gap.

    Returns
    -------
    PlacedMask
        One connected mask, but for parts that were loose before.

    Raises
    ------
    EditShapeError
        They lie too far apart.
    """
    together = union(pieces, size)
    loose = sum(len(components(mask)) - 1 for _, mask in pieces)
    reach = max(1, round(settings.join_gap_widths * width_px))
    for radius in range(reach // 2 + 2):
        joined = together
        if radius:
            side = 2 * radius + 1
            disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
            padded = np.pad(together.astype(np.uint8), radius)
            closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, disc)[radius:-radius, radius:-radius]
            joined = np.asarray(closed > 0, np.bool_) | together
        if len(components(joined)) <= 1 + loose:
            placed = cropped_mask(joined)
            if placed is not None:
                return placed
    raise EditShapeError(OPERATION, f"the pieces lie more than {reach} px apart; they can't be one chromosome")

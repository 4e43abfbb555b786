"""Pictures of single chromosomes for the karyogram: cut out, upright, background white."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.classification.crop import ObjectPixels
from analysis.classification.straighten import medial_axis

DARKEST = 20.0
"""Grey level of the cell's darkest bands in the karyogram."""
DARK_PERCENTILE = 99.0
EDGE_PX = 1.0


@dataclass(frozen=True, slots=True)
class UprightPicture:
    """One chromosome for the karyogram.

    Attributes
    ----------
    picture
        uint8, shape (h, w): native scale, white outside the chromosome, as small as the chromosome.
    centromere_px
        Row of the centromere; None where it isn't known.
    """

    picture: NDArray[np.uint8]
    centromere_px: float | None = None


def upright_pictures(
    objects: Sequence[ObjectPixels], flipped: Sequence[bool], centromeres: Sequence[float] | None = None
) -> list[UprightPicture]:
    """Turn the objects of one cell upright, unstraightened, with one contrast for all.

    Parameters
    ----------
    objects
        Densities and masks.
    flipped
        True where the short arm is at the lower end of the medial axis.
    centromeres
        Share of the length from the tip of the short arm; None where they aren't known.
    """
    inside = [piece.density[piece.mask] for piece in objects]
    dark = float(np.percentile(np.concatenate(inside), DARK_PERCENTILE)) if inside else 1.0
    shares = [None] * len(objects) if centromeres is None else list(centromeres)
    return [
        _upright(piece, turned, dark, share) for piece, turned, share in zip(objects, flipped, shares, strict=True)
    ]


def _upright(piece: ObjectPixels, turned: bool, dark: float, centromere: float | None) -> UprightPicture:
    points = medial_axis(piece.mask).points_px
    rise = points[-1] - points[0]
    # The axis runs from the short arm down once turned; the chord is what a technician would stand upright.
    angle = float(np.degrees(np.arctan2(rise[0], rise[1])))
    angle = -angle + (180.0 if turned else 0.0)
    height, width = piece.mask.shape
    side = int(np.ceil(np.hypot(height, width))) + 4
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0).astype(np.float64)
    matrix[:, 2] += (side - 1) / 2 - np.array([(width - 1) / 2, (height - 1) / 2])
    soft = cv2.GaussianBlur(np.pad(piece.mask, 2).astype(np.float32), (0, 0), EDGE_PX)[2:-2, 2:-2]
    density = np.where(piece.mask, piece.density, 0.0).astype(np.float32) * np.minimum(1.6 * soft, 1.0)
    turned_density = cv2.warpAffine(density, matrix, (side, side), flags=cv2.INTER_CUBIC)
    turned_mask = cv2.warpAffine(piece.mask.astype(np.uint8), matrix, (side, side), flags=cv2.INTER_LINEAR)
    grey = 255.0 - (255.0 - DARKEST) * np.clip(turned_density / max(dark, 1e-3), 0.0, 1.08)
    picture = np.clip(np.rint(grey), 0, 255).astype(np.uint8)
    rows, columns = np.nonzero(turned_mask)
    if len(rows) == 0:
        return UprightPicture(np.full((4, 4), 255, dtype=np.uint8))
    top, left = max(int(rows.min()) - 1, 0), max(int(columns.min()) - 1, 0)
    shown = np.asarray(picture[top : rows.max() + 2, left : columns.max() + 2], dtype=np.uint8)
    if centromere is None:
        return UprightPicture(shown)
    # The axis has its points at equal distances.
    place = points[round((1.0 - centromere if turned else centromere) * (len(points) - 1))]
    row = float(matrix[1] @ np.array([place[0], place[1], 1.0])) - top
    return UprightPicture(shown, min(max(row, 0.0), float(shown.shape[0])))

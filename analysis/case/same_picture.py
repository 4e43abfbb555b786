"""Whether two pictures show the same cell: copies, exports in another format, size or contrast, and retakes.

Decimated grey levels, without what varies slowly, are correlated at the best small shift (template matching). What
is left of a metaphase are its chromosomes and where they lie, which no two cells have in common. Of 100 real
pictures two cells correlate below .45, exports as JPEG of quality 30 at half the size above .98; a retake .87.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.structures.grey_image import GreyImage


@dataclass(frozen=True, slots=True)
class SamePictureSettings:
    """From when on two pictures show the same cell.

    Attributes
    ----------
    side_px
        Longer side of the decimated picture: a chromatid is about a px wide, noise and JPEG blocks are averaged.
    trend_px
        Standard deviation of what counts as varying slowly: wider than a chromosome is long.
    shift_px
        Shifts that are tried, in decimated px either way: the stage came back to a retake's place, or didn't move.
    rim_px
        Decimated px left out at the borders, where the trend is cut off and shading looks like detail.
    least_correlation
        Two cells must never be merged: far above any pair of cells, and below every export and retake.
    aspect_tolerance
        Difference of the ratios of the sides: an export that was scaled is rounded to whole px.
    least_contrast
        Standard deviation in grey levels below which a picture shows nothing to recognise it by.
    """

    side_px: int = 192
    trend_px: float = 24.0
    shift_px: int = 5
    rim_px: int = 16
    least_correlation: float = 0.75
    aspect_tolerance: float = 0.02
    least_contrast: float = 1.0


_SETTINGS: Final = SamePictureSettings()


@dataclass(frozen=True, slots=True)
class PictureSignature:
    """What a picture is recognised by.

    Attributes
    ----------
    detail
        float32, shape (h, w): decimated grey levels without their trend; None where the picture shows nothing.
    aspect
        Width over height of the picture.
    """

    detail: NDArray[np.float32] | None
    aspect: float


def picture_signature(image: GreyImage) -> PictureSignature:
    """Work out what a picture is recognised by; a painted border is no part of it."""
    xmin, ymin, xmax, ymax = image.field_px or (0, 0, image.width_px, image.height_px)
    field = image.pixels[ymin:ymax, xmin:xmax]
    height_px, width_px = field.shape
    scale = _SETTINGS.side_px / max(width_px, height_px)
    size = (max(1, round(width_px * scale)), max(1, round(height_px * scale)))
    small = cv2.resize(field, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = small - cv2.GaussianBlur(small, (0, 0), _SETTINGS.trend_px)
    rim = min(_SETTINGS.rim_px, min(detail.shape) // 4)
    detail = detail[rim : detail.shape[0] - rim, rim : detail.shape[1] - rim]
    aspect = width_px / height_px
    if float(detail.std()) < _SETTINGS.least_contrast:
        return PictureSignature(None, aspect)
    return PictureSignature(np.ascontiguousarray(detail, dtype=np.float32), aspect)


def correlation(first: PictureSignature, second: PictureSignature) -> float:
    """Correlation of two pictures' details at the best small shift.

    Parameters
    ----------
    first, second
        The pictures, in any order.

    Returns
    -------
    float
        In [-1, 1]; 0 where either shows nothing or the sides have other ratios.
    """
    if first.detail is None or second.detail is None:
        return 0.0
    if abs(np.log(first.aspect / second.aspect)) > _SETTINGS.aspect_tolerance:
        return 0.0
    other = second.detail
    if other.shape != first.detail.shape:
        # Rounding alone: the scaled sides differ by a px.
        other = np.asarray(cv2.resize(other, first.detail.shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    # Bounded by the shorter side, so that something is left to compare.
    shift = min(_SETTINGS.shift_px, (min(first.detail.shape) - 1) // 4)
    inner = first.detail[shift : first.detail.shape[0] - shift, shift : first.detail.shape[1] - shift]
    return float(cv2.matchTemplate(other, np.ascontiguousarray(inner), cv2.TM_CCOEFF_NORMED).max())


def groups_of_same_pictures(signatures: Sequence[PictureSignature]) -> tuple[tuple[int, ...], ...]:
    """Group pictures that show the same cell.

    Parameters
    ----------
    signatures
        Of all pictures.

    Returns
    -------
    tuple of tuple of int
        Indices, every picture in one group, in the order of their first ones.
    """
    group_of = list(range(len(signatures)))
    for row, signature in enumerate(signatures):
        for other in range(row):
            if correlation(signatures[other], signature) >= _SETTINGS.least_correlation:
                merged = group_of[other]
                group_of = [merged if group == group_of[row] else group for group in group_of]
    return tuple(
        tuple(row for row, group in enumerate(group_of) if group == first) for first in dict.fromkeys(group_of)
    )

"""Pictures of chromosomes straightened along their medial axes for the karyogram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.karyogram.chromosome_pictures import (
    Tone,
    UprightPicture,
    blank_picture,
    drawn_picture,
    soft_cover,
    tone_of,
)
from analysis.straightening.medial_axis import medial_axis
from analysis.structures.crop import ObjectPixels
from analysis.structures.medial_axis import MedialAxis

_REACH_WIDTHS: Final = 1.0
"""Distance from the axis on either side that is sampled, in widths: the chromatids may part at the tips."""
_BEYOND_WIDTHS: Final = 1.2
"""Beyond both ends of the axis that is sampled too: tips are round, and satellites stand apart from them."""
_TINY: Final = 1e-9
"""Keeps directions finite."""
_LEAST_LENGTH_PX: Final = 1.0
"""Of an axis that has a direction."""


def straight_pictures(
    objects: Sequence[ObjectPixels],
    flipped: Sequence[bool],
    centromeres: Sequence[float] | None = None,
    *,
    axes: Sequence[MedialAxis] | None = None,
    enlargement: float = 1.0,
) -> list[UprightPicture]:
    """Straighten the objects of one cell, with one contrast for all.

    Rows stand at equal distances along the axis, so that every band keeps its distance from the tips.

    Parameters
    ----------
    objects
        Densities and masks.
    flipped
        True where the short arm is at the lower end of the medial axis.
    centromeres
        Fraction of the length from the tip of the short arm; None where they aren't measured.
    axes
        Medial axes in px of the objects, where they are made already.
    enlargement
        Px of the pictures a px of the objects.
    """
    tone = tone_of(objects)
    lines = [medial_axis(piece.mask) for piece in objects] if axes is None else axes
    fractions = [None] * len(objects) if centromeres is None else list(centromeres)
    return [
        _straight(piece, axis, turned, tone, fraction, enlargement)
        for piece, axis, turned, fraction in zip(objects, lines, flipped, fractions, strict=True)
    ]


def _straight(
    piece: ObjectPixels, axis: MedialAxis, turned: bool, tone: Tone, centromere: float | None, enlargement: float
) -> UprightPicture:
    if axis.length_px < _LEAST_LENGTH_PX:
        return blank_picture()
    points = (axis.points_px[::-1] if turned else axis.points_px).astype(np.float64)
    beyond_px = _BEYOND_WIDTHS * axis.width_px
    grid = _grid(points, axis.length_px, (_REACH_WIDTHS * axis.width_px, beyond_px), enlargement)
    x, y = grid[..., 0].astype(np.float32), grid[..., 1].astype(np.float32)
    density = cv2.remap(piece.density, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.remap(soft_cover(piece.mask), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    shown = _along_axis(np.asarray(cover, np.float32), round(beyond_px * enlargement))
    drawn = drawn_picture(np.asarray(density, np.float32), shown, tone)
    if drawn is None:
        return blank_picture()
    picture, top = drawn
    length_px = axis.length_px * enlargement
    if centromere is None:
        return UprightPicture(picture, None, length_px)
    row = centromere * length_px + beyond_px * enlargement - top
    return UprightPicture(picture, min(max(row, 0.0), float(picture.shape[0])), length_px)


def _grid(
    points: NDArray[np.float64], length_px: float, margins_px: tuple[float, float], enlargement: float
) -> NDArray[np.float64]:
    """Places to sample, shape (rows, columns, 2): rows along the axis and beyond, columns across it."""
    reach_px, beyond_px = margins_px
    moves = np.diff(points, axis=0)
    steps = np.hypot(moves[:, 0], moves[:, 1])
    arc = np.concatenate([[0.0], np.cumsum(steps)]) * (length_px / max(float(steps.sum()), _LEAST_LENGTH_PX))
    rows = np.arange(-beyond_px, length_px + beyond_px, 1.0 / enlargement)
    inside = np.clip(rows, 0.0, length_px)
    centre = np.stack([np.interp(inside, arc, points[:, k]) for k in (0, 1)], axis=1)
    # The direction over half a width: that of single points trembles, and rows would cross.
    lever = max(reach_px / 2.0, 1.0)
    ahead, behind = np.clip(inside + lever, 0.0, length_px), np.clip(inside - lever, 0.0, length_px)
    tangent = np.stack(
        [np.interp(ahead, arc, points[:, k]) - np.interp(behind, arc, points[:, k]) for k in (0, 1)], axis=1
    )
    tangent /= np.maximum(np.hypot(tangent[:, 0], tangent[:, 1]), _TINY)[:, None]
    centre += (rows - inside)[:, None] * tangent
    # Upright, the first point above, x grows to the right: handedness is kept.
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
    across = np.arange(-reach_px, reach_px + 1.0 / enlargement, 1.0 / enlargement)
    return np.asarray(centre[:, None, :] + across[None, :, None] * normal[:, None, :])


def _along_axis(cover: NDArray[np.float32], beyond_rows: int) -> NDArray[np.float32]:
    """Cover of what lies along the axis and of satellites beyond its ends.

    In a bend, rows meet another part of the same chromosome, which isn't shown twice.
    """
    inside = (cover > 0.0).astype(np.uint8)
    labels = np.asarray(cv2.connectedComponents(inside, connectivity=4)[1], np.int32)
    middle = labels[:, labels.shape[1] // 2]
    along = set(np.unique(middle[middle > 0]).tolist())
    # What has no row beside the axis itself lies beyond an end.
    beside = set(np.unique(labels[beyond_rows : labels.shape[0] - beyond_rows]).tolist())
    kept = along | (set(range(1, int(labels.max()) + 1)) - beside)
    return np.asarray(np.where(np.isin(labels, sorted(kept)), cover, 0.0), np.float32)

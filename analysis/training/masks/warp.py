"""One chromosome turned, mirrored, scaled, bent: a patch to lay into a scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.training.masks.singles import LEVEL_STEPS, FreeSingle

_MARGIN_PX: Final = 3


@dataclass(frozen=True, slots=True)
class ChromosomePatch:
    """A body to lay into a scene.

    Attributes
    ----------
    level
        float32, shape (h, w): density over the typical stain.
    mask
        bool, shape (h, w); not empty.
    """

    level: NDArray[np.float32]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ChromosomePose:
    """How a chromosome lies.

    Attributes
    ----------
    width_px
        Width of a typical chromosome of its cell, in px of the scene.
    angle_rad
        Direction of its axis.
    mirrored
        Whether it is turned over.
    stretch
        Factor of its length.
    bend_rad
        How far the direction of its axis turns from end to end.
    bent_part
        Fraction of the length, about the middle, over which it turns: little makes a kink.
    """

    width_px: float
    angle_rad: float
    mirrored: bool = False
    stretch: float = 1.0
    bend_rad: float = 0.0
    bent_part: float = 1.0


def warped(single: FreeSingle, pose: ChromosomePose) -> ChromosomePatch | None:
    """Lay a chromosome down in a pose; None where nothing is left of it.

    It is bent to an arc along the axis of its largest extent. Turning, scaling and bending are one resampling.

    Parameters
    ----------
    single
        The chromosome.
    pose
        How it lies.
    """
    centre, along, length = _axis(single.mask)
    scale = pose.width_px / single.width_px
    half = 0.5 * scale * max(1.0, pose.stretch) * float(np.hypot(*single.mask.shape)) + _MARGIN_PX
    side = 2 * int(np.ceil(half)) + 1
    grid = (np.arange(side, dtype=np.float32) - np.float32(side // 2)) / np.float32(scale)
    x, y = grid[None, :], grid[:, None]
    turn = np.asarray([np.cos(pose.angle_rad), np.sin(pose.angle_rad)], np.float32)
    a, b = x * turn[0] + y * turn[1], y * turn[0] - x * turn[1]
    if pose.mirrored:
        b = -b
    if abs(pose.bend_rad) > 0.05:
        a, b = _unbent(a, b, pose.bend_rad, max(1.0, pose.bent_part * length * pose.stretch))
    a = a / np.float32(pose.stretch)
    source_x = centre[0] + a * along[0] - b * along[1]
    source_y = centre[1] + a * along[1] + b * along[0]
    maps = (source_x.astype(np.float32), source_y.astype(np.float32))
    level = cv2.remap(single.level, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    mask = cv2.remap(single.mask.astype(np.uint8) * 255, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return cut_to(level.astype(np.float32) / np.float32(LEVEL_STEPS), mask > 127)


def _unbent(
    a: NDArray[np.float32], b: NDArray[np.float32], bend_rad: float, arc_px: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where along (a) and across (b) the straight axis the points of a bent chromosome come from.

    The axis is an arc about its middle; beyond its ends it goes straight on.
    """
    if bend_rad < 0.0:
        along, across = _unbent(a, -b, -bend_rad, arc_px)
        return along, -across
    radius = np.float32(arc_px / bend_rad)
    toward = radius - b
    half = np.float32(0.5 * bend_rad)
    side = np.sign(a) + (a == 0)
    # The point as seen from the end of the arc on its side.
    beyond = (np.abs(a) * np.cos(half) - toward * np.sin(half)).astype(np.float32)
    apart = radius - (np.abs(a) * np.sin(half) + toward * np.cos(half))
    on_arc = beyond <= 0.0
    along = np.where(on_arc, np.arctan2(a, toward) * radius, side * (half * radius + beyond))
    across = np.where(on_arc, radius - np.hypot(a, toward), apart)
    return along.astype(np.float32), across.astype(np.float32)


def cut_to(level: NDArray[np.float32], mask: NDArray[np.bool_]) -> ChromosomePatch | None:
    """Cut a body to its mask and halo; None where the mask is empty.

    Parameters
    ----------
    level
        float32, shape (h, w).
    mask
        bool, shape (h, w).
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return None
    top, bottom = max(0, rows[0] - _MARGIN_PX), rows[-1] + 1 + _MARGIN_PX
    left, right = max(0, columns[0] - _MARGIN_PX), columns[-1] + 1 + _MARGIN_PX
    window = (slice(top, bottom), slice(left, right))
    return ChromosomePatch(np.ascontiguousarray(level[window]), np.ascontiguousarray(mask[window]))


def _axis(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Centre (x, y), direction of the largest extent, and that extent."""
    moments = cv2.moments(mask.view(np.uint8), binaryImage=True)
    area = max(moments["m00"], 1.0)
    centre = np.asarray([moments["m10"] / area, moments["m01"] / area], np.float32)
    spread = np.asarray([[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]]) / area
    values, vectors = np.linalg.eigh(spread + np.eye(2) * 1e-3)
    # Standard deviation of an even rod is its length over the root of 12.
    return centre, vectors[:, 1].astype(np.float32), float(np.sqrt(12.0 * values[1]))

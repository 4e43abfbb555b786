"""Laying cut-outs on a field."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.training.synthesis.cutout import CUTOUT_UM_PER_PX, Cutout

_REDUCED: Final = 1.2
"""Pixels of the cut-out that a pixel of the field spans from which it gathers several."""

_GATHERED: Final = 0.4
"""Standard deviation of that gathering over the pixel's width beyond one."""


@dataclass(frozen=True, slots=True)
class CutoutPose:
    """How a cut-out lies.

    Attributes
    ----------
    x_px, y_px
        Where its centre lies, in px of the field.
    turn_rad
        Turn.
    flip
        Mirrored before it is turned.
    scale
        Factor of size on the specimen.
    """

    x_px: float
    y_px: float
    turn_rad: float = 0.0
    flip: bool = False
    scale: float = 1.0

    def matrix(self, x_px: float, y_px: float, um_per_px: float) -> NDArray[np.float64]:
        """Affine map, shape (2, 3), from px of a cut-out with this centre to px of the field.

        Parameters
        ----------
        x_px
            Centre of the cut-out.
        y_px
            Centre of the cut-out.
        um_per_px
            Pixel size of the field.
        """
        factor = self.scale * CUTOUT_UM_PER_PX / um_per_px
        cos, sin = factor * math.cos(self.turn_rad), factor * math.sin(self.turn_rad)
        mirror = -1.0 if self.flip else 1.0
        turn = np.array([[cos * mirror, -sin], [sin * mirror, cos]])
        shift = np.array([self.x_px, self.y_px]) - turn @ np.array([x_px, y_px])
        return np.column_stack([turn, shift])


class Canvas:
    """Optical density, or light, of a field while it is laid out.

    Parameters
    ----------
    height_px, width_px
        Size.
    um_per_px
        Pixel size.
    """

    def __init__(self, height_px: int, width_px: int, um_per_px: float) -> None:
        self.matter = np.zeros((height_px, width_px), np.float32)
        self.um_per_px = um_per_px

    def lay(self, cutout: Cutout, pose: CutoutPose, strength: float = 1.0) -> None:
        """Add a cut-out: densities add where bodies lie upon one another, and so does light.

        Parameters
        ----------
        cutout
            What is added.
        pose
            How it lies.
        strength
            Factor of its density or light.
        """
        stamp, corner = self.stamp(cutout, pose)
        self.add(stamp, corner, strength)

    def stamp(self, cutout: Cutout, pose: CutoutPose) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """A cut-out as it lies on the field, and the column and row of its first pixel.

        Parameters
        ----------
        cutout
            What lies there; float32, shape (h, w).
        pose
            How it lies.
        """
        matrix = pose.matrix(cutout.x_px, cutout.y_px, self.um_per_px)
        height, width = cutout.matter.shape
        corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], np.float64)
        there = corners @ matrix[:, :2].T + matrix[:, 2]
        x0, y0 = (int(value) for value in np.floor(there.min(axis=0)) - 1)
        x1, y1 = (int(value) for value in np.ceil(there.max(axis=0)) + 2)
        rows, columns = self.matter.shape
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, columns), min(y1, rows)
        if x1 <= x0 or y1 <= y0:
            return np.zeros((0, 0), np.float32), (x0, y0)
        matter = cutout.matter
        step = self.um_per_px / (pose.scale * CUTOUT_UM_PER_PX)
        if step > _REDUCED:
            # A coarser pixel gathers what several of the cut-out's hold.
            matter = np.asarray(
                cv2.GaussianBlur(matter, (0, 0), _GATHERED * math.sqrt(step * step - 1.0)), np.float32
            )
        matrix[:, 2] -= (x0, y0)
        stamp = cv2.warpAffine(matter, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
        return np.asarray(stamp, np.float32), (x0, y0)

    def add(self, stamp: NDArray[np.float32], corner: tuple[int, int], strength: float = 1.0) -> None:
        """Add a stamp at a column and row; what lies beyond the field is left out.

        Parameters
        ----------
        stamp
            float32, shape (h, w).
        corner
            Column and row of its first pixel.
        strength
            Factor.
        """
        rows, columns = self.matter.shape
        x0, y0 = max(corner[0], 0), max(corner[1], 0)
        x1, y1 = min(corner[0] + stamp.shape[1], columns), min(corner[1] + stamp.shape[0], rows)
        if x1 > x0 and y1 > y0:
            part = stamp[y0 - corner[1] : y1 - corner[1], x0 - corner[0] : x1 - corner[0]]
            self.matter[y0:y1, x0:x1] += np.float32(strength) * part


def moved(boxes_px: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Upright boxes round boxes that were mapped; somewhat tight, as chromosomes do not fill the corners.

    Parameters
    ----------
    boxes_px
        float32, shape (n, 4).
    matrix
        float64, shape (2, 3).
    """
    centres = (boxes_px[:, :2] + boxes_px[:, 2:]) / 2.0
    sides = boxes_px[:, 2:] - boxes_px[:, :2]
    there = centres @ matrix[:, :2].T + matrix[:, 2]
    half = sides @ np.abs(matrix[:, :2]).T / 2.0
    # The turn keeps a box's diagonal at most.
    share = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    half = np.minimum(half, np.hypot(sides[:, 0], sides[:, 1])[:, None] * share / 2.0)
    return np.concatenate([there - half, there + half], axis=1).astype(np.float32)

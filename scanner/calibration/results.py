"""What the procedures find: values with the evidence for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from scanner.coordinates import CameraFrame


@dataclass(frozen=True, slots=True)
class CalibrationEvidence:
    """How well a value is known.

    Attributes
    ----------
    residual
        Scatter of the measurements about the value, in `unit`.
    unit
        Unit of the residual.
    measurements
        How many went into the value.
    measured_at
        UTC.
    """

    residual: float
    unit: str
    measurements: int
    measured_at: datetime


@dataclass(frozen=True, slots=True)
class PixelGeometry:
    """Size of a pixel on the specimen and how the camera is mounted, through one objective.

    Attributes
    ----------
    objective
        Name in the rig.
    um_per_px
        Positive.
    rotation_deg, flip_x, flip_y
        From image to stage axes, as in `scanner.coordinates.CameraFrame`.
    evidence
        Residual in um: root mean square distance between stage moves and image shifts.
    """

    objective: str
    um_per_px: float
    rotation_deg: float
    flip_x: bool
    flip_y: bool
    evidence: CalibrationEvidence

    def frame(self, shape: tuple[int, int]) -> CameraFrame:
        """Camera geometry for pictures of this shape (height, width)."""
        return CameraFrame(shape[1], shape[0], self.um_per_px, self.rotation_deg, self.flip_x, self.flip_y)

    def shift_um(self, dx_px: float, dy_px: float) -> tuple[float, float]:
        """Shift along the stage axes that belongs to a shift in the image.

        Parameters
        ----------
        dx_px, dy_px
            Shift in the image.
        """
        angle = math.radians(self.rotation_deg)
        x = -dx_px if self.flip_x else dx_px
        y = -dy_px if self.flip_y else dy_px
        return (
            self.um_per_px * (math.cos(angle) * x - math.sin(angle) * y),
            self.um_per_px * (math.sin(angle) * x + math.cos(angle) * y),
        )


@dataclass(frozen=True, slots=True)
class ObjectiveOffset:
    """Parcentric and parfocal offset of an objective against the reference.

    Attributes
    ----------
    objective
        Name in the rig.
    parcentric_x_um, parcentric_y_um
        Where its centre looks, along the stage axes.
    parfocal_um
        Its focus minus the reference's.
    evidence
        Of the parcentric offset, um.
    parfocal_residual_um
        Scatter of the parfocal offset.
    """

    objective: str
    parcentric_x_um: float
    parcentric_y_um: float
    parfocal_um: float
    evidence: CalibrationEvidence
    parfocal_residual_um: float


@dataclass(frozen=True, slots=True)
class Backlash:
    """Way between the places one stage reading stands for, approached from below and from above."""

    x_um: float
    y_um: float
    evidence: CalibrationEvidence


@dataclass(frozen=True, slots=True)
class StageMotion:
    """Speed, acceleration and settling of the stage, from timed moves.

    Attributes
    ----------
    speed_um_s
        None where no move was long enough to reach it.
    acceleration_um_s2, settle_ms
        Settling includes what the controller takes to answer.
    evidence
        Residual in ms.
    """

    speed_um_s: float | None
    acceleration_um_s2: float
    settle_ms: float
    evidence: CalibrationEvidence


@dataclass(frozen=True, slots=True)
class ReadOut:
    """Time from the end of an exposure to the frame in memory."""

    read_out_ms: float
    evidence: CalibrationEvidence


@dataclass(frozen=True, slots=True)
class FieldImages:
    """Flat field and dark through one objective.

    Attributes
    ----------
    objective
        Name in the rig.
    flat
        float32, shape (h, w), mean 1: light over the field.
    dark
        float32, shape (h, w): grey levels at no exposure.
    evidence
        Residual: noise of the flat field, as a share.
    dark_residual
        Noise of the dark picture, grey levels.
    """

    objective: str
    flat: NDArray[np.float32]
    dark: NDArray[np.float32]
    evidence: CalibrationEvidence
    dark_residual: float


Result = PixelGeometry | ObjectiveOffset | Backlash | StageMotion | ReadOut | FieldImages
"""What `scanner.calibration.record.write_calibration` accepts."""

"""A known place, by which lost steps and a drifted focus show.

Positions come from the devices whose failure is in question. A picture is evidence of another kind: a place that
was photographed once has to look the same when the instrument comes back to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scanner.calibration.errors import BlankCalibrationFieldError, ImplausibleError
from scanner.calibration.shift import MIN_OBJECT_PX, image_shift
from scanner.coordinates import ImagePoint, StagePoint
from scanner.errors import DeviceNotReadyError, FocusError, PositionError
from scanner.focus.measure import brenner_energy, object_mask, relative_transmission
from scanner.frame import Frame
from scanner.microscope import Microscope

# A landmark that has lost more than this of its sharpness is out of focus.
LEAST_SHARPNESS = 0.5
_PROCEDURE = "landmark"
# Keeps a landmark without any sharpness from being divided by nothing.
_NO_SHARPNESS = 1e-12


@dataclass(frozen=True, slots=True)
class Landmark:
    """A place as it looked when position and focus were beyond doubt.

    Attributes
    ----------
    where
        Stage position that was asked for.
    z_um
        Focus.
    objective
        Name of the objective.
    exposure_ms
        Exposure.
    pixels
        The picture: uint16, shape (h, w).
    """

    where: StagePoint
    z_um: float
    objective: str
    exposure_ms: float
    pixels: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class LandmarkCheck:
    """How a landmark looked when it was visited again.

    Attributes
    ----------
    dx_um, dy_um
        How far the specimen lies beside where it was, along the stage axes; nothing is wrong with little.
    sharpness
        Gradient energy on the objects, as a share of what it was.
    """

    dx_um: float
    dy_um: float
    sharpness: float


def take_landmark(microscope: Microscope, where: StagePoint, exposure_ms: float) -> Landmark:
    """Photograph a place by which to know the instrument again.

    Parameters
    ----------
    microscope
        In focus, light on.
    where
        Stage position, over something that can be recognised.
    exposure_ms
        Exposure.

    Raises
    ------
    BlankCalibrationFieldError
        There is nothing to recognise (`scanner.calibration.errors`).
    PositionError, FrameError
        As `Microscope.move_to` and `Microscope.snap`.
    """
    microscope.move_to(where)
    frame = microscope.snap(exposure_ms)
    object_px = int(np.count_nonzero(object_mask(relative_transmission(frame.pixels))))
    if object_px < MIN_OBJECT_PX:
        raise BlankCalibrationFieldError(
            _PROCEDURE, f"blank field: {object_px} object pixels, {MIN_OBJECT_PX} needed"
        )
    return Landmark(where, frame.z_um, frame.objective, exposure_ms, frame.pixels)


def check_landmark(microscope: Microscope, landmark: Landmark, limit_um: float | None = None) -> LandmarkCheck:
    """Go back to a landmark and compare: steps that a drive has lost, and a focus that has drifted, show here.

    Position reports can't tell either where the drive counts its own steps. Whatever was photographed since the
    landmark was last found is in doubt when it is not found. Steps that are lost alike there and back show only at
    a second landmark, far from the first.

    Parameters
    ----------
    microscope
        Light on, the landmark's objective in the light path.
    landmark
        From `take_landmark`.
    limit_um
        Largest way beside it; default twice the stage's tolerance: it was reached within it then and now.

    Returns
    -------
    LandmarkCheck
        Where it is, within the limit.

    Raises
    ------
    DeviceNotReadyError
        Another objective is in the light path.
    PositionError
        It lies further away, or is not to be seen at all: steps were lost, or this is another slide.
    FocusError
        It is there, and blurred: the focus has drifted.
    """
    objective = microscope.objective
    if objective.name != landmark.objective:
        raise DeviceNotReadyError(
            "a landmark is known through one objective",
            device=microscope.rig.devices.turret,
            wanted=landmark.objective,
            actual=objective.name,
        )
    microscope.move_to(landmark.where)
    microscope.focus_to(landmark.z_um)
    frame = microscope.snap(landmark.exposure_ms)
    if limit_um is None:
        limit_um = 2.0 * microscope.rig.stage.motion.tolerance_um
    check = _compare(microscope, landmark, frame)
    _refuse_elsewhere(microscope, check, limit_um)
    if check.sharpness < LEAST_SHARPNESS:
        raise FocusError(
            "the landmark is blurred: the focus has drifted",
            device=microscope.rig.devices.focus,
            axis="z",
            actual=check.sharpness,
            allowed=f"{LEAST_SHARPNESS} of its sharpness and more",
        )
    return check


def _refuse_elsewhere(microscope: Microscope, check: LandmarkCheck, limit_um: float) -> None:
    for axis, beside_um in (("x", check.dx_um), ("y", check.dy_um)):
        if abs(beside_um) > limit_um:
            raise PositionError(
                "the landmark lies elsewhere: steps were lost, or this is another slide",
                device=microscope.rig.devices.stage,
                axis=axis,
                wanted=0.0,
                actual=beside_um,
                allowed=f"+-{limit_um:g}",
                unit="um",
            )


def _compare(microscope: Microscope, landmark: Landmark, frame: Frame) -> LandmarkCheck:
    sharpness = _sharpness(frame.pixels) / max(_sharpness(landmark.pixels), _NO_SHARPNESS)
    try:
        shift = image_shift(landmark.pixels, frame.pixels)
    except (BlankCalibrationFieldError, ImplausibleError) as error:
        raise PositionError(
            "the landmark was not recognised: steps were lost, the focus is far off, or this is another slide",
            device=microscope.rig.devices.stage,
        ) from error
    view = frame.view
    centre = view.camera.centre
    beside = view.camera.offset_um(ImagePoint(centre.x_px + shift.dx_px, centre.y_px + shift.dy_px))
    return LandmarkCheck(*beside, sharpness)


def _sharpness(pixels: NDArray[np.uint16]) -> float:
    """Gradient energy on objects, over that of the empty background, which is noise."""
    transmission = relative_transmission(pixels)
    mask = object_mask(transmission)
    energy = brenner_energy(np.asarray(cv2.GaussianBlur(transmission, (0, 0), 1.0), dtype=np.float32))
    if not mask.any() or mask.all():
        return 0.0
    return max(float(energy[mask].mean()) - float(energy[~mask].mean()), 0.0)

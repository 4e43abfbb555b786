"""Calibration results, and what the rig had before, as text in the same form."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from scanner.calibration.record import load_reference_image
from scanner.calibration.results import (
    Backlash,
    FieldImages,
    ObjectiveOffset,
    PixelGeometry,
    ReadOut,
    Result,
    StageMotion,
)
from scanner.errors import RigError
from scanner.rig import ReferenceImage, Rig

NEVER: Final = "never measured"
_UM_PER_MM: Final = 1000.0
_UM_PER_M: Final = 1e6


def described(result: Result) -> tuple[str, str, str]:
    """What was measured, its value and its residual, as text for a table."""
    evidence = result.evidence
    residual = _residual_text(evidence.residual, evidence.unit, evidence.measurements)
    match result:
        case PixelGeometry():
            value = _geometry_text(
                result.um_per_px, result.rotation_deg, flip_x=result.flip_x, flip_y=result.flip_y
            )
            return f"pixel geometry {result.objective}", value, residual
        case ObjectiveOffset():
            value = _offset_text(result.parcentric_x_um, result.parcentric_y_um, result.parfocal_um)
            focus = f"{result.parfocal_residual_um:.3g} um in focus"
            return f"offset {result.objective}", value, f"{residual}; {focus}"
        case Backlash():
            return "backlash", _backlash_text(result.x_um, result.y_um), residual
        case StageMotion():
            value = _motion_text(result.speed_um_s, result.acceleration_um_s2, result.settle_ms)
            return "stage motion", value, residual
        case ReadOut():
            return "read-out", _read_out_text(result.read_out_ms), residual
        case FieldImages():
            return f"field {result.objective}", _field_text(result.flat, result.dark), residual


def described_before(rig: Rig, folder: Path, result: Result) -> tuple[str, str]:
    """Value and residual that a rig had for what was measured, in the form of `described`.

    Parameters
    ----------
    rig
        As it was before the calibration.
    folder
        Its folder, with its flat fields and dark.
    result
        What was measured.
    """
    camera, stage = rig.camera, rig.stage
    match result:
        case PixelGeometry():
            um_per_px = rig.um_per_px(rig.objective(result.objective))
            value = _geometry_text(um_per_px, camera.rotation_deg, flip_x=camera.flip_x, flip_y=camera.flip_y)
            return value, _residual_before(rig, f"pixel_geometry.{result.objective}")
        case ObjectiveOffset():
            objective = rig.objective(result.objective)
            value = _offset_text(objective.parcentric_x_um, objective.parcentric_y_um, objective.parfocal_um)
            return value, _residual_before(rig, f"parcentric.{result.objective}")
        case Backlash():
            return _backlash_text(stage.backlash_x_um, stage.backlash_y_um), _residual_before(rig, "backlash")
        case StageMotion():
            motion = stage.motion
            value = _motion_text(motion.speed_um_s, motion.acceleration_um_s2, motion.settle_ms)
            return value, _residual_before(rig, "stage_motion")
        case ReadOut():
            return _read_out_text(camera.read_out_ms), _residual_before(rig, "read_out")
        case FieldImages():
            value = _field_before(folder, rig.objective(result.objective).flat_field, camera.dark)
            return value, _residual_before(rig, f"flat_field.{result.objective}")


def _residual_before(rig: Rig, procedure: str) -> str:
    for entry in rig.calibration:
        if entry.procedure == procedure:
            residual = _residual_text(entry.residual, entry.unit, entry.measurements)
            return f"{residual}, {entry.measured_at:%Y-%m-%d}"
    return NEVER


def _field_before(folder: Path, flat: ReferenceImage | None, dark: ReferenceImage | None) -> str:
    if flat is None:
        return "none"
    try:
        flat_pixels = load_reference_image(folder, flat)
        return _field_text(flat_pixels, None if dark is None else load_reference_image(folder, dark))
    except RigError as error:
        return str(error)


def _residual_text(residual: float, unit: str, measurements: int) -> str:
    return f"{residual:.3g} {unit}, n = {measurements}"


def _geometry_text(um_per_px: float, rotation_deg: float, *, flip_x: bool, flip_y: bool) -> str:
    flips = "".join(axis for axis, flip in (("x", flip_x), ("y", flip_y)) if flip) or "none"
    return f"{um_per_px:.5f} um/px, turned {rotation_deg:.3f}°, flips {flips}"


def _offset_text(x_um: float, y_um: float, z_um: float) -> str:
    return f"parcentric ({x_um:.2f}, {y_um:.2f}) um, parfocal {z_um:.2f} um"


def _backlash_text(x_um: float, y_um: float) -> str:
    return f"x {x_um:.2f}, y {y_um:.2f} um"


def _motion_text(speed_um_s: float | None, acceleration_um_s2: float, settle_ms: float) -> str:
    speed = "not reached" if speed_um_s is None else f"{speed_um_s / _UM_PER_MM:.1f} mm/s"
    return f"{speed}, {acceleration_um_s2 / _UM_PER_M:.3g} m/s², settles {settle_ms:.1f} ms"


def _read_out_text(read_out_ms: float) -> str:
    return f"{read_out_ms:.1f} ms"


def _field_text(flat: NDArray[np.float32], dark: NDArray[np.float32] | None) -> str:
    level = "no dark" if dark is None else f"dark {dark.mean():.0f} levels"
    return f"light {flat.min():.2f} .. {flat.max():.2f} of its mean, {level}"

"""What all procedures do with the instrument: arrive from one side, find an exposure, find focus."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from scanner.calibration.errors import CalibrationError
from scanner.calibration.results import CalibrationEvidence
from scanner.coordinates import StagePoint
from scanner.errors import FrameDefect, FrameError
from scanner.focus.search import FocusResult, FocusSweep, search_focus
from scanner.microscope import Microscope

# More than the backlash of any stage worth calibrating: a move of this length takes up the play.
APPROACH_UM = 20.0
# Brightest level aimed at, as a share of full scale: enough light, and room for its scatter.
TARGET_FRACTION = 0.75
_FIRST_EXPOSURE_MS = 4.0
_EXPOSURE_LIMITS_MS = (0.05, 400.0)
_EXPOSURE_TRIES = 8
# A black frame may need a lot more light, a saturated one a lot less; both say nothing about how much.
_BRIGHTEN, _DARKEN = 4.0, 0.25
# Levels near full scale are clipped in places: they say "less", not how much less.
_CLIPPED_FRACTION, _DARKEN_CLIPPED = 0.97, 0.4
_EXPOSURE_TOLERANCE = 0.1
# Planes of the sweep, in depths of field of the objective.
_COARSE_DEPTHS = 4.0
_FINE_DEPTHS = 1.0
_RANGE_DEPTHS = 28.0


def evidence(residual: float, unit: str, measurements: int) -> CalibrationEvidence:
    """Evidence of a measurement made now.

    Parameters
    ----------
    residual
        Scatter of the measurements about the value.
    unit
        Unit of it.
    measurements
        How many there are.
    """
    return CalibrationEvidence(float(residual), unit, measurements, datetime.now(UTC).replace(microsecond=0))


def arrive(microscope: Microscope, target: StagePoint, *, from_x: int = -1, from_y: int = -1) -> StagePoint:
    """Go to a position, each axis from a given side, so that backlash is always the same.

    Parameters
    ----------
    microscope
        The instrument.
    target
        Where to go.
    from_x, from_y
        -1 to approach from below, 1 from above.

    Returns
    -------
    StagePoint
        The position read back.
    """
    microscope.move_to(target.shifted(from_x * APPROACH_UM, from_y * APPROACH_UM))
    return microscope.move_to(target)


def find_exposure(microscope: Microscope, fraction: float = TARGET_FRACTION) -> float:
    """Exposure in ms at which the brightest parts of the field reach a fraction of full scale; light on.

    Parameters
    ----------
    microscope
        Light on.
    fraction
        Brightest level aimed at, over full scale.

    Raises
    ------
    CalibrationError
        There is none between 0.05 and 400 ms.
    FrameError
        A frame of another size or kind.
    """
    full_scale = microscope.rig.camera.full_scale
    low_ms, high_ms = _EXPOSURE_LIMITS_MS
    exposure_ms = _FIRST_EXPOSURE_MS
    seen = ""
    for _ in range(_EXPOSURE_TRIES):
        try:
            sample = microscope.snap(exposure_ms).pixels[::8, ::8]
        except FrameError as error:
            if error.defect not in (FrameDefect.BLACK, FrameDefect.SATURATED):
                raise
            exposure_ms *= _DARKEN if error.defect is FrameDefect.SATURATED else _BRIGHTEN
            seen = f"; last: {error.message}"
        else:
            level = float(np.percentile(sample, 99)) / full_scale
            seen = f"; last: {level:.0%}"
            if abs(level - fraction) < _EXPOSURE_TOLERANCE * fraction:
                return exposure_ms
            exposure_ms *= _DARKEN_CLIPPED if level > _CLIPPED_FRACTION else fraction / level
        if not low_ms <= exposure_ms <= high_ms:
            break
    raise CalibrationError(
        "exposure", f"no exposure between {low_ms:g} and {high_ms:g} ms gives {fraction:.0%} of full scale{seen}"
    )


def find_focus(
    microscope: Microscope, expected_um: float, exposure_ms: float, centre_fraction: float = 1.0
) -> FocusResult:
    """Search focus with steps that suit the objective in the light path; light on.

    Parameters
    ----------
    microscope
        Light on.
    expected_um
        Where focus is expected.
    exposure_ms
        Exposure.
    centre_fraction
        Middle part of the frame that is measured, over its sides.

    Raises
    ------
    FocusError
        Blank field or no plausible peak.
    """
    depth_um = microscope.objective.depth_of_field_um
    sweep = FocusSweep(
        half_range_um=_RANGE_DEPTHS * depth_um,
        coarse_step_um=_COARSE_DEPTHS * depth_um,
        fine_step_um=_FINE_DEPTHS * depth_um,
        exposure_ms=exposure_ms,
        centre_fraction=centre_fraction,
    )
    return search_focus(microscope, expected_um, sweep)


def spread(values: Sequence[float]) -> float:
    """Root mean square distance from the median."""
    array = np.asarray(values, dtype=np.float64)
    return float(np.sqrt(np.mean((array - np.median(array)) ** 2)))

"""Calibration of one instrument from the command line: measure, show, write."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from scanner.calibration.record import write_calibration
from scanner.calibration.results import (
    Backlash,
    FieldImages,
    ObjectiveOffset,
    PixelGeometry,
    ReadOut,
    Result,
    StageMotion,
)
from scanner.calibration.session import CalibrationPlan, Procedure, calibrate
from scanner.configuration_check import MismatchKind
from scanner.coordinates import SlidePoint
from scanner.errors import DeviceError
from station.compose import Instrument, open_instrument


@dataclass(frozen=True, slots=True)
class CalibrationRequest:
    """What to calibrate.

    Attributes
    ----------
    rig
        Folder of the rig.
    what
        Procedures.
    at
        Where on the slide; None for where the stage stands.
    focus_um
        Where focus is expected; None for the middle of the envelope.
    oil_allowed
        There is oil on the slide.
    write
        False to measure only.
    """

    rig: Path
    what: frozenset[Procedure] = field(default_factory=lambda: frozenset(Procedure))
    at: SlidePoint | None = None
    focus_um: float | None = None
    oil_allowed: bool = False
    write: bool = True


def run_calibration(
    request: CalibrationRequest, on_result: Callable[[Result], None] = lambda _result: None
) -> tuple[Result, ...]:
    """Open the instrument, measure, make it safe, and write the rig if all went well.

    Parameters
    ----------
    request
        What to measure, and where.
    on_result
        Called with every result as it comes.

    Raises
    ------
    ScannerError
        A procedure refused, or the instrument could not be made safe; nothing was written.
    """
    with open_instrument(request.rig, tolerated=(MismatchKind.PIXEL_SIZE,)) as instrument:
        results = calibrate_instrument(instrument, request, on_result)
    if request.write:
        write_calibration(request.rig, results)
    return results


def calibrate_instrument(
    instrument: Instrument, request: CalibrationRequest, on_result: Callable[[Result], None] = lambda _result: None
) -> tuple[Result, ...]:
    """Measure on an open instrument and leave it in the safe state; writes nothing.

    Parameters
    ----------
    instrument
        Open, and left in the safe state.
    request
        What to measure, and where; that it shall be written is passed over.
    on_result
        Called with every result as it comes.

    Raises
    ------
    ScannerError
        A procedure refused, or the instrument could not be made safe.
    """
    microscope = instrument.microscope
    place = request.at
    at = microscope.stage_position() if place is None else instrument.rig.slide.frame.to_stage(place)
    plan = CalibrationPlan(at, request.focus_um, request.what, request.oil_allowed)
    try:
        return calibrate(microscope, plan, _time_source(instrument), on_result)
    finally:
        faults = microscope.safe_state()
        if faults:
            raise DeviceError(
                "; ".join(str(fault) for fault in faults), device=f"{instrument.rig.name}: safe state"
            )


def _time_source(instrument: Instrument) -> Callable[[], float]:
    if instrument.twin is not None:
        return instrument.twin.clock.now_s
    return time.monotonic


def described(result: Result) -> tuple[str, str, str]:
    """What was measured, its value and its residual, as text for a table."""
    evidence = result.evidence
    residual = f"{evidence.residual:.3g} {evidence.unit}, n = {evidence.measurements}"
    match result:
        case PixelGeometry():
            flips = "".join(axis for axis, flip in (("x", result.flip_x), ("y", result.flip_y)) if flip) or "none"
            value = f"{result.um_per_px:.5f} um/px, turned {result.rotation_deg:.3f}°, flips {flips}"
            return f"pixel geometry {result.objective}", value, residual
        case ObjectiveOffset():
            value = (
                f"parcentric ({result.parcentric_x_um:.2f}, {result.parcentric_y_um:.2f}) um, "
                f"parfocal {result.parfocal_um:.2f} um"
            )
            return f"offset {result.objective}", value, residual
        case Backlash():
            return "backlash", f"x {result.x_um:.2f}, y {result.y_um:.2f} um", residual
        case StageMotion():
            speed = "not reached" if result.speed_um_s is None else f"{result.speed_um_s / 1000.0:.1f} mm/s"
            value = f"{speed}, {result.acceleration_um_s2 / 1e6:.3g} m/s², settles {result.settle_ms:.1f} ms"
            return "stage motion", value, residual
        case ReadOut():
            return "read-out", f"{result.read_out_ms:.1f} ms", residual
        case FieldImages():
            value = (
                f"light {result.flat.min():.2f} .. {result.flat.max():.2f} of its mean, "
                f"dark {result.dark.mean():.0f} levels"
            )
            return f"field {result.objective}", value, residual

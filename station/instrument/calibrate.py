"""Calibration of one instrument from the command line: measure, show, write."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from acquisition.errors import StorageError
from acquisition.run.interruption import interruptions_raised
from scanner.calibration.pictures import PictureSink, discard_picture
from scanner.calibration.record import write_calibration
from scanner.calibration.results import Result
from scanner.calibration.session import CalibrationPlan, Procedure, calibrate
from scanner.configuration_check import MismatchKind
from scanner.coordinates import SlidePoint
from scanner.errors import DeviceError
from scanner.rig import load_rig
from station.compose import Instrument, open_instrument
from station.instrument.calibration_page import CalibrationLog, write_calibration_page
from station.instrument.result_folder import ResultKind, result_folder


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
    out
        Folder of the page; None for the state folder of a real rig, and for no page of a simulated one.
    """

    rig: Path
    what: frozenset[Procedure] = field(default_factory=lambda: frozenset(Procedure))
    at: SlidePoint | None = None
    focus_um: float | None = None
    oil_allowed: bool = False
    write: bool = True
    out: Path | None = None


@dataclass(frozen=True, slots=True)
class CalibrationOutcome:
    """What a calibration ended with.

    Attributes
    ----------
    results
        All of them, in order.
    page
        The page; None where none is kept.
    """

    results: tuple[Result, ...]
    page: Path | None


def run_calibration(
    request: CalibrationRequest, on_result: Callable[[Result], None] = lambda _result: None
) -> CalibrationOutcome:
    """Open the instrument, measure, make it safe, and write the rig if all went well, then the page.

    A calibration that is refused or interrupted leaves a page too: the pictures show why.

    Parameters
    ----------
    request
        What to measure, and where.
    on_result
        Called with every result as it comes.

    Raises
    ------
    ScannerError
        A procedure refused, or the instrument could not be made safe; nothing was written to the rig.
    StorageError
        The page can't be written: before anything moved, where its folder can't be; else after the rig was.
    KeyboardInterrupt
        A person or a signal ended it; the instrument is safe, and nothing was written to the rig.
    """
    rig, _ = load_rig(request.rig, tolerated=(MismatchKind.PIXEL_SIZE,))
    folder = result_folder(rig, request.out, ResultKind.CALIBRATION)
    log = CalibrationLog(rig, request.rig)

    def keep(result: Result) -> None:
        log.add_result(result)
        on_result(result)

    try:
        with (
            interruptions_raised(),
            open_instrument(request.rig, tolerated=(MismatchKind.PIXEL_SIZE,)) as instrument,
        ):
            results = calibrate_instrument(instrument, request, keep, log.add_picture)
        if request.write:
            write_calibration(request.rig, results)
    except BaseException as error:
        if folder is not None:
            # The refusal is what the user has to read, whatever becomes of the page.
            with suppress(StorageError):
                refusal = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
                write_calibration_page(log, folder, refusal=refusal or type(error).__name__, written=False)
        raise
    if folder is None:
        return CalibrationOutcome(results, None)
    try:
        page = write_calibration_page(log, folder, refusal=None, written=request.write)
    except StorageError as error:
        rig_state = "the results stand in the rig all the same" if request.write else "the rig is as it was"
        raise StorageError(
            f"the page of the calibration is missing ({error}); {rig_state}", path=folder
        ) from error
    return CalibrationOutcome(results, page)


def calibrate_instrument(
    instrument: Instrument,
    request: CalibrationRequest,
    on_result: Callable[[Result], None] = lambda _result: None,
    on_picture: PictureSink = discard_picture,
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
    on_picture
        Called with every picture that was measured by.

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
        return calibrate(microscope, plan, _time_source(instrument), on_result, on_picture)
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

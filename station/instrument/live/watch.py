"""An instrument opened to be watched, by a live page or for one picture, and made safe at the end."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from acquisition.run.clean_up import make_safe
from acquisition.run.control import RunControl
from acquisition.run.interruption import interruptions_handled
from acquisition.storage.atomic import storage_errors, write_json_atomic, write_png_atomic
from scanner.coordinates import SlidePoint
from scanner.errors import DeviceError, LimitError
from scanner.live_view import LIVE_VIEW, LiveView
from station.commands.messages import complain, say
from station.compose import Instrument, open_instrument
from station.exit_codes import ExitCode
from station.instrument.live.document import state_document
from station.instrument.live.server import serving
from station.instrument.live.session import LIVE_SESSION, LiveSession, LiveSessionSettings, LiveState
from station.report.pictures import stretch

_log = logging.getLogger(__name__)

PICTURE_NAME: Final = "picture.png"
RAW_PICTURE_NAME: Final = "picture-raw.png"
STATE_NAME: Final = "state.json"

_POLL_S: Final = 0.1
"""Time between two checks whether a signal came."""


@dataclass(frozen=True, slots=True)
class EndingSettings:
    """How long the end may take.

    Attributes
    ----------
    thread_s
        Until the instrument's thread has finished its step: longer than the longest exposure and the wait for its
        frame.
    safe_state_s
        Until the instrument is safe although a device hangs: a focus drive is lowered within it.
    first_picture_s
        Until a single picture has its exposure.
    """

    thread_s: float = 15.0
    safe_state_s: float = 20.0
    first_picture_s: float = 30.0


ENDING: Final = EndingSettings()


@dataclass(frozen=True, slots=True)
class LiveRequest:
    """What to watch.

    Attributes
    ----------
    rig
        Folder of the rig.
    exposure_ms
        Fixed exposure; None lets it follow the light.
    port
        Of the page; 0 takes a free one.
    """

    rig: Path
    exposure_ms: float | None = None
    port: int = 0


def watch_instrument(
    request: LiveRequest,
    on_ready: Callable[[str], None],
    *,
    control: RunControl | None = None,
    settings: LiveSessionSettings = LIVE_SESSION,
    ending: EndingSettings = ENDING,
) -> None:
    """Serve the live page until a signal or `control` ends it; then light off, focus down.

    Parameters
    ----------
    request
        What to watch.
    on_ready
        Called with the page's address.
    control
        Whose stop ends it; by default one of its own, which signals reach.
    settings
        How often the instrument is asked.
    ending
        How long the end may take.

    Raises
    ------
    ScannerError
        The rig is wrong or in use, or the instrument could not be made safe.
    UsageError
        The port is taken.
    """
    control = control or RunControl()
    with (
        _watched(request, control, settings, ending) as (instrument, session),
        serving(request.port, instrument.rig, session) as url,
    ):
        on_ready(url)
        while not (control.stop_requested or session.is_stuck):
            time.sleep(_POLL_S)
        # Requests that wait for a picture are answered, so that the server can close.
        session.end()


def keep_picture(
    request: LiveRequest,
    folder: Path,
    *,
    settings: LiveSessionSettings = LIVE_SESSION,
    ending: EndingSettings = ENDING,
) -> tuple[Path, ...]:
    """Take one picture and write it with the positions into a folder; then light off, focus down.

    Parameters
    ----------
    request
        What to watch.
    folder
        Where to; it is made.
    settings
        How often the instrument is asked.
    ending
        How long the end may take.

    Returns
    -------
    tuple of Path
        Picture with stretched contrast, picture as the camera gave it, state.

    Raises
    ------
    ScannerError
        The rig is wrong or in use, there was no picture, or the instrument could not be made safe.
    StorageError
        The files can't be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    control = RunControl()
    with _watched(request, control, settings, ending) as (instrument, session):
        state = _settled_state(instrument, session, control, ending)
    numbered = state.picture
    if numbered is None:
        reason = "; ".join(state.faults) or "the camera gave none in time"
        raise DeviceError(f"no picture: {reason}", device=instrument.rig.devices.camera)
    paths = tuple(folder / name for name in (PICTURE_NAME, RAW_PICTURE_NAME, STATE_NAME))
    write_png_atomic(paths[0], stretch(numbered.picture.pixels))
    write_png_atomic(paths[1], numbered.picture.pixels)
    write_json_atomic(paths[2], state_document(instrument.rig, state))
    return paths


def _settled_state(
    instrument: Instrument, session: LiveSession, control: RunControl, ending: EndingSettings
) -> LiveState:
    """Wait until the exposure suits the light; the last picture there is where that takes too long."""
    view = _live_view(instrument)
    deadline_s = time.monotonic() + ending.first_picture_s
    number = 0
    while time.monotonic() < deadline_s and not control.stop_requested:
        numbered = session.wait_for_picture(number, _POLL_S)
        state = session.state()
        if numbered is not None:
            number = numbered.number
            if view.is_settled(numbered.picture):
                return state
    return session.state()


def _live_view(instrument: Instrument) -> LiveView:
    return LiveView(instrument.core, instrument.rig, instrument.microscope)


@contextmanager
def _watched(
    request: LiveRequest, control: RunControl, settings: LiveSessionSettings, ending: EndingSettings
) -> Iterator[tuple[Instrument, LiveSession]]:
    """An instrument that is asked by its own thread within the block, and safe after it."""
    with interruptions_handled(control, _report_end), open_instrument(request.rig) as instrument:
        _bring_simulated_specimen(instrument)
        session = LiveSession(
            _live_view(instrument),
            instrument.microscope,
            first_exposure_ms=request.exposure_ms or LIVE_VIEW.first_exposure_ms,
            automatic=request.exposure_ms is None,
            settings=settings,
        )
        thread = threading.Thread(target=session.run, name="live view", daemon=True)
        thread.start()
        try:
            yield instrument, session
        finally:
            session.end()
            if not session.is_stuck:
                thread.join(ending.thread_s)
            _end_safely(instrument, thread, ending)
            control.mark_safe()


def _report_end(_interruption: str) -> None:
    say("Ending: light off and focus down follow")


def _end_safely(instrument: Instrument, thread: threading.Thread, ending: EndingSettings) -> None:
    """Make the instrument safe; a device that hangs, and its thread with it, ends the process."""
    if thread.is_alive():
        _leave_hanging(instrument, ending)
    faults = make_safe(instrument.microscope)
    if faults:
        raise DeviceError("; ".join(faults), device=f"{instrument.rig.name}: safe state")


def _leave_hanging(instrument: Instrument, ending: EndingSettings) -> NoReturn:
    """Make safe what can be while a device hangs, and end the process: nothing else ends the call it hangs in."""
    outcomes: list[tuple[str, ...]] = []
    helper = threading.Thread(
        target=lambda: outcomes.append(make_safe(instrument.microscope)), name="safe state", daemon=True
    )
    helper.start()
    helper.join(ending.safe_state_s)
    if not outcomes:
        result = "the light may be on and the focus up: switch the lamp off and lower the focus by hand"
    elif outcomes[0]:
        result = f"not everything became safe, see to it by hand: {'; '.join(outcomes[0])}"
    else:
        result = "light off, stage halted, focus down"
    _log.error("%s: a device hangs; %s", instrument.rig.name, result)
    with suppress(OSError):
        complain(
            f"{instrument.rig.name}: a device doesn't answer and is left as it is ({result}); switch it off and "
            "on before the next start"
        )
        sys.stderr.flush()
    os._exit(ExitCode.DEVICE_HANGS)


def _bring_simulated_specimen(instrument: Instrument) -> None:
    """Begin over a cell, in focus: a simulated instrument has nobody who drives it by hand."""
    twin, microscope = instrument.twin, instrument.microscope
    if twin is None:
        return
    cell = next((cell for cell in twin.truth() if cell.is_metaphase), None)
    if cell is None:
        return
    frame = next(iter(instrument.rig.slides.values()))
    place = frame.to_stage(SlidePoint(cell.slide_x_um, cell.slide_y_um))
    with suppress(LimitError):
        microscope.move_to(place)
        microscope.focus_to(twin.sharp_um(twin.objective))

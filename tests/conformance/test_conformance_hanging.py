"""Calls into a device that never return: noticed from outside; what shares no lock with them still obeys."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from acquisition.deadline import call_within
from acquisition.errors import DeadlineError
from scanner.coordinates import StagePoint
from scanner.core import ScanCore
from scanner.errors import DeviceError
from scanner.microscope import Microscope
from scanner.rig import load_rig
from scanner.watchdog import CallWatchdog, HungCall
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind

pytestmark = pytest.mark.conformance

RIGS = Path(__file__).parents[2] / "hardware_configs"
HERE = StagePoint(30_500.0, 11_500.0)
HANG_S = 0.6
EXPOSURE_MS = 5.0
IN_TIME_S = 60.0


@dataclass
class Hanging:
    """A microscope with its light on, whose next picture will never come."""

    core: ScanCore
    microscope: Microscope
    let_go: threading.Event


def lit_microscope(name: str) -> tuple[ScanCore, Microscope]:
    rig, cfg = load_rig(RIGS / name)
    rig = rig.model_copy(update={"camera": rig.camera.model_copy(update={"hang_s": HANG_S})})
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    microscope = Microscope(core, rig)
    return core, microscope


def stand_ready(microscope: Microscope) -> None:
    microscope.move_to(HERE)
    envelope = microscope.objective.focus
    microscope.focus_to((envelope.min_um + envelope.max_um) / 2.0)
    microscope.light(on=True)


@contextmanager
def twin_hanging(kind: TwinFaultKind, name: str = "simulated") -> Iterator[Hanging]:
    core, microscope = lit_microscope(name)
    twin = twin_of(core)
    twin.settings = replace(twin.settings, cells=0, nuclei_per_mm2=0.0)
    try:
        stand_ready(microscope)
        microscope.snap(EXPOSURE_MS)
        twin.faults.add(TwinFault(kind, "Camera"))
        yield Hanging(core, microscope, twin._state.hang_is_over)
    finally:
        twin._state.hang_is_over.set()
        core.unloadAllDevices()


def hang(hanging: Hanging) -> tuple[HungCall, threading.Thread, list[BaseException]]:
    """Take a picture in a thread that gets stuck; what the watchdog says of it."""
    told: list[HungCall] = []
    heard, ended = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def on_hang(hung: HungCall) -> None:
        told.append(hung)
        heard.set()

    def drive() -> None:
        with hanging.microscope.watched(on_hang):
            try:
                hanging.microscope.snap(EXPOSURE_MS)
            except BaseException as error:  # noqa: BLE001 - looked at by the test
                errors.append(error)
            ended.set()

    thread = threading.Thread(target=drive, daemon=True)
    thread.start()
    assert heard.wait(IN_TIME_S)
    assert not ended.is_set()
    return told[0], thread, errors


def outcomes(microscope: Microscope, patience_s: float) -> dict[str, bool]:
    """Each safe step, and whether it came back without a fault."""
    results = {}
    for name, step in microscope.safe_steps():
        try:
            call_within(patience_s, step, name)
            results[name] = True
        except (DeadlineError, DeviceError):
            results[name] = False
    return results


@pytest.mark.parametrize("rig", ["simulated", "simulated-equipped"])
def test_light_goes_off_and_the_focus_down_while_the_camera_hangs(rig):
    with twin_hanging(TwinFaultKind.CAMERA_SNAP_HANGS, rig) as hanging:
        hung, thread, errors = hang(hanging)
        assert (hung.device, hung.action) == ("Camera", "exposure")
        assert hung.waited_s > HANG_S
        assert set(outcomes(hanging.microscope, 5.0).values()) == {True}
        twin = twin_of(hanging.core)
        assert not twin.lamp_open
        assert twin.lens_um() == pytest.approx(hanging.microscope.rig.focus.down_um)
        hanging.let_go.set()
        thread.join(IN_TIME_S)
        assert [type(error) for error in errors] == [DeviceError]


def test_devices_that_share_the_lock_are_named_and_waited_for_no_longer_than_their_time():
    with twin_hanging(TwinFaultKind.LIBRARY_HANGS) as hanging:
        _, thread, _ = hang(hanging)
        start_s = time.monotonic()
        assert set(outcomes(hanging.microscope, 0.3).values()) == {False}
        assert time.monotonic() - start_s < 10.0
        hanging.let_go.set()
        thread.join(IN_TIME_S)


def test_a_snap_that_hangs_in_cpp_is_noticed_and_its_library_alone_is_blocked():
    core, microscope = lit_microscope("demo-camera")
    try:
        stand_ready(microscope)
        microscope.snap(EXPOSURE_MS)
        # Behind our back: the call stays in the adapter, with the lock of its library, for three seconds.
        core.setExposure("Camera", 3_000.0)
        hung, thread, errors = hang(Hanging(core, microscope, threading.Event()))
        assert (hung.device, hung.action) == ("Camera", "exposure")
        blocked = outcomes(microscope, 0.3)
        # The demo's shutter, stage and focus come from the same library.
        assert blocked == {"light off": False, "stage and autofocus halted": False, "focus down": False}
        thread.join(IN_TIME_S)
        # What was sent while it hung has been carried out since; nothing was taken for a picture of another place.
        assert not core.getShutterOpen("Lamp")
        assert all(isinstance(error, DeviceError) for error in errors)
    finally:
        core.unloadAllDevices()


def test_calls_that_return_are_nobodys_business():
    told = []
    with CallWatchdog(told.append) as watchdog:
        for _ in range(50):
            with watchdog.watched("Z", "move", 10.0):
                pass
        with pytest.raises(ValueError, match="refused"), watchdog.watched("Z", "move", 10.0):
            raise ValueError("refused")
    assert told == []


def test_the_first_call_that_hangs_is_told_once():
    now = [0.0]
    heard = threading.Event()
    told: list[HungCall] = []

    def on_hang(hung: HungCall) -> None:
        told.append(hung)
        heard.set()

    with CallWatchdog(on_hang, now_s=lambda: now[0]) as watchdog, watchdog.watched("Camera", "exposure", 5.0):
        now[0] = 7.0
        assert heard.wait(IN_TIME_S)
    assert [str(hung) for hung in told] == ["Camera: exposure has not returned for 7 s"]

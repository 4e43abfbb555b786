"""What every hardware autofocus has to keep, and what the microscope does where one doesn't."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from scanner.coordinates import StagePoint
from scanner.core import ScanCore
from scanner.core_autofocus import autofocus_of
from scanner.errors import AutofocusDefect, AutofocusError, DeviceNotReadyError, InterlockError, LimitError
from scanner.interlocks import Action, Situation, check_interlocks
from scanner.microscope import Microscope
from scanner.peripherals import HardwareAutofocus
from scanner.rig import Rig, load_rig
from scanner.rig_equipment import AutofocusMode
from simulators.clock import ManualClock
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind
from simulators.twin import Twin

pytestmark = pytest.mark.conformance

RIGS = Path(__file__).parents[2] / "hardware_configs"
SMALL_AREA_UM = (30_000.0, 11_000.0, 31_600.0, 12_200.0)
HERE, THERE = StagePoint(30_500.0, 11_500.0), StagePoint(31_100.0, 11_900.0)
EXPECTED_UM = 2_000.0
EXPOSURE_MS = 5.0


@dataclass
class DeviceBench:
    """A hardware autofocus beside a focus drive that stands in its range."""

    device: HardwareAutofocus
    pass_time: Callable[[float], None]

    def settles(self, *, locked: bool) -> bool:
        for _ in range(500):
            if self.device.is_locked() is locked:
                return True
            self.pass_time(0.01)
        return False


@contextmanager
def twin_device() -> Iterator[DeviceBench]:
    core = ScanCore()
    try:
        core.loadSystemConfiguration(RIGS / "simulated-equipped" / "micro-manager.cfg")
        twin, clock = twin_of(core), ManualClock()
        twin.clock = clock
        twin.settings = replace(twin.settings, cells=0, area_um=SMALL_AREA_UM)
        core.setPosition("Z", EXPECTED_UM)
        clock.sleep_s(5.0)
        yield DeviceBench(autofocus_of(core, "Autofocus"), clock.sleep_s)
    finally:
        core.unloadAllDevices()


@contextmanager
def demo_device() -> Iterator[DeviceBench]:
    core = ScanCore()
    try:
        core.loadDevice("DHub", "DemoCamera", "DHub")
        core.loadDevice("Autofocus", "DemoCamera", "DAutoFocus")
        core.initializeAllDevices()
        yield DeviceBench(autofocus_of(core, "Autofocus"), lambda _seconds: None)
    finally:
        core.unloadAllDevices()


@pytest.fixture(params=[twin_device, demo_device], ids=["twin", "demo"])
def device_bench(request) -> Iterator[DeviceBench]:
    with request.param() as bench:
        yield bench


def test_it_is_off_until_it_is_switched_on_and_off_again_afterwards(device_bench):
    device = device_bench.device
    assert not device.is_on()
    assert not device.is_locked()
    device.switch(on=True)
    assert device.is_on()
    device.switch(on=False)
    assert not device.is_on()
    assert not device.is_locked()


def test_it_locks_while_it_is_on(device_bench):
    device_bench.device.switch(on=True)
    assert device_bench.settles(locked=True)


def test_it_reports_the_offset_that_was_set(device_bench):
    for offset in (3.0, -2.5, 0.0):
        device_bench.device.set_offset(offset)
        assert device_bench.device.offset() == pytest.approx(offset)


def test_it_focuses_once_and_lets_go(device_bench):
    device_bench.device.focus_once()
    assert not device_bench.device.is_on()


def test_what_is_no_autofocus_is_refused():
    core = ScanCore()
    try:
        core.loadDevice("DHub", "DemoCamera", "DHub")
        core.loadDevice("Z", "DemoCamera", "DStage")
        core.initializeAllDevices()
        with pytest.raises(DeviceNotReadyError, match="is no autofocus"):
            autofocus_of(core, "Z")
    finally:
        core.unloadAllDevices()


# -- the microscope with one -------------------------------------------------------------------------------------


@dataclass
class EquippedBench:
    rig: Rig
    core: ScanCore
    twin: Twin
    microscope: Microscope

    def spoil(self, kind: TwinFaultKind, nth: int = 1, times: int | None = 1) -> None:
        self.twin.faults.add(TwinFault(kind, "Autofocus", nth, times))

    def sharp_um(self) -> float:
        return self.twin.sharp_um(self.twin.objective)

    def events(self, kind: str) -> list[str]:
        return [event.detail for event in self.twin.events if event.kind == kind]

    def go(self, place: StagePoint = HERE) -> None:
        self.microscope.move_to(place)
        self.microscope.focus_to(EXPECTED_UM)


def open_equipped(*, mode: AutofocusMode = AutofocusMode.CONTINUOUS) -> tuple[Rig, ScanCore]:
    rig, cfg = load_rig(RIGS / "simulated-equipped")
    assert rig.autofocus is not None
    rig = rig.model_copy(update={"autofocus": rig.autofocus.model_copy(update={"mode": mode})})
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    return rig, core


@pytest.fixture
def equipped(request) -> Iterator[EquippedBench]:
    rig, core = open_equipped(mode=getattr(request, "param", AutofocusMode.CONTINUOUS))
    try:
        twin = twin_of(core)
        twin.settings = replace(twin.settings, cells=0, nuclei_per_mm2=30.0, seed=5, area_um=SMALL_AREA_UM)
        microscope = Microscope(core, rig)
        microscope.select_objective("10x")
        microscope.light(on=True)
        yield EquippedBench(rig, core, twin, microscope)
        # Nobody ever moved the focus or the turret against it.
        assert not [event for event in twin.events if event.kind in {"autofocus", "collision"}]
    finally:
        core.unloadAllDevices()


def test_it_follows_the_specimen_from_place_to_place(equipped):
    equipped.go()
    for place in (HERE, THERE, HERE):
        equipped.microscope.move_to(place)
        assert equipped.microscope.lock_autofocus(EXPECTED_UM) == pytest.approx(equipped.sharp_um(), abs=0.2)
        frame = equipped.microscope.snap(EXPOSURE_MS)
        assert frame.z_um == pytest.approx(equipped.sharp_um(), abs=0.2)
        assert abs(equipped.twin.handed_over[-1][0].defocus_um) < 0.2
    assert equipped.microscope.autofocus_holds


@pytest.mark.parametrize("equipped", [AutofocusMode.SINGLE], indirect=True)
def test_a_single_lock_lets_the_drive_go_again(equipped):
    equipped.go()
    assert equipped.microscope.lock_autofocus(EXPECTED_UM) == pytest.approx(equipped.sharp_um(), abs=0.2)
    assert not equipped.twin.autofocus.is_on
    assert not equipped.microscope.autofocus_holds
    equipped.microscope.snap(EXPOSURE_MS)


# Fault, what the error says is wrong, its words.
FAULTS = [
    (TwinFaultKind.AUTOFOCUS_OUT_OF_RANGE, AutofocusDefect.REFUSED, "out of focus search range"),
    (TwinFaultKind.AUTOFOCUS_NEVER_LOCKS, AutofocusDefect.NO_LOCK, "no lock, wanted within 2 s"),
    (
        TwinFaultKind.AUTOFOCUS_WRONG_SURFACE,
        AutofocusDefect.WRONG_SURFACE,
        "left the focus envelope|another surface",
    ),
    (TwinFaultKind.AUTOFOCUS_RUNS_AWAY, AutofocusDefect.WRONG_SURFACE, "left the focus envelope"),
]


@pytest.mark.parametrize(("kind", "defect", "words"), FAULTS, ids=[row[0].value for row in FAULTS])
def test_a_lock_that_fails_is_an_error_and_the_drive_is_free(equipped, kind, defect, words):
    equipped.go()
    equipped.spoil(kind)
    with pytest.raises(AutofocusError, match=words) as raised:
        equipped.microscope.lock_autofocus(EXPECTED_UM)
    assert raised.value.defect is defect
    assert equipped.events("fault")
    assert not equipped.twin.autofocus.is_on
    # The next attempt finds a sound device, and a drive that obeys.
    assert equipped.microscope.focus_to(EXPECTED_UM) == pytest.approx(EXPECTED_UM, abs=0.2)
    assert equipped.microscope.lock_autofocus(EXPECTED_UM) == pytest.approx(equipped.sharp_um(), abs=0.2)


def test_the_coverslips_upper_side_within_the_envelope_is_not_believed(equipped):
    envelope = equipped.microscope.objective.focus
    wide = equipped.microscope.objective.model_copy(
        update={"focus": envelope.model_copy(update={"min_um": 1_500.0})}
    )
    rig = equipped.rig.model_copy(update={"objectives": (wide, *equipped.rig.objectives[1:])})
    microscope = Microscope(equipped.core, rig)
    microscope.move_to(HERE)
    microscope.focus_to(EXPECTED_UM)
    equipped.spoil(TwinFaultKind.AUTOFOCUS_WRONG_SURFACE)
    with pytest.raises(AutofocusError, match="another surface than the specimen") as raised:
        microscope.lock_autofocus(EXPECTED_UM)
    assert raised.value.defect is AutofocusDefect.WRONG_SURFACE
    assert raised.value.actual == pytest.approx(equipped.sharp_um() - 112.0, abs=1.0)


def test_a_lost_lock_prevents_the_picture(equipped):
    equipped.go()
    equipped.spoil(TwinFaultKind.AUTOFOCUS_LOSES_LOCK)
    equipped.microscope.lock_autofocus(EXPECTED_UM)
    with pytest.raises(AutofocusError, match="the lock was lost") as raised:
        equipped.microscope.expose(EXPOSURE_MS)
    assert raised.value.defect is AutofocusDefect.LOST
    assert equipped.twin.exposures == 0
    assert not equipped.twin.autofocus.is_on


def test_an_offset_that_creeps_is_noticed_before_a_picture_is_blurred_by_more_than_the_rig_allows(equipped):
    equipped.go()
    equipped.spoil(TwinFaultKind.AUTOFOCUS_OFFSET_DRIFTS, times=None)

    def photograph(places):
        for place in places:
            equipped.microscope.move_to(place)
            equipped.microscope.lock_autofocus(EXPECTED_UM)
            equipped.microscope.snap(EXPOSURE_MS)

    with pytest.raises(AutofocusError, match="another surface") as raised:
        photograph((HERE, THERE) * 10)
    assert raised.value.defect is AutofocusDefect.WRONG_SURFACE
    assert 1 <= equipped.twin.exposures <= 2
    for (sight,) in equipped.twin.handed_over:
        assert abs(sight.defocus_um) <= equipped.rig.autofocus.surface_tolerance_um + 3.0


def test_an_offset_that_the_device_does_not_take_is_an_error(equipped):
    equipped.go()
    device = equipped.core.python_device("Autofocus")
    device.offset = lambda: 3.0
    with pytest.raises(AutofocusError, match="another offset than was set") as raised:
        equipped.microscope.lock_autofocus(EXPECTED_UM)
    assert raised.value.defect is AutofocusDefect.OFFSET


def test_it_is_off_before_anything_else_moves_the_focus_or_the_turret(equipped):
    microscope = equipped.microscope
    actions = [
        lambda: microscope.focus_to(EXPECTED_UM + 5.0),
        microscope.lower_focus,
        lambda: microscope.select_objective("63x", oil_allowed=True),
        lambda: microscope.home(allowed=True),
        microscope.stop,
        lambda: microscope.safe_state() and pytest.fail("not safe"),
    ]
    for action in actions:
        microscope.resume()
        microscope.slides.declare_clean()
        microscope.select_objective("10x")
        equipped.go()
        microscope.lock_autofocus(EXPECTED_UM)
        assert equipped.twin.autofocus.is_on
        action()
        assert not equipped.twin.autofocus.is_on
        assert not microscope.autofocus_holds


def test_one_that_somebody_left_on_is_switched_off_before_the_focus_moves(equipped):
    equipped.go()
    equipped.core.python_device("Autofocus").switch(on=True)
    Microscope(equipped.core, equipped.rig).lower_focus()
    assert not equipped.twin.autofocus.is_on


def test_one_that_stays_on_keeps_the_focus_from_moving_but_not_from_being_lowered_in_the_end(equipped):
    equipped.go()
    equipped.microscope.lock_autofocus(EXPECTED_UM)
    device = equipped.core.python_device("Autofocus")
    switch = device.switch
    device.switch = lambda *, on: None
    with pytest.raises(DeviceNotReadyError, match="did not switch off"):
        equipped.microscope.focus_to(EXPECTED_UM)
    faults = equipped.microscope.safe_state()
    assert [type(fault) for fault in faults] == [DeviceNotReadyError]
    assert equipped.twin.lens_um() == pytest.approx(equipped.rig.focus.down_um)
    assert not equipped.twin.lamp_open
    device.switch = switch
    equipped.twin._record._events.clear()


@pytest.mark.parametrize(
    "action", [Action.HOME, Action.TURN_TURRET, Action.CHANGE_SLIDE, Action.APPLY_OIL], ids=lambda a: a.value
)
def test_the_interlocks_know_it(equipped, action):
    situation = Situation(
        equipped.rig.objectives[0],
        autofocus_is_on=True,
        oil_allowed=True,
        homing_allowed=True,
        at_load_position=True,
    )
    with pytest.raises(InterlockError, match="autofocus_off_before_anything_else_acts"):
        check_interlocks(action, situation, device="XY")


def test_an_expected_focus_out_of_the_envelope_is_refused_before_it_is_switched_on(equipped):
    equipped.go()
    with pytest.raises(LimitError):
        equipped.microscope.lock_autofocus(2_500.0)
    assert not equipped.twin.autofocus.is_on


def test_a_rig_without_one_says_so(bench):
    assert not bench.microscope.has_autofocus
    with pytest.raises(DeviceNotReadyError, match="no hardware autofocus"):
        bench.microscope.lock_autofocus(EXPECTED_UM)

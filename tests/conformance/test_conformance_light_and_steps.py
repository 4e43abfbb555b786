"""Lamps that warm up, filter turrets, stages that count steps: on the twin and Micro-Manager's demo devices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from scanner.configuration_check import MismatchKind, compare_with_core
from scanner.coordinates import StagePoint
from scanner.core import ScanCore
from scanner.errors import DeviceNotReadyError, FrameError, LimitError, MoveStoppedError, PositionError
from scanner.microscope import Microscope
from scanner.rig import Motion, Rig, load_rig
from scanner.rig_equipment import LampConfig, LightPath, ReflectorConfig
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind
from simulators.specimen.banding import Banding

pytestmark = pytest.mark.conformance

RIGS = Path(__file__).parents[2] / "hardware_configs"
HERE = StagePoint(30_500.0, 11_500.0)
EXPOSURE_MS = 5.0


@dataclass
class Equipped:
    rig: Rig
    core: ScanCore

    def microscope(self, **keys: object) -> Microscope:
        return Microscope(self.core, self.rig.model_copy(update=keys))

    @property
    def twin(self):
        return twin_of(self.core)

    def spoil(self, kind: TwinFaultKind, device: str) -> None:
        self.twin.faults.add(TwinFault(kind, device))


def open_twin() -> Equipped:
    rig, cfg = load_rig(RIGS / "simulated-equipped")
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    twin = twin_of(core)
    twin.settings = replace(twin.settings, cells=0, nuclei_per_mm2=0.0)
    return Equipped(rig, core)


def open_demo() -> Equipped:
    """Micro-Manager's demo devices; its wheel stands for the reflector turret."""
    rig, cfg = load_rig(RIGS / "demo-camera")
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    core.setProperty("XY", "Velocity", 2000)
    core.loadDevice("Reflector", "DemoCamera", "DWheel")
    core.setParentLabel("Reflector", "DHub")
    core.initializeDevice("Reflector")
    for position, label in enumerate(("1-empty", "2-DAPI")):
        core.defineStateLabel("Reflector", position, label)
    devices = rig.devices.model_copy(update={"reflector": "Reflector"})
    reflector = ReflectorConfig(bright_field="1-empty", fluorescence="2-DAPI")
    lamp = LampConfig(ready_property="State", ready_value="1", deadline_s=1.0)
    return Equipped(rig.model_copy(update={"devices": devices, "reflector": reflector, "lamp": lamp}), core)


@pytest.fixture(params=[open_twin, open_demo], ids=["twin", "demo"])
def either(request) -> Iterator[Equipped]:
    equipped = request.param()
    yield equipped
    equipped.core.unloadAllDevices()


@pytest.fixture
def equipped() -> Iterator[Equipped]:
    opened = open_twin()
    yield opened
    opened.core.unloadAllDevices()


# -- filters -----------------------------------------------------------------------------------------------------


def test_filters_are_turned_to_and_read_back(either):
    microscope = either.microscope()
    for path, label in ((LightPath.FLUORESCENCE, "2-DAPI"), (LightPath.BRIGHT_FIELD, "1-empty")):
        microscope.select_light_path(path)
        assert either.core.getStateLabel("Reflector") == label
    microscope.light(on=True)


def test_filters_that_somebody_turned_by_hand_keep_the_light_off(either):
    microscope = either.microscope()
    microscope.select_light_path(LightPath.BRIGHT_FIELD)
    either.core.setStateLabel("Reflector", "2-DAPI")
    with pytest.raises(
        DeviceNotReadyError, match=r"wrong filters for bright_field.*wanted 1-empty, actual 2-DAPI"
    ):
        microscope.light(on=True)
    assert not either.core.getShutterOpen("Lamp")


def test_a_rig_without_filters_for_a_light_says_so_and_turns_nothing(either):
    microscope = either.microscope(reflector=ReflectorConfig(bright_field="1-empty"))
    with pytest.raises(DeviceNotReadyError, match="no filters for this light"):
        microscope.select_light_path(LightPath.FLUORESCENCE)
    assert either.core.getStateLabel("Reflector") == "1-empty"


def test_a_label_that_the_turret_lacks_is_found_before_anything_moves(either):
    rig = either.rig.model_copy(update={"reflector": ReflectorConfig(bright_field="5-Q", fluorescence="2-DAPI")})
    found = [m for m in compare_with_core(rig, either.core) if m.kind is MismatchKind.FILTER_LABEL]
    assert [mismatch.key for mismatch in found] == ["reflector.bright_field"]
    assert "'1-empty'" in found[0].text


def test_filters_that_are_stuck_are_an_error(equipped):
    equipped.spoil(TwinFaultKind.FILTERS_STUCK, "Reflector")
    microscope = equipped.microscope()
    with pytest.raises(DeviceNotReadyError, match="wrong filters for fluorescence"):
        microscope.select_light_path(LightPath.FLUORESCENCE)
    microscope.select_light_path(LightPath.FLUORESCENCE)


def test_filters_that_lie_give_no_picture(equipped):
    twin = equipped.twin
    twin.settings = replace(twin.settings, banding=Banding.DAPI)
    microscope = equipped.microscope()
    microscope.move_to(HERE)
    equipped.spoil(TwinFaultKind.FILTERS_LIE, "Reflector")
    microscope.select_light_path(LightPath.FLUORESCENCE)
    microscope.light(on=True)
    with pytest.raises(FrameError, match="black frame"):
        microscope.snap(EXPOSURE_MS)


# -- lamp --------------------------------------------------------------------------------------------------------


def test_a_lamp_that_is_ready_at_once_is_not_waited_for(either):
    microscope = either.microscope(lamp=None)
    assert microscope.lamp_wait_s == 0.0
    with microscope.lit():
        assert either.core.getShutterOpen("Lamp")


def test_a_property_that_says_ready_ends_the_wait(either):
    microscope = either.microscope()
    microscope.light(on=True)
    assert microscope.lamp_wait_s > 0.0
    microscope.await_lamp()
    assert microscope.lamp_wait_s == 0.0


def test_the_property_is_looked_for_before_anything_moves(either):
    assert not [m for m in compare_with_core(either.rig, either.core) if m.kind is MismatchKind.LAMP_PROPERTY]
    rig = either.rig.model_copy(update={"lamp": LampConfig(ready_property="Heat")})
    assert [m.key for m in compare_with_core(rig, either.core)] == ["lamp.ready_property"]


@pytest.mark.parametrize(
    "lamp", [LampConfig(warm_up_s=40.0), LampConfig(ready_property="State")], ids=["time", "says"]
)
def test_the_twins_lamp_is_waited_for_once_whatever_its_shutter_does(equipped, lamp):
    microscope, clock = equipped.microscope(lamp=lamp), equipped.twin.clock
    start_s = clock.now_s()
    with microscope.lit():
        waited_s = clock.now_s() - start_s
    assert waited_s == pytest.approx(40.0 if lamp.warm_up_s else 30.0, abs=0.5)
    start_s = clock.now_s()
    with microscope.lit():
        assert clock.now_s() - start_s < 1.0


def test_a_lamp_that_never_gets_ready_is_given_up_at_its_deadline_and_goes_off(equipped):
    equipped.spoil(TwinFaultKind.LAMP_NEVER_READY, "Lamp")
    microscope, clock = equipped.microscope(), equipped.twin.clock
    with (
        pytest.raises(DeviceNotReadyError, match=r"did not get ready.*State Ready within 120 s"),
        microscope.lit(),
    ):
        pytest.fail("lit by a lamp that isn't ready")
    assert clock.now_s() == pytest.approx(120.0, abs=1.0)
    assert not equipped.twin.lamp_open


def test_a_stop_ends_the_wait(equipped):
    microscope = equipped.microscope()
    microscope.light(on=True)
    asked = []

    def check():
        asked.append(microscope.lamp_wait_s)
        if len(asked) == 5:
            microscope.stop()

    with pytest.raises(MoveStoppedError):
        microscope.await_lamp(check)
    assert len(asked) == 5


# -- steps -------------------------------------------------------------------------------------------------------


def stepping(rig: Rig, um_per_step: float) -> Rig:
    motion = Motion.model_validate(rig.stage.motion.model_dump() | {"um_per_step": um_per_step})
    return rig.model_copy(update={"stage": rig.stage.model_copy(update={"motion": motion})})


@pytest.fixture(params=["twin", "demo"])
def stepper(request) -> Iterator[tuple[Equipped, float]]:
    opened = open_twin() if request.param == "twin" else open_demo()
    # The demo's stage has steps of its own, by its adapter.
    um_per_step = 0.5 if request.param == "twin" else 0.015
    opened.rig = stepping(opened.rig, um_per_step)
    yield opened, um_per_step
    opened.core.unloadAllDevices()


def test_a_stage_that_counts_steps_is_sent_to_whole_steps_and_read_back_within_one(stepper):
    opened, um_per_step = stepper
    microscope = opened.microscope()
    for target in (StagePoint(1_000.2371, 1_200.777), StagePoint(1_501.1111, 1_100.4999)):
        here = microscope.move_to(target)
        for actual_um, wanted_um in ((here.x_um, target.x_um), (here.y_um, target.y_um)):
            assert actual_um / um_per_step == pytest.approx(round(actual_um / um_per_step), abs=1e-3)
            assert abs(actual_um - wanted_um) <= um_per_step / 2 + 1e-6
        with microscope.lit():
            assert microscope.snap(EXPOSURE_MS).view.stage == here


def test_rounding_never_leaves_the_limits(stepper):
    opened, _ = stepper
    limits = opened.rig.stage.x.model_copy(update={"min_um": 1_000.2, "max_um": 1_999.7})
    rig = opened.rig.model_copy(update={"stage": opened.rig.stage.model_copy(update={"x": limits})})
    microscope = Microscope(opened.core, rig)
    for edge_um in (limits.min_um, limits.max_um):
        assert microscope.move_to(StagePoint(edge_um, 1_000.0)).x_um in limits
    for beyond_um in (limits.min_um - 0.05, limits.max_um + 0.05):
        with pytest.raises(LimitError):
            microscope.move_to(StagePoint(beyond_um, 1_000.0))


def test_a_stage_that_stops_more_than_one_step_off_is_an_error_though_within_the_tolerance(equipped):
    microscope = equipped.microscope()
    microscope.move_to(HERE)
    device = equipped.core.python_device("XY")
    honest = device.get_position_um
    device.get_position_um = lambda: (honest()[0] + 1.0, honest()[1])
    assert equipped.rig.stage.motion.tolerance_um > 1.0
    with pytest.raises(PositionError, match="not where it was sent"):
        microscope.move_to(HERE.shifted(100.0, 0.0))


def test_a_step_that_is_coarser_than_the_tolerance_is_refused():
    with pytest.raises(ValueError, match="at least half of um_per_step"):
        Motion(speed_um_s=1_000, acceleration_um_s2=1_000, tolerance_um=0.2, um_per_step=0.5)

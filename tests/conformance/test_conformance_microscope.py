"""The whole instrument on every rig that is shipped: it arrives, or it says so; it never photographs elsewhere."""

from pathlib import Path

import pytest

from scanner.coordinates import StagePoint
from scanner.errors import (
    DeviceError,
    DeviceNotReadyError,
    InterlockError,
    LimitError,
    MoveStoppedError,
    PositionError,
)
from scanner.rig import Rig
from scanner.strict_yaml import load_strict
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind
from simulators.serial.faults import SerialFaultKind as Kind

pytestmark = pytest.mark.conformance

HERE = StagePoint(1_500.0, 1_250.0)
THERE = StagePoint(1_800.0, 1_350.0)


def test_a_move_arrives_and_what_is_photographed_is_there(any_rig):
    microscope = any_rig.microscope
    envelope = microscope.objective.focus
    for place in (HERE, THERE, HERE):
        assert microscope.move_to(place).distance_um(place) <= any_rig.rig.stage.motion.tolerance_um
    z_um = (envelope.min_um + envelope.max_um) / 2.0
    assert microscope.focus_to(z_um) == pytest.approx(z_um, abs=any_rig.rig.focus.motion.tolerance_um)
    with microscope.lit():
        frame = microscope.snap(8.0)
    assert frame.pixels.shape == (1024, 1360)
    assert frame.view.stage.distance_um(HERE) <= any_rig.rig.stage.motion.tolerance_um


def test_what_lies_outside_is_refused_and_nothing_moves(any_rig):
    before = any_rig.microscope.stage_position()
    for target in (StagePoint(-1.0, 0.0), StagePoint(0.0, 26_000.5), StagePoint(float("nan"), 0.0)):
        with pytest.raises(LimitError):
            any_rig.microscope.move_to(target)
    assert any_rig.microscope.stage_position() == before


def test_the_objective_changes_with_the_focus_down(any_rig):
    any_rig.microscope.select_objective("63x", oil_allowed=True)
    assert any_rig.microscope.objective.name == "63x"
    assert any_rig.microscope.focus_position_um() == pytest.approx(any_rig.rig.focus.down_um, abs=0.2)
    assert any_rig.core.getPixelSizeUm() == pytest.approx(0.10238)


def test_the_safe_state_is_reached(any_rig):
    any_rig.microscope.move_to(HERE)
    any_rig.microscope.light(on=True)
    assert any_rig.microscope.safe_state() == ()
    assert not any_rig.core.getShutterOpen("Lamp")
    with pytest.raises(MoveStoppedError):
        any_rig.microscope.move_to(THERE)


STAGE_FAULTS = {
    "tango": [
        ((Kind.MUTE, "!moa"), PositionError),
        ((Kind.MUTE, "?err"), DeviceNotReadyError),
        ((Kind.MUTE, "?pos"), DeviceNotReadyError),
        ((Kind.MUTE, "?statusaxis"), DeviceNotReadyError),
        ((Kind.GARBLED, "?err"), DeviceError),
        ((Kind.GARBLED, "?pos"), DeviceError),
        ((Kind.GARBLED, "?statusaxis"), DeviceError),
        ((Kind.LATE, "?pos"), DeviceNotReadyError),
        ((Kind.WRONG_ECHO, "?statusaxis"), DeviceError),
        ((Kind.HANGS_UP, "!moa"), DeviceNotReadyError),
        ((Kind.HANGS_UP, "?statusaxis"), DeviceNotReadyError),
        ((Kind.LIMIT_SWITCH, "!moa"), DeviceError),
        ((Kind.EMERGENCY_STOP, "!moa"), DeviceNotReadyError),
        ((Kind.JOYSTICK_ON, "!moa"), InterlockError),
        ((Kind.LOST_STEPS, "!moa"), PositionError),
    ],
    "prior": [
        ((Kind.MUTE, "G"), DeviceError),
        ((Kind.MUTE, "PX"), DeviceNotReadyError),
        ((Kind.MUTE, "$"), DeviceNotReadyError),
        ((Kind.GARBLED, "PY"), DeviceError),
        ((Kind.GARBLED, "$"), DeviceError),
        ((Kind.LATE, "PX"), DeviceNotReadyError),
        ((Kind.WRONG_ECHO, "$"), DeviceError),
        ((Kind.HANGS_UP, "G"), DeviceNotReadyError),
        ((Kind.LIMIT_SWITCH, "G"), PositionError),
        ((Kind.EMERGENCY_STOP, "G"), PositionError),
    ],
}
CASES = [
    pytest.param(f"{maker}-serial", fault, error, id=f"{maker}-{fault[0].value}-{fault[1]}")
    for maker, faults in STAGE_FAULTS.items()
    for fault, error in faults
]


@pytest.mark.parametrize(("wired_rig", "fault", "error"), CASES, indirect=["wired_rig"])
def test_a_stage_that_fails_is_an_error_and_never_a_picture(wired_rig, fault, error):
    twin = twin_of(wired_rig.core)
    microscope = wired_rig.microscope
    microscope.move_to(HERE)
    microscope.light(on=True)
    wired_rig.fault(*fault)
    if error is DeviceError and fault == (Kind.MUTE, "G"):
        # A command that was lost leaves the stage where it was: a missing answer, or a place not reached.
        error = (DeviceNotReadyError, PositionError)
    with pytest.raises(error):
        microscope.move_to(THERE.shifted(2_000.0, 0.0))
    try:
        frame = microscope.snap(8.0)
    except DeviceError:
        assert twin.exposures == 0
    else:
        # It failed before anything was sent: the stage rests where it was proven to be, and the picture says so.
        assert frame.view.stage.distance_um(HERE) <= 2.0
        assert twin.stage_um() == pytest.approx((HERE.x_um, HERE.y_um), abs=2.0)
    microscope.safe_state()
    assert not twin.lamp_open


def test_a_controller_that_falls_silent_before_the_picture_prevents_it(wired_rig):
    wired_rig.microscope.move_to(HERE)
    wired_rig.microscope.light(on=True)
    wired_rig.fault(Kind.MUTE, times=None)
    with pytest.raises(DeviceNotReadyError):
        wired_rig.microscope.snap(8.0)
    assert twin_of(wired_rig.core).exposures == 0


def test_the_run_goes_on_after_a_moment_of_silence(wired_rig):
    microscope = wired_rig.microscope
    microscope.move_to(HERE)
    wired_rig.fault(Kind.MUTE)
    with pytest.raises(DeviceNotReadyError):
        microscope.stage_position()
    assert microscope.move_to(THERE).distance_um(THERE) <= 2.0


def test_the_faults_of_the_twin_go_through_the_line(wired_rig):
    twin_of(wired_rig.core).faults.add(TwinFault(TwinFaultKind.MOVE_FAILS, "XY"))
    with pytest.raises(DeviceError, match="controller error 2"):
        wired_rig.microscope.move_to(HERE)
    twin_of(wired_rig.core).faults.add(TwinFault(TwinFaultKind.MOVE_SHORT, "XY"))
    with pytest.raises(PositionError):
        wired_rig.microscope.move_to(THERE)


def test_the_template_names_only_devices_that_its_configuration_loads():
    folder = Path(__file__).parents[2] / "hardware_configs" / "axioimager-z2-tango"
    rig = load_strict(Rig, folder / "rig.yaml.example", lambda message, path, line: AssertionError(message))
    lines = (folder / "micro-manager.cfg.example").read_text().splitlines()
    loaded = {line.split(",")[1] for line in lines if line.startswith("Device,")}
    labels = {line.split(",", 3)[3] for line in lines if line.startswith("Label,")}
    assert set(rig.devices.model_dump().values()) - {None} <= loaded
    assert {objective.label for objective in rig.objectives} <= labels

"""The simulated controllers speak the tables of docs/reference/serial."""

import numpy as np
import pytest

from simulators.clock import InstantClock, ManualClock
from simulators.serial.faults import SerialFault, SerialFaultKind, SerialFaultPlan, parse_serial_faults
from simulators.serial.mechanics import FreeMechanics, TwinMechanics
from simulators.serial.prior import ProScanController
from simulators.serial.tango import TangoController
from simulators.twin import Twin


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def tango(clock):
    controller = TangoController(FreeMechanics(clock))
    say(controller, "!autostatus 0", "!joy 0", "!dim 1 1", "!dim z 1", "!encpos 1 1")
    return controller


@pytest.fixture
def prior(clock):
    controller = ProScanController(FreeMechanics(clock))
    say(controller, "COMP 0", "RES,s,0.1", "RES,z,0.1")
    return controller


def say(controller, *commands):
    return [controller.receive(command) for command in commands][-1]


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("?version", "TANGO-DT, Version 1.73, Jun 12 2023, 10:00:00"),
        ("?err", "0"),
        ("?statusaxis", "@@@-."),
        ("?pos", "60000.0000 50000.0000 2500.0000"),
        ("?pos z", "2500.0000"),
        ("?lim x", "0.0000 120000.0000"),
        ("?calst x", "0"),
        ("?vel x", "20.0000"),
        ("?accel", "0.2000 0.2000 0.2000"),
        ("?backlash y", "0.0000"),
        ("?joy", "0"),
        ("?dim", "1 1 1"),
        ("?encpos", "1 1 0"),
        ("?autostatus", "0"),
        ("", None),
    ],
)
def test_a_tango_answers_by_its_table(tango, question, answer):
    assert say(tango, question) == answer


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("!moa q 1", "1"),
        ("!moa", "6"),
        ("!moa 1 2 3 4", "6"),
        ("!moa 1 x", "4"),
        ("!dance", "4"),
        ("!dim 5 5", "5"),
        ("!moa 120000.1 0", "32"),
        ("!moa z -1", "32"),
        ("!mor x 60000.5", "32"),
    ],
)
def test_a_tango_puts_what_it_refuses_into_its_register_once(tango, command, code):
    assert say(tango, command) is None
    assert say(tango, "?err") == code
    assert say(tango, "?err") == "0"
    assert say(tango, "?statusaxis") == "@@@-."


def test_a_tango_moves_in_the_unit_it_was_told(tango, clock):
    say(tango, "!moa 104857.1230 1000")
    assert say(tango, "?statusaxis") == "MM@-."
    clock.sleep_s(30.0)
    assert say(tango, "?pos") == "104857.1230 1000.0000 2500.0000"
    say(tango, "!dim 2 2")
    assert say(tango, "?pos x") == "104.8571230"
    say(tango, "!mor x 1.5")
    clock.sleep_s(30.0)
    assert say(tango, "!dim x 1", "?pos x") == "106357.1230"


def test_a_tango_stops_one_axis_or_all(tango, clock):
    say(tango, "!moa 0 0")
    clock.sleep_s(0.5)
    assert say(tango, "a x", "?statusaxis") == "@M@-."
    assert say(tango, "!a", "?statusaxis") == "@@@-."


def test_a_tango_calibrates_and_measures_its_range(tango, clock):
    say(tango, "!pos 7 7")
    assert say(tango, "?lim x") == "-59993.0000 60007.0000"
    say(tango, "!cal x", "!cal y")
    assert say(tango, "?statusaxis", "?calst x") == "0"
    clock.sleep_s(30.0)
    assert say(tango, "?calst x") == "1"
    assert say(tango, "?pos x") == "0.0000"
    say(tango, "!rm x")
    clock.sleep_s(30.0)
    assert say(tango, "?calst x") == "3"
    assert say(tango, "?pos x") == "120000.0000"


def test_a_tango_with_its_joystick_on_does_not_drive(tango):
    say(tango, "!joy 2")
    assert say(tango, "?statusaxis") == "JJJ-."
    assert say(tango, "!moa 1 1", "?err") == "11"


def test_a_tango_in_autostatus_tells_when_a_move_has_ended(tango, clock):
    say(tango, "!autostatus 1", "!moa 0 0")
    assert tango.owes
    assert tango.due() == []
    clock.sleep_s(30.0)
    assert tango.due() == ["@@@-."]
    assert not tango.owes


def test_a_tango_drives_faster_when_told(tango, clock):
    say(tango, "!dim 9 9", "!vel x 40", "!dim 1 1", "!moa x 100000")
    clock.sleep_s(40_000 / 40_000 + 40_000 / 200_000 + 0.01)
    assert say(tango, "?statusaxis") == "@@@-."


def test_a_tango_that_was_switched_off_has_forgotten_everything(tango):
    tango.power_cycle()
    assert say(tango, "?pos") == "0.0000000 0.0000000 0.0000000"
    assert say(tango, "?joy") == "2"
    assert say(tango, "?calst x") == "0"


def test_a_tango_without_z_says_so(clock):
    controller = TangoController(FreeMechanics(clock, {"x": (0.0, 1.0), "y": (0.0, 1.0)}))
    assert say(controller, "!joy 0", "?statusaxis") == "@@--."
    assert say(controller, "!moa z 1", "?err") == "1"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("DATE", "Prior Scientific Instruments ProScan III Version 1.01"),
        ("$", "0"),
        ("PX", "600000"),
        ("PZ", "25000"),
        ("RES,s", "0.1"),
        ("RES,s,0", "E,8"),
        ("RES,q", "E,4"),
        ("SMS", "100"),
        ("SMS,50", "0"),
        ("G,1", "E,4"),
        ("G,1,x", "E,4"),
        ("G,1200001,0", "E,8"),
        ("U,25001", "E,8"),
        ("DANCE", "E,5"),
        ("H", "0"),
        ("", None),
    ],
)
def test_a_proscan_answers_by_its_table(prior, command, answer):
    assert say(prior, command) == answer


def test_a_proscan_moves_in_steps(prior, clock):
    assert say(prior, "G,1048571,12346") == "R"
    assert say(prior, "$") == "3"
    assert say(prior, "G,0,0") == "E,2"
    clock.sleep_s(30.0)
    assert (say(prior, "$"), say(prior, "PX"), say(prior, "PY")) == ("0", "1048571", "12346")
    assert say(prior, "GR,-1000,0") == "R"
    clock.sleep_s(30.0)
    assert say(prior, "PX") == "1047571"
    assert say(prior, "D,5000") == "R"
    assert say(prior, "$") == "4"
    assert say(prior, "K") == "R"
    assert say(prior, "$") == "0"


def test_a_proscan_homes_to_its_corner(prior, clock):
    assert say(prior, "SIS") == "R"
    clock.sleep_s(30.0)
    assert (say(prior, "PX"), say(prior, "PY")) == ("0", "0")
    assert say(prior, "PS,500,-500") == "0"
    assert (say(prior, "PX"), say(prior, "PY")) == ("500", "-500")


def test_some_firmware_answers_when_the_move_has_ended(clock):
    controller = ProScanController(FreeMechanics(clock), answers_at_end=True, wheel_moves=True)
    assert say(controller, "G,0,0") is None
    assert say(controller, "$") == "19"
    assert (controller.owes, controller.due()) == (True, [])
    clock.sleep_s(30.0)
    assert controller.due() == ["R"]
    assert not controller.owes


@pytest.mark.parametrize("kind", [SerialFaultKind.LIMIT_SWITCH, SerialFaultKind.EMERGENCY_STOP])
def test_a_spoiled_move_ends_early(tango, clock, kind):
    tango.faults.add(SerialFault(kind, "!moa", nth=2))
    say(tango, "!moa 50000 50000")
    clock.sleep_s(30.0)
    say(tango, "!moa 60000 50000")
    clock.sleep_s(30.0)
    assert say(tango, "?pos x") == "54000.0000"
    assert say(tango, "?err") == ("12" if kind is SerialFaultKind.LIMIT_SWITCH else "27")


def test_steps_are_lost_by_the_axis_and_kept_by_the_count(prior, clock):
    prior.faults.add(SerialFault(SerialFaultKind.LOST_STEPS, "G"))
    say(prior, "G,100000,500000")
    clock.sleep_s(30.0)
    assert say(prior, "PX") == "100000"
    assert prior.mechanics.position_um("x") == pytest.approx(11_000.0)
    say(prior, "GR,1000,0")
    clock.sleep_s(30.0)
    assert prior.mechanics.position_um("x") == pytest.approx(11_100.0)


def test_a_controller_moves_the_twin():
    twin = Twin(clock=InstantClock())
    controller = TangoController(TwinMechanics(twin))
    say(controller, "!joy 0", "!dim 1 1 1", "!moa 1000.5 2000.25", "!moa z 300")
    assert twin.stage_um() == (1000.5, 2000.25)
    assert twin.focus_um() == 300.0
    assert say(controller, "?lim y") == "0.0000 26000.0000"
    assert say(controller, "?statusaxis") == "@@@-."


def test_faults_are_read_from_text():
    faults = parse_serial_faults("mute@?pos:3x*; garbled@?statusaxis; hangs_up@!moa:2; late; ")
    assert faults == (
        SerialFault(SerialFaultKind.MUTE, "?pos", 3, None),
        SerialFault(SerialFaultKind.GARBLED, "?statusaxis"),
        SerialFault(SerialFaultKind.HANGS_UP, "!moa", 2),
        SerialFault(SerialFaultKind.LATE),
    )
    with pytest.raises(ValueError, match="kinds: mute, garbled"):
        parse_serial_faults("deaf@?pos")
    with pytest.raises(ValueError, match="at least once"):
        parse_serial_faults("mute@?pos:0")


def test_a_fault_strikes_its_commands_by_number():
    plan = SerialFaultPlan((SerialFault(SerialFaultKind.MUTE, "?pos", 2, 2),))
    heard = [plan.strikes(SerialFaultKind.MUTE, c) for c in ("?pos", "?err", "?pos z", "?POS", "?pos")]
    assert heard == [False, False, True, True, False]
    assert not plan.strikes(SerialFaultKind.LATE, "?pos")


def test_noise_is_seeded_and_never_passes_for_text():
    garbled = [SerialFaultPlan(seed=seed).garble(b"1234.5678 90.12") for seed in (1, 1, 2)]
    assert garbled[0] == garbled[1] != garbled[2]
    for data in garbled:
        assert np.any(np.frombuffer(data, np.uint8) >= 0x80)


def test_an_axis_that_lost_steps_leans_on_its_end_stop():
    twin = Twin(clock=InstantClock())
    controller = TangoController(TwinMechanics(twin))
    say(controller, "!autostatus 0", "!joy 0", "!dim z 1", "!encpos 0 0 0")
    controller.faults.add(SerialFault(SerialFaultKind.LOST_STEPS, "!moa"))
    say(controller, "!moa z 2000", "!moa z 0")
    assert twin.focus_um() == 0.0
    assert say(controller, "?pos z") == "0.0000"

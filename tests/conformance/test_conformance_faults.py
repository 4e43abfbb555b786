"""What our drivers make of lines and controllers that fail: a typed error, never a wrong value, never a hang."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.errors import DeviceError, DeviceNotReadyError, InterlockError, LimitError, ScannerError
from simulators.serial.faults import SerialFaultKind
from simulators.serial.line import PtyLine, TcpLine

pytestmark = pytest.mark.conformance

POSITION = {"tango": "?pos", "prior": "PX"}
MOVE = {"tango": "!moa", "prior": "G,"}
BUSY = {"tango": "?statusaxis", "prior": "$"}


def spoken(table, bench):
    return table[bench.name.partition("-")[0]]


def go(bench, x_um, y_um):
    bench.core.setXYPosition("XY", x_um, y_um)
    bench.settle("XY")
    return bench.core.getXYPosition("XY")


def test_silence_is_an_error_and_never_a_position(wired):
    wired.fault(SerialFaultKind.MUTE, spoken(POSITION, wired))
    with pytest.raises(DeviceNotReadyError, match="no answer"):
        wired.core.getXYPosition("XY")
    assert wired.core.getXYPosition("XY") == pytest.approx((60_000.0, 50_000.0))


def test_silence_is_an_error_and_never_idle(wired):
    wired.core.setXYPosition("XY", 1000.0, 1000.0)
    wired.fault(SerialFaultKind.MUTE, times=None)
    for _ in range(2):
        with pytest.raises(DeviceNotReadyError):
            wired.core.deviceBusy("XY")


def test_a_controller_that_stays_mute_fails_every_time_and_lets_itself_be_unloaded(wired):
    wired.fault(SerialFaultKind.MUTE, times=None)
    with pytest.raises(DeviceNotReadyError):
        wired.core.setXYPosition("XY", 1000.0, 1000.0)
    with pytest.raises(DeviceNotReadyError):
        wired.core.stop("XY")
    wired.core.unloadAllDevices()


@pytest.mark.parametrize("kind", [SerialFaultKind.GARBLED, SerialFaultKind.WRONG_ECHO])
@pytest.mark.parametrize("table", [POSITION, BUSY], ids=["position", "busy"])
def test_nonsense_is_an_error_and_the_next_answer_is_right(wired, kind, table):
    wired.fault(kind, spoken(table, wired))
    ask = wired.core.getXYPosition if table is POSITION else wired.core.deviceBusy
    with pytest.raises(DeviceError, match="makes no sense"):
        ask("XY")
    assert ask("XY") == (pytest.approx((60_000.0, 50_000.0)) if table is POSITION else False)
    assert go(wired, 1000.0, 2000.0) == pytest.approx((1000.0, 2000.0))


def test_a_late_answer_is_not_taken_for_a_later_one(wired):
    go(wired, 1000.0, 2000.0)
    wired.fault(SerialFaultKind.LATE, spoken(POSITION, wired))
    with pytest.raises(DeviceNotReadyError, match="no answer"):
        wired.core.getXYPosition("XY")
    assert go(wired, 3000.0, 4000.0) == pytest.approx((3000.0, 4000.0))


def test_a_move_whose_command_was_lost_does_not_seem_made(wired):
    before = wired.core.getXYPosition("XY")
    wired.fault(SerialFaultKind.MUTE, spoken(MOVE, wired))
    try:
        wired.core.setXYPosition("XY", 1000.0, 2000.0)
        wired.settle("XY")
    except ScannerError:
        pass
    assert wired.core.getXYPosition("XY") == before


@pytest.mark.parametrize("line", ["pty", "tcp"])
@pytest.mark.parametrize("name", ["tango", "prior"])
def test_a_line_that_was_pulled_out_is_an_error_until_it_is_back(open_serial_bench, tmp_path, name, line):
    cable = TcpLine() if line == "tcp" else PtyLine(tmp_path / "controller")
    with open_serial_bench(name, cable) as bench:
        go(bench, 1000.0, 2000.0)
        bench.simulator.hang_up()
        for _ in range(2):
            with pytest.raises(DeviceNotReadyError, match=r"connection lost|can't be opened"):
                bench.core.getXYPosition("XY")
        # The joystick comes alive while nobody drives; it is locked out again with the connection.
        bench.controller.joystick_on = True
        bench.simulator.plug_in()
        assert bench.core.getXYPosition("XY") == pytest.approx((1000.0, 2000.0))
        assert not bench.controller.joystick_on
        assert go(bench, 3000.0, 4000.0) == pytest.approx((3000.0, 4000.0))


@pytest.mark.parametrize("name", ["tango", "prior"])
def test_a_controller_that_was_off_meanwhile_has_to_be_homed(open_serial_bench, tmp_path, name):
    with open_serial_bench(name, PtyLine(tmp_path / "controller")) as bench:
        go(bench, 1000.0, 2000.0)
        bench.simulator.hang_up()
        with pytest.raises(DeviceNotReadyError):
            bench.core.getXYPosition("XY")
        bench.controller.power_cycle()
        bench.simulator.plug_in()
        with pytest.raises(DeviceNotReadyError, match="home it"):
            bench.core.setXYPosition("XY", 3000.0, 4000.0)
        bench.core.home("XY")
        bench.settle("XY")
        go(bench, 3000.0, 4000.0)
        assert bench.mechanics.position_um("x") == pytest.approx(3000.0)
        assert bench.mechanics.position_um("y") == pytest.approx(4000.0)


@pytest.mark.parametrize(
    ("name", "is_calibrated", "is_kept"), [("tango", True, True), ("tango", False, False), ("prior", True, False)]
)
def test_after_a_move_without_a_witness_only_a_calibration_proves_the_reference(
    open_serial_bench, tmp_path, name, is_calibrated, is_kept
):
    line = PtyLine(tmp_path / "controller")
    with open_serial_bench(name, line, is_calibrated=is_calibrated) as bench:
        bench.core.setXYPosition("XY", 1000.0, 2000.0)
        bench.simulator.hang_up()
        with pytest.raises(DeviceNotReadyError):
            bench.core.deviceBusy("XY")
        bench.pass_time(30.0)
        bench.simulator.plug_in()
        bench.settle("XY")
        if is_kept:
            assert go(bench, 3000.0, 4000.0) == pytest.approx((3000.0, 4000.0))
        else:
            with pytest.raises(DeviceNotReadyError, match="home it"):
                bench.core.setXYPosition("XY", 3000.0, 4000.0)


def test_another_controller_at_the_same_address_is_refused(wired, monkeypatch):
    old = "Version 1.73" if wired.name == "tango" else "ProScan III"
    monkeypatch.setattr(f"simulators.serial.{wired.name.partition('-')[0]}.VERSION", "TANGO, other", raising=False)
    monkeypatch.setattr("simulators.serial.prior.IDENTITY", "Prior, other")
    wired.fault(SerialFaultKind.MUTE, spoken(POSITION, wired))
    with pytest.raises(DeviceNotReadyError, match="no answer"):
        wired.core.getXYPosition("XY")
    with pytest.raises(DeviceNotReadyError, match="another controller") as caught:
        wired.core.getXYPosition("XY")
    assert old in caught.value.wanted


def test_a_limit_switch_is_told_at_the_end_of_the_move(open_serial_bench):
    with open_serial_bench("tango") as bench:
        bench.fault(SerialFaultKind.LIMIT_SWITCH, "!moa")
        bench.core.setXYPosition("XY", 1000.0, 2000.0)
        with pytest.raises(DeviceError, match="limit switch"):
            bench.settle("XY")
        assert go(bench, 1000.0, 2000.0) == pytest.approx((1000.0, 2000.0))


def test_an_emergency_stop_is_told_and_moves_are_refused_until_it_is_released(open_serial_bench):
    with open_serial_bench("tango") as bench:
        bench.fault(SerialFaultKind.EMERGENCY_STOP, "!moa")
        bench.core.setXYPosition("XY", 1000.0, 2000.0)
        for _ in range(2):
            with pytest.raises(DeviceNotReadyError, match="emergency stop"):
                bench.settle("XY") if bench.core.deviceBusy("XY") else bench.core.setXYPosition("XY", 1.0, 2.0)
        bench.controller.emergency_stop = False
        assert go(bench, 1000.0, 2000.0) == pytest.approx((1000.0, 2000.0))


def test_a_joystick_that_was_switched_on_forbids_moves(open_serial_bench):
    with open_serial_bench("tango") as bench:
        bench.fault(SerialFaultKind.JOYSTICK_ON, "!moa")
        with pytest.raises(InterlockError, match="joystick"):
            bench.core.setXYPosition("XY", 1000.0, 2000.0)
        with pytest.raises(InterlockError, match="joystick"):
            bench.core.deviceBusy("XY")
        assert bench.mechanics.position_um("x") == 60_000.0


def test_encoders_see_lost_steps_and_motors_do_not(open_serial_bench):
    for encoders in (1, 0):
        with open_serial_bench("tango", properties={"EncoderPositions": encoders}) as bench:
            bench.fault(SerialFaultKind.LOST_STEPS, "!moa")
            x_um, _ = go(bench, 10_000.0, 50_000.0)
            assert bench.mechanics.position_um("x") == pytest.approx(11_000.0)
            assert x_um == pytest.approx(11_000.0 if encoders else 10_000.0)


@pytest.mark.parametrize(
    ("name", "answer", "error"),
    [("prior", "E,8", LimitError), ("prior-at-end", "E,8", LimitError), ("prior", "E,18", DeviceError)],
)
def test_an_error_that_answers_a_move_is_that_moves(open_serial_bench, monkeypatch, name, answer, error):
    with open_serial_bench(name) as bench:
        with monkeypatch.context() as patch:
            patch.setattr(bench.controller, "_go", lambda *_words, **_more: answer)
            with pytest.raises(error, match="controller error"):
                bench.core.setXYPosition("XY", 1000.0, 2000.0)
        assert go(bench, 1000.0, 2000.0) == pytest.approx((1000.0, 2000.0))


def test_an_answer_that_is_owed_survives_noise(open_serial_bench):
    with open_serial_bench("prior-at-end") as bench:
        bench.core.setXYPosition("XY", 1000.0, 2000.0)
        bench.fault(SerialFaultKind.GARBLED, "$")
        with pytest.raises(DeviceError, match="makes no sense"):
            bench.core.deviceBusy("XY")
        assert bench.core.deviceBusy("XY")
        bench.settle("XY")
        assert bench.core.getXYPosition("XY") == pytest.approx((1000.0, 2000.0))


def test_a_stop_goes_past_a_line_on_which_somebody_waits(open_serial_bench):
    with open_serial_bench("tango") as bench:
        bench.core.setXYPosition("XY", 1000.0, 2000.0)
        bench.pass_time(0.1)
        connection = bench.core.python_device("Controller").controller()._connection
        with connection.transaction():
            stopper = threading.Thread(target=bench.core.stop, args=("XY",))
            stopper.start()
            # Time stands still: only the abort can end the move.
            for _ in range(20_000):
                if not bench.mechanics.is_moving("x"):
                    break
                stopper.join(0.0005)
            assert not bench.mechanics.is_moving("x")
            assert stopper.is_alive()
        stopper.join(10.0)
        assert not bench.core.deviceBusy("XY")


# -- random sequences --------------------------------------------------------------------------------------------

NUMBER = st.one_of(st.floats(-1e6, 1e6), st.floats(0.0, 100_000.0), st.sampled_from([float("nan"), float("inf")]))
STEP = st.one_of(
    st.tuples(st.just("move"), NUMBER, NUMBER),
    st.tuples(st.just("shift"), st.floats(-60_000.0, 60_000.0), st.floats(-60_000.0, 60_000.0)),
    st.tuples(st.just("focus"), st.one_of(NUMBER, st.floats(0.0, 5_000.0))),
    st.tuples(st.just("wait"), st.floats(0.0, 3.0)),
    st.tuples(st.just("fault"), st.sampled_from(list(SerialFaultKind))),
    st.sampled_from(
        [("stop", "XY"), ("stop", "Z"), ("home", "XY"), ("home", "Z"), ("busy", "XY"), ("where", "Z")]
    ),
)


def perform(bench, step):
    core = bench.core
    what, *args = step
    actions = {
        "move": lambda x, y: core.setXYPosition("XY", x, y),
        "shift": lambda x, y: core.setRelativeXYPosition("XY", x, y),
        "focus": lambda z: core.setPosition("Z", z),
        "wait": bench.pass_time,
        "stop": core.stop,
        "home": core.home,
        "busy": core.deviceBusy,
        "where": core.getPosition,
        "fault": bench.fault,
    }
    actions[what](*args)


@pytest.mark.parametrize("name", ["tango", "prior", "prior-at-end"])
def test_no_sequence_of_commands_and_faults_leaves_the_limits(open_serial_bench, name):
    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(st.lists(STEP, max_size=25))
    def check(steps):
        with open_serial_bench(name) as bench:
            for step in steps:
                try:
                    perform(bench, step)
                except ScannerError:
                    continue
            for axis, span in (("x", bench.x), ("y", bench.y), ("z", bench.z)):
                assert bench.mechanics.lowest_um[axis] in span
                assert bench.mechanics.highest_um[axis] in span

    check()


@pytest.mark.parametrize("name", ["tango", "prior", "prior-at-end"])
def test_a_sound_controller_never_has_to_refuse(open_serial_bench, name):
    sound = STEP.filter(lambda step: step[0] != "fault")

    @settings(max_examples=40, deadline=None, derandomize=True, database=None)
    @given(st.lists(sound, max_size=25))
    def check(steps):
        with open_serial_bench(name) as bench:
            for step in steps:
                try:
                    perform(bench, step)
                except (LimitError, InterlockError):
                    continue
                except DeviceError as error:
                    # A homing that was stopped, or a focus that can't be homed.
                    if "home it" not in str(error) and "can't be homed" not in str(error):
                        raise
            # What lies outside never went down the line.
            assert bench.controller.refusals == []

    check()

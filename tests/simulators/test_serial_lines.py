"""The cable and who listens at its end."""

import threading

import pytest
import serial

from simulators.clock import InstantClock, ManualClock
from simulators.serial.faults import SerialFault, SerialFaultKind
from simulators.serial.line import PtyLine, TcpLine
from simulators.serial.mechanics import FreeMechanics
from simulators.serial.prior import ProScanController
from simulators.serial.simulator import SerialSimulator
from simulators.serial.tango import VERSION, TangoController


@pytest.fixture(params=["pty", "named-pty", "tcp"])
def line(request, tmp_path):
    if request.param == "tcp":
        return TcpLine()
    return PtyLine(tmp_path / "port" if request.param == "named-pty" else None)


@pytest.fixture
def simulator(line):
    with SerialSimulator(TangoController(FreeMechanics(ManualClock())), line) as running:
        yield running


def plugged_in(simulator, timeout_s=5.0):
    return serial.serial_for_url(simulator.address, baudrate=57600, timeout=timeout_s)


def ask(port, command):
    port.write(command + b"\r")
    return port.read_until(b"\r")


def ask_on(port):
    # A socket may take one more command before it notices.
    for _ in range(3):
        ask(port, b"?err")


def test_questions_are_answered_and_nothing_is_echoed(simulator):
    with plugged_in(simulator) as port:
        assert ask(port, b"?version") == VERSION.encode() + b"\r"
        assert ask(port, b"!moa 1 2\r?err") == b"11\r"
        assert port.in_waiting == 0


def test_commands_arrive_in_pieces_and_in_heaps(simulator):
    with plugged_in(simulator) as port:
        for byte in b"?err\r":
            port.write(bytes([byte]))
        assert port.read_until(b"\r") == b"0\r"
        port.write(b"?err\r\r?joy\r?er")
        assert port.read_until(b"\r") == b"0\r"
        assert port.read_until(b"\r") == b"2\r"
        assert ask(port, b"r") == b"0\r"


def test_another_client_finds_the_controller_as_it_was(simulator):
    with plugged_in(simulator) as port:
        assert ask(port, b"!joy 0\r?joy") == b"0\r"
    with plugged_in(simulator) as port:
        assert ask(port, b"?joy") == b"0\r"


def test_an_abort_works_in_the_middle_of_a_command(simulator):
    with plugged_in(simulator) as port:
        assert ask(port, b"!joy 0\r!moa 1 2\r?statusaxis") == b"MM@-.\r"
        assert ask(port, b"?sta\x03?statusaxis") == b"@@@-.\r"


def test_a_cable_that_is_pulled_out_is_noticed_at_once(simulator):
    with plugged_in(simulator) as port:
        assert ask(port, b"?err") == b"0\r"
        simulator.hang_up()
        with pytest.raises((serial.SerialException, OSError)):
            ask_on(port)
        # pyserial leaves a socket open whose far end has gone.
        endpoint = getattr(port, "_socket", None)
    if endpoint is not None:
        endpoint.close()


@pytest.mark.parametrize("kind", ["named-pty", "tcp"])
def test_a_cable_that_is_plugged_in_again_has_the_same_address(kind, tmp_path):
    line = TcpLine() if kind == "tcp" else PtyLine(tmp_path / "port")
    with SerialSimulator(TangoController(FreeMechanics(ManualClock())), line) as simulator:
        address = simulator.address
        simulator.hang_up()
        simulator.plug_in()
        assert simulator.address == address
        with plugged_in(simulator) as port:
            assert ask(port, b"?err") == b"0\r"


def test_no_thread_and_no_link_stays_behind(tmp_path):
    before = threading.active_count()
    with SerialSimulator(TangoController(FreeMechanics(ManualClock())), PtyLine(tmp_path / "port")) as simulator:
        assert threading.active_count() == before + 1
    simulator.close()
    assert threading.active_count() == before
    assert not (tmp_path / "port").is_symlink()
    with pytest.raises(RuntimeError, match="isn't running"):
        simulator.hang_up()


def test_a_slow_line_takes_simulated_time():
    clock = InstantClock()
    with (
        SerialSimulator(TangoController(FreeMechanics(clock)), baud_rate=9600) as simulator,
        plugged_in(simulator) as port,
    ):
        assert ask(port, b"?err") == b"0\r"
    assert clock.now_s() == pytest.approx((5 + 2) * 10 / 9600)


def test_a_mute_controller_does_not_even_obey(simulator):
    simulator.controller.faults.add(SerialFault(SerialFaultKind.MUTE, "!joy"))
    with plugged_in(simulator) as port:
        assert ask(port, b"!joy 0\r?joy") == b"2\r"


def test_a_late_answer_comes_before_the_next_one(simulator):
    simulator.controller.faults.add(SerialFault(SerialFaultKind.LATE, "?joy"))
    with plugged_in(simulator) as port:
        assert ask(port, b"?joy\r?err") == b"2\r"
        assert port.read_until(b"\r") == b"0\r"


def test_an_echo_comes_instead_of_the_answer(simulator):
    simulator.controller.faults.add(SerialFault(SerialFaultKind.WRONG_ECHO, "?joy"))
    with plugged_in(simulator) as port:
        assert ask(port, b"?joy") == b"?joy\r"


def test_an_answer_that_is_owed_comes_when_its_move_has_ended(line):
    clock = ManualClock()
    controller = ProScanController(FreeMechanics(clock), answers_at_end=True)
    with SerialSimulator(controller, line) as simulator, plugged_in(simulator) as port:
        assert ask(port, b"G,0,0\r$") == b"3\r"
        clock.sleep_s(100.0)
        assert port.read_until(b"\r") == b"R\r"
        assert ask(port, b"$") == b"0\r"

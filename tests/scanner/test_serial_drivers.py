"""What our serial drivers send, and what they make of the answers; what they share is in tests/conformance."""

import contextlib

import pytest

from scanner.core import ScanCore
from scanner.devices import tango as tango_module
from scanner.errors import DeviceError, DeviceNotReadyError, InterlockError, LimitError
from simulators.clock import InstantClock
from simulators.serial.controller import SimulatedController
from simulators.serial.mechanics import FreeMechanics
from simulators.serial.prior import ProScanController
from simulators.serial.simulator import SerialSimulator
from simulators.serial.tango import TangoController

TRAVEL = {"XMax_um": 120_000.0, "YMax_um": 100_000.0, "ZMax_um": 5_000.0}


def make_tango():
    return TangoController(FreeMechanics(InstantClock()))


def make_prior():
    return ProScanController(FreeMechanics(InstantClock()))


@contextlib.contextmanager
def driven(controller, hub, axes=("XY", "Z"), **properties):
    """A controller behind its driver, loaded as a configuration would."""
    core = ScanCore()
    with SerialSimulator(controller) as simulator:
        try:
            core.loadDevice("Controller", f"scanner.devices.{'tango' if hub == 'TangoHub' else 'prior'}", hub)
            for label in axes:
                kind = "SerialXYStage" if label == "XY" else "SerialFocus"
                core.loadDevice(label, "scanner.devices.axes", kind)
                core.setParentLabel(label, "Controller")
            core.setProperty("Controller", "Port", simulator.address)
            core.setProperty("Controller", "AnswerTimeout_ms", 5000.0)
            for name, value in properties.items():
                core.setProperty("Controller", name, value)
            core.initializeAllDevices()
            yield core
        finally:
            core.unloadAllDevices()


def move(core, label):
    core.setXYPosition(label, 1.0, 2.0)


def sent(controller, start):
    return [command for command in controller.commands if command.startswith(start)]


def test_numbers_are_sent_in_full():
    controller = make_tango()
    with driven(controller, "TangoHub") as core:
        core.setXYPosition("XY", 104_857.1234, 0.0001)
        core.setPosition("Z", 1e-4)
        assert sent(controller, "!moa") == ["!moa 104857.1234 0.0001", "!moa z 0.0001"]
        assert core.getXYPosition("XY") == (104_857.1234, 0.0001)


def test_a_tango_is_left_in_um_after_its_speeds_were_set():
    controller = make_tango()
    with driven(controller, "TangoHub", Speed_mm_s=35.5, Acceleration_m_s2=0.4):
        assert controller.receive("?vel x") == "35.5000"
        assert controller.receive("?accel y") == "0.4000"
        assert controller.receive("?dim") == "1 1 1"


def test_a_tango_whose_speeds_are_not_given_keeps_its_own():
    controller = make_tango()
    with driven(controller, "TangoHub"):
        assert sent(controller, "!vel") == sent(controller, "!accel") == []


def test_the_joystick_is_given_back_only_where_it_was_on():
    controller = make_tango()
    controller.joystick_on = False
    with driven(controller, "TangoHub"):
        pass
    assert not controller.joystick_on


def test_devices_of_a_controller_share_one_connection():
    controller = make_tango()
    with driven(controller, "TangoHub"):
        assert len(sent(controller, "?version")) == 1


def test_a_hub_tells_who_answers():
    with driven(make_prior(), "ProScanHub", **TRAVEL) as core:
        assert (
            core.getProperty("Controller", "Identity") == "Prior Scientific Instruments ProScan III Version 1.01"
        )


@pytest.mark.parametrize(
    ("controller", "hub", "wanted"), [(make_prior, "TangoHub", "TANGO"), (make_tango, "ProScanHub", "Prior")]
)
def test_another_kind_of_controller_is_refused(controller, hub, wanted):
    properties = TRAVEL if hub == "ProScanHub" else {}
    with (
        pytest.raises(DeviceNotReadyError, match=f"another device answers|no answer|wanted {wanted}"),
        driven(controller(), hub, AnswerTimeout_ms=50.0, **properties),
    ):
        pass


def test_noise_without_end_is_no_answer(monkeypatch):
    controller = make_tango()
    monkeypatch.setattr(controller, "answer", lambda _command: "x" * 2000)
    with pytest.raises(DeviceNotReadyError, match="makes no sense"), driven(controller, "TangoHub"):
        pass


@pytest.mark.parametrize(
    ("address", "reason"),
    [("", "no port was given"), ("/dev/does-not-exist", "can't be opened"), ("nonsense://x", "can't be opened")],
)
def test_a_port_that_is_none_is_named(address, reason):
    with pytest.raises(DeviceNotReadyError, match=reason), driven(make_tango(), "TangoHub", Port=address):
        pass


def test_an_axis_that_is_not_there_is_named():
    controller = TangoController(FreeMechanics(InstantClock(), {"x": (0.0, 10.0), "y": (0.0, 10.0)}))
    with driven(controller, "TangoHub", axes=("XY",)) as core:
        core.setXYPosition("XY", 1.0, 2.0)
    with (
        pytest.raises(DeviceNotReadyError, match=r"Controller\.z: has no such axis"),
        driven(controller, "TangoHub"),
    ):
        pass


def test_a_stage_on_the_wrong_hub_is_refused():
    core = ScanCore()
    core.loadDevice("Hub", "simulators.devices", "TwinHub")
    core.loadDevice("XY", "scanner.devices.axes", "SerialXYStage")
    core.setParentLabel("XY", "Hub")
    try:
        with pytest.raises(DeviceNotReadyError, match="wrong hub"):
            core.initializeAllDevices()
    finally:
        core.unloadAllDevices()


@pytest.mark.parametrize("code", sorted(tango_module._ERRORS))
def test_every_error_of_a_tango_has_words(code):
    controller = make_tango()
    with driven(controller, "TangoHub") as core:
        start = controller._start

        def refuse(*_values, **_more):
            controller._error = code

        controller._start = refuse
        kind, words = tango_module._ERRORS[code]
        with pytest.raises(kind, match=words):
            core.setXYPosition("XY", 1.0, 2.0)
        controller._start = start
        core.setXYPosition("XY", 1.0, 2.0)


def test_an_error_nobody_knows_is_one_too():
    controller = make_tango()
    with driven(controller, "TangoHub") as core:
        controller._error = 77
        with pytest.raises(DeviceError, match="controller error 77"):
            core.setXYPosition("XY", 1.0, 2.0)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("?pos", "1.0"),
        ("?pos", "1.0 nan"),
        ("?pos", "1.0 2.0 x"),
        ("?pos", ""),
        ("?statusaxis", "@"),
        ("?statusaxis", "??@-."),
        ("?err", "-"),
    ],
)
def test_an_answer_of_another_shape_is_none(monkeypatch, question, answer):
    controller = make_tango()
    with driven(controller, "TangoHub") as core:
        sound = controller.answer
        monkeypatch.setattr(controller, "answer", lambda c: answer if c == question else sound(c))
        ask = {"?pos": core.getXYPosition, "?statusaxis": core.deviceBusy, "?err": lambda xy: move(core, xy)}
        with pytest.raises(DeviceError, match="makes no sense"):
            ask[question]("XY")


@pytest.mark.parametrize(("mark", "error"), [("J", InterlockError), ("E", DeviceNotReadyError)])
def test_an_axis_that_reports_a_fault_is_not_idle(monkeypatch, mark, error):
    controller = make_tango()
    with driven(controller, "TangoHub") as core:
        monkeypatch.setattr(controller, "_status", lambda: f"@{mark}@-.")
        with pytest.raises(error) as caught:
            core.deviceBusy("XY")
        assert caught.value.axis == "y"


def test_a_proscan_needs_to_be_told_its_travel():
    with pytest.raises(DeviceNotReadyError, match="needs the travel"), driven(make_prior(), "ProScanHub"):
        pass


def test_a_proscan_without_focus_has_none():
    travel = {name: value for name, value in TRAVEL.items() if not name.startswith("Z")}
    with driven(make_prior(), "ProScanHub", axes=("XY",), **travel) as core:
        assert core.getXYPosition("XY") == pytest.approx((60_000.0, 50_000.0))


def test_a_proscan_that_takes_another_step_is_believed(monkeypatch):
    controller = make_prior()
    resolution = controller._resolution
    monkeypatch.setattr(controller, "_resolution", lambda words: resolution([words[0], "0.25"][: len(words)]))
    with driven(controller, "ProScanHub", **TRAVEL) as core:
        core.setXYPosition("XY", 1000.0, 2000.0)
        assert sent(controller, "G") == ["G,4000,8000"]
        assert core.getXYPosition("XY") == (1000.0, 2000.0)


def test_a_proscan_homes_to_the_coordinates_of_its_corner():
    controller = make_prior()
    with driven(controller, "ProScanHub", HomeX_um=0.0, HomeY_um=100_000.0, **TRAVEL) as core:
        core.home("XY")
        assert not core.deviceBusy("XY")
        assert core.getXYPosition("XY") == pytest.approx((0.0, 100_000.0))


def test_speeds_of_a_proscan_are_percentages():
    controller = make_prior()
    with driven(controller, "ProScanHub", Speed_percent=40, SCurve_percent=30, **TRAVEL):
        assert (controller.receive("SMS"), controller.receive("SAS"), controller.receive("SCS")) == (
            "40",
            "100",
            "30",
        )


def test_a_proscan_keeps_to_the_travel_it_was_told():
    controller = make_prior()
    with driven(controller, "ProScanHub", **{**TRAVEL, "XMax_um": 76_000.0}) as core:
        with pytest.raises(LimitError, match=r"0 \.\. 76000"):
            core.setXYPosition("XY", 76_000.1, 0.0)
        assert sent(controller, "G") == []


def test_a_controller_that_refuses_its_set_up_is_not_ready(monkeypatch):
    controller: SimulatedController = make_prior()
    monkeypatch.setattr(controller, "_resolution", lambda _words: "E,4")
    with (
        pytest.raises(DeviceNotReadyError, match="corrupt command"),
        driven(controller, "ProScanHub", **TRAVEL),
    ):
        pass

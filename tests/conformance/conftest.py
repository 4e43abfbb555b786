"""Back ends of the conformance suites: each hands out the same bench, whatever stands behind it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from scanner.core import ScanCore
from scanner.microscope import Microscope
from scanner.rig import Rig, Span, load_rig
from simulators.clock import ManualClock
from simulators.devices import twin_of
from simulators.serial.controller import SimulatedController
from simulators.serial.faults import SerialFault, SerialFaultKind
from simulators.serial.line import PtyLine, SerialLine, TcpLine
from simulators.serial.mechanics import FreeMechanics
from simulators.serial.prior import ProScanController
from simulators.serial.simulator import SerialSimulator
from simulators.serial.tango import TangoController

RIGS = Path(__file__).parents[2] / "hardware_configs"

# Silence has to be waited for: shortly, once it was ordered; sound controllers get the time a busy machine needs.
SILENCE_MS = 200.0
ANSWER_TIMEOUT_MS = 5_000.0
TRAVEL_UM = {"x": (0.0, 120_000.0), "y": (0.0, 100_000.0), "z": (0.0, 5_000.0)}
TRAVEL_PROPERTIES = {
    f"{axis.upper()}{end}_um": value
    for axis, limits in TRAVEL_UM.items()
    for end, value in zip(("Min", "Max"), limits, strict=True)
}


@dataclass
class Bench:
    """Devices under test, labelled XY and Z.

    `pass_time` lets simulated seconds pass; None where time is the wall's. `refuses` tells whether the device
    itself knows its limits, `homes` which of XY and Z can be homed, `step_um` how fine positions are.
    """

    name: str
    core: ScanCore
    x: Span
    y: Span
    z: Span
    step_um: float
    pass_time: Callable[[float], None] | None
    refuses: frozenset[str] = frozenset({"XY", "Z"})
    homes: frozenset[str] = frozenset({"XY", "Z"})
    takes_time: frozenset[str] = frozenset({"XY", "Z"})
    simulator: SerialSimulator | None = None

    def settle(self, label: str) -> int:
        """Wait until a device rests; how often it was busy."""
        for polls in itertools.count():
            if not self.core.deviceBusy(label):
                return polls
            if self.pass_time is None:
                self.core.wait_until_idle([label], 30.0)
            else:
                self.pass_time(0.25)
            assert polls < 2000, f"{label} never rests"
        raise AssertionError


def add_fault(core: ScanCore, controller: SimulatedController, fault: SerialFault) -> None:
    if fault.kind in (SerialFaultKind.MUTE, SerialFaultKind.LATE):
        core.setProperty("Controller", "AnswerTimeout_ms", SILENCE_MS)
    controller.faults.add(fault)


@dataclass
class SerialBench(Bench):
    """Devices whose controller is at the far end of a simulated line."""

    mechanics: FreeMechanics = field(kw_only=True)

    @property
    def controller(self) -> SimulatedController:
        assert self.simulator is not None
        return self.simulator.controller

    def fault(self, kind: SerialFaultKind, command: str = "", **more: int | None) -> None:
        add_fault(self.core, self.controller, SerialFault(kind, command, **more))


@contextmanager
def twin_bench() -> Iterator[Bench]:
    core = ScanCore()
    try:
        core.loadSystemConfiguration(RIGS / "simulated" / "micro-manager.cfg")
        twin = twin_of(core)
        clock = ManualClock()
        twin.clock = clock
        configuration = twin.configuration
        spans = (
            Span(min_um=low, max_um=high)
            for low, high in (configuration.x_limits_um, configuration.y_limits_um, configuration.z_limits_um)
        )
        yield Bench("twin", core, *spans, step_um=0.001, pass_time=clock.sleep_s)
    finally:
        core.unloadAllDevices()


@contextmanager
def demo_bench() -> Iterator[Bench]:
    core = ScanCore()
    try:
        rig, cfg = load_rig(RIGS / "demo-camera")
        core.loadSystemConfiguration(cfg)
        # Short ways at this speed take milliseconds of the wall's clock.
        core.setProperty("XY", "Velocity", 2000)
        yield Bench(
            "demo",
            core,
            rig.stage.x,
            rig.stage.y,
            rig.focus.z,
            step_um=0.015,
            pass_time=None,
            refuses=frozenset({"Z"}),
            homes=frozenset({"XY"}),
            takes_time=frozenset({"XY"}),
        )
    finally:
        core.unloadAllDevices()


def load_serial(core: ScanCore, module: str, hub: str, address: str, properties: dict[str, float]) -> None:
    core.loadDevice("Controller", f"scanner.devices.{module}", hub)
    core.loadDevice("XY", "scanner.devices.axes", "SerialXYStage")
    core.loadDevice("Z", "scanner.devices.axes", "SerialFocus")
    core.setParentLabel("XY", "Controller")
    core.setParentLabel("Z", "Controller")
    core.setProperty("Controller", "Port", address)
    core.setProperty("Controller", "AnswerTimeout_ms", ANSWER_TIMEOUT_MS)
    for name, value in properties.items():
        core.setProperty("Controller", name, value)
    core.initializeAllDevices()


@contextmanager
def serial_bench(
    name: str,
    line: SerialLine | None = None,
    *,
    is_calibrated: bool = True,
    properties: dict[str, float] | None = None,
) -> Iterator[SerialBench]:
    clock = ManualClock()
    mechanics = FreeMechanics(clock, TRAVEL_UM)
    controller: SimulatedController
    if name.startswith("tango"):
        controller = TangoController(mechanics)
        if is_calibrated:
            controller._calibration = {"x": 3, "y": 3, "z": 1}
        module, hub, told, step_um, homes = "tango", "TangoHub", {}, 1e-4, {"XY", "Z"}
    else:
        controller = ProScanController(mechanics, answers_at_end=name.endswith("at-end"), wheel_moves=True)
        module, hub, told, step_um, homes = "prior", "ProScanHub", TRAVEL_PROPERTIES, 0.1, {"XY"}
    if line is None:
        line = TcpLine() if name.endswith("tcp") else PtyLine()
    core = ScanCore()
    with SerialSimulator(controller, line) as simulator:
        try:
            load_serial(core, module, hub, simulator.address, {**told, **(properties or {})})
            spans = (Span(min_um=low, max_um=high) for low, high in TRAVEL_UM.values())
            yield SerialBench(
                name,
                core,
                *spans,
                step_um=step_um,
                pass_time=clock.sleep_s,
                homes=frozenset(homes),
                simulator=simulator,
                mechanics=mechanics,
            )
        finally:
            core.unloadAllDevices()


SERIAL = ("tango", "prior", "prior-at-end")
BACK_ENDS: dict[str, Callable[[], object]] = {
    "twin": twin_bench,
    "demo": demo_bench,
    **{name: (lambda name=name: serial_bench(name)) for name in (*SERIAL, "tango-tcp")},
}


@pytest.fixture(params=list(BACK_ENDS))
def any_bench(request) -> Iterator[Bench]:
    with BACK_ENDS[request.param]() as bench:
        yield bench


@pytest.fixture(params=SERIAL)
def wired(request) -> Iterator[SerialBench]:
    with serial_bench(request.param) as bench:
        yield bench


@pytest.fixture
def open_serial_bench() -> Callable[..., object]:
    return serial_bench


@dataclass
class WholeRig:
    """A rig as it is shipped, and the line behind its stage where it has one."""

    rig: Rig
    core: ScanCore
    microscope: Microscope

    @property
    def simulator(self) -> SerialSimulator:
        return self.core.python_device("Controller").simulator

    def fault(self, kind: SerialFaultKind, command: str = "", **more: int | None) -> None:
        add_fault(self.core, self.simulator.controller, SerialFault(kind, command, **more))


def _open_rig(name: str) -> Iterator[WholeRig]:
    rig, cfg = load_rig(RIGS / name)
    core = ScanCore()
    try:
        core.loadSystemConfiguration(cfg)
        if name.endswith("serial"):
            # The slide is small, and prepared before anybody counts milliseconds.
            twin = twin_of(core)
            twin.settings = replace(twin.settings, cells=0, nuclei_per_mm2=0.0)
            assert twin.world is not None
        if name == "demo-camera":
            core.setProperty("XY", "Velocity", 2000)
        yield WholeRig(rig, core, Microscope(core, rig))
    finally:
        core.unloadAllDevices()


@pytest.fixture(params=["simulated", "tango-serial", "prior-serial", "demo-camera"])
def any_rig(request) -> Iterator[WholeRig]:
    yield from _open_rig(request.param)


@pytest.fixture(params=["tango-serial", "prior-serial"])
def wired_rig(request) -> Iterator[WholeRig]:
    yield from _open_rig(request.param)

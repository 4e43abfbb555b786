"""The serial oiler driver: one drop is one drop, or an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from scanner.core import ScanCore
from scanner.devices.framing import frame
from scanner.devices.oiler import REASONS, OilerCode, SerialOiler
from scanner.errors import DeviceError, DeviceNotReadyError, OilError
from simulators.clock import ManualClock
from simulators.oil import Dispenser
from simulators.serial.faults import SerialFault, SerialFaultKind
from simulators.serial.line import TcpLine
from simulators.serial.oiler import OilerController
from simulators.serial.simulator import SerialSimulator
from simulators.specimen.slide import SlideSettings
from simulators.twin import Twin

DROP_S = 3.0
LINE_FAULTS = ("mute", "late", "garbled", "wrong_echo", "hangs_up")


@dataclass
class Bench:
    core: ScanCore
    controller: OilerController
    simulator: SerialSimulator
    twin: Twin
    clock: ManualClock

    @property
    def oiler(self) -> SerialOiler:
        return self.core.python_device("Oiler")

    def finish(self) -> None:
        for _ in range(20):
            if not self.oiler.busy():
                return
            self.clock.sleep_s(1.0)
        raise AssertionError("never at rest")

    def fault(self, kind: str, command: str) -> None:
        # Silence has to be waited for: shortly, once it was ordered.
        self.core.setProperty("Oiler", "AnswerTimeout_ms", 200.0)
        self.controller.faults.add(SerialFault(SerialFaultKind(kind), command))

    def mend(self, kind: str) -> None:
        if kind == "hangs_up":
            self.simulator.plug_in()
        self.core.setProperty("Oiler", "AnswerTimeout_ms", 5_000.0)


@pytest.fixture
def bench() -> Iterator[Bench]:
    clock = ManualClock()
    twin = Twin(SlideSettings(cells=0, nuclei_per_mm2=0.0), clock)
    controller = OilerController(Dispenser(twin, drop_s=DROP_S, reservoir_drops=5))
    core = ScanCore()
    with SerialSimulator(controller, TcpLine()) as simulator:
        try:
            core.loadDevice("Oiler", "scanner.devices.oiler", "SerialOiler")
            core.setProperty("Oiler", "Port", simulator.address)
            core.setProperty("Oiler", "AnswerTimeout_ms", 5_000.0)
            core.initializeAllDevices()
            yield Bench(core, controller, simulator, twin, clock)
        finally:
            core.unloadAllDevices()


@pytest.mark.parametrize("kind", LINE_FAULTS)
@pytest.mark.parametrize("command", ["DROP", "STATE", "STOP"])
def test_a_bad_line_never_gives_a_second_drop(bench, kind, command):
    if command == "STOP":
        bench.oiler.start_drop()
    orders = {"DROP": bench.oiler.start_drop, "STATE": bench.oiler.start_drop, "STOP": bench.oiler.stop}
    bench.fault(kind, command)
    with pytest.raises(DeviceError) as caught:
        orders[command]()
    assert caught.value.device == "Oiler"
    bench.mend(kind)
    try:
        bench.finish()
    except OilError as error:
        assert command == "DROP"
        assert kind in ("mute", "hangs_up")
        assert "another number" in str(error)  # noqa: PT017 (whether it was obeyed depends on the fault)
    # The count tells the truth, and at most the one drop fell.
    assert bench.oiler.drops_given() == len(bench.twin.oil) <= 1
    assert sum(line.startswith("DROP") for line in bench.controller.commands) <= 1


def test_a_drop_that_was_given_already_is_refused(bench):
    bench.oiler.start_drop()
    bench.finish()
    assert bench.controller.receive(frame("DROP 1", 9)) == frame("ERR DROP 3", 9)
    bench.clock.sleep_s(DROP_S)
    assert len(bench.twin.oil) == 1


def test_the_pump_stops_although_nobody_answers(bench):
    bench.oiler.start_drop()
    bench.fault("mute", "STOP")
    with pytest.raises(DeviceNotReadyError, match="no answer"):
        bench.oiler.stop()
    bench.clock.sleep_s(2.0 * DROP_S)
    assert not bench.twin.oil


def test_an_oiler_that_was_switched_off_during_a_drop_is_an_error(bench):
    bench.oiler.start_drop()
    bench.finish()
    bench.oiler.start_drop()
    bench.controller.power_cycle()
    with pytest.raises(OilError, match="switched off"):
        bench.finish()
    # From then on it counts anew.
    bench.oiler.start_drop()
    bench.finish()
    assert bench.oiler.drops_given() == 1


def test_the_last_drop_empties_the_reservoir(bench):
    for number in range(1, 6):
        assert not bench.oiler.is_empty()
        bench.oiler.start_drop()
        bench.finish()
        assert bench.oiler.drops_given() == number
    assert bench.oiler.is_empty()
    with pytest.raises(OilError, match="empty"):
        bench.oiler.start_drop()
    assert not bench.oiler.busy()
    assert len(bench.twin.oil) == 5


@pytest.mark.parametrize(
    "answer", ["", "IDLE", "BUSY 0 1", "IDLE 0 -1 0", "IDLE 0 x 0", "DONE 0 1 0", "IDLE 0 1 0 0"]
)
def test_a_state_of_another_shape_is_no_state(bench, answer):
    bench.controller.obey = lambda _command, _arguments: answer
    with pytest.raises(DeviceError, match="makes no sense"):
        bench.oiler.drops_given()
    with pytest.raises(DeviceError, match="makes no sense"):
        bench.oiler.start_drop()


def test_what_is_under_way_at_the_end_is_stopped(bench):
    bench.oiler.start_drop()
    bench.core.unloadAllDevices()
    bench.clock.sleep_s(2.0 * DROP_S)
    assert bench.controller.dispenser.drops_given == 0


def test_every_code_has_its_words():
    assert set(REASONS) == set(OilerCode) - {OilerCode.OK}

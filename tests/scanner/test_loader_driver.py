"""The serial loader driver: whatever the line does, no slide passes for another and nothing hangs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from scanner.core import ScanCore
from scanner.devices.framing import frame
from scanner.devices.loader import REASONS, LoaderCode, LoaderPhase, SerialLoader
from scanner.errors import DeviceError, DeviceNotReadyError, LoaderError
from simulators.clock import ManualClock
from simulators.feeder import Feeder
from simulators.oil import Dispenser
from simulators.serial.faults import SerialFault, SerialFaultKind
from simulators.serial.framed import FramedController
from simulators.serial.line import TcpLine
from simulators.serial.loader import HOMING_S, LoaderController
from simulators.serial.oiler import OilerController
from simulators.serial.simulator import SerialSimulator
from simulators.specimen.slide import SlideSettings
from simulators.tray import fill_tray
from simulators.twin import Twin

CHANGE_S = 10.0
SLIDE = SlideSettings(cells=0, nuclei_per_mm2=0.0)
LINE_FAULTS = ("mute", "late", "garbled", "wrong_echo", "hangs_up")


@dataclass
class Bench:
    core: ScanCore
    controller: LoaderController
    simulator: SerialSimulator
    feeder: Feeder
    clock: ManualClock

    @property
    def loader(self) -> SerialLoader:
        return self.core.python_device("Loader")

    def finish(self) -> None:
        for _ in range(40):
            if not self.loader.busy():
                return
            self.clock.sleep_s(1.0)
        raise AssertionError("never at rest")

    def fault(self, kind: str, command: str) -> None:
        # Silence has to be waited for: shortly, once it was ordered.
        self.core.setProperty("Loader", "AnswerTimeout_ms", 200.0)
        self.controller.faults.add(SerialFault(SerialFaultKind(kind), command))

    def mend(self, kind: str) -> None:
        if kind == "hangs_up":
            self.simulator.plug_in()
        self.core.setProperty("Loader", "AnswerTimeout_ms", 5_000.0)

    def sent(self, command: str) -> int:
        return sum(line.startswith(command) for line in self.controller.commands)


def load_driver(core: ScanCore, address: str) -> None:
    core.loadDevice("Loader", "scanner.devices.loader", "SerialLoader")
    core.setProperty("Loader", "Port", address)
    core.setProperty("Loader", "AnswerTimeout_ms", 5_000.0)
    core.initializeAllDevices()


@pytest.fixture
def bench() -> Iterator[Bench]:
    clock = ManualClock()
    twin = Twin(SLIDE, clock)
    twin.move_stage(0.0, 0.0, "XY")
    clock.sleep_s(10.0)
    feeder = Feeder(twin, tray=fill_tray(12, SLIDE, empty=(8,)), change_s=CHANGE_S)
    controller = LoaderController(feeder)
    core = ScanCore()
    with SerialSimulator(controller, TcpLine()) as simulator:
        try:
            load_driver(core, simulator.address)
            yield Bench(core, controller, simulator, feeder, clock)
        finally:
            core.unloadAllDevices()


@pytest.mark.parametrize("kind", LINE_FAULTS)
@pytest.mark.parametrize("command", ["LOAD", "UNLOAD", "STOP", "STATE", "HOME"])
def test_a_bad_line_is_an_error_and_the_command_is_never_sent_again(bench, kind, command):
    if command in ("UNLOAD", "STOP"):
        bench.loader.start_load(3)
        if command == "UNLOAD":
            bench.finish()
    orders = {
        "LOAD": lambda: bench.loader.start_load(3),
        "UNLOAD": bench.loader.start_unload,
        "STOP": bench.loader.stop,
        "STATE": bench.loader.state,
        "HOME": bench.loader.home,
    }
    bench.fault(kind, command)
    sent = bench.sent(command)
    with pytest.raises(DeviceError) as caught:
        orders[command]()
    assert caught.value.device == "Loader"
    assert bench.sent(command) <= sent + 1
    bench.mend(kind)
    # Back on the line, the sensors tell what became of it; what was asked for and not done is an error.
    try:
        bench.finish()
    except LoaderError as error:
        assert kind in ("mute", "hangs_up")
        assert "do not show" in str(error)  # noqa: PT017 (whether it was obeyed depends on the fault)
    truth = bench.feeder.slide_on_stage
    state = bench.loader.state()
    assert state.on_stage == (truth is not None)
    assert state.taken_from == (3 if truth is not None else None)
    if command != "STATE":
        assert bench.sent(command) <= sent + 1
    assert not bench.feeder.twin.collisions


def test_the_gripper_is_halted_although_nobody_answers(bench):
    bench.loader.start_load(3)
    bench.clock.sleep_s(CHANGE_S / 2.0)
    bench.fault("mute", "STOP")
    with pytest.raises(DeviceNotReadyError, match="no answer"):
        bench.loader.stop()
    # The abort byte went past everything.
    assert not bench.feeder.is_busy
    assert bench.feeder.error is LoaderCode.HALTED


def test_a_loader_that_was_just_switched_on_homes_before_it_loads(bench):
    assert bench.loader.report().phase is LoaderPhase.UNHOMED
    bench.loader.start_load(3)
    bench.clock.sleep_s(CHANGE_S + HOMING_S / 2.0)
    assert bench.loader.busy()
    bench.clock.sleep_s(HOMING_S)
    assert not bench.loader.busy()
    assert bench.loader.report().phase is LoaderPhase.IDLE


def test_a_loader_that_was_switched_off_does_not_know_whose_slide_it_is(bench):
    bench.loader.start_load(3)
    bench.finish()
    bench.controller.power_cycle()
    state = bench.loader.state()
    assert (state.on_stage, state.taken_from) == (True, None)
    with pytest.raises(LoaderError, match="occupied or unknown"):
        bench.loader.start_unload()
    assert bench.feeder.slide_on_stage is not None


def test_a_loader_that_was_switched_off_on_the_way_has_not_done_it(bench):
    bench.loader.start_load(3)
    bench.clock.sleep_s(CHANGE_S / 2.0)
    bench.controller.power_cycle()
    with pytest.raises(LoaderError, match="home it") as caught:
        bench.finish()
    assert caught.value.wanted == "slide of slot 3 on the stage"


def test_a_slide_that_its_slot_still_claims_is_not_believed(bench):
    # A loader that counts its slots and has taken the slide beside: the slots' own sensors know better.
    bench.controller.is_homed = True
    sound = bench.controller._state
    bench.loader.start_load(3)
    bench.clock.sleep_s(CHANGE_S)
    assert sound() == "IDLE 0 1 0 3 F7B"
    bench.controller._state = lambda: "IDLE 0 1 0 3 F77"
    with pytest.raises(LoaderError, match="do not show") as caught:
        bench.loader.busy()
    assert caught.value.actual == "slide of slot 3 on the stage, slot 3 occupied, gripper empty, IDLE"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "IDLE",
        "IDLE 0 0 0 0",
        "IDLE 0 0 0 0 7F",
        "IDLE 0 0 0 0 FFFFF",
        "IDLE 0 2 0 0 F7F",
        "IDLE 0 1 0 13 F7F",
        "IDLE 0 1 0 -1 F7F",
        "RESTING 0 0 0 0 F7F",
        "IDLE x 0 0 0 F7F",
        "IDLE 0 0 0 0 XYZ",
        "IDLE 0 0 0 0 F7F 1",
    ],
)
def test_a_state_of_another_shape_is_no_state(bench, answer):
    sound = bench.controller._state
    bench.controller._state = lambda: answer
    with pytest.raises(DeviceError, match="makes no sense"):
        bench.loader.state()
    bench.controller._state = sound
    assert 8 not in bench.loader.state().occupied


def test_another_kind_of_device_is_refused():
    twin = Twin(SLIDE, ManualClock())
    core = ScanCore()
    controller: FramedController = OilerController(Dispenser(twin))
    with SerialSimulator(controller) as simulator, pytest.raises(DeviceNotReadyError, match="another kind"):
        load_driver(core, simulator.address)
    assert controller.commands
    assert all(command.startswith("ID ") for command in controller.commands)


def test_another_loader_after_a_reconnect_is_refused(bench):
    bench.simulator.hang_up()
    with pytest.raises(DeviceNotReadyError):
        bench.loader.state()
    bench.controller.identity = "KS-LOADER 0043 1.0"
    bench.simulator.plug_in()
    with pytest.raises(DeviceNotReadyError, match="another device answers"):
        bench.loader.start_load(3)
    assert not bench.sent("LOAD")


def test_what_moves_at_the_end_is_halted(bench):
    bench.loader.start_load(3)
    bench.clock.sleep_s(1.0)
    bench.core.unloadAllDevices()
    assert not bench.feeder.is_busy


def test_a_damaged_command_is_not_obeyed(bench):
    for damaged in ("LOAD 3 #01*0000", "LOAD 3", frame("LOAD 3", 1).replace("3", "4", 1), "LOAD 3 #01*", "\xff"):
        assert bench.controller.receive(damaged) == frame("ERR ? 2", 0)
    assert not bench.feeder.is_busy
    assert bench.controller.receive(frame("JUMP", 7)) == frame("ERR ? 1", 7)
    assert bench.controller.receive(frame("LOAD", 8)) == frame("ERR LOAD 3", 8)
    assert bench.controller.receive(frame("LOAD x", 8)) == frame("ERR LOAD 3", 8)
    assert bench.controller.receive(frame("LOAD 99", 8)) == frame("ERR LOAD 3", 8)
    assert bench.controller.receive(frame("HOME now", 8)) == frame("ERR HOME 3", 8)


def test_every_code_has_its_words():
    assert set(REASONS) == set(LoaderCode) - {LoaderCode.OK}

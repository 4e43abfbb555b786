"""What every slide loader, oil dispenser and label camera has to keep."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from scanner.barcode import the_barcode
from scanner.core import ScanCore
from scanner.errors import DeviceError, LabelError, LimitError, LoaderError, OilError
from scanner.peripherals import LabelCamera, Oiler, SlideLoader
from simulators.clock import ManualClock
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind
from simulators.feeder import Feeder
from simulators.oil import Dispenser
from simulators.peripherals import feeder_of
from simulators.serial.framed import FramedController
from simulators.serial.label_camera import LabelCameraController
from simulators.serial.line import PtyLine, TcpLine
from simulators.serial.loader import LoaderController
from simulators.serial.oiler import OilerController
from simulators.serial.simulator import SerialSimulator
from simulators.specimen.slide import SlideSettings
from simulators.tray import fill_tray
from simulators.twin import Twin

pytestmark = pytest.mark.conformance

CFG = Path(__file__).parents[2] / "hardware_configs" / "simulated-feeder" / "micro-manager.cfg"
SLOTS = 80
EMPTY = 8
LOAD_UM = (1_000.0, 25_000.0)
CHANGE_S = 12.0
DROP_S = 3.0
SLIDE = SlideSettings(cells=0, nuclei_per_mm2=0.0)
DRIVERS = {
    "Loader": ("scanner.devices.loader", "SerialLoader"),
    "Oiler": ("scanner.devices.oiler", "SerialOiler"),
    "LabelCamera": ("scanner.devices.label_camera", "SerialLabelCamera"),
}


@dataclass
class Bench:
    """Loader, oiler and label camera of one kind, on a twin whose time a test moves on."""

    core: ScanCore
    twin: Twin
    clock: ManualClock
    feeder: Feeder

    @property
    def loader(self) -> SlideLoader:
        return self.core.python_device("Loader")

    @property
    def oiler(self) -> Oiler:
        return self.core.python_device("Oiler")

    @property
    def label_camera(self) -> LabelCamera:
        return self.core.python_device("LabelCamera")

    def go(self, x_um: float, y_um: float) -> None:
        self.twin.move_stage(x_um, y_um, "XY")
        self.clock.sleep_s(5.0)

    def finish(self, device: SlideLoader | Oiler) -> None:
        """Wait until it rests; it has been under way."""
        assert device.busy()
        for _ in range(100):
            self.clock.sleep_s(0.5)
            if not device.busy():
                return
        raise AssertionError("never at rest")

    def load(self, slot: int) -> None:
        self.go(*LOAD_UM)
        self.loader.start_load(slot)
        self.finish(self.loader)

    def add(self, kind: TwinFaultKind, device: str) -> None:
        self.twin.faults.add(TwinFault(kind, device))

    def events(self, kind: str) -> list[str]:
        return [event.detail for event in self.twin.events if event.kind == kind]


@contextmanager
def in_process() -> Iterator[Bench]:
    core = ScanCore()
    try:
        core.loadSystemConfiguration(CFG)
        twin, clock = twin_of(core), ManualClock()
        twin.clock = clock
        twin.settings = SLIDE
        yield Bench(core, twin, clock, feeder_of(core))
    finally:
        core.unloadAllDevices()


@contextmanager
def on_a_line(line: type[PtyLine] | type[TcpLine]) -> Iterator[Bench]:
    clock = ManualClock()
    twin = Twin(SLIDE, clock)
    feeder = Feeder(twin, tray=fill_tray(SLOTS, SLIDE, empty=(EMPTY,)), load_um=LOAD_UM, change_s=CHANGE_S)
    controllers: dict[str, FramedController] = {
        "Loader": LoaderController(feeder),
        "Oiler": OilerController(Dispenser(twin, offset_um=(-3_000.0, 0.0), drop_s=DROP_S)),
        "LabelCamera": LabelCameraController(twin),
    }
    core = ScanCore()
    with ExitStack() as stack:
        for label, controller in controllers.items():
            simulator = stack.enter_context(SerialSimulator(controller, line()))
            core.loadDevice(label, *DRIVERS[label])
            core.setProperty(label, "Port", simulator.address)
            core.setProperty(label, "AnswerTimeout_ms", 5_000.0)
        try:
            core.initializeAllDevices()
            yield Bench(core, twin, clock, feeder)
        finally:
            core.unloadAllDevices()


BACK_ENDS = {"twin": in_process, "pty": lambda: on_a_line(PtyLine), "tcp": lambda: on_a_line(TcpLine)}


@pytest.fixture(params=list(BACK_ENDS))
def bench(request) -> Iterator[Bench]:
    with BACK_ENDS[request.param]() as bench:
        yield bench


@pytest.fixture(params=["twin", "pty"])
def seeing(request) -> Iterator[Bench]:
    """A bench for tests that take pictures; a socket brings them byte by byte, which one test stands for."""
    with BACK_ENDS[request.param]() as bench:
        yield bench


# -- loader ------------------------------------------------------------------------------------------------


def test_the_devices_keep_their_protocols(bench):
    assert isinstance(bench.loader, SlideLoader)
    assert isinstance(bench.oiler, Oiler)
    assert isinstance(bench.label_camera, LabelCamera)


def test_a_loader_tells_its_slots_and_that_the_stage_is_empty(bench):
    assert bench.loader.slots() == SLOTS
    state = bench.loader.state()
    assert EMPTY not in state.occupied
    assert {1, 7, 79} <= state.occupied <= set(range(1, SLOTS + 1))
    assert (state.on_stage, state.taken_from) == (False, None)
    assert not bench.loader.busy()


@pytest.mark.parametrize("slot", [1, 80])
def test_a_slide_comes_to_the_stage_and_goes_back(bench, slot):
    before = bench.loader.state().occupied
    bench.load(slot)
    state = bench.loader.state()
    assert (state.on_stage, state.taken_from, state.occupied) == (True, slot, before - {slot})
    assert bench.twin.settings.seed == slot
    assert bench.feeder.slide_on_stage == bench.feeder.tray.slides[slot]
    bench.loader.start_unload()
    bench.finish(bench.loader)
    state = bench.loader.state()
    assert (state.on_stage, state.taken_from, state.occupied) == (False, None, before)
    assert bench.feeder.slide_on_stage is None
    assert not bench.twin.collisions


def test_a_slide_under_way_is_neither_here_nor_there(bench):
    bench.go(*LOAD_UM)
    bench.loader.start_load(3)
    bench.clock.sleep_s(CHANGE_S / 2.0)
    state = bench.loader.state()
    assert 3 not in state.occupied
    assert not state.on_stage
    assert bench.loader.busy()


def test_a_slot_that_is_not_there_is_refused(bench):
    bench.go(*LOAD_UM)
    for slot in (0, -1, SLOTS + 1, 10**6):
        with pytest.raises(LimitError) as caught:
            bench.loader.start_load(slot)
        assert caught.value.wanted == str(slot)
        assert not bench.loader.busy()


def refusals(bench):
    """What a loader has to refuse, each with what the error says."""
    yield lambda: bench.loader.start_load(EMPTY), "no slide in the slot"
    yield lambda: bench.loader.start_unload(), "no slide on the stage"
    bench.load(5)
    yield lambda: bench.loader.start_load(6), "lies on the stage already"
    bench.loader.start_unload()
    yield lambda: bench.loader.start_load(6), "under way"
    yield lambda: bench.loader.start_unload(), "under way"
    yield lambda: bench.loader.home(), "under way"
    bench.finish(bench.loader)


def test_what_would_break_glass_is_refused_and_nothing_moves(bench):
    bench.go(*LOAD_UM)
    for order, reason in refusals(bench):
        before = (bench.loader.state(), bench.loader.busy(), bench.feeder.slide_on_stage)
        with pytest.raises(LoaderError, match=reason) as caught:
            order()
        assert caught.value.device == "Loader"
        assert (bench.loader.state(), bench.loader.busy(), bench.feeder.slide_on_stage) == before
    assert bench.feeder.slide_on_stage is None


def test_a_gripper_that_was_stopped_has_to_be_homed_and_the_slide_is_not_lost(bench):
    before = bench.loader.state().occupied
    bench.go(*LOAD_UM)
    bench.loader.start_load(9)
    bench.clock.sleep_s(CHANGE_S / 2.0)
    bench.loader.stop()
    assert not bench.loader.busy()
    assert not bench.loader.state().on_stage
    with pytest.raises(LoaderError, match="home it"):
        bench.loader.start_load(10)
    bench.loader.home()
    bench.finish(bench.loader)
    assert bench.loader.state().occupied == before
    bench.load(10)
    assert bench.loader.state().taken_from == 10


def test_a_stop_at_rest_changes_nothing(bench):
    bench.loader.stop()
    bench.load(4)
    bench.loader.stop()
    assert bench.loader.state().taken_from == 4
    bench.loader.start_unload()
    bench.finish(bench.loader)


@pytest.mark.parametrize("unloads", [False, True], ids=["load", "unload"])
def test_a_jam_is_an_error_until_somebody_has_cleared_it(bench, unloads):
    bench.feeder.withdraws_after_jam = False
    if unloads:
        bench.load(11)
    bench.go(*LOAD_UM)
    bench.add(TwinFaultKind.LOADER_JAMS, "Loader")
    bench.loader.start_unload() if unloads else bench.loader.start_load(11)
    with pytest.raises(LoaderError, match="jammed"):
        bench.finish(bench.loader)
    # The slide hangs in the gripper: neither slot nor stage may claim it.
    state = bench.loader.state()
    assert (11 in state.occupied, state.on_stage, state.taken_from) == (False, False, None)
    for order in (lambda: bench.loader.start_load(12), bench.loader.home):
        with pytest.raises(LoaderError, match="clear it by hand"):
            order()
    bench.feeder.clear_by_hand()
    bench.loader.home()
    bench.finish(bench.loader)
    bench.load(11)
    assert bench.loader.state().taken_from == 11


def test_a_wrong_slide_never_passes_for_the_right_one(bench):
    bench.go(*LOAD_UM)
    bench.add(TwinFaultKind.WRONG_SLIDE, "Loader")
    bench.loader.start_load(20)
    try:
        bench.finish(bench.loader)
    except LoaderError as error:
        assert "slot 20" in str(error.wanted)  # noqa: PT017 (either way of telling will do)
        assert "slot 21" in str(error.actual)  # noqa: PT017
    state = bench.loader.state()
    assert (state.on_stage, state.taken_from) == (True, 21)
    assert 20 in state.occupied


def test_a_slide_that_only_the_loader_believes_in_has_no_label(seeing):
    bench = seeing
    bench.add(TwinFaultKind.NO_SLIDE, "Loader")
    bench.load(20)
    assert bench.loader.state().taken_from == 20
    assert bench.feeder.slide_on_stage is None
    with pytest.raises(LabelError, match="no barcode"):
        the_barcode(bench.label_camera.picture(), "LabelCamera")
    bench.loader.start_unload()
    with pytest.raises(LoaderError, match="lost"):
        bench.finish(bench.loader)


def test_the_twin_tells_what_a_gripper_would_have_broken(bench):
    bench.go(40_000.0, 12_000.0)
    bench.loader.start_load(2)
    bench.finish(bench.loader)
    assert len(bench.twin.collisions) == 1
    assert "from the load position" in bench.twin.collisions[0].detail
    bench.go(*LOAD_UM)
    bench.twin.move_focus(2_000.0, "Z")
    bench.clock.sleep_s(5.0)
    bench.loader.start_unload()
    assert "focus at 2000" in bench.twin.collisions[1].detail
    bench.twin.move_stage(10_000.0, 10_000.0, "XY")
    assert "stage moved while the gripper" in bench.twin.collisions[2].detail


# -- oiler -------------------------------------------------------------------------------------------------


def over_the_slide(bench):
    """Load a slide and bring (30000, 12000) um of it under the nozzle."""
    bench.load(1)
    bench.go(33_000.0, 12_000.0)


def test_a_drop_falls_where_the_nozzle_is_and_is_counted_once(bench):
    over_the_slide(bench)
    given = bench.oiler.drops_given()
    assert not bench.oiler.is_empty()
    bench.oiler.start_drop()
    assert not bench.twin.oil
    bench.finish(bench.oiler)
    assert bench.oiler.drops_given() == given + 1
    (drop,) = bench.twin.oil
    assert (drop.slide_x_um, drop.slide_y_um) == pytest.approx((30_000.0, 12_000.0))
    assert bench.events("oil") == ["slide 30000, 12000 um"]
    assert not bench.events("oil_spill")


def test_a_drop_during_a_drop_is_refused(bench):
    over_the_slide(bench)
    bench.oiler.start_drop()
    with pytest.raises(OilError, match="under way"):
        bench.oiler.start_drop()
    bench.finish(bench.oiler)
    assert bench.oiler.drops_given() == 1
    assert len(bench.twin.oil) == 1


def test_a_drop_that_was_stopped_does_not_fall_and_is_not_counted(bench):
    over_the_slide(bench)
    bench.oiler.start_drop()
    bench.oiler.stop()
    assert not bench.oiler.busy()
    bench.clock.sleep_s(2.0 * DROP_S)
    assert bench.oiler.drops_given() == 0
    assert not bench.twin.oil


def test_a_drop_that_does_not_fall_is_never_counted(bench):
    over_the_slide(bench)
    bench.add(TwinFaultKind.OIL_EMPTY, "Oiler")
    bench.oiler.start_drop()
    try:
        bench.finish(bench.oiler)
    except OilError as error:
        assert "no drop fell" in str(error)  # noqa: PT017 (either way of telling will do)
    assert bench.oiler.drops_given() == 0
    assert not bench.twin.oil
    assert bench.oiler.is_empty()
    with pytest.raises(OilError, match="empty"):
        bench.oiler.start_drop()
    assert not bench.oiler.busy()


def test_oil_goes_with_its_slide(bench):
    over_the_slide(bench)
    bench.oiler.start_drop()
    bench.finish(bench.oiler)
    bench.go(*LOAD_UM)
    bench.loader.start_unload()
    bench.finish(bench.loader)
    bench.load(2)
    assert not bench.twin.oil
    bench.loader.start_unload()
    bench.finish(bench.loader)
    bench.load(1)
    assert bench.twin.has_oil_at(30_000.0, 12_000.0)


# -- label camera ------------------------------------------------------------------------------------------


def test_a_picture_of_a_label_is_grey_and_readable(bench):
    bench.load(33)
    picture = bench.label_camera.picture()
    assert picture.dtype == np.uint8
    assert picture.ndim == 2
    assert the_barcode(picture).text == "KS-0000-033"


def test_a_smeared_label_is_refused_and_read_again_when_it_can_be(seeing):
    bench = seeing
    bench.load(33)
    bench.add(TwinFaultKind.LABEL_UNREADABLE, "LabelCamera")
    with pytest.raises(LabelError, match="no barcode") as caught:
        the_barcode(bench.label_camera.picture(), "LabelCamera")
    assert caught.value.device == "LabelCamera"
    assert the_barcode(bench.label_camera.picture()).text == "KS-0000-033"


def test_a_duplicate_label_says_what_another_slide_says(seeing):
    bench = seeing
    bench.load(33)
    bench.add(TwinFaultKind.LABEL_DUPLICATE, "LabelCamera")
    text = the_barcode(bench.label_camera.picture()).text
    assert text != "KS-0000-033"
    assert text in {slide.label for slide in bench.feeder.tray.slides.values()}


def test_every_error_is_a_device_error(bench):
    for order in (lambda: bench.loader.start_load(0), bench.loader.start_unload):
        with pytest.raises(DeviceError):
            order()

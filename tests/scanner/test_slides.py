"""Loader, oil and labels through the microscope, on the twin with a feeder."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scanner.coordinates import StagePoint
from scanner.core import ScanCore
from scanner.errors import (
    DeviceError,
    InterlockError,
    LabelError,
    LoaderError,
    MoveStoppedError,
    OilError,
    PositionError,
)
from scanner.microscope import Microscope
from scanner.oil import OilLedger
from scanner.rig import Rig, load_rig
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind
from simulators.feeder import Feeder
from simulators.peripherals import feeder_of
from simulators.twin import Twin

RIG_FOLDER = Path(__file__).parents[2] / "hardware_configs" / "simulated-feeder"
SPOT = StagePoint(30_000.0, 12_500.0)


@dataclass
class FeederBench:
    rig: Rig
    core: ScanCore
    twin: Twin
    feeder: Feeder
    microscope: Microscope

    def kinds(self) -> list[str]:
        return [event.kind for event in self.twin.events]


@pytest.fixture
def bench() -> Iterator[FeederBench]:
    rig, cfg = load_rig(RIG_FOLDER)
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    twin = twin_of(core)
    yield FeederBench(rig, core, twin, feeder_of(core), Microscope(core, rig))
    core.unloadAllDevices()


def loaded(bench: FeederBench, slot: int = 3) -> FeederBench:
    bench.microscope.slides.load(slot)
    return bench


def test_a_slide_is_brought_named_and_brought_back(bench):
    slides = bench.microscope.slides
    slides.load(3)
    assert slides.here() == "slot 3"
    assert slides.state().taken_from == 3
    assert 3 not in slides.state().occupied
    assert slides.read_label().text == bench.feeder.tray.slides[3].label
    slides.unload()
    assert slides.here() == "no slide"
    assert 3 in slides.state().occupied
    assert bench.twin.collisions == ()


def test_the_gripper_only_comes_with_the_stage_at_the_load_position_and_the_focus_down(bench):
    bench.microscope.move_to(SPOT)
    bench.microscope.focus_to(2000.0)
    bench.microscope.slides.load(5)
    assert bench.twin.stage_um() == pytest.approx((1_000.0, 25_000.0), abs=2.0)
    assert bench.twin.focus_um() == pytest.approx(0.0, abs=0.5)
    assert bench.twin.collisions == ()


def test_a_changed_slide_can_not_be_photographed_before_the_next_move(bench):
    loaded(bench)
    with pytest.raises(PositionError, match="no proven position"):
        bench.microscope.snap(5.0)


@pytest.mark.parametrize("slot", [0, 81, -3])
def test_a_slot_that_is_not_there_is_refused_before_anything_moves(bench, slot):
    before = bench.twin.stage_um()
    with pytest.raises(LoaderError, match="no such slot"):
        bench.microscope.slides.load(slot)
    assert bench.twin.stage_um() == before


def test_an_empty_slot_and_an_occupied_stage_are_refused(bench):
    with pytest.raises(LoaderError, match="the slot is empty"):
        bench.microscope.slides.load(8)
    loaded(bench)
    with pytest.raises(LoaderError, match="a slide lies on the stage"):
        bench.microscope.slides.load(4)


def test_nothing_is_unloaded_from_an_empty_stage(bench):
    with pytest.raises(LoaderError, match="no slide on the stage"):
        bench.microscope.slides.unload()


def test_after_a_jam_nothing_moves_until_a_person_has_cleared_it(bench):
    microscope = bench.microscope
    bench.feeder.withdraws_after_jam = False
    bench.twin.faults.add(TwinFault(TwinFaultKind.LOADER_JAMS, "Loader"))
    with pytest.raises(DeviceError, match="jam"):
        microscope.slides.load(3)
    assert microscope.slides.loader_failed
    for action in (
        lambda: microscope.move_to(SPOT),
        lambda: microscope.focus_to(2000.0),
        lambda: microscope.select_objective("63x", oil_allowed=True),
        lambda: microscope.home(allowed=True),
        lambda: microscope.slides.load(4),
        microscope.slides.unload,
    ):
        with pytest.raises(InterlockError, match="loader failed"):
            action()
    assert microscope.safe_state() == ()
    microscope.resume()
    with pytest.raises(DeviceError, match="jam"):
        microscope.slides.declare_loader_clear()
    assert microscope.slides.loader_failed
    bench.feeder.clear_by_hand()
    microscope.slides.declare_loader_clear()
    microscope.slides.load(3)
    assert microscope.slides.here() == "slot 3"
    assert bench.twin.collisions == ()


def test_a_gripper_withdraws_by_itself_only_where_the_rig_allows_it(bench):
    loader = bench.rig.loader.model_copy(update={"self_recovery": False})
    careful = Microscope(bench.core, bench.rig.model_copy(update={"loader": loader}))
    bench.twin.faults.add(TwinFault(TwinFaultKind.LOADER_JAMS, "Loader"))
    for microscope, slot in ((bench.microscope, 3), (careful, 4)):
        with pytest.raises(DeviceError, match="jam"):
            microscope.slides.load(slot)
    with pytest.raises(LoaderError, match="cleared by a person"):
        careful.slides.recover_loader()
    assert careful.slides.loader_failed
    bench.microscope.slides.recover_loader()
    assert not bench.microscope.slides.loader_failed
    bench.microscope.slides.load(3)
    assert bench.microscope.slides.here() == "slot 3"


def test_a_loader_that_falls_silent_after_a_load_is_in_doubt(bench, monkeypatch):
    loader = bench.core.python_device("Loader")
    state, asked = loader.state, []

    def falls_silent():
        asked.append(True)
        if len(asked) > 1:
            raise OSError("no answer")
        return state()

    monkeypatch.setattr(loader, "state", falls_silent)
    with pytest.raises(DeviceError, match="no answer"):
        bench.microscope.slides.load(3)
    assert bench.microscope.slides.loader_failed
    assert bench.microscope.slides.here() == "unknown slide"
    with pytest.raises(InterlockError, match="loader failed"):
        bench.microscope.move_to(SPOT)


def test_another_slide_than_asked_is_an_error_that_names_both(bench):
    bench.twin.faults.add(TwinFault(TwinFaultKind.WRONG_SLIDE, "Loader"))
    with pytest.raises(LoaderError, match="another slide was brought") as caught:
        bench.microscope.slides.load(3)
    assert caught.value.wanted == "slot 3"
    assert bench.microscope.slides.here() != "slot 3"
    bench.microscope.slides.unload()
    assert not bench.microscope.slides.loader_failed


def test_a_slide_that_is_not_there_has_no_label_to_be_read(bench):
    bench.twin.faults.add(TwinFault(TwinFaultKind.NO_SLIDE, "Loader"))
    bench.microscope.slides.load(3)
    with pytest.raises(LabelError):
        bench.microscope.slides.read_label()


def test_an_unreadable_label_is_never_guessed(bench):
    loaded(bench)
    bench.twin.faults.add(TwinFault(TwinFaultKind.LABEL_UNREADABLE, "LabelCamera"))
    with pytest.raises(LabelError, match="barcode"):
        bench.microscope.slides.read_label()


def test_a_stopped_instrument_changes_no_slide(bench):
    bench.microscope.stop()
    with pytest.raises(MoveStoppedError):
        bench.microscope.slides.load(3)
    assert bench.microscope.slides.here() == "no slide"


def test_oil_falls_once_a_spot_where_the_objective_will_look(bench):
    microscope = loaded(bench).microscope
    microscope.slides.apply_oil(SPOT, allowed=True)
    assert microscope.slides.has_oil(SPOT)
    assert microscope.slides.has_oil(SPOT.shifted(2_000.0, 0.0))
    assert not microscope.slides.has_oil(SPOT.shifted(3_000.0, 0.0))
    assert bench.twin.has_oil_at(SPOT.x_um, SPOT.y_um)
    with pytest.raises(InterlockError, match="oil_once_a_spot"):
        microscope.slides.apply_oil(SPOT.shifted(100.0, 0.0), allowed=True)
    assert bench.kinds().count("oil") == 1
    assert "oil_spill" not in bench.kinds()


def test_no_oil_without_permission(bench):
    microscope = loaded(bench).microscope
    with pytest.raises(InterlockError, match="oil_only_when_allowed"):
        microscope.slides.apply_oil(SPOT)
    assert not microscope.slides.is_oiled()
    assert "oil" not in bench.kinds()


def test_a_drop_that_did_not_fall_is_no_oil_yet_the_slide_stays_suspect(bench):
    microscope = loaded(bench).microscope
    bench.twin.faults.add(TwinFault(TwinFaultKind.OIL_EMPTY, "Oiler"))
    with pytest.raises(OilError):
        microscope.slides.apply_oil(SPOT, allowed=True)
    assert not microscope.slides.has_oil(SPOT)
    assert microscope.slides.is_oiled()
    with pytest.raises(OilError, match="empty"):
        microscope.slides.apply_oil(SPOT, allowed=True)


def test_oil_is_remembered_by_slide_and_no_dry_lens_comes_near(bench):
    microscope = loaded(bench).microscope
    microscope.slides.apply_oil(SPOT, allowed=True)
    with pytest.raises(InterlockError, match="no_dry_focus_in_oil"):
        microscope.focus_to(2000.0)
    microscope.slides.unload()
    microscope.slides.load(4)
    microscope.focus_to(2000.0)
    microscope.slides.unload()
    microscope.slides.load(3)
    with pytest.raises(InterlockError, match="no_dry_focus_in_oil"):
        microscope.focus_to(2000.0)
    assert "dry_lens_in_oil" not in bench.kinds()


def test_a_dry_objective_in_focus_is_not_moved_over_an_oiled_slide(bench, tmp_path):
    ledger = OilLedger(tmp_path / "oil.json")
    microscope = Microscope(bench.core, bench.rig, oil=ledger)
    microscope.slides.load(3)
    microscope.focus_to(2000.0)
    ledger.touched("slot 3")
    with pytest.raises(InterlockError, match="no_dry_travel_into_oil"):
        microscope.move_to(SPOT)
    microscope.lower_focus()
    microscope.move_to(SPOT)


def test_a_rig_without_peripherals_says_so(bench):
    rig = bench.rig.model_copy(
        update={
            "loader": None,
            "oiler": None,
            "devices": bench.rig.devices.model_copy(update={"loader": None, "oiler": None, "label_camera": None}),
        }
    )
    slides = Microscope(bench.core, rig).slides
    assert (slides.has_loader, slides.has_oiler, slides.has_label_camera) == (False, False, False)
    assert slides.here() == "1"
    with pytest.raises(LoaderError, match="no slide loader"):
        slides.load(1)
    with pytest.raises(OilError, match="no oil dispenser"):
        slides.apply_oil(SPOT, allowed=True)
    with pytest.raises(LabelError, match="no label camera"):
        slides.read_label()

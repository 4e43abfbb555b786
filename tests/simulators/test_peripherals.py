"""The twin's feeder, oil dispenser and label camera: what really happened stands in the twin's record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from scanner.barcode import the_barcode
from scanner.coordinates import SlidePoint
from scanner.core import ScanCore
from scanner.errors import DeviceError, DeviceNotReadyError, LabelError, LoaderError, OilError
from scanner.microscope import Microscope
from scanner.rig import load_rig
from simulators.clock import InstantClock, ManualClock
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind
from simulators.feeder import Feeder
from simulators.oil import Dispenser, OilDrop
from simulators.peripherals import feeder_of
from simulators.specimen.slide import SlideSettings
from simulators.tray import Tray, TraySlide, fill_tray
from simulators.twin import Twin

RIGS = Path(__file__).parents[2] / "hardware_configs"
BARE = SlideSettings(cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0)


def kinds(twin: Twin) -> list[str]:
    return [event.kind for event in twin.events if event.kind != "objective"]


@pytest.fixture
def core() -> Iterator[ScanCore]:
    core = ScanCore()
    try:
        core.loadSystemConfiguration(RIGS / "simulated-feeder" / "micro-manager.cfg")
        yield core
    finally:
        core.unloadAllDevices()


def test_the_shipped_rig_is_what_its_configuration_makes(core):
    rig, _ = load_rig(RIGS / "simulated-feeder")
    loader = core.python_device(rig.devices.loader)
    assert loader.slots() == rig.loader.slots == 80
    assert loader.state().occupied == frozenset(range(1, 81)) - {8, 40, 77}
    feeder = feeder_of(core)
    assert feeder.load_um == (rig.stage.load.x_um, rig.stage.load.y_um)
    assert feeder.change_s == rig.loader.change_s
    dispenser = core.python_device(rig.devices.oiler).dispenser
    assert dispenser.offset_um == (rig.oiler.offset_x_um, rig.oiler.offset_y_um)
    assert dispenser.drop_s == rig.oiler.drop_s


def test_the_tray_takes_after_the_slide_of_the_hub(core):
    for name, value in (("Seed", 5), ("Cells", 2)):
        core.setProperty("Hub", name, value)
    core.setProperty("Loader", "LabelPrefix", "LAB")
    core.setProperty("Loader", "LabelFormat", "Code128")
    core.setXYPosition("XY", 1_000.0, 25_000.0)
    core.python_device("Loader").start_load(80)
    twin = twin_of(core)
    assert (twin.settings.seed, twin.settings.cells) == (5_080, 2)
    barcode = the_barcode(core.python_device("LabelCamera").picture())
    assert (barcode.text, barcode.format) == ("LAB-0005-080", "Code128")


def test_an_empty_stage_shows_light_and_nothing_else(core):
    twin = twin_of(core)
    twin.lamp_open = True
    twin.turn_turret(0)
    twin.move_focus(2_000.0, "Z")
    assert twin.truth() == ()
    empty = twin.expose(8.0, "Camera", "Lamp").astype(float)
    twin.move_focus(0.0, "Z")
    core.setXYPosition("XY", 1_000.0, 25_000.0)
    core.python_device("Loader").start_load(2)
    assert len(twin.world.cell_uids) == 12
    assert empty.mean() > 100.0
    assert twin.collisions == ()


@pytest.mark.parametrize(
    ("label", "name", "value"),
    [
        ("Loader", "Empty", "three"),
        ("Loader", "LabelFormat", "Aztec"),
        ("Loader", "Slots", 0),
        ("Oiler", "Drop_s", 0),
    ],
)
def test_a_property_that_makes_no_sense_is_refused(core, label, name, value):
    with pytest.raises(Exception, match=name if name != "LabelFormat" else "Aztec"):
        core.setProperty(label, name, value)


def test_without_a_feeder_there_is_none_to_find():
    core = ScanCore()
    with pytest.raises(DeviceNotReadyError, match="no simulated feeder"):
        feeder_of(core)


def test_a_slide_that_is_not_looked_after_comes_down_all_the_same():
    twin = Twin(BARE, InstantClock())
    feeder = Feeder(twin, tray=fill_tray(8, BARE), load_um=(0.0, 0.0))
    twin.move_stage(0.0, 0.0, "XY")
    feeder.load(5)
    assert twin.settings.seed == 5
    assert kinds(twin) == ["slide"]
    assert twin.clock.now_s() > feeder.change_s


def test_a_wrong_slide_is_the_neighbour_and_a_jam_keeps_it_in_the_gripper():
    twin = Twin(BARE, ManualClock())
    feeder = Feeder(twin, "Loader", fill_tray(8, BARE, empty=(6,)), load_um=twin.stage_um())
    twin.faults.add(TwinFault(TwinFaultKind.WRONG_SLIDE, "Loader"))
    twin.faults.add(TwinFault(TwinFaultKind.LOADER_JAMS, "Loader"))
    feeder.load(5)
    twin.clock.sleep_s(feeder.change_s)
    assert (feeder.label_in_view, feeder.slide_on_stage) == (feeder.tray.slides[4], None)
    assert feeder.is_gripper_occupied
    assert feeder.sensors().occupied == {1, 2, 3, 5, 7, 8}
    feeder.clear_by_hand()
    assert feeder.sensors().occupied == {1, 2, 3, 4, 5, 7, 8}
    assert kinds(twin) == ["fault", "fault"]


def test_the_last_slide_has_no_neighbour_and_is_the_right_one():
    twin = Twin(BARE, InstantClock())
    feeder = Feeder(twin, tray=Tray(3, {2: TraySlide("A", BARE)}), load_um=twin.stage_um())
    twin.faults.add(TwinFault(TwinFaultKind.WRONG_SLIDE, "Loader"))
    feeder.load(2)
    assert feeder.sensors().taken_from == 2


def test_a_tray_that_is_changed_takes_the_slide_off():
    twin = Twin(BARE, InstantClock())
    feeder = Feeder(twin, tray=fill_tray(4, BARE), load_um=twin.stage_um())
    feeder.load(1)
    feeder.tray = fill_tray(6, BARE, empty=(1,))
    assert feeder.sensors().occupied == {2, 3, 4, 5, 6}
    assert not feeder.sensors().on_stage
    assert feeder.slots == 6


def test_oil_falls_where_the_table_truly_is_and_beside_the_slide_it_is_spilled():
    twin = Twin(BARE, InstantClock())
    dispenser = Dispenser(twin, offset_um=(100.0, -2_000.0))
    twin.move_stage(30_000.0, 12_000.0, "XY")
    assert dispenser.start_drop()
    assert twin.oil == (OilDrop(30_100.0, 10_000.0),)
    twin.move_stage(30_000.0, 1_000.0, "XY")
    assert dispenser.start_drop()
    assert len(twin.oil) == 1
    assert kinds(twin) == ["oil", "oil_spill"]
    assert dispenser.drops_given == 2


def test_oil_on_an_empty_stage_is_spilled():
    twin = Twin(BARE, InstantClock())
    Feeder(twin)
    Dispenser(twin).start_drop()
    assert kinds(twin) == ["oil_spill"]


def test_a_dry_lens_over_oil_is_told_once_each_time():
    twin = Twin(BARE, InstantClock())
    dispenser = Dispenser(twin)
    twin.move_stage(30_000.0, 12_000.0, "XY")
    dispenser.start_drop()
    for z_um in (1_990.0, 2_000.0, 0.0):
        twin.move_focus(z_um, "Z")
    twin.move_stage(60_000.0, 12_000.0, "XY")
    twin.move_focus(2_000.0, "Z")
    assert kinds(twin) == ["oil", "dry_lens_in_oil"]
    # And from the side, with the focus up.
    twin.move_stage(31_000.0, 12_000.0, "XY")
    assert kinds(twin) == ["oil", "dry_lens_in_oil", "dry_lens_in_oil"]


def test_an_oil_objective_may_go_into_oil_and_a_picture_without_is_told():
    twin = Twin(BARE, InstantClock())
    dispenser = Dispenser(twin)
    twin.move_stage(30_000.0, 12_000.0, "XY")
    dispenser.start_drop()
    twin.turn_turret(1)
    twin.move_focus(2_003.0, "Z")
    twin.expose(8.0, "Camera", "Lamp")
    assert kinds(twin) == ["oil"]
    twin.move_focus(0.0, "Z")
    twin.move_stage(50_000.0, 12_000.0, "XY")
    twin.expose(8.0, "Camera", "Lamp")
    assert kinds(twin)[-1] == "no_oil"


def test_a_reservoir_that_was_filled_gives_again():
    twin = Twin(BARE, InstantClock())
    dispenser = Dispenser(twin, reservoir_drops=1)
    assert dispenser.start_drop()
    assert dispenser.is_empty
    assert not dispenser.start_drop()
    dispenser.refill()
    assert dispenser.start_drop()
    assert dispenser.drops_given == 2


def test_a_label_looks_the_same_each_time_and_different_for_each_slide(core):
    core.setXYPosition("XY", 1_000.0, 25_000.0)
    loader, camera = core.python_device("Loader"), core.python_device("LabelCamera")
    loader.start_load(1)
    first = camera.picture()
    assert np.array_equal(first, camera.picture())
    loader.start_unload()
    loader.start_load(2)
    assert not np.array_equal(first, camera.picture())
    core.setProperty("LabelCamera", "Contrast", 0.3)
    assert camera.picture().std() < first.std()


def test_orders_without_a_hub_say_what_is_missing():
    core = ScanCore()
    try:
        core.loadDevice("Loader", "simulators.peripherals", "TwinLoader")
        with pytest.raises(DeviceNotReadyError, match="Parent"):
            core.initializeAllDevices()
    finally:
        core.unloadAllDevices()


def test_a_jam_is_told_by_the_twins_own_device(core):
    core.setProperty("Loader", "WithdrawsAfterJam", 0)
    core.setProperty("Hub", "Faults", "loader_jams@Loader")
    core.setXYPosition("XY", 1_000.0, 25_000.0)
    loader = core.python_device("Loader")
    loader.start_load(1)
    with pytest.raises(LoaderError, match="jammed"):
        loader.busy()
    loader.stop()
    with pytest.raises(LoaderError, match="clear it by hand"):
        loader.home()


# -- frame -------------------------------------------------------------------------------------------------


@pytest.fixture
def framed() -> Iterator[ScanCore]:
    core = ScanCore()
    try:
        core.loadSystemConfiguration(RIGS / "simulated-frame" / "micro-manager.cfg")
        core.setProperty("Hub", "Cells", 1)
        yield core
    finally:
        core.unloadAllDevices()


def test_the_shipped_frame_is_what_its_configuration_makes(framed):
    rig, _ = load_rig(RIGS / "simulated-frame")
    twin = twin_of(framed)
    assert twin.bed is not None
    assert {bay.name: bay.origin_um for bay in twin.bed.bays} == {
        slot.name: (slot.x_um, slot.y_um) for slot in rig.slots
    }
    assert twin.configuration.x_limits_um == (rig.stage.x.min_um, rig.stage.x.max_um)
    assert twin.configuration.y_limits_um == (rig.stage.y.min_um, rig.stage.y.max_um)
    assert framed.python_device(rig.devices.oiler).dispenser.offset_um == (rig.oiler.offset_x_um, 0.0)
    assert framed.getProperty("LabelCamera", "OffsetX_um") == rig.label_camera.offset_x_um


def test_every_slot_of_a_frame_has_a_slide_and_a_label_of_its_own(framed):
    rig, _ = load_rig(RIGS / "simulated-frame")
    twin, seeds = twin_of(framed), set()
    for name, frame in rig.slides.items():
        place = frame.to_stage(SlidePoint(30_000.0, 12_000.0))
        framed.setXYPosition("XY", place.x_um, place.y_um)
        assert twin.bay.name == name == rig.slide_at(place)
        assert twin.view_um() == pytest.approx((30_000.0, 12_000.0))
        seeds.add(twin.world.settings.seed)
        assert len(twin.world.cell_uids) == (0 if name == "6" else 1)
    assert seeds == {1, 2, 3, 4, 5, 7, 8, 0}


def test_labels_of_a_frame_are_read_through_the_microscope(framed):
    rig, _ = load_rig(RIGS / "simulated-frame")
    microscope = Microscope(framed, rig)
    assert microscope.slides.read_label("8").text == "KS-0000-008"
    assert microscope.slides.read_label("1").text == "KS-0000-001"
    with pytest.raises(LabelError, match="no barcode"):
        microscope.slides.read_label("6")
    twin_of(framed).faults.add(TwinFault(TwinFaultKind.LABEL_DUPLICATE, "LabelCamera"))
    assert microscope.slides.read_label("2").text != "KS-0000-002"
    framed.setXYPosition("XY", 60_000.0, 12_000.0)
    with pytest.raises(LabelError, match="no barcode"):
        the_barcode(framed.python_device("LabelCamera").picture())


def test_oil_on_one_slide_of_a_frame_is_not_on_the_others(framed):
    rig, _ = load_rig(RIGS / "simulated-frame")
    microscope, twin = Microscope(framed, rig), twin_of(framed)
    at = rig.slides["4"].to_stage(SlidePoint(30_000.0, 12_000.0))
    microscope.slides.apply_oil(at, allowed=True)
    for name, frame in rig.slides.items():
        place = frame.to_stage(SlidePoint(30_000.0, 12_000.0))
        framed.setXYPosition("XY", place.x_um, place.y_um)
        assert twin.has_oil_at(30_000.0, 12_000.0) == (name == "4")
    assert kinds(twin) == ["oil"]


def test_other_slides_come_into_the_frame_with_other_settings(framed):
    twin = twin_of(framed)
    twin.settings = SlideSettings(seed=9, cells=0)
    assert twin.bed.tray.slides[3].label == "KS-0009-003"
    framed.setProperty("Frame", "Columns", 1)
    assert twin.bay.name == "1"
    assert twin.configuration.y_limits_um == (0.0, 240_000.0)


@pytest.mark.parametrize(("name", "value"), [("PitchX_um", 20_000), ("Empty", "x"), ("LabelFormat", "Aztec")])
def test_a_frame_that_can_not_be_is_refused_and_the_old_one_stays(framed, name, value):
    before = framed.getProperty("Frame", name)
    with pytest.raises(Exception, match=r"fit|Empty|Aztec"):
        framed.setProperty("Frame", name, value)
    assert framed.getProperty("Frame", name) == before
    assert twin_of(framed).bed.at(0.0, 0.0).name == "1"


# -- behind serial lines -----------------------------------------------------------------------------------


@pytest.fixture
def lined() -> Iterator[tuple[ScanCore, Microscope, Twin]]:
    core = ScanCore()
    try:
        rig, cfg = load_rig(RIGS / "feeder-serial")
        core.loadSystemConfiguration(cfg)
        core.setProperty("Hub", "Cells", 0)
        yield core, Microscope(core, rig), twin_of(core)
    finally:
        core.unloadAllDevices()


def test_a_microscope_works_with_loader_oiler_and_label_camera_on_serial_lines(lined):
    core, microscope, twin = lined
    slides = microscope.slides
    assert slides.state().occupied == frozenset(range(1, 81)) - {8, 40, 77}
    slides.load(17)
    assert (slides.read_label().text, twin.settings.seed) == ("KS-0000-017", 17)
    at = microscope.rig.slide.frame.to_stage(SlidePoint(30_000.0, 12_000.0))
    slides.apply_oil(at, allowed=True)
    assert twin.oil == (OilDrop(30_000.0, 12_000.0),)
    slides.unload()
    assert not slides.state().on_stage
    assert kinds(twin) == ["slide", "oil"]
    assert core.getProperty("Loader", "Identity") == "KS-LOADER 0042 1.0"


@pytest.mark.parametrize(
    ("faults", "error"),
    [("mute@LOAD", DeviceNotReadyError), ("garbled@LOAD", DeviceError), ("hangs_up@LOAD", DeviceNotReadyError)],
)
def test_a_bad_line_leaves_the_loader_failed_and_no_slide_is_taken_for_another(lined, faults, error):
    core, microscope, twin = lined
    core.setProperty("Loader", "AnswerTimeout_ms", 300.0)
    core.setProperty("Loader", "SerialFaults", faults)
    with pytest.raises(error):
        microscope.slides.load(17)
    assert microscope.slides.loader_failed
    with pytest.raises(DeviceError, match="clear it by hand"):
        microscope.slides.load(18)
    assert twin.collisions == ()


def test_a_wrong_slide_and_an_empty_reservoir_are_told_through_the_lines(lined):
    core, microscope, twin = lined
    core.setProperty("Hub", "Faults", "wrong_slide@Feeder; oil_empty@Dispenser; label_unreadable@LabelEye")
    with pytest.raises(LoaderError, match="slot 17"):
        microscope.slides.load(17)
    assert twin.settings.seed == 18
    with pytest.raises(LabelError, match="no barcode"):
        the_barcode(core.python_device("LabelCamera").picture())
    oiler = core.python_device("Oiler")
    oiler.start_drop()
    with pytest.raises(OilError, match="no drop fell"):
        oiler.busy()


def test_electronics_without_their_machine_are_refused():
    core = ScanCore()
    try:
        core.loadDevice("Hub", "simulators.devices", "TwinHub")
        core.loadDevice("Oiler", "simulators.serial.peripherals", "TwinSerialOiler")
        core.setParentLabel("Oiler", "Hub")
        with pytest.raises(DeviceNotReadyError, match="wrong hub"):
            core.initializeAllDevices()
    finally:
        core.unloadAllDevices()

"""What every camera has to keep: binning, region, properties, and exposures that overlap the read-out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scanner.camera_setup import set_up_camera
from scanner.coordinates import StagePoint
from scanner.core import ScanCore
from scanner.errors import DeviceNotReadyError, FrameError, PositionError
from scanner.microscope import Microscope
from scanner.rig import CameraConfig, Rig, load_rig
from simulators.clock import InstantClock, RealClock
from simulators.devices import twin_of
from simulators.faults import TwinFault, TwinFaultKind

pytestmark = pytest.mark.conformance

RIGS = Path(__file__).parents[2] / "hardware_configs"
HERE, THERE = StagePoint(30_500.0, 11_500.0), StagePoint(31_100.0, 11_900.0)
EXPOSURE_MS = 5.0
Opened = tuple[Rig, ScanCore]


def with_camera(rig: Rig, **keys: Any) -> Rig:
    camera = CameraConfig.model_validate(rig.camera.model_dump() | keys)
    return rig.model_copy(update={"camera": camera})


@pytest.fixture(params=["simulated-equipped", "demo-camera"])
def opened(request) -> Iterator[Opened]:
    rig, cfg = load_rig(RIGS / request.param)
    core = ScanCore()
    try:
        core.loadSystemConfiguration(cfg)
        if rig.simulated:
            twin = twin_of(core)
            twin.settings = replace(twin.settings, cells=0, nuclei_per_mm2=0.0)
        yield rig, core
    finally:
        core.unloadAllDevices()


def snap(rig: Rig, core: ScanCore):
    microscope = Microscope(core, rig)
    microscope.move_to(HERE)
    with microscope.lit():
        return microscope.snap(EXPOSURE_MS)


@pytest.mark.parametrize("binning", [1, 2, 4])
def test_binning_is_set_and_scales_what_a_pixel_covers(opened, binning):
    rig, core = opened
    rig = with_camera(rig, binning=binning, width_px=1360 // binning, height_px=1024 // binning, region=None)
    set_up_camera(core, rig)
    frame = snap(rig, core)
    assert frame.pixels.shape == (1024 // binning, 1360 // binning)
    assert frame.view.camera.um_per_px == pytest.approx(0.645 * binning)
    assert frame.view.camera.width_um == pytest.approx(1360 * 0.645)
    # The same as Micro-Manager's own presets say.
    assert core.getPixelSizeUm() == pytest.approx(rig.um_per_px(rig.objectives[0]))


def test_a_region_is_set_and_pictures_have_its_size(opened):
    rig, core = opened
    rig = with_camera(rig, binning=None, region={"x_px": 160, "y_px": 128}, width_px=1024, height_px=768)
    set_up_camera(core, rig)
    assert list(core.getROI("Camera")) == [160, 128, 1024, 768]
    assert snap(rig, core).pixels.shape == (768, 1024)


def test_a_region_beyond_the_sensor_is_refused(opened):
    rig, core = opened
    rig = with_camera(rig, binning=None, region={"x_px": 800, "y_px": 0}, width_px=1024, height_px=768)
    with pytest.raises(DeviceNotReadyError, match=r"beyond the sensor.*allowed 1360 x 1024 px"):
        set_up_camera(core, rig)


def test_binning_that_the_camera_lacks_is_refused_with_what_it_offers(opened):
    rig, core = opened
    with pytest.raises(DeviceNotReadyError, match=r"camera\.binning: .*wanted 3, allowed 1, 2, 4"):
        set_up_camera(core, with_camera(rig, binning=3))


def test_properties_are_set_and_those_that_are_not_there_refused(opened):
    rig, core = opened
    exposure = {"Exposure": 12}
    set_up_camera(core, with_camera(rig, properties=exposure))
    assert float(core.getProperty("Camera", "Exposure")) == 12.0
    with pytest.raises(DeviceNotReadyError, match=r"camera\.properties\.Shutter: the camera has no property"):
        set_up_camera(core, with_camera(rig, properties={"Shutter": "Rolling"}))


def test_a_value_that_a_property_does_not_take_is_refused(opened):
    rig, core = opened
    name, offered = ("TriggerMode", "Internal") if rig.simulated else ("PixelType", "16bit")
    with pytest.raises(DeviceNotReadyError, match=f"doesn't offer this value of '{name}'.*{offered}"):
        set_up_camera(core, with_camera(rig, properties={name: "Elsewhere"}))


def test_a_rig_that_says_nothing_changes_nothing(opened):
    rig, core = opened
    core.setProperty("Camera", "Binning", 2)
    set_up_camera(core, with_camera(rig, binning=None, region=None, overlap=None))
    assert core.getProperty("Camera", "Binning") in {"2", 2}


def test_overlap_needs_the_property_that_triggers(opened):
    rig, core = opened
    with pytest.raises(DeviceNotReadyError, match=r"camera\.overlap: the camera has no property 'Fire'"):
        set_up_camera(core, with_camera(rig, overlap={"trigger_property": "Fire"}))


# -- exposures that overlap the read-out -------------------------------------------------------------------------


@pytest.fixture
def overlapping() -> Iterator[Microscope]:
    rig, cfg = load_rig(RIGS / "simulated-equipped")
    core = ScanCore()
    try:
        core.loadSystemConfiguration(cfg)
        twin = twin_of(core)
        twin.settings = replace(twin.settings, cells=0, nuclei_per_mm2=0.0)
        set_up_camera(core, rig)
        microscope = Microscope(core, rig)
        microscope.move_to(HERE)
        microscope.light(on=True)
        yield microscope
    finally:
        core.unloadAllDevices()


def core_of(microscope: Microscope) -> ScanCore:
    return microscope._calls.core


def keep_frames(twin) -> list:
    """All frames that the camera will have handed over, in the order of their exposures."""
    kept = []
    expose = twin.expose

    def keeping(*arguments):
        frame = expose(*arguments)
        kept.append(frame.copy())
        return frame

    twin.expose = keeping
    return kept


def places(frames) -> list[float]:
    return [frame.view.stage.x_um for frame in frames]


def test_frames_come_in_the_order_of_their_exposures_each_with_its_own_place(overlapping):
    twin = twin_of(core_of(overlapping))
    targets = [HERE.shifted(100.0 * number, 0.0) for number in range(6)]
    frames = []
    with overlapping.overlapped():
        waiting = overlapping.expose(EXPOSURE_MS)
        for target in targets[1:]:
            overlapping.move_to(target)
            following = overlapping.expose(EXPOSURE_MS)
            frames.append(overlapping.read(waiting))
            waiting = following
        frames.append(overlapping.read(waiting))
    assert places(frames) == pytest.approx([target.x_um for target in targets], abs=2.0)
    assert places(frames) == pytest.approx([sights[0].slide_x_um for sights in twin.handed_over], abs=2.0)
    assert all(sights[0].smear_um == (0.0, 0.0) for sights in twin.handed_over)
    assert core_of(overlapping).python_device("Camera").ignored_triggers == 0


def test_no_third_exposure_is_made_and_none_is_read_out_of_order(overlapping):
    with overlapping.overlapped():
        first, second = overlapping.expose(EXPOSURE_MS), overlapping.expose(EXPOSURE_MS)
        with pytest.raises(FrameError, match="has not been read"):
            overlapping.expose(EXPOSURE_MS)
        with pytest.raises(FrameError, match="another exposure"):
            overlapping.read(second)
        overlapping.read(first)
        overlapping.read(second)


def test_an_exposure_under_way_of_the_stage_is_refused_before_it_is_made(overlapping):
    twin = twin_of(core_of(overlapping))
    with overlapping.overlapped():
        waiting = overlapping.expose(EXPOSURE_MS)
        overlapping.start_move(THERE)
        with pytest.raises(PositionError):
            overlapping.expose(EXPOSURE_MS)
        assert twin.exposures == 1
        overlapping.finish_move()
        overlapping.read(waiting)


def test_a_stage_that_is_pushed_spoils_its_own_picture_and_not_the_one_before(overlapping):
    twin = twin_of(core_of(overlapping))
    with overlapping.overlapped():
        waiting = overlapping.expose(EXPOSURE_MS)
        overlapping.move_to(THERE)
        pushed = []
        twin.watchers.append(
            lambda what: what == "camera" and not pushed and pushed.append(twin.move_stage(0, 0, "XY"))
        )
        with pytest.raises(PositionError):
            overlapping.expose(EXPOSURE_MS)
        assert overlapping.read(waiting).view.stage.distance_um(HERE) <= 2.0
        overlapping.move_to(THERE)
        frame = overlapping.read(overlapping.expose(EXPOSURE_MS))
    assert frame.view.stage.distance_um(THERE) <= 2.0
    assert twin.handed_over[-1][0].slide_x_um == pytest.approx(THERE.x_um, abs=2.0)


def test_what_is_discarded_never_comes_as_another_picture(overlapping):
    twin = twin_of(core_of(overlapping))
    with overlapping.overlapped():
        overlapping.expose(EXPOSURE_MS)
        overlapping.discard_exposure()
        overlapping.move_to(THERE)
        frame = overlapping.read(overlapping.expose(EXPOSURE_MS))
        assert frame.view.stage.distance_um(THERE) <= 2.0
        assert twin.handed_over[-1][0].slide_x_um == pytest.approx(THERE.x_um, abs=2.0)
    # Outside, pictures are taken one by one again.
    assert not overlapping.overlaps
    overlapping.snap(EXPOSURE_MS)


def test_a_frame_that_never_comes_is_an_error_and_the_next_picture_is_sound(overlapping):
    twin = twin_of(core_of(overlapping))
    twin.faults.add(TwinFault(TwinFaultKind.CAMERA_HANGS, "Camera"))
    with overlapping.overlapped():
        exposure = overlapping.expose(EXPOSURE_MS)
        with pytest.raises(FrameError, match="the frame never came"):
            overlapping.read(exposure)
        overlapping.move_to(THERE)
        frame = overlapping.read(overlapping.expose(EXPOSURE_MS))
    assert frame.view.stage.distance_um(THERE) <= 2.0


@pytest.mark.parametrize("clock", [InstantClock, RealClock])
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_trigger_that_is_ignored_never_lends_a_place_another_picture(overlapping, clock, nth):
    twin = twin_of(core_of(overlapping))
    twin.clock = clock()
    overlapping.move_to(HERE)
    twin.faults.add(TwinFault(TwinFaultKind.TRIGGER_IGNORED, "Camera", nth))
    kept = keep_frames(twin)
    targets = [HERE.shifted(40.0 * number, 0.0) for number in range(6)]
    frames, errors, waiting = [], [], None
    with overlapping.overlapped():
        for target in [*targets, None]:
            following = None
            if target is not None:
                overlapping.move_to(target)
                following = overlapping.expose(EXPOSURE_MS)
            try:
                if waiting is not None:
                    frames.append(overlapping.read(waiting))
            except FrameError as error:
                errors.append(error)
            waiting = following
    assert errors, "nobody noticed"
    assert len(frames) >= len(targets) - 2
    # What each frame truly shows is known by its pixels: the twin kept them in the order of the exposures.
    by_pixels = {
        pixels.tobytes(): sights for pixels, sights in zip(kept, twin.handed_over[-len(kept) :], strict=True)
    }
    for frame in frames:
        (sight,) = by_pixels[frame.pixels.tobytes()]
        assert sight.slide_x_um == pytest.approx(frame.view.stage.x_um, abs=2.0)


def test_the_camera_exposes_while_it_reads_out(overlapping):
    twin = twin_of(core_of(overlapping))
    twin.clock = RealClock()
    exposures = 8
    overlapping.move_to(THERE)
    with overlapping.overlapped():
        start_s = twin.clock.now_s()
        waiting = overlapping.expose(EXPOSURE_MS)
        for _ in range(exposures - 1):
            following = overlapping.expose(EXPOSURE_MS)
            overlapping.read(waiting)
            waiting = following
        exposed_s = twin.clock.now_s() - start_s
        overlapping.read(waiting)
    read_out_s, exposure_s = twin.configuration.read_out_s, EXPOSURE_MS / 1000
    # Faster than one after the other, and never faster than the sensor is read out.
    assert (exposures - 1) * read_out_s <= exposed_s + 0.01
    assert exposed_s < exposures * (read_out_s + exposure_s) + 2.0
    assert core_of(overlapping).python_device("Camera").ignored_triggers == 0

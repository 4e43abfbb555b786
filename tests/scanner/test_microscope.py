"""What the instrument refuses, proves and reports, on the twin under the real core."""

import itertools
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scanner.coordinates import StagePoint
from scanner.core import ScanCore
from scanner.errors import (
    DeviceError,
    FocusError,
    FrameError,
    InterlockError,
    LimitError,
    MoveStoppedError,
    MoveTimeoutError,
    PositionError,
    RigError,
)
from scanner.focus.search import FocusSweep, search_focus
from scanner.microscope import Microscope
from scanner.rig import load_rig
from simulators.faults import TwinFault, TwinFaultKind

ROOT = Path(__file__).parents[2]
HERE = StagePoint(30_500.0, 11_500.0)


@pytest.fixture
def ready(bench):
    """10x in the light path, at rest, in focus, light on."""
    bench.microscope.select_objective("10x")
    bench.microscope.move_to(HERE)
    bench.microscope.focus_to(2000.0)
    bench.microscope.light(on=True)
    return bench


def test_a_move_ends_where_it_was_sent(bench):
    reached = bench.microscope.move_to(HERE)
    assert reached.distance_um(HERE) <= bench.rig.stage.motion.tolerance_um
    assert bench.twin.stage_um() == pytest.approx((HERE.x_um, HERE.y_um), abs=2)


@pytest.mark.parametrize(
    ("target", "axis"),
    [
        (StagePoint(-1.0, 0.0), "x"),
        (StagePoint(76_001.0, 0.0), "x"),
        (StagePoint(0.0, 26_000.1), "y"),
        (StagePoint(float("nan"), 0.0), "x"),
        (StagePoint(0.0, float("inf")), "y"),
    ],
)
def test_a_move_outside_the_limits_is_refused_before_it_starts(bench, target, axis):
    before = bench.twin.stage_um()
    with pytest.raises(LimitError) as caught:
        bench.microscope.move_to(target)
    assert (caught.value.axis, caught.value.unit) == (axis, "um")
    assert ".." in (caught.value.allowed or "")
    assert bench.twin.stage_um() == before


def test_the_focus_keeps_to_the_envelope_of_the_objective(ready):
    with pytest.raises(LimitError, match="focus envelope of 10x"):
        ready.microscope.focus_to(2100.5)
    assert ready.microscope.focus_position_um() == pytest.approx(2000.0)


def test_a_move_that_ends_short_is_an_error_and_nothing_is_photographed(ready):
    ready.twin.faults.add(TwinFault(TwinFaultKind.MOVE_SHORT, "XY"))
    with pytest.raises(PositionError) as caught:
        ready.microscope.move_to(HERE.shifted(3000, 0))
    assert caught.value.axis == "x"
    assert caught.value.wanted == pytest.approx(HERE.x_um + 3000)
    taken = ready.twin.exposures
    with pytest.raises(PositionError, match="no proven position"):
        ready.microscope.snap(5.0)
    assert ready.twin.exposures == taken


def test_a_move_that_fails_is_an_error_and_nothing_is_photographed(ready):
    ready.twin.faults.add(TwinFault(TwinFaultKind.MOVE_FAILS, "XY"))
    with pytest.raises(DeviceError, match="XY"):
        ready.microscope.move_to(HERE.shifted(100, 0))
    with pytest.raises(PositionError, match="no proven position"):
        ready.microscope.snap(5.0)


def test_a_stage_that_never_comes_to_rest_is_stopped_at_its_deadline(bench):
    seconds = itertools.count(0.0, 0.25)
    microscope = Microscope(bench.core, bench.rig, now=lambda: next(seconds), pause=lambda _: None)
    bench.twin.faults.add(TwinFault(TwinFaultKind.NEVER_IDLE, "XY"))
    with pytest.raises(MoveTimeoutError, match="XY"):
        microscope.move_to(HERE)
    assert not bench.core.deviceBusy("XY")


def test_a_stop_makes_a_waiting_move_fail_and_later_ones_too_until_resumed(bench):
    polls = itertools.count()

    def pause(_seconds):
        if next(polls) == 3:
            thread = threading.Thread(target=microscope.stop)
            thread.start()
            thread.join()

    microscope = Microscope(bench.core, bench.rig, pause=pause)
    bench.twin.faults.add(TwinFault(TwinFaultKind.NEVER_IDLE, "XY"))
    with pytest.raises(MoveStoppedError):
        microscope.move_to(HERE)
    with pytest.raises(MoveStoppedError):
        microscope.move_to(HERE)
    with pytest.raises(MoveStoppedError):
        microscope.focus_to(2000.0)
    microscope.resume()
    microscope.move_to(HERE)


def test_homing_needs_permission_and_happens_with_the_focus_down(ready):
    with pytest.raises(InterlockError, match="homing_needs_permission"):
        ready.microscope.home()
    assert ready.twin.stage_um() == pytest.approx((HERE.x_um, HERE.y_um), abs=2)
    assert ready.microscope.home(allowed=True) == StagePoint(0.0, 0.0)
    assert ready.microscope.focus_is_down()
    with pytest.raises(PositionError, match="no proven position"):
        ready.microscope.snap(5.0)


def test_one_sided_moves_leave_the_play_on_one_side(bench):
    play_um = 3.0
    bench.twin.configuration = replace(
        bench.twin.configuration, xy_drive=replace(bench.twin.configuration.xy_drive, backlash_um=play_um)
    )
    stage = bench.rig.stage.model_copy(update={"backlash_x_um": play_um, "backlash_y_um": play_um})
    microscope = Microscope(bench.core, bench.rig.model_copy(update={"stage": stage}))
    tables = {}
    for one_sided in (False, True):
        for side in (-400.0, 400.0):
            microscope.move_to(HERE.shifted(side, -side))
            microscope.move_to(HERE, one_sided=one_sided)
            tables[one_sided, side] = bench.twin.view_um()
    apart = {sided: np.subtract(tables[sided, -400.0], tables[sided, 400.0]) for sided in (False, True)}
    assert np.abs(apart[False]) == pytest.approx((play_um, play_um), abs=0.01)
    assert np.abs(apart[True]) == pytest.approx((0.0, 0.0), abs=0.01)


def test_a_one_sided_move_at_the_edge_of_the_travel_stays_within_the_limits(bench):
    stage = bench.rig.stage.model_copy(update={"backlash_x_um": 3.0, "backlash_y_um": 3.0})
    microscope = Microscope(bench.core, bench.rig.model_copy(update={"stage": stage}))
    corner = StagePoint(bench.rig.stage.x.min_um, bench.rig.stage.y.min_um)
    assert microscope.move_to(corner, one_sided=True).distance_um(corner) < 2.0


def test_a_stop_reaches_the_focus_though_the_stage_does_not_obey(bench, monkeypatch):
    stopped = []

    def stop(label):
        stopped.append(label)
        if label == "XY":
            raise RuntimeError("no answer")

    monkeypatch.setattr(bench.core, "stop", stop)
    with pytest.raises(DeviceError, match="no answer"):
        bench.microscope.stop()
    assert stopped == ["XY", "Z"]
    with pytest.raises(MoveStoppedError):
        bench.microscope.focus_to(2000.0)


def test_the_stage_may_go_on_while_a_frame_is_read_out(ready):
    exposure = ready.microscope.expose(5.0)
    ready.microscope.start_move(HERE.shifted(700, 0))
    frame = ready.microscope.read(exposure)
    assert frame.view.stage.distance_um(HERE) <= ready.rig.stage.motion.tolerance_um
    ready.microscope.finish_move()
    with pytest.raises(FrameError, match="another exposure"):
        ready.microscope.read(exposure)


def test_no_second_exposure_before_the_first_is_read(ready):
    ready.microscope.expose(5.0)
    with pytest.raises(FrameError, match="has not been read"):
        ready.microscope.expose(5.0)


def test_only_one_move_at_a_time(bench):
    bench.microscope.start_move(HERE)
    with pytest.raises(InterlockError, match="still under way"):
        bench.microscope.start_move(HERE)
    bench.microscope.finish_move()
    with pytest.raises(InterlockError, match="no move was started"):
        bench.microscope.finish_move()


def test_no_picture_while_a_move_is_under_way(ready):
    ready.microscope.start_move(HERE.shifted(500, 0))
    with pytest.raises(PositionError):
        ready.microscope.snap(5.0)
    ready.microscope.finish_move()
    ready.microscope.snap(5.0)


def test_a_frame_says_where_and_how_it_was_taken(ready):
    frame = ready.microscope.snap(5.0)
    assert frame.pixels.shape == (1024, 1360)
    assert frame.pixels.dtype == np.uint16
    assert (frame.objective, frame.exposure_ms) == ("10x", 5.0)
    assert frame.view.stage.distance_um(HERE) < 2
    assert frame.taken_at.tzinfo is not None


@pytest.mark.parametrize(
    "fault",
    [TwinFault(TwinFaultKind.BLACK_FRAME, "Camera"), TwinFault(TwinFaultKind.LAMP_DEAD, "Lamp")],
    ids=lambda fault: fault.kind.value,
)
def test_a_black_frame_is_no_picture(ready, fault):
    ready.twin.faults.add(fault)
    with pytest.raises(FrameError, match="black frame"):
        ready.microscope.snap(5.0)


def test_a_frame_in_the_dark_is_no_picture(ready):
    ready.microscope.light(on=False)
    with pytest.raises(FrameError, match="black frame"):
        ready.microscope.snap(5.0)


def test_a_saturated_frame_is_no_picture(ready):
    with pytest.raises(FrameError, match="saturated"):
        ready.microscope.snap(200.0)


def test_a_lost_frame_is_an_error(ready):
    ready.twin.faults.add(TwinFault(TwinFaultKind.CAMERA_RAISES, "Camera"))
    with pytest.raises(DeviceError, match="Camera: exposure failed"):
        ready.microscope.snap(5.0)
    ready.microscope.snap(5.0)


def test_the_objective_changes_only_with_the_focus_down(ready):
    ready.microscope.select_objective("63x", oil_allowed=True)
    assert ready.microscope.objective.name == "63x"
    assert ready.microscope.focus_position_um() == pytest.approx(ready.rig.focus.down_um)
    assert ready.twin.collisions == ()


def test_an_objective_change_asked_of_the_core_directly_would_have_broken_glass(ready):
    # The interlock is worth something only if its absence is seen.
    ready.core.setStateLabel("Objective", "63x/1.4 oil")
    assert len(ready.twin.collisions) == 1


def test_oil_needs_permission_and_nothing_moves_without(ready):
    before = ready.microscope.focus_position_um()
    with pytest.raises(InterlockError, match="oil"):
        ready.microscope.select_objective("63x")
    assert ready.microscope.objective.name == "10x"
    assert ready.microscope.focus_position_um() == before


def test_an_objective_that_is_not_there_is_named(bench):
    with pytest.raises(RigError, match="it has 10x, 63x"):
        bench.microscope.select_objective("40x")


def test_long_moves_lift_an_oil_objective_out_of_the_oil(ready):
    ready.microscope.select_objective("63x", oil_allowed=True)
    ready.microscope.focus_to(2000.0)
    ready.microscope.move_to(HERE.shifted(8_000, 3_000))
    assert ready.twin.collisions == ()


def test_the_light_goes_out_whatever_happens(ready):
    def break_while_lit():
        with ready.microscope.lit():
            assert ready.twin.lamp_open
            raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        break_while_lit()
    assert not ready.twin.lamp_open


def test_the_safe_state_is_light_off_and_focus_down_even_after_a_stop(ready):
    ready.microscope.stop()
    assert ready.microscope.safe_state() == ()
    assert not ready.twin.lamp_open
    assert ready.twin.focus_um() == pytest.approx(ready.rig.focus.down_um)


def test_the_safe_state_does_what_it_can_and_reports_the_rest(ready):
    ready.twin.faults.add(TwinFault(TwinFaultKind.MOVE_FAILS, "Z"))
    faults = ready.microscope.safe_state()
    assert [type(fault) for fault in faults] == [DeviceError]
    assert not ready.twin.lamp_open


SWEEP = FocusSweep(half_range_um=30.0, coarse_step_um=5.4, fine_step_um=1.9, exposure_ms=5.0)


def at_a_cell(bench, number=0):
    cell = bench.twin.truth()[number]
    bench.microscope.select_objective("10x")
    bench.microscope.move_to(StagePoint(cell.slide_x_um, cell.slide_y_um))
    bench.microscope.light(on=True)
    return bench.twin.sharp_um(bench.twin.objective)


@pytest.mark.parametrize("offset_um", [-25.0, -8.0, 0.0, 13.0, 28.0])
def test_focus_is_found_from_either_side(bench, offset_um):
    sharp_um = at_a_cell(bench)
    result = search_focus(bench.microscope, sharp_um + offset_um, SWEEP)
    assert result.z_um == pytest.approx(sharp_um, abs=1.5)
    assert bench.microscope.focus_position_um() == pytest.approx(result.z_um, abs=0.2)
    assert result.exposures <= 24


def test_focus_beyond_the_searched_range_is_refused_not_guessed(bench):
    sharp_um = at_a_cell(bench)
    narrow = FocusSweep(half_range_um=8.0, coarse_step_um=4.0, fine_step_um=1.5, exposure_ms=5.0)
    with pytest.raises(FocusError, match="edge of the searched range"):
        search_focus(bench.microscope, sharp_um - 60.0, narrow)


def test_a_blank_field_is_never_focused_on(bench):
    bench.twin.settings = replace(bench.twin.settings, cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0)
    bench.microscope.select_objective("10x")
    bench.microscope.move_to(HERE)
    bench.microscope.light(on=True)
    with pytest.raises(FocusError, match="blank field"):
        search_focus(bench.microscope, 2000.0, SWEEP)


def test_a_camera_of_eight_bits_is_served(tmp_path):
    folder = tmp_path / "demo-camera"
    shutil.copytree(ROOT / "hardware_configs" / "demo-camera", folder)
    for name, old, new in (
        ("micro-manager.cfg", "PixelType,16bit", "PixelType,8bit"),
        ("micro-manager.cfg", "BitDepth,12", "BitDepth,8"),
        ("rig.yaml", "bit_depth: 12", "bit_depth: 8"),
    ):
        path = folder / name
        path.write_text(path.read_text().replace(old, new))
    rig, cfg = load_rig(folder)
    core = ScanCore()
    try:
        core.loadSystemConfiguration(cfg)
        microscope = Microscope(core, rig)
        microscope.lower_focus()
        microscope.move_to(StagePoint(100.0, 100.0))
        microscope.light(on=True)
        frame = microscope.snap(2.0)
    finally:
        core.unloadAllDevices()
    assert frame.pixels.dtype == np.uint16
    assert 0 < frame.pixels.max() <= rig.camera.full_scale == 255

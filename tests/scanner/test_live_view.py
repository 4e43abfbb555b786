"""An instrument that is watched: nothing moves, and what can't be read is named."""

from __future__ import annotations

import numpy as np
import pytest

from scanner.coordinates import SlidePoint
from scanner.errors import DeviceError
from scanner.interlocks import Action
from scanner.live_view import LIVE_VIEW, LivePicture, LiveView
from simulators.faults import Fault, FaultKind


@pytest.fixture
def view(bench):
    cell = bench.twin.truth()[0]
    bench.microscope.move_to(bench.rig.slide.frame.to_stage(SlidePoint(cell.slide_x_um, cell.slide_y_um)))
    bench.microscope.focus_to(bench.twin.sharp_um(bench.twin.objective))
    return LiveView(bench.core, bench.rig, bench.microscope)


def test_positions_are_those_of_the_instrument_and_nothing_moves(bench, view):
    before = (bench.twin.stage_um(), bench.twin.focus_um(), bench.twin.objective_position)
    positions = view.positions()
    assert (positions.stage.x_um, positions.stage.y_um) == pytest.approx(before[0], abs=0.1)
    assert positions.focus_um == pytest.approx(before[1], abs=0.1)
    assert (positions.turret_label, positions.objective.name) == ("10x/0.45", "10x")
    assert (positions.light_on, positions.focus_is_down, positions.slide_oiled) == (False, False, False)
    assert positions.faults == ()
    assert (bench.twin.stage_um(), bench.twin.focus_um(), bench.twin.objective_position) == before


def test_interlocks_tell_what_may_be_done_as_things_stand(bench, view):
    refused = {(one.action, one.target): one.rule for one in view.positions().interlocks}
    assert refused[Action.MOVE, None] is None
    assert refused[Action.TURN_TURRET, "63x"] == "focus_down_before_turret"
    bench.microscope.lower_focus()
    lowered = {(one.action, one.target): one.rule for one in view.positions().interlocks}
    assert lowered[Action.TURN_TURRET, "63x"] == "oil_needs_permission"
    bench.microscope.slides.touched_by_oil()
    oiled = {(one.action, one.target): one.rule for one in view.positions().interlocks}
    assert oiled[Action.FOCUS, None] == "no_dry_focus_in_oil"


def test_a_turret_where_the_rig_has_no_objective_is_named_and_the_rest_is_read(bench):
    rig = bench.rig.model_copy(update={"objectives": bench.rig.objectives[:1]})
    bench.microscope.lower_focus()
    bench.core.setState("Objective", 1)
    positions = LiveView(bench.core, rig, bench.microscope).positions()
    assert positions.objective is None
    assert positions.stage is not None
    assert positions.interlocks == ()
    (fault,) = positions.faults
    assert "where the rig has no objective" in fault
    assert "63x/1.4 oil" in fault
    assert "turn it to one of 10x/0.45" in fault


def test_a_picture_follows_the_light_to_the_level_that_is_aimed_at(bench, view):
    bench.microscope.light(on=True)
    picture = view.picture(0.4)
    for _ in range(8):
        if view.is_settled(picture):
            break
        picture = view.picture(view.next_exposure_ms(picture))
    assert view.is_settled(picture)
    assert picture.level_fraction == pytest.approx(LIVE_VIEW.target_fraction, rel=LIVE_VIEW.tolerance)
    assert picture.pixels.shape == (bench.rig.camera.height_px, bench.rig.camera.width_px)


@pytest.mark.parametrize(
    ("level", "exposure_ms", "expected_ms"),
    [
        (0.0, 8.0, 32.0),
        (1.0, 8.0, 2.0),
        (0.375, 8.0, 16.0),
        (0.0, LIVE_VIEW.max_exposure_ms, LIVE_VIEW.max_exposure_ms),
        (1.0, LIVE_VIEW.min_exposure_ms, LIVE_VIEW.min_exposure_ms),
    ],
)
def test_the_exposure_is_changed_in_bounded_steps(bench, view, level, exposure_ms, expected_ms):
    picture = LivePicture(np.zeros((8, 8), np.uint16), exposure_ms, level, view.positions().read_at)
    assert view.next_exposure_ms(picture) == pytest.approx(expected_ms)


def test_a_camera_that_raises_is_named(bench, view):
    bench.twin.faults.add(Fault(FaultKind.CAMERA_RAISES, "Camera"))
    with pytest.raises(DeviceError, match="Camera: picture failed"):
        view.picture(8.0)
    assert view.picture(8.0).pixels.size


def test_colour_pictures_are_refused_with_what_to_do(bench, view, monkeypatch):
    monkeypatch.setattr(bench.core, "getImage", lambda: np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(DeviceError, match="set the camera to grey pictures"):
        view.picture(8.0)

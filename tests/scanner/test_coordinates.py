import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.coordinates import (
    CameraFrame,
    ImagePoint,
    ObjectiveView,
    ParcentricOffset,
    SlideFrame,
    SlidePoint,
    StagePoint,
    stage_to_centre,
)

um = st.floats(-100_000, 100_000)
px = st.floats(-2_000, 4_000)
degrees = st.floats(-180, 180)
frames = st.builds(SlideFrame, st.builds(StagePoint, um, um), degrees, st.booleans(), st.booleans())
cameras = st.builds(
    CameraFrame, st.just(1360), st.just(1024), st.floats(0.05, 2.0), degrees, st.booleans(), st.booleans()
)
offsets = st.builds(ParcentricOffset, st.floats(-500, 500), st.floats(-500, 500))
views = st.builds(ObjectiveView, st.builds(StagePoint, um, um), cameras, offsets)


@given(frames, um, um)
def test_slide_to_stage_and_back_is_the_same_point(frame, x, y):
    point = SlidePoint(x, y)
    back = frame.to_slide(frame.to_stage(point))
    assert point.distance_um(back) < 1e-6


@given(frames, um, um, um, um)
def test_the_glass_is_not_stretched(frame, x1, y1, x2, y2):
    first, second = SlidePoint(x1, y1), SlidePoint(x2, y2)
    on_stage = frame.to_stage(first).distance_um(frame.to_stage(second))
    assert on_stage == pytest.approx(first.distance_um(second), abs=1e-6)


@given(views, px, px)
def test_image_to_stage_and_back_is_the_same_pixel(view, x, y):
    back = view.to_image(view.to_stage(ImagePoint(x, y)))
    assert math.hypot(back.x_px - x, back.y_px - y) < 1e-4


@given(views, um, um)
def test_stage_to_centre_brings_the_point_to_the_middle_of_the_image(view, x, y):
    target = StagePoint(x, y)
    moved = ObjectiveView(stage_to_centre(target, view.parcentric), view.camera, view.parcentric)
    seen, middle = moved.to_image(target), view.camera.centre
    assert math.hypot(seen.x_px - middle.x_px, seen.y_px - middle.y_px) < 1e-4


@given(frames, views, px, px, px, px)
def test_composition_keeps_distances_in_proportion_to_the_pixel_size(frame, view, x1, y1, x2, y2):
    first = frame.to_slide(view.to_stage(ImagePoint(x1, y1)))
    second = frame.to_slide(view.to_stage(ImagePoint(x2, y2)))
    expected = math.hypot(x1 - x2, y1 - y2) * view.camera.um_per_px
    assert first.distance_um(second) == pytest.approx(expected, abs=1e-5)


def test_a_flipped_camera_sees_a_stage_step_to_the_other_side():
    plain = ObjectiveView(StagePoint(0, 0), CameraFrame(100, 100, 0.5))
    flipped = ObjectiveView(StagePoint(0, 0), CameraFrame(100, 100, 0.5, flip_x=True))
    right = StagePoint(5.0, 0.0)
    assert plain.to_image(right).x_px == pytest.approx(49.5 + 10)
    assert flipped.to_image(right).x_px == pytest.approx(49.5 - 10)
    assert flipped.to_image(right).y_px == pytest.approx(49.5)


def test_a_quarter_turn_of_the_camera_exchanges_the_axes():
    view = ObjectiveView(StagePoint(0, 0), CameraFrame(101, 101, 1.0, rotation_deg=90))
    assert view.to_stage(ImagePoint(60, 50)).y_um == pytest.approx(10)


@pytest.mark.parametrize("um_per_px", [0.0, -1.0, float("nan")])
def test_a_camera_without_a_pixel_size_is_refused(um_per_px):
    with pytest.raises(ValueError, match="positive"):
        CameraFrame(10, 10, um_per_px)

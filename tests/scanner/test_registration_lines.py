"""Straight lines in drawn pictures: dark, bright, mere steps, out of focus, among debris, at any angle."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.coordinates import ImagePoint
from scanner.registration.lines import DetectedLine, find_line

WIDTH, HEIGHT = 1360, 1024
TILT_DEG = 2.0


def drawn(
    seed: int,
    *,
    angle_deg: float | None = None,
    offset_px: float = 0.0,
    width_px: float = 16.0,
    depth: float = 0.5,
    step: float = 0.0,
    blur_px: float = 3.0,
    bodies: int = 25,
) -> np.ndarray:
    """A field with nuclei, uneven light and noise; `depth`, `step`: optical density of the line, of one side."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    od = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(bodies):
        at = (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT)))
        cv2.circle(od, at, int(rng.integers(8, 26)), float(rng.uniform(0.2, 0.7)), -1)
    if angle_deg is not None:
        angle = math.radians(angle_deg)
        across = (x - (WIDTH - 1) / 2) * math.sin(angle) - (y - (HEIGHT - 1) / 2) * math.cos(angle) - offset_px
        od += depth * np.clip(width_px / 2 - np.abs(across) + 0.5, 0.0, 1.0)
        od += step * np.clip(across + 0.5, 0.0, 1.0)
    od = cv2.GaussianBlur(od, (0, 0), blur_px)
    light = 3000.0 * (1.0 - 0.12 * ((x - WIDTH / 2) ** 2 + (y - HEIGHT / 2) ** 2) / (WIDTH / 2) ** 2)
    grey = 40.0 + light * 10.0**-od
    grey += rng.standard_normal(grey.shape, dtype=np.float32) * np.sqrt(grey / 4.2)
    return np.clip(grey, 0, 4095).astype(np.uint16)


def miss_px(line: DetectedLine, angle_deg: float, offset_px: float) -> float:
    """Distance of the point seen from the line drawn."""
    angle = math.radians(angle_deg)
    x, y = line.point.x_px - (WIDTH - 1) / 2, line.point.y_px - (HEIGHT - 1) / 2
    return abs(x * math.sin(angle) - y * math.cos(angle) - offset_px)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    expected_deg=st.sampled_from((0.0, 90.0, 180.0, -90.0, 1.7, 88.3)),
    turn_deg=st.floats(-TILT_DEG, TILT_DEG),
    offset_px=st.floats(-380.0, 380.0),
    width_px=st.floats(6.0, 60.0),
    depth=st.sampled_from((-0.1, 0.15, 0.4, 0.9)),
    blur_px=st.floats(1.0, 8.0),
)
def test_a_line_is_found_where_it_was_drawn(seed, expected_deg, turn_deg, offset_px, width_px, depth, blur_px):
    angle_deg = expected_deg + turn_deg
    picture = drawn(
        seed, angle_deg=angle_deg, offset_px=offset_px, width_px=width_px, depth=depth, blur_px=blur_px
    )
    line = find_line(picture, expected_deg, TILT_DEG)
    assert line is not None
    assert miss_px(line, angle_deg, offset_px) < 6.0
    assert line.angle_deg == pytest.approx(angle_deg, abs=0.35)


@pytest.mark.parametrize("step", [0.06, 0.3, -0.3])
@pytest.mark.parametrize("expected_deg", [0.0, 90.0])
def test_where_two_greys_meet_is_a_line(step, expected_deg):
    picture = drawn(4, angle_deg=expected_deg - 1.1, offset_px=120.0, depth=0.0, step=step)
    line = find_line(picture, expected_deg, TILT_DEG)
    assert line is not None
    assert miss_px(line, expected_deg - 1.1, 120.0) < 3.0


def test_an_edge_far_out_of_focus_is_found():
    picture = drawn(5, angle_deg=90.6, offset_px=-200.0, width_px=30.0, blur_px=30.0)
    line = find_line(picture, 90.0, TILT_DEG)
    assert line is not None
    assert miss_px(line, 90.6, -200.0) < 6.0


def test_a_line_at_any_angle_is_found_when_expected_there():
    for angle_deg in (17.0, 45.0, 133.0, -62.0):
        line = find_line(drawn(6, angle_deg=angle_deg, offset_px=60.0), angle_deg + 1.0, TILT_DEG)
        assert line is not None
        assert miss_px(line, angle_deg, 60.0) < 3.0
        assert line.angle_deg == pytest.approx(angle_deg, abs=0.2)


def test_the_point_lies_nearest_to_the_middle():
    line = find_line(drawn(7, angle_deg=91.0, offset_px=150.0), 90.0, TILT_DEG)
    assert line is not None
    along = math.radians(line.angle_deg)
    x, y = line.point.x_px - (WIDTH - 1) / 2, line.point.y_px - (HEIGHT - 1) / 2
    assert x * math.cos(along) + y * math.sin(along) == pytest.approx(0.0, abs=1.0)
    assert isinstance(line.point, ImagePoint)
    assert line.support == 1.0
    assert line.scatter_px < 3.0


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("bodies", [0, 25, 120])
def test_a_field_without_a_line_has_none(seed, bodies):
    picture = drawn(seed, bodies=bodies)
    assert find_line(picture, 0.0, TILT_DEG) is None
    assert find_line(picture, 90.0, TILT_DEG) is None


def test_a_line_of_another_direction_is_none():
    assert find_line(drawn(8, angle_deg=0.0), 90.0, TILT_DEG) is None
    assert find_line(drawn(8, angle_deg=70.0), 90.0, TILT_DEG) is None


def test_a_line_through_a_small_part_of_the_picture_is_none():
    picture = drawn(9)
    stroke = drawn(9, angle_deg=90.0)
    picture[: HEIGHT // 3] = stroke[: HEIGHT // 3]
    assert find_line(picture, 90.0, TILT_DEG) is None


@pytest.mark.parametrize("radius_px", [150, 600, 2_000])
def test_the_rim_of_a_bubble_is_no_line(radius_px):
    picture = drawn(10)
    rim = np.zeros((HEIGHT, WIDTH), np.float32)
    cv2.circle(rim, (WIDTH // 2 + radius_px, HEIGHT // 2), radius_px, 1.0, 24)
    spoiled = (picture * 10.0 ** -cv2.GaussianBlur(rim, (0, 0), 4.0)).astype(np.uint16)
    assert find_line(spoiled, 90.0, TILT_DEG) is None

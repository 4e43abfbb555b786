import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.coordinates import SlidePoint
from scanner.focus import measure
from scanner.focus.surface import FocusPoint, FocusSurface

MEASURES = [measure.brenner, measure.tenengrad, measure.normalised_variance]


def scene(blur_px: float, *, noise: float = 10.0) -> np.ndarray:
    rng = np.random.default_rng(3)
    image = np.full((300, 400), 3000.0)
    for _ in range(25):
        centre = (int(rng.integers(20, 380)), int(rng.integers(20, 280)))
        cv2.ellipse(image, centre, (8, 3), float(rng.uniform(0, 180)), 0, 360, 1200.0, -1)
    if blur_px:
        image = cv2.GaussianBlur(image, (0, 0), blur_px)
    return np.clip(image + rng.normal(0, noise, image.shape), 0, 4095).astype(np.uint16)


@pytest.mark.parametrize("kind", MEASURES)
def test_measures_fall_with_blur(kind):
    blurs = [0.0, 1.5, 3.0, 6.0]
    pictures = [measure.relative_transmission(scene(blur)) for blur in blurs]
    mask = np.logical_or.reduce([measure.object_mask(picture) for picture in pictures])
    values = [kind(picture, mask) for picture in pictures]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.5 * values[-1]


def test_an_empty_field_has_no_objects():
    blank = np.random.default_rng(0).normal(3000, 20, (300, 400)).astype(np.uint16)
    assert not measure.object_mask(measure.relative_transmission(blank)).any()


@pytest.mark.parametrize("kind", MEASURES)
def test_nothing_to_measure_measures_zero(kind):
    picture = measure.relative_transmission(scene(0))
    assert kind(picture, np.zeros(picture.shape, bool)) == 0.0


slopes = st.floats(-1e-3, 1e-3)
GRID = [SlidePoint(x, y) for x in (25_000.0, 35_000.0, 45_000.0) for y in (6_000.0, 13_000.0, 20_000.0)]


@given(slopes, slopes, st.floats(1900, 2100))
def test_a_tilted_slide_is_recovered(tilt_x, tilt_y, height):
    def plane(p):
        return height + tilt_x * (p.x_um - 35_000) + tilt_y * (p.y_um - 13_000)

    surface = FocusSurface.fit([FocusPoint(p, plane(p)) for p in GRID])
    probe = SlidePoint(33_000.0, 9_000.0)
    assert surface.z_um(probe) == pytest.approx(plane(probe), abs=0.3)
    assert not surface.rejected


@pytest.mark.parametrize("lift_um", [-40.0, 25.0, 60.0])
@pytest.mark.parametrize("which", [0, 4, 7])
def test_one_wrong_point_is_rejected(which, lift_um):
    points = [FocusPoint(p, 2000 + 5e-4 * (p.x_um - 35_000)) for p in GRID]
    points[which] = FocusPoint(points[which].where, points[which].z_um + lift_um)
    surface = FocusSurface.fit(points)
    assert surface.rejected == (points[which],)
    assert surface.z_um(SlidePoint(35_000, 13_000)) == pytest.approx(2000, abs=1.0)


def warped(p: SlidePoint) -> float:
    return 2000 + 4e-8 * (p.x_um - 35_000) ** 2 - 4e-4 * p.y_um


def test_a_warped_slide_is_followed_between_the_points():
    surface = FocusSurface.fit([FocusPoint(p, warped(p)) for p in GRID])
    probe = SlidePoint(30_000, 9_000)
    assert surface.z_um(probe) == pytest.approx(warped(probe), abs=0.6)
    assert surface.rms_um < 0.3


def test_it_knows_where_it_does_not_know():
    surface = FocusSurface.fit([FocusPoint(p, warped(p)) for p in GRID])
    near, far = surface.deviation_um(GRID[4]), surface.deviation_um(SlidePoint(70_000, 13_000))
    assert near < 0.6
    assert far > 5 * near
    assert abs(surface.z_um(SlidePoint(60_000, 13_000)) - warped(SlidePoint(60_000, 13_000))) < 4 * max(
        1.0, surface.deviation_um(SlidePoint(60_000, 13_000))
    )


@given(st.integers(0, 8))
def test_more_points_make_it_surer_everywhere(left_out):
    points = [FocusPoint(p, warped(p)) for p in GRID]
    fewer = FocusSurface.fit([*points[:left_out], *points[left_out + 1 :]])
    every = FocusSurface.fit(points)
    for probe in (SlidePoint(20_000, 3_000), SlidePoint(35_000, 13_000), SlidePoint(50_000, 22_000)):
        assert every.deviation_um(probe) <= fewer.deviation_um(probe) + 1e-6


@pytest.mark.parametrize("count", [1, 2])
def test_few_points_give_about_their_mean(count):
    points = [FocusPoint(SlidePoint(35_000.0 + 1000.0 * k, 13_000.0), 2000.0 + k) for k in range(count)]
    expected = 2000 + (count - 1) / 2
    assert FocusSurface.fit(points).z_um(SlidePoint(35_500, 13_000)) == pytest.approx(expected, abs=0.5)


def test_no_point_is_no_surface():
    with pytest.raises(ValueError, match="at least one"):
        FocusSurface.fit([])

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.coordinates import SlidePoint
from scanner.focus import measure
from scanner.focus.surface import FocusPoint, FocusSurface

MEASURES = [measure.brenner, measure.tenengrad, measure.vollath4, measure.normalised_variance]


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


slopes = st.floats(-2e-3, 2e-3)


@given(slopes, slopes, st.floats(1900, 2100))
def test_a_tilted_slide_is_recovered(tilt_x, tilt_y, height):
    where = [SlidePoint(x, y) for x in (0.0, 10_000.0, 20_000.0) for y in (0.0, 8_000.0)]
    surface = FocusSurface.fit([FocusPoint(p, height + tilt_x * p.x_um + tilt_y * p.y_um) for p in where])
    probe = SlidePoint(13_000.0, 5_000.0)
    assert surface.z_um(probe) == pytest.approx(height + tilt_x * 13_000 + tilt_y * 5_000, abs=1e-6)
    assert not surface.rejected


def test_one_wrong_point_is_rejected():
    where = [SlidePoint(x, y) for x in (0.0, 10_000.0, 20_000.0) for y in (0.0, 8_000.0)]
    points = [FocusPoint(p, 2000 + 1e-3 * p.x_um) for p in where]
    points[2] = FocusPoint(points[2].where, points[2].z_um + 35)
    surface = FocusSurface.fit(points)
    assert surface.rejected == (points[2],)
    assert surface.z_um(SlidePoint(10_000, 4_000)) == pytest.approx(2010, abs=0.01)


def test_a_warped_slide_needs_and_gets_a_quadratic():
    where = [SlidePoint(x, y) for x in (0.0, 20_000.0, 40_000.0) for y in (0.0, 8_000.0, 16_000.0)]

    def height(p: SlidePoint) -> float:
        return 2000 + 3e-8 * (p.x_um - 20_000) ** 2 - 1e-3 * p.y_um

    surface = FocusSurface.fit([FocusPoint(p, height(p)) for p in where])
    probe = SlidePoint(30_000, 5_000)
    assert surface.z_um(probe) == pytest.approx(height(probe), abs=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_few_points_give_their_mean(count):
    points = [FocusPoint(SlidePoint(1000.0 * k, 0.0), 2000.0 + k) for k in range(count)]
    expected = 2000 + (count - 1) / 2
    assert FocusSurface.fit(points).z_um(SlidePoint(9_000, 9_000)) == pytest.approx(expected)


def test_no_point_is_no_surface():
    with pytest.raises(ValueError, match="at least one"):
        FocusSurface.fit([])

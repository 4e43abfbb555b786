from __future__ import annotations

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from scanner.calibration.errors import BlankCalibrationFieldError, CalibrationError, ImplausibleError
from scanner.calibration.field_images import compute_field_images
from scanner.calibration.geometry import fit_geometry
from scanner.calibration.motion import fit_motion, move_time_s
from scanner.calibration.results import CalibrationEvidence, PixelGeometry
from scanner.calibration.session import Procedure, procedures_of
from scanner.calibration.shift import image_shift
from scanner.calibration.yaml_edit import YamlEditError, set_value
from scanner.coordinates import CameraFrame

WAYS = np.array([(100.0, 0.0), (-80.0, 0.0), (0.0, 90.0), (0.0, -100.0), (70.0, 60.0), (-60.0, 80.0)])


def spots(shift: tuple[float, float], seed: int, *, count: int = 6) -> np.ndarray:
    """A sparse field: a few dark spots in a bright noisy one."""
    height, width = 200, 260
    places = np.random.default_rng(3).uniform((40, 40), (width - 40, height - 40), (count, 2))
    ys, xs = np.mgrid[:height, :width]
    passed = np.ones((height, width))
    for size, (x, y) in enumerate(places, start=3):
        distance = (xs - x - shift[0]) ** 2 + (ys - y - shift[1]) ** 2
        passed *= 1.0 - 0.6 * np.exp(-distance / (2.0 * size**2))
    noise = np.random.default_rng(seed).normal(0.0, 25.0, passed.shape)
    light = 3000.0 * (1.0 - 0.1 * (xs / width) ** 2)
    return np.clip(light * passed + noise, 0, 4095).astype(np.uint16)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.3, -0.4), (17.25, -9.6), (-31.7, 28.4)])
def test_a_shift_in_a_sparse_noisy_field_is_found_to_a_tenth_of_a_pixel(shift: tuple[float, float]) -> None:
    found = image_shift(spots((0.0, 0.0), 1), spots(shift, 2))
    assert (found.dx_px, found.dy_px) == pytest.approx(shift, abs=0.1)
    assert found.correlation > 0.9


def test_a_blank_field_is_refused() -> None:
    with pytest.raises(BlankCalibrationFieldError, match="blank field"):
        image_shift(spots((0.0, 0.0), 1, count=0), spots((0.0, 0.0), 2, count=0))


def test_pictures_of_different_things_are_refused() -> None:
    mirrored = np.ascontiguousarray(spots((0.0, 0.0), 2)[::-1])
    with pytest.raises(ImplausibleError, match="same"):
        image_shift(spots((0.0, 0.0), 1), mirrored)


@pytest.mark.parametrize("flip_x", [False, True])
@pytest.mark.parametrize("flip_y", [False, True])
@pytest.mark.parametrize("rotation_deg", [0.0, 1.7, -88.0, 60.0])
def test_every_mounting_of_the_camera_is_recovered(rotation_deg: float, flip_x: bool, flip_y: bool) -> None:
    truth = CameraFrame(1360, 1024, 0.658, rotation_deg, flip_x, flip_y)
    at = [truth.point_at(-x, -y) for x, y in WAYS]
    shifts = np.array([(p.x_px - truth.centre.x_px, p.y_px - truth.centre.y_px) for p in at])
    found = fit_geometry("10x", WAYS, shifts, 0.645)
    assert found.um_per_px == pytest.approx(0.658, rel=1e-9)
    frame = found.frame((1024, 1360))
    corner = type(at[0])(10.0, 900.0)
    assert frame.offset_um(corner) == pytest.approx(truth.offset_um(corner), abs=1e-6)
    assert abs(found.rotation_deg) <= 90.0


def test_geometry_that_no_microscope_has_is_refused() -> None:
    shifts = -WAYS / 0.645
    with pytest.raises(ImplausibleError, match="not square"):
        fit_geometry("10x", WAYS, shifts * (1.0, 1.05), 0.645)
    with pytest.raises(ImplausibleError, match="objective meant"):
        fit_geometry("10x", WAYS, shifts / 2.0, 0.645)
    with pytest.raises(ImplausibleError, match="does not follow"):
        fit_geometry("10x", WAYS, np.zeros_like(WAYS), 0.645)
    scatter = np.random.default_rng(0).normal(0.0, 4.0, WAYS.shape)
    with pytest.raises(ImplausibleError, match=r"differ|square"):
        fit_geometry("10x", WAYS, shifts + scatter, 0.645)


def test_a_shift_in_the_image_becomes_a_way_of_the_stage() -> None:
    geometry = PixelGeometry("10x", 0.5, 90.0, True, False, CalibrationEvidence(0.0, "um", 1, datetime.now(UTC)))
    assert geometry.shift_um(10.0, 4.0) == pytest.approx((-2.0, -5.0))


def test_speed_acceleration_and_settling_follow_from_timed_moves() -> None:
    ways = np.array([100.0, 300.0, 1_000.0, 3_000.0, 6_000.0, 12_000.0, 20_000.0])
    times = move_time_s(ways, 60_000.0, 900_000.0, 0.035)
    found = fit_motion(ways, times, 100_000.0, 2_000_000.0)
    assert found.speed_um_s == pytest.approx(60_000.0, rel=0.01)
    assert found.acceleration_um_s2 == pytest.approx(900_000.0, rel=0.01)
    assert found.settle_ms == pytest.approx(35.0, abs=0.5)


def test_a_speed_that_was_never_reached_is_not_claimed() -> None:
    ways = np.array([100.0, 300.0, 1_000.0, 2_000.0])
    times = move_time_s(ways, 500_000.0, 900_000.0, 0.035)
    assert fit_motion(ways, times, 100_000.0, 2_000_000.0).speed_um_s is None


def test_times_without_sense_are_refused() -> None:
    ways = np.array([100.0, 300.0, 1_000.0, 3_000.0])
    with pytest.raises(ImplausibleError, match="trapezoid"):
        fit_motion(ways, np.array([2.0, 0.1, 0.9, 0.05]), 100_000.0, 2_000_000.0)
    with pytest.raises(ImplausibleError, match="no time"):
        fit_motion(ways, np.zeros(4), 100_000.0, 2_000_000.0)


def exposed(exposure_ms: float, *, bias: float = 40.0, corner: float = 0.8) -> np.ndarray:
    ramp = np.linspace(corner, 1.0, 120, dtype=np.float32)
    return np.asarray(bias + 100.0 * exposure_ms * np.tile(ramp, (80, 1)), dtype=np.float32)


def test_flat_and_dark_follow_from_two_exposures() -> None:
    found = compute_field_images("10x", exposed(2.0), exposed(30.0), 2.0, 30.0, 7, 4095)
    assert found.dark == pytest.approx(np.full((80, 120), 40.0), abs=0.05)
    assert float(found.flat.mean()) == pytest.approx(1.0, abs=1e-4)
    assert found.flat[40, 100] / found.flat[40, 20] == pytest.approx(1.1613, abs=0.005)
    assert found.flat.dtype == found.dark.dtype == np.float32


def test_light_that_no_lamp_gives_is_refused() -> None:
    with pytest.raises(ImplausibleError, match="light over the field"):
        compute_field_images("10x", exposed(2.0, corner=0.1), exposed(30.0, corner=0.1), 2.0, 30.0, 7, 4095)
    with pytest.raises(ImplausibleError, match="dark level"):
        compute_field_images("10x", exposed(2.0, bias=900.0), exposed(30.0, bias=900.0), 2.0, 30.0, 7, 4095)
    with pytest.raises(ImplausibleError, match="brighten"):
        compute_field_images("10x", exposed(30.0), exposed(30.0), 2.0, 30.0, 7, 4095)


TEXT = """\
# on top
a: 1   # first
list:
  - name: x    # named
    size: 2.5
    # trailing words
  - {name: y, size: 3}
empty:
last:
  inner: {u: 1}
"""


def test_single_values_change_and_comments_stay() -> None:
    text = set_value(TEXT, ("a",), "7")
    text = set_value(text, ("list", 0, "size"), "9")
    text = set_value(text, ("list", 0, "new"), "true")
    text = set_value(text, ("list", 1, "new"), "false")
    text = set_value(text, ("empty",), "[1, 2]")
    text = set_value(text, ("last", "inner"), "{u: 2}")
    text = set_value(text, ("end",), "[\n  1,\n]")
    assert text == (
        "# on top\na: 7   # first\nlist:\n  - name: x    # named\n    size: 9\n    new: true\n"
        "    # trailing words\n  - {name: y, size: 3, new: false}\nempty: [1, 2]\n"
        "last:\n  inner: {u: 2}\nend: [\n  1,\n]\n"
    )
    assert set_value(text, ("end",), "[3]").endswith("end: [3]\n")


def test_a_value_is_added_to_a_text_without_a_last_line_end() -> None:
    assert set_value("a: 1", ("b",), "2") == "a: 1\nb: 2\n"


@pytest.mark.parametrize("key_path", [("a", "b"), ("list", 5, "size"), ("missing", "b"), ("last",), ("list", 0)])
def test_what_has_no_place_is_refused(key_path: tuple[str | int, ...]) -> None:
    with pytest.raises(YamlEditError):
        set_value(TEXT, key_path, "1")


def test_procedures_are_chosen_by_name() -> None:
    assert procedures_of([]) == frozenset(Procedure)
    assert procedures_of(["read-out"]) == {Procedure.READ_OUT}
    with pytest.raises(CalibrationError, match="read-out"):
        procedures_of(["readout"])


def test_no_shift_is_no_way() -> None:
    geometry = PixelGeometry("10x", 0.5, 3.0, False, True, CalibrationEvidence(0.0, "um", 1, datetime.now(UTC)))
    assert math.hypot(*geometry.shift_um(0.0, 0.0)) == 0.0

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from analysis.straightening.medial_axis import medial_axes, medial_axis, sample_straight


def drawn(points: np.ndarray, width_px: int, shape: tuple[int, int] = (140, 140)) -> np.ndarray:
    canvas = np.zeros(shape, np.uint8)
    cv2.polylines(canvas, [np.rint(points).astype(np.int32).reshape(-1, 1, 2)], False, 1, width_px)
    return canvas > 0


def arc(radius_px: float, degrees: float) -> np.ndarray:
    angle = np.radians(np.linspace(0, degrees, 60))
    return np.stack([70 + radius_px * np.cos(angle), 70 + radius_px * np.sin(angle)], axis=1)


def test_axis_of_a_straight_body_is_its_length() -> None:
    mask = np.zeros((100, 40), np.bool_)
    mask[10:90, 12:26] = True
    axis = medial_axis(mask)
    assert axis.length_px == pytest.approx(80, abs=3)
    assert axis.width_px == pytest.approx(14, abs=1)
    assert axis.points_px[:, 0] == pytest.approx(18.5, abs=0.8)
    assert axis.points_px[0, 1] < axis.points_px[-1, 1]


@pytest.mark.parametrize("degrees", [45, 90, 150, 200])
def test_axis_follows_a_bent_body(degrees: float) -> None:
    radius = 40.0
    mask = drawn(arc(radius, degrees), 12)
    axis = medial_axis(mask)
    # The drawn line has round ends, half a width beyond its end points.
    assert axis.length_px == pytest.approx(radius * np.radians(degrees) + 12, rel=0.12)
    from_centre = np.hypot(*(axis.points_px - 70).T)
    assert np.abs(from_centre[6:-6] - radius).max() < 3.0


def test_bands_of_a_bent_body_come_out_straight() -> None:
    mask = drawn(arc(40.0, 150), 13)
    rows, columns = np.mgrid[:140, :140]
    angle = np.degrees(np.arctan2(rows - 70.0, columns - 70.0)) % 360
    values = (0.3 + 0.4 * ((angle // 25) % 2)).astype(np.float32)
    straight, _ = sample_straight(values, mask, medial_axis(mask), row_count=96, columns=24, half_width_px=12.0)
    middle = straight[8:-8, 9:15]
    # Along a row of the straight picture the density is that of one band.
    assert np.median(middle.std(axis=1)) < 0.03
    assert middle.mean(axis=1).std() > 0.1


def test_axis_scales_with_the_magnification() -> None:
    mask = drawn(arc(40.0, 120), 12)
    large = cv2.resize(mask.astype(np.uint8), None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST) > 0
    assert medial_axis(large).length_px == pytest.approx(4 * medial_axis(mask).length_px, rel=0.04)


def test_crossed_body_is_met_in_its_middle() -> None:
    # Splayed chromatids, as chromosomes 16 to 20 show them.
    mask = drawn(np.array([[63, 35], [67, 65], [60, 105]]), 9)
    mask |= drawn(np.array([[77, 35], [73, 65], [80, 105]]), 9)
    axis = medial_axis(mask)
    assert np.abs(axis.points_px[16:48, 0] - 70).max() < 6
    assert axis.length_px == pytest.approx(78, abs=12)


def test_empty_mask_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        medial_axis(np.zeros((5, 5), np.bool_))


@settings(max_examples=60, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 14))))
def test_any_mask_has_a_finite_axis(mask: np.ndarray) -> None:
    if not mask.any():
        mask[0, 0] = True
    axis = medial_axis(mask)
    assert np.isfinite(axis.points_px).all()
    assert axis.length_px >= 1.0
    straight, around = sample_straight(
        mask.astype(np.float32), mask, axis, row_count=16, columns=8, half_width_px=max(axis.width_px, 1.0)
    )
    assert straight.shape == around.shape == (16, 8)
    assert np.isfinite(straight).all()


def test_any_number_of_masks_of_any_size_is_straightened_as_one_by_one() -> None:
    rng = np.random.default_rng(3)
    masks = []
    for number in range(150):
        mask = np.zeros((int(rng.integers(20, 900)), int(rng.integers(60, 900))), np.uint8)
        top, bottom = (5, 5), (mask.shape[1] - 6, mask.shape[0] - 6)
        cv2.line(mask, top, bottom, 1, 5 + number % 7)
        masks.append(mask > 0)
    together = medial_axes(masks)
    for mask, axis in zip(masks[::15], together[::15], strict=True):
        # OpenCV samples at 32nds of a pixel: beside others a mask lies at another place of the picture.
        assert np.abs(axis.points_px - medial_axis(mask).points_px).max() < 0.1

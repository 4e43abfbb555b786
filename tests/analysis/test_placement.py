"""Regions placed in the image's own px: scaling is inverted, neighbours are found on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.structures.placement import place_region, touching_instances
from analysis.structures.region import Region, cropped


def full(placed: tuple[tuple[int, int, int, int], NDArray[np.bool_]], size: tuple[int, int]) -> NDArray[np.bool_]:
    out = np.zeros(size, np.bool_)
    (x0, y0, x1, y1), mask = placed
    out[y0:y1, x0:x1] = mask
    return out


@given(st.integers(0, 40), st.integers(0, 40), st.integers(2, 20), st.integers(2, 20))
@settings(max_examples=50, deadline=None)
def test_at_factor_one_nothing_changes(x: int, y: int, wide: int, high: int) -> None:
    mask = np.zeros((64, 64), np.bool_)
    mask[y : y + high, x : x + wide] = True
    placed = place_region(cropped(mask), 1.0, mask.shape)
    assert placed is not None
    np.testing.assert_array_equal(full(placed, (64, 64)), mask)
    assert placed[1].any(axis=1).all()
    assert placed[1].any(axis=0).all()


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.5, 2.0, 3.0])
def test_placement_inverts_scaling(factor: float) -> None:
    mask = np.zeros((240, 240), np.bool_)
    mask[60:180, 90:150] = True
    placed = place_region(cropped(mask), factor, (480, 480))
    assert placed is not None
    expected = np.asarray([90, 60, 150, 180]) / factor
    assert np.abs(np.asarray(placed[0]) - expected).max() <= max(1.0, 1.0 / factor)
    assert placed[1].sum() == pytest.approx(120 * 60 / factor**2, rel=0.05)


def test_what_lies_outside_of_the_image_is_left_out() -> None:
    mask = np.ones((10, 10), np.bool_)
    assert place_region(Region(100, 100, mask), 1.0, (50, 50)) is None
    placed = place_region(Region(-4, 45, mask), 1.0, (50, 50))
    assert placed is not None
    assert placed[0] == (0, 45, 6, 50)


def test_neighbours_touch_and_know_of_each_other() -> None:
    square = np.ones((10, 10), np.bool_)
    placed = [((0, 0, 10, 10), square), ((10, 0, 20, 10), square), ((22, 0, 32, 10), square)]
    assert touching_instances(placed) == [(1,), (0,), ()]


def test_boxes_that_meet_only_in_empty_corners_are_no_neighbours() -> None:
    first, second = np.zeros((10, 10), np.bool_), np.zeros((10, 10), np.bool_)
    first[:, 0] = True
    second[:, -1] = True
    assert touching_instances([((0, 0, 10, 10), first), ((5, 0, 15, 10), second)]) == [(), ()]

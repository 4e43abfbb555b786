"""Boxes and masks of the working image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.segmentation.box_geometry import distance_to_mask, largest_component, tight_boxes, window_of


@given(
    st.lists(st.tuples(st.floats(0, 90), st.floats(0, 90), st.floats(1, 60), st.floats(1, 60)), max_size=8),
    st.floats(0, 20),
)
@settings(max_examples=60, deadline=None)
def test_tight_boxes_lie_within_and_keep_a_third(
    sides: list[tuple[float, float, float, float]], padding_px: float
) -> None:
    boxes = np.asarray([(x, y, x + w, y + h) for x, y, w, h in sides], np.float32).reshape(-1, 4)
    tight = tight_boxes(boxes, padding_px)
    assert (tight[:, :2] >= boxes[:, :2]).all()
    assert (tight[:, 2:] <= boxes[:, 2:]).all()
    size, kept = boxes[:, 2:] - boxes[:, :2], tight[:, 2:] - tight[:, :2]
    assert (kept >= size / 3.0 - 1e-3).all()


def test_a_window_has_a_px_and_no_negative_side() -> None:
    assert window_of(np.asarray([3.2, 4.0, 3.3, 4.1], np.float32)) == (slice(4, 5), slice(3, 4))
    assert window_of(np.asarray([-5.0, -2.0, 4.0, 3.0], np.float32)) == (slice(0, 3), slice(0, 4))


def test_the_largest_component_is_kept_whole() -> None:
    mask = np.zeros((9, 9), np.bool_)
    mask[0:2, 0:2] = True
    mask[4:8, 3:9] = True
    kept = largest_component(mask)
    assert kept.sum() == 24
    assert not kept[:2, :2].any()
    np.testing.assert_array_equal(largest_component(kept), kept)


def test_distance_is_none_on_the_mask_and_grows_away_from_it() -> None:
    mask = np.zeros((5, 9), np.bool_)
    mask[:, 0] = True
    distance = distance_to_mask(mask)
    assert distance[:, 0].max() == 0.0
    assert (np.diff(distance[2]) > 0.0).all()

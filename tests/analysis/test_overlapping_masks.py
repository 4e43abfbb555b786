"""Masks that share more than a crossing are grouped, to be divided by contours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.instance_masks.overlaps import (
    are_apart,
    overlapping_groups,
    shared_px,
    stroke_along,
    union_of,
)
from analysis.structures.region import Region

WIDTH_PX = 16.0


def bar(x0: int, y0: int, x1: int, y1: int) -> Region:
    mask: NDArray[np.bool_] = np.ones((y1 - y0, x1 - x0), np.bool_)
    return Region(x0, y0, mask)


def test_shared_px_are_counted_where_frames_meet() -> None:
    assert shared_px(bar(0, 0, 100, 16), bar(42, -40, 58, 60)) == 16 * 16
    assert shared_px(bar(0, 0, 10, 10), bar(10, 0, 20, 10)) == 0


def test_a_crossing_is_no_group() -> None:
    assert overlapping_groups([bar(0, 0, 100, 16), bar(42, -40, 58, 60), None], WIDTH_PX) == []


def test_what_holds_much_of_each_other_is_a_group() -> None:
    regions = [bar(0, 0, 100, 16), None, bar(20, 0, 120, 16), bar(300, 0, 400, 16), bar(90, 0, 190, 16)]
    assert overlapping_groups(regions, WIDTH_PX) == [[0, 2, 4]]


def test_a_union_holds_every_mask() -> None:
    regions = [bar(-5, 3, 20, 10), bar(15, 8, 30, 30)]
    whole = union_of(regions)
    assert (whole.x0_px, whole.y0_px, whole.mask.shape) == (-5, 3, (27, 35))
    assert np.count_nonzero(whole.mask) == 25 * 7 + 15 * 22 - shared_px(*regions)


def test_masks_of_one_chromosome_are_not_apart() -> None:
    assert are_apart([bar(0, 0, 100, 16), bar(42, -40, 58, 60)])
    assert not are_apart([bar(0, 0, 100, 16), bar(10, 0, 100, 16)])
    assert not are_apart([bar(0, 0, 100, 16), None])


def test_a_stroke_runs_along_a_mask() -> None:
    stroke = stroke_along(bar(10, 20, 110, 36))
    assert stroke is not None
    assert np.allclose(stroke[:, 1], 27.5, atol=0.6)
    assert np.ptp(stroke[:, 0]) > 70
    assert stroke_along(bar(0, 0, 4, 4)) is None

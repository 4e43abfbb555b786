from __future__ import annotations

import cv2
import numpy as np
import pytest

from analysis.segmentation.nucleus_fragments import find_nucleus_fragments
from analysis.structures.region import Region, connected_regions

WIDTH_PX = 14.0


def rod(density: np.ndarray, x: int, y: int, length: int = 60, *, lying: bool = False) -> Region:
    height, width = (14, length) if lying else (length, 14)
    density[y : y + height, x : x + width] += 0.4
    return Region(x, y, np.ones((height, width), np.bool_))


def test_free_and_crossing_chromosomes_are_none() -> None:
    density = np.zeros((200, 300), np.float32)
    bodies = [rod(density, 40, 40), rod(density, 60, 40), rod(density, 150, 60), rod(density, 130, 80, lying=True)]
    blurred = np.asarray(cv2.GaussianBlur(density, (0, 0), 1.5), dtype=np.float32)
    assert find_nucleus_fragments(bodies, blurred, WIDTH_PX) == [False] * 4


def test_a_grain_within_a_nucleus_is_one() -> None:
    density = np.zeros((200, 300), np.float32)
    cv2.circle(density, (100, 100), 55, 0.2, cv2.FILLED)
    bodies = [rod(density, 95, 80, 40), rod(density, 250, 60)]
    assert find_nucleus_fragments(bodies, density, WIDTH_PX) == [True, False]


@pytest.mark.parametrize("frame_px", [0, 3])
@pytest.mark.parametrize("turns", range(4))
def test_the_segment_of_a_nucleus_at_the_border_is_one(turns: int, frame_px: int) -> None:
    density = np.zeros((240, 240), np.float32)
    cv2.circle(density, (120, -50), 70, 0.4, cv2.FILLED)
    density[:frame_px] = 0.0
    density = np.ascontiguousarray(np.rot90(density, turns))
    (body,) = connected_regions(density > 0.2, min_area_px=20)
    assert find_nucleus_fragments([body], density, WIDTH_PX) == [True]


def test_a_chromosome_that_runs_out_of_the_picture_is_none() -> None:
    density = np.zeros((240, 240), np.float32)
    bodies = [rod(density, 100, 0), rod(density, 180, 200, 40)]
    assert find_nucleus_fragments(bodies, density, WIDTH_PX) == [False, False]


def test_nothing_has_no_strays() -> None:
    assert find_nucleus_fragments([], np.zeros((10, 10), np.float32), WIDTH_PX) == []

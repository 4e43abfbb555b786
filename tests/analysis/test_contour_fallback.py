"""Contours beside the detector: which pieces count as missed, and what is added."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.segmentation.contour_fallback import add_from_contours, leaves_many_free
from analysis.segmentation.settings import FallbackSettings
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.region import cropped

SIZE = (200, 400)


def stain(count: int) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, np.bool_)
    for k in range(count):
        mask[20:60, 10 + 30 * k : 20 + 30 * k] = True
    return mask


def instance(x: int, y: int, score: float = 0.9, *, by_detector: bool = False) -> Instance:
    route = SegmentationRoute.DETECTOR_CONTOUR if by_detector else SegmentationRoute.SINGLE
    return Instance((x, y, x + 10, y + 40), np.ones((40, 10), np.bool_), score, route)


@pytest.mark.parametrize(("pieces", "expected"), [(4, False), (9, False), (10, True), (12, True)])
def test_as_many_free_pieces_as_are_set_count_as_missed(pieces: int, expected: bool) -> None:
    mask = stain(pieces)
    held = []
    for k in range(4):
        own = np.zeros(SIZE, np.bool_)
        own[20:60, 10 + 30 * k : 20 + 30 * k] = True
        held.append(cropped(own))
    assert leaves_many_free(held, mask) is expected


def test_free_dirt_does_not_count() -> None:
    mask = stain(4)
    held = []
    for k in range(4):
        own = np.zeros(SIZE, np.bool_)
        own[20:60, 10 + 30 * k : 20 + 30 * k] = True
        held.append(cropped(own))
    for k in range(12):
        mask[100:104, 10 + 20 * k : 14 + 20 * k] = True
    assert not leaves_many_free(held, mask)


def test_what_the_detector_explains_or_lies_far_off_is_not_added() -> None:
    detected = [instance(20, 20, by_detector=True)]
    near, covered, far = instance(40, 20, 0.5), instance(22, 22, 0.9), instance(380, 150, 0.9)
    both = add_from_contours(detected, [near, covered, far], SIZE, width_px=10.0)
    assert [entry.box_px for entry in both] == [detected[0].box_px, near.box_px]


def test_no_more_are_added_than_make_a_whole_cell_and_neighbours_are_listed_anew() -> None:
    detected = [instance(20, 20, by_detector=True)]
    others = [instance(30, 20, 0.4), instance(40, 20, 0.8), instance(50, 20, 0.6)]
    settings = FallbackSettings(max_total=3)
    both = add_from_contours(detected, others, SIZE, width_px=10.0, settings=settings)
    assert [entry.score for entry in both] == [0.9, 0.8, 0.6]
    assert [entry.overlaps for entry in both] == [(), (2,), (1,)]

"""Masks of single chromosomes in the picture's own px: prompts, division of the stain, the predictor's seam."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.nets.instance_mask_net import InstanceMaskNet
from analysis.segmentation.instance_masks.division import BoxMasks, divide_stain, with_rim
from analysis.segmentation.instance_masks.predictor import InstanceMaskPredictor, PredictedMask
from analysis.segmentation.instance_masks.prompts import (
    CROPS,
    CropFrame,
    MaskPrompt,
    cropped_to,
    frame_of,
    prompted_crop,
    stain_level,
)
from analysis.structures.region import Region

WIDTH_PX = 16.0


def box_of(*sides: float) -> NDArray[np.float32]:
    return np.asarray(sides, np.float32)


class KnownMasks:
    """Predicts given masks, each for the box it fits best; counts what it is asked."""

    def __init__(self, masks: Sequence[NDArray[np.bool_]], likely: float = 0.9) -> None:
        self.masks, self.likely, self.asked = masks, likely, 0

    def __call__(self, level: NDArray[np.float32], prompts: Sequence[MaskPrompt]) -> list[PredictedMask]:
        self.asked += len(prompts)
        out = []
        for prompt in prompts:
            assert prompt.box_px is not None
            x, y = (int(v) for v in (prompt.box_px[:2] + prompt.box_px[2:]) / 2.0)
            best = max(self.masks, key=lambda mask: (mask[y, x], -np.abs(box_around(mask) - prompt.box_px).sum()))
            frame = frame_of(prompt)
            out.append(PredictedMask(frame, self.likely * cropped_to(best.astype(np.float32), frame), 0.9))
        return out


def box_around(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return box_of(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)


def bar(shape: tuple[int, int], x0: int, y0: int, x1: int, y1: int) -> NDArray[np.bool_]:
    out = np.zeros(shape, np.bool_)
    out[y0:y1, x0:x1] = True
    return out


def pixels(region: Region | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Region in the frame of the picture."""
    out = np.zeros((shape[0] + 40, shape[1] + 40), np.bool_)
    if region is not None:
        height, width = region.mask.shape
        y, x = region.y0_px + 20, region.x0_px + 20
        out[y : y + height, x : x + width] = region.mask
    return out[20:-20, 20:-20]


def of_selected(masks: BoxMasks, boxes: NDArray[np.float32]) -> list[PredictedMask]:
    """Predict masks for boxes, each the others' neighbour."""
    return masks.predict(boxes, [np.delete(boxes, k, axis=0) for k in range(len(boxes))])


def divided(
    masks: Sequence[NDArray[np.bool_]], stained: NDArray[np.bool_], *, likely: float = 0.9
) -> list[NDArray[np.bool_]]:
    boxes = np.stack([box_around(mask) for mask in masks])
    level = stained.astype(np.float32)
    predicted = of_selected(BoxMasks(KnownMasks(masks, likely), level, WIDTH_PX), boxes)
    return [pixels(region, stained.shape) for region in divide_stain(predicted, boxes, stained, level, WIDTH_PX)]


def overlap(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(first & second) / np.count_nonzero(first | second))


def test_a_prompt_needs_a_box_or_a_stroke() -> None:
    with pytest.raises(ValueError, match="box or a stroke"):
        MaskPrompt()
    with pytest.raises(ValueError, match="box or a stroke"):
        MaskPrompt(stroke_px=np.zeros((0, 2), np.float32))


@given(
    x=st.floats(-50.0, 500.0),
    y=st.floats(-50.0, 500.0),
    width=st.floats(1.0, 230.0),
    height=st.floats(1.0, 230.0),
)
def test_a_crop_holds_its_box_with_surroundings(x: float, y: float, width: float, height: float) -> None:
    frame = frame_of(MaskPrompt(box_px=box_of(x, y, x + width, y + height)))
    assert frame.side_px % 32 == 0
    assert CROPS.least_side_px <= frame.side_px <= CROPS.most_side_px
    around = CROPS.margin_px - 1.5
    assert frame.left_px <= x - around or frame.side_px == CROPS.most_side_px
    assert frame.left_px + frame.side_px >= x + width + around or frame.side_px == CROPS.most_side_px
    assert frame.top_px <= y - around or frame.side_px == CROPS.most_side_px


def test_a_prompt_is_drawn_where_it_was_given() -> None:
    level = np.zeros((200, 200), np.float32)
    level[90:110, 60:140] = 1.0
    own, other = box_of(60, 90, 140, 110), box_of(100, 80, 120, 150)
    prompt = MaskPrompt(box_px=own, neighbours_px=np.stack([other, other]))
    frame = frame_of(prompt)
    crop = prompted_crop(level, prompt, frame)
    assert crop[0].sum() == pytest.approx(level.sum())
    assert crop[1].sum() == pytest.approx(80 * 20)
    # Two boxes on one another count as two of three.
    assert crop[2].max() == pytest.approx(2.0 / 3.0)
    assert crop[2].sum() == pytest.approx(2 * 20 * 70 / 3.0)
    assert not crop[3].any()


@pytest.mark.parametrize("points", [1, 2, 4])
def test_strokes_are_drawn_from_one_point_on(points: int) -> None:
    stroke = np.stack([np.linspace(80, 120, points), np.full(points, 100.0)], axis=1).astype(np.float32)
    prompt = MaskPrompt(stroke_px=stroke)
    frame = frame_of(prompt)
    crop = prompted_crop(np.zeros((200, 200), np.float32), prompt, frame)
    assert frame.side_px == CROPS.stroke_side_px
    assert not crop[1].any()
    for x, y in stroke:
        assert crop[3, round(float(y)) - frame.top_px, round(float(x)) - frame.left_px] > 0.6


def test_what_lies_outside_of_the_picture_is_slide() -> None:
    cut = cropped_to(np.ones((10, 10), np.float32), CropFrame(-4, 6, 8))
    assert cut.sum() == 4 * 4
    assert cut[:4, 4:].all()


def test_levels_are_relative_to_the_typical_stain() -> None:
    level = stain_level(np.asarray([[0.0, 0.2, 9.0]], np.float32), 0.2)
    assert level.tolist() == [[0.0, 1.0, 3.0]]
    assert np.isfinite(stain_level(np.zeros((2, 2), np.float32), 0.0)).all()


def test_a_crossing_belongs_to_both() -> None:
    shape = (200, 200)
    across, down = bar(shape, 40, 92, 160, 108), bar(shape, 92, 40, 108, 160)
    first, second = divided([across, down], across | down)
    assert overlap(first, across) > 0.97
    assert overlap(second, down) > 0.97
    assert (first & second)[96:104, 96:104].all()


def test_stain_beside_a_mask_goes_to_the_nearest() -> None:
    shape = (200, 200)
    above, below = bar(shape, 40, 60, 160, 74), bar(shape, 40, 90, 160, 104)
    stained = bar(shape, 40, 57, 160, 78) | bar(shape, 40, 86, 160, 107)
    first, second = divided([above, below], stained)
    assert overlap(first, bar(shape, 40, 57, 160, 78)) > 0.95
    assert overlap(second, bar(shape, 40, 86, 160, 107)) > 0.95
    assert not (first & second).any()


def test_masks_do_not_need_the_threshold() -> None:
    mask = bar((200, 200), 40, 90, 160, 106)
    (own,) = divided([mask], np.zeros((200, 200), np.bool_))
    assert overlap(own, mask) > 0.97


def test_an_arm_beyond_a_pale_band_is_joined() -> None:
    shape = (200, 200)
    arms = bar(shape, 40, 90, 96, 106) | bar(shape, 102, 90, 160, 106)
    (own,) = divided([arms], arms)
    assert cv2.connectedComponents(own.astype(np.uint8))[0] == 2
    assert overlap(own, bar(shape, 40, 90, 160, 106)) > 0.95


def test_a_nucleus_in_the_box_is_no_arm() -> None:
    shape = (200, 200)
    body, nucleus = bar(shape, 40, 90, 160, 106), bar(shape, 40, 116, 160, 130)
    level = (body | nucleus).astype(np.float32)
    boxes = box_around(body | nucleus)[None]
    predicted = of_selected(BoxMasks(KnownMasks([body | nucleus]), level, WIDTH_PX), boxes)
    (own,) = divide_stain(predicted, boxes, body, level, WIDTH_PX)
    assert overlap(pixels(own, shape), body) > 0.95
    # Its stain not handed to a nucleus, the same part is an arm.
    (own,) = divide_stain(predicted, boxes, body | nucleus, level, WIDTH_PX)
    assert np.count_nonzero(pixels(own, shape) & nucleus) > 0.9 * np.count_nonzero(nucleus)


def test_what_is_thicker_than_a_chromosome_is_one_with_a_nucleus() -> None:
    shape = (240, 240)
    body, nucleus = bar(shape, 40, 90, 200, 106), bar(shape, 60, 106, 160, 180)
    level = (body | nucleus).astype(np.float32)
    boxes = box_around(body | nucleus)[None]
    predicted = of_selected(BoxMasks(KnownMasks([body | nucleus]), level, WIDTH_PX), boxes)
    (own,) = divide_stain(predicted, boxes, body, level, WIDTH_PX)
    assert overlap(pixels(own, shape), body) > 0.85
    # Where all of it is taken for nucleus, the net has the last word.
    (own,) = divide_stain(predicted, boxes, np.zeros(shape, np.bool_), level, WIDTH_PX)
    assert overlap(pixels(own, shape), body | nucleus) > 0.9


def test_stain_is_not_shared_out_among_boxes_that_are_not_all() -> None:
    shape = (200, 200)
    body, stained = bar(shape, 40, 90, 160, 106), bar(shape, 40, 90, 160, 113)
    level = stained.astype(np.float32)
    boxes = box_around(body)[None]
    predicted = of_selected(BoxMasks(KnownMasks([body]), level, WIDTH_PX), boxes)
    taken, left = (
        divide_stain(predicted, boxes, stained, level, WIDTH_PX, with_rest=with_rest)[0]
        for with_rest in (True, False)
    )
    assert taken is not None
    assert left is not None
    assert taken.area_px > left.area_px


def test_a_far_part_stays_apart() -> None:
    shape = (200, 200)
    arms = bar(shape, 40, 90, 90, 106) | bar(shape, 120, 90, 160, 106)
    (own,) = divided([arms], arms)
    assert overlap(own, bar(shape, 40, 90, 90, 106)) > 0.95


def test_small_holes_are_filled_and_loops_stay_open() -> None:
    shape = (240, 240)
    body = bar(shape, 40, 90, 160, 106)
    body[96:99, 100:103] = False
    (own,) = divided([body], body)
    assert own[97, 101]
    ring = np.zeros(shape, np.uint8)
    cv2.circle(ring, (120, 120), 40, 1, 16)
    (loop,) = divided([ring > 0], ring > 0)
    assert not loop[120, 120]


def test_the_rim_of_an_outline_belongs_to_its_mask() -> None:
    shape = (200, 200)
    body, level = bar(shape, 40, 60, 160, 76), np.zeros(shape, np.float32)
    level[58:78, 38:162], level[60:76, 40:160] = 0.4, 1.0
    level[78:90, 38:162] = 0.2
    boxes = box_around(body)[None]
    predicted = of_selected(BoxMasks(KnownMasks([body]), level, WIDTH_PX), boxes)
    (own,) = divide_stain(predicted, boxes, np.zeros(shape, np.bool_), level, WIDTH_PX)
    assert overlap(pixels(own, shape), bar(shape, 38, 58, 162, 78)) > 0.97
    assert overlap(with_rim(body, level, WIDTH_PX), bar(shape, 38, 58, 162, 78)) > 0.97


def test_the_rim_between_two_masks_is_shared_out() -> None:
    shape = (200, 200)
    above, below = bar(shape, 40, 60, 160, 76), bar(shape, 40, 79, 160, 95)
    first, second = divided([above, below], bar(shape, 40, 60, 160, 95))
    assert not (first & second).any()
    assert (first | second)[62:93, 44:156].all()


def test_nothing_likely_gives_no_region() -> None:
    mask = bar((200, 200), 40, 90, 160, 106)
    boxes = box_around(mask)[None]
    predicted = of_selected(BoxMasks(KnownMasks([mask], likely=0.3), mask.astype(np.float32), WIDTH_PX), boxes)
    assert divide_stain(predicted, boxes, mask, mask.astype(np.float32), WIDTH_PX) == [None]


def test_a_box_beyond_the_picture_gives_no_region() -> None:
    mask = bar((200, 200), 40, 90, 160, 106)
    far = box_of(900, 900, 950, 950)[None]
    predicted = [PredictedMask(CropFrame(0, 0, 96), np.ones((96, 96), np.float32), 1.0)]
    assert divide_stain(predicted, far, mask, mask.astype(np.float32), WIDTH_PX) == [None]


def test_masks_are_asked_for_once() -> None:
    shape = (300, 300)
    masks = [bar(shape, 20, 20, 80, 36), bar(shape, 200, 200, 260, 216), bar(shape, 20, 40, 80, 56)]
    boxes = np.stack([box_around(mask) for mask in masks])
    predictor = KnownMasks(masks)
    all_masks = BoxMasks(predictor, np.zeros(shape, np.float32), WIDTH_PX)
    of_selected(all_masks, boxes)
    assert predictor.asked == 3
    of_selected(all_masks, boxes[::-1].copy())
    assert predictor.asked == 3
    # Without the third, the first has another neighbourhood; the second, far off, has not.
    of_selected(all_masks, boxes[:2])
    assert predictor.asked == 4


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_divided_masks_are_whole_and_within_reach(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = (240, 240)
    masks = []
    for _ in range(int(rng.integers(1, 6))):
        picture = np.zeros(shape, np.uint8)
        ends = rng.integers(30, 210, (2, 2))
        cv2.line(picture, ends[0].tolist(), ends[1].tolist(), 1, 14)
        masks.append(picture > 0)
    stained = np.any(masks, axis=0) & (rng.random(shape) > 0.1)
    boxes = np.stack([box_around(mask) for mask in masks])
    for own, box in zip(divided(masks, stained), boxes, strict=True):
        assert cv2.connectedComponents(own.astype(np.uint8), connectivity=8)[0] == 2
        around = box_around(own)
        assert (around[:2] >= box[:2] - 0.4 * WIDTH_PX - 2.0).all()
        assert (around[2:] <= box[2:] + 0.4 * WIDTH_PX + 2.0).all()


def test_the_net_answers_crops_of_several_sizes_in_order() -> None:
    torch.manual_seed(1)
    predictor = InstanceMaskPredictor(InstanceMaskNet(4))
    level = np.random.default_rng(1).random((260, 260), np.float32)
    prompts = [
        MaskPrompt(box_px=box_of(10, 10, 200, 40)),
        MaskPrompt(box_px=box_of(100, 100, 130, 120)),
        MaskPrompt(stroke_px=np.asarray([[50.0, 60.0]], np.float32)),
        MaskPrompt(box_px=box_of(20, 100, 60, 120)),
    ]
    together = predictor(level, prompts)
    for prompt, mask in zip(prompts, together, strict=True):
        assert mask.frame == frame_of(prompt)
        assert mask.probability.shape == (mask.frame.side_px,) * 2
        assert 0.0 < mask.quality < 1.0
        (alone,) = predictor(level, [prompt])
        np.testing.assert_allclose(alone.probability, mask.probability, atol=1e-5)
    assert predictor(level, []) == []

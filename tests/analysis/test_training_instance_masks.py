"""Training of the instance mask net: weak labels, composed scenes, losses, resumption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from analysis.errors import DatasetError
from analysis.nets.instance_mask_net import InstanceMaskOutput
from analysis.structures.boxes import box_iou
from analysis.training.instance_masks.batches import InstanceMaskBatch
from analysis.training.instance_masks.cells import MaskTrainingCell, prepare_mask_cells
from analysis.training.instance_masks.examples import draw_examples
from analysis.training.instance_masks.loss import instance_mask_losses
from analysis.training.instance_masks.scenes import SCENE, MaskScene, WindowSettings, real_scene

ONE_BOX_SELDOM = WindowSettings()
ONE_BOX_OFTEN = WindowSettings(same_box_fraction=1.0)


def bar_cell() -> MaskTrainingCell:
    """Two bars that cross, and one alone."""
    level = np.zeros((400, 400), np.float32)
    level[192:208, 120:280] = 1.0
    level[120:280, 192:208] += 1.0
    level[320:336, 120:220] = 1.0
    tight = np.asarray([[120, 192, 280, 208], [192, 120, 208, 280], [120, 320, 220, 336]], np.float32)
    alone = np.zeros((20, 104), np.bool_)
    alone[2:18, 2:102] = True
    return MaskTrainingCell(
        level, np.zeros((400, 400), np.bool_), tight, 6.0, 16.0, (None, None, (alone, 118, 318))
    )


def scenes(count: int, settings: WindowSettings = ONE_BOX_SELDOM) -> list[MaskScene]:
    cell = bar_cell()
    return [real_scene(cell, [], np.random.default_rng((3, number)), settings) for number in range(count)]


def test_isolated_chromosomes_are_cut_out_with_their_halo() -> None:
    (single,) = bar_cell().singles()
    assert np.count_nonzero(single.mask) == 16 * 100
    assert single.level[single.mask].min() == 100
    assert single.level.shape == single.mask.shape == (28, 112)


def test_what_a_box_teaches_holds_whatever_is_laid_on_it() -> None:
    cell = bar_cell()
    for number in range(40):
        scene = real_scene(cell, [], np.random.default_rng((4, number)))
        for target in scene.targets:
            assert not (target.mask.astype(bool) & ~target.labelled.astype(bool)).any()
            x0, y0, x1, y1 = (round(float(v)) for v in target.box_px)
            outside = target.mask.copy()
            outside[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2] = 0.0
            assert not outside.any()
            if target.whole:
                assert target.labelled.all()
            else:
                # The crossing is nobody's alone.
                assert target.labelled.mean() < 1.0
                assert target.mask.any()


def test_added_chromosomes_bring_whole_masks_and_boxes() -> None:
    added = 0
    for scene in scenes(40):
        assert scene.level.shape == (SCENE.side_px,) * 2
        assert scene.level.max() <= 3.0
        for target in scene.targets:
            rows, columns = np.nonzero(target.mask)
            if target.whole and rows.size:
                added += 1
                sides = np.asarray([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
                assert np.abs(sides - target.box_px).max() <= 3.0
        assert len(scene.boxes_px) >= len(scene.targets)
    assert added > 40


def test_examples_turn_with_their_answers() -> None:
    turned: set[tuple[bool, bool]] = set()
    for number, scene in enumerate(scenes(30)):
        rng = np.random.default_rng(number)
        for example in draw_examples(scene, rng, 6, 192):
            assert example.prompted.shape == (4, 192, 192)
            if not example.whole or not example.target.any():
                continue
            rows = np.flatnonzero(example.target.any(axis=1))
            columns = np.flatnonzero(example.target.any(axis=0))
            reach_rows, reach_columns = (np.flatnonzero(each) for each in example.reach)
            if reach_rows.size and reach_columns.size and rows.size > 12 and columns.size > 12:
                assert abs(rows[0] - reach_rows[0]) <= 7
                assert abs(columns[-1] - reach_columns[-1]) <= 7
                turned.add((rows.size > columns.size, bool(example.prompted[3].any())))
    assert len(turned) >= 3


def test_a_stroke_says_which_of_two_with_one_box_is_meant() -> None:
    ambiguous = 0
    for number, scene in enumerate(scenes(80, ONE_BOX_OFTEN)):
        boxes = scene.boxes_px
        overlap = box_iou(boxes, boxes) - np.eye(len(boxes))
        same = {tuple(boxes[k]) for k in np.flatnonzero(overlap.max(axis=1, initial=0.0) >= 0.6)}
        rng = np.random.default_rng(number)
        asked = [k for k, target in enumerate(scene.targets) if tuple(target.box_px) in same and target.whole]
        examples = draw_examples(
            MaskScene(scene.level, tuple(scene.targets[k] for k in asked), boxes), rng, 6, 320
        )
        for example in examples:
            if example.prompted[1].any():
                ambiguous += 1
                stroke = example.prompted[3] > 0.5
                assert np.count_nonzero(stroke & (example.target > 0.5)) > 0.6 * np.count_nonzero(stroke)
                assert stroke.any() or example.target.sum() < 300
    assert ambiguous >= 8


def test_the_same_seed_draws_the_same_examples() -> None:
    first, second = (draw_examples(scenes(1)[0], np.random.default_rng(9), 6, 160) for _ in range(2))
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.prompted, other.prompted)
        np.testing.assert_array_equal(one.target, other.target)


def batch(target: NDArray[np.float32], labelled: NDArray[np.float32], *, whole: bool) -> InstanceMaskBatch:
    side = target.shape[0]
    rows, columns = np.zeros(side), np.zeros(side)
    rows[12:20], columns[4:28] = 1.0, 1.0
    prompted = np.zeros((4, side, side), np.float32)
    prompted[0] = 1.0
    return InstanceMaskBatch(
        torch.from_numpy(prompted)[None],
        torch.from_numpy(target)[None],
        torch.from_numpy(labelled)[None],
        torch.from_numpy(np.stack([rows, columns]).astype(np.float32))[None],
        torch.tensor([float(whole)]),
    )


def losses(mask: NDArray[np.bool_], examples: InstanceMaskBatch) -> dict[str, float]:
    logits = torch.from_numpy(np.where(mask, 8.0, -8.0).astype(np.float32))[None]
    output = InstanceMaskOutput(logits, torch.tensor([3.0]))
    return {key: float(value) for key, value in instance_mask_losses(output, examples).items()}


def test_a_mask_that_stops_short_of_its_box_costs() -> None:
    target = np.zeros((32, 32), np.float32)
    target[12:20, 4:14] = 1.0
    labelled = np.ones((32, 32), np.float32)
    labelled[12:20, 14:28] = 0.0
    examples = batch(target, labelled, whole=False)
    short, whole = np.zeros((32, 32), np.bool_), np.zeros((32, 32), np.bool_)
    short[12:20, 4:14], whole[12:20, 4:28] = True, True
    assert losses(whole, examples)["reach"] < 0.01 < 1.0 < losses(short, examples)["reach"]
    # What isn't known costs nothing either way.
    assert losses(whole, examples)["crossed"] == pytest.approx(losses(short, examples)["crossed"], abs=1e-3)
    assert losses(whole, examples)["quality"] == 0.0


def test_a_mask_beyond_its_chromosome_costs() -> None:
    target = np.zeros((32, 32), np.float32)
    target[12:20, 4:28] = 1.0
    examples = batch(target, np.ones((32, 32), np.float32), whole=True)
    wide = target > 0.5
    wide[20:30, 4:28] = True
    right, wrong = losses(target > 0.5, examples), losses(wide, examples)
    assert right["crossed"] < 0.01 < wrong["crossed"]
    assert right["dice"] < 0.01 < wrong["dice"]
    assert wrong["quality"] > right["quality"]


@pytest.mark.parametrize("split", ["test", "test2", "fit"])
def test_no_other_split_is_trained_on(tmp_path: Path, split: str) -> None:
    with pytest.raises(DatasetError, match="isn't trained"):
        prepare_mask_cells(tmp_path, tmp_path, split)


def test_cells_without_isolated_chromosomes_make_scenes_too() -> None:
    cell = replace(bar_cell(), isolated=(None, None, None))
    scene = real_scene(cell, [], np.random.default_rng(5))
    assert all(not target.whole for target in scene.targets)

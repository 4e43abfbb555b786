"""Composed metaphases: what lies on them is what their truth says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.structures.boxes import box_iou
from analysis.training.composed.camera import CameraSettings, photograph
from analysis.training.composed.cell import (
    ChromosomeSettings,
    ComposedCell,
    ComposedCellSettings,
    CountSettings,
    compose_cell,
)
from analysis.training.composed.field import LaidChromosome, SlideField
from analysis.training.composed.spread import SpreadSettings, draw_spread, place_anywhere, place_beside
from analysis.training.composed.surroundings import SurroundingsSettings, add_surroundings
from analysis.training.detector.augmentation import PADDING_PX, DetectorAugmentation
from analysis.training.detector.composed import (
    REFERENCE_WIDTH_PX,
    ComposedExampleSettings,
    DrawComposedExamples,
    composed_check_cells,
    detector_cell_of,
    examples_from_arrays,
)
from analysis.training.detector.data import DENSITY_STEPS, NO_CLASS
from analysis.training.engine.drawing import batch_source
from analysis.training.masks.singles import FreeSingle, SingleBank, load_bank, singles_of_cell
from analysis.training.masks.warp import ChromosomePatch

CLEAN_SLIDE = SurroundingsSettings(
    nuclei_mean=0.0, cytoplasm_fraction=0.0, debris_mean=0.0, specks_fraction=0.0, blurs_mean=0.0
)
WHOLE_CELLS = CountSettings(partial_fraction=0.0, gained_fraction=0.0, double_fraction=0.0)
WIDE = SpreadSettings(radius=(22.0, 26.0), room=(2.0, 6.0))
BRIGHT_FIELD = CameraSettings(fluorescence_fraction=0.0, pasted_fraction=0.0)


def rod(length_px: int, class_index: int, cell: int) -> FreeSingle:
    """Draw an upright rod 12 px wide with two bands."""
    mask = np.zeros((length_px + 8, 20), np.bool_)
    mask[4:-4, 4:-4] = True
    level = np.where(mask, 90, 0).astype(np.uint8)
    level[8:12, 4:-4] = 160
    level[-14:-9, 4:-4] = 140
    return FreeSingle(level, mask, 12.0, cell, class_index)


BANK = SingleBank.of([rod(20 + 3 * (k // 2), k // 2, cell) for cell in range(3) for k in range(46)])


def cell_of(seed: int, **changed: object) -> ComposedCell:
    base = ComposedCellSettings(count=WHOLE_CELLS, spread=WIDE, surroundings=CLEAN_SLIDE, camera=BRIGHT_FIELD)
    return compose_cell(BANK, np.random.default_rng(seed), replace(base, **changed))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_boxes_hold_all_stain_and_no_slide(seed: int) -> None:
    cell = cell_of(seed)
    inside = np.zeros(cell.level.shape, np.bool_)
    for x0, y0, x1, y1 in cell.boxes_px.astype(int):
        inside[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2] = True
    # Halos reach a little beyond a mask.
    assert cell.level[~inside].max(initial=0.0) < 0.4
    for chromosome in cell.chromosomes:
        x0, y0, x1, y1 = chromosome.box_px
        height, width = cell.level.shape
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            continue
        own = chromosome.mask[
            y0 - chromosome.y_px : y1 - chromosome.y_px, x0 - chromosome.x_px : x1 - chromosome.x_px
        ]
        assert own.any(axis=0).all()
        assert own.any(axis=1).all()
        assert cell.level[y0:y1, x0:x1][own].mean() > 0.3


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_seed_makes_one_cell(seed: int) -> None:
    first, second, other = (
        compose_cell(BANK, np.random.default_rng(each), ComposedCellSettings()) for each in (seed, seed, seed + 1)
    )
    assert np.array_equal(first.pixels, second.pixels)
    assert np.array_equal(first.boxes_px, second.boxes_px)
    assert np.array_equal(first.classes, second.classes)
    assert not np.array_equal(first.pixels, other.pixels)


@pytest.mark.parametrize("seed", range(6))
def test_a_whole_cell_has_every_chromosome_twice(seed: int) -> None:
    counts = np.bincount(cell_of(seed).classes, minlength=23)
    assert counts.tolist() == [2] * 23


def test_counts_vary_as_told() -> None:
    def sizes(count: CountSettings) -> list[int]:
        return [len(cell_of(seed, count=count).chromosomes) for seed in range(8)]

    assert max(sizes(replace(WHOLE_CELLS, partial_fraction=1.0))) <= 46
    assert min(sizes(replace(WHOLE_CELLS, partial_fraction=1.0))) < 40
    assert set(sizes(replace(WHOLE_CELLS, gained_fraction=1.0))) <= {47, 48, 49, 50}
    assert min(sizes(replace(WHOLE_CELLS, double_fraction=1.0))) > 80


def test_a_narrow_disc_makes_crossings_and_a_wide_one_hardly_any() -> None:
    def crossing_fraction(radius: float) -> float:
        spread = replace(WIDE, radius=(radius, radius + 0.1))
        boxes = [cell_of(seed, spread=spread).boxes_px.astype(np.float64) for seed in range(4)]
        overlaps = [box_iou(each, each) - np.eye(len(each)) for each in boxes]
        return float(np.mean([(each.max(axis=1) > 0.1).mean() for each in overlaps]))

    assert crossing_fraction(9.0) > 2.0 * crossing_fraction(26.0)


def test_stain_of_crossing_chromosomes_adds() -> None:
    slide = SlideField.empty(40, 40)
    mask, level = np.ones((6, 30), np.bool_), np.full((6, 30), 0.5, np.float32)
    slide.lay(LaidChromosome(5, 17, mask, 0, 0.0), level)
    slide.lay(LaidChromosome(17, 5, mask.T, 1, 1.6), level.T)
    assert slide.level[20, 20] == pytest.approx(1.0)
    assert slide.level[20, 8] == pytest.approx(0.5)
    assert [each.box_px for each in slide.chromosomes] == [(5, 17, 35, 23), (17, 5, 23, 35)]
    assert slide.occupied_px(mask, 5, 17) == 180


@pytest.mark.parametrize(("x", "y"), [(-20, 3), (30, 3), (3, -5), (3, 38), (-60, -60), (70, 70)])
def test_a_body_beyond_the_border_is_cut(x: int, y: int) -> None:
    slide = SlideField.empty(40, 40)
    slide.add_stain(np.ones((6, 30), np.float32), x, y)
    wide = max(0, min(40, x + 30) - max(0, x))
    high = max(0, min(40, y + 6) - max(0, y))
    assert slide.level.sum() == wide * high


def test_pushed_chromosomes_touch_and_placed_ones_show() -> None:
    rng = np.random.default_rng(4)
    spread_settings = SpreadSettings()
    mask = np.ones((40, 12), np.bool_)
    patch = ChromosomePatch(mask.astype(np.float32), mask)
    touched = 0
    for _ in range(40):
        slide = SlideField.empty(200, 200)
        first = LaidChromosome(90, 80, mask, 0, 0.0)
        slide.lay(first, patch.level)
        place = place_beside(slide, patch, first, rng, spread_settings)
        if place is None:
            continue
        assert slide.occupied_px(mask, *place) <= 0.15 * mask.sum()
        around = cv2.dilate(np.pad(mask.astype(np.uint8), 3), np.ones((7, 7), np.uint8)) > 0
        touched += slide.occupied_px(around, place[0] - 3, place[1] - 3) > 0
    assert touched > 30
    spread = draw_spread(46, 12.0, rng, WIDE)
    slide = SlideField.empty(*spread.size_px)
    for _ in range(46):
        place = place_anywhere(slide, patch, spread, rng, spread_settings)
        if place is not None:
            assert slide.occupied_px(mask, *place) <= spread_settings.most_hidden * mask.sum()
            slide.lay(LaidChromosome(*place, mask, 0, 0.0), patch.level)
    assert len(slide.chromosomes) > 40


def test_nuclei_leave_chromosomes_to_be_seen() -> None:
    many = SurroundingsSettings(nuclei_mean=6.0)
    covered = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        cell = cell_of(seed)
        slide = SlideField(cell.level.copy(), cell.level > 0.3)
        disc = ((cell.level.shape[1] / 2.0, cell.level.shape[0] / 2.0), (100.0, 100.0))
        add_surroundings(slide, disc, cell.width_px, rng, many)
        grown = slide.level - cell.level
        covered.append(np.count_nonzero((grown > 0.3) & slide.occupied) / np.count_nonzero(slide.occupied))
        assert np.count_nonzero(grown > 0.2) > cell.width_px**2
    assert np.mean(covered) < 0.4


@pytest.mark.parametrize("fluorescence", [0.0, 1.0])
def test_pictures_are_dark_where_there_is_stain(fluorescence: float) -> None:
    for seed in range(6):
        cell = cell_of(seed, camera=replace(BRIGHT_FIELD, fluorescence_fraction=fluorescence))
        assert cell.inverted is (fluorescence == 1.0)
        assert cell.pixels.dtype == np.uint8
        assert cell.pixels.shape == cell.level.shape
        stained = np.median(cell.pixels[cell.level > 0.6])
        assert stained < np.median(cell.pixels[cell.level < 0.05]) - 15.0


def test_a_pasted_polygon_is_white() -> None:
    always = CameraSettings(
        fluorescence_fraction=0.0,
        pasted_fraction=1.0,
        white_fraction=0.0,
        light=(180.0, 181.0),
        noise=(0.3, 0.4),
        jpeg_fraction=0.0,
        sharpened_fraction=0.0,
    )
    boxes = np.asarray([[40, 40, 60, 90]], np.float32)
    picture = photograph(np.zeros((120, 120), np.float32), boxes, 12.0, np.random.default_rng(0), always)
    assert picture.pixels[45:85, 45:55].min() > 245
    assert picture.pixels[:20, :20].max() < 190


def test_bands_may_be_lost_but_not_the_body() -> None:
    solid = ChromosomeSettings(pale_fraction=1.0, pale_bands=(0.0, 0.0), log_stain=(0.0, 0.0))
    cell = cell_of(3, chromosome=solid)
    banded = cell_of(3, chromosome=replace(solid, pale_bands=(1.0, 1.0)))
    assert [each.box_px for each in cell.chromosomes] == [each.box_px for each in banded.chromosomes]
    core = cv2.erode((cell.level > 0.5).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    # Where chromosomes cross, stain differs whatever the bands do.
    core &= cell.level < 1.2
    assert cell.level[core].std() < 0.3 * banded.level[core].std()


@pytest.mark.parametrize("seed", range(5))
def test_prepared_cells_have_reference_width_and_padding(seed: int) -> None:
    cell = cell_of(seed)
    prepared = detector_cell_of(cell)
    factor = REFERENCE_WIDTH_PX / cell.width_px
    assert prepared.density.shape == tuple(round(side * factor) for side in cell.pixels.shape)
    assert len(prepared.boxes_px) == len(cell.chromosomes)
    height, width = cell.pixels.shape
    for box, (x0, y0, x1, y1) in zip(prepared.boxes_px, cell.boxes_px, strict=True):
        if x0 > 20 and y0 > 20 and x1 < width - 20 and y1 < height - 20:
            tight = np.asarray([x0, y0, x1, y1]) * factor
            assert box == pytest.approx(tight + PADDING_PX * np.asarray([-1, -1, 1, 1]), abs=1.0)
        inside = prepared.density[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])]
        assert inside.max() > 0.4 * DENSITY_STEPS


def test_examples_are_the_same_wherever_they_are_drawn() -> None:
    draw = DrawComposedExamples(BANK, ComposedExampleSettings(), DetectorAugmentation(window_px=160))
    requests = [((9, 0), (9, 1)), (), ((9, 5),)]
    here = [examples_from_arrays(draw(request)) for request in requests]
    with batch_source(draw, 2) as source:
        for request in requests:
            source.ask(request)
        there = [examples_from_arrays(source.take(request)) for request in requests]
    assert [len(each) for each in here] == [2, 0, 1]
    for first, second in zip(here, there, strict=True):
        for one, two in zip(first, second, strict=True):
            assert np.array_equal(one.image, two.image)
            assert np.array_equal(one.boxes_px, two.boxes_px)
            assert np.array_equal(one.classes, two.classes)
    # Two windows of one cell, each changed anew.
    assert not np.array_equal(here[0][0].image, here[0][1].image)


def test_check_cells_depend_on_their_seed() -> None:
    first, again, other = (composed_check_cells(BANK, ComposedCellSettings(), seed=s, count=2) for s in (1, 1, 2))
    assert [np.array_equal(one.density, two.density) for one, two in zip(first, again, strict=True)] == [
        True,
        True,
    ]
    assert not np.array_equal(first[0].density, other[0].density)


def test_banks_keep_classes_and_read_files_without(tmp_path: Path) -> None:
    level = np.zeros((60, 24), np.float32)
    level[4:-4, 6:-6] = 0.5
    made = singles_of_cell([level, level], [level > 0.2, level > 0.2], 0, [4, 22])
    assert [each.class_index for each in made] == [4, 22]
    assert [each.class_index for each in singles_of_cell([level], [level > 0.2], 0)] == [NO_CLASS]
    np.savez(
        tmp_path / "singles-drawn-train-all.npz",
        level=made[0].level.ravel(),
        mask=np.packbits(made[0].mask.ravel()),
        shape=np.asarray([made[0].level.shape], np.int32),
        width_px=np.asarray([12.0], np.float32),
        cell=np.asarray([0], np.int32),
    )
    (read,) = load_bank(tmp_path, tmp_path, "train", sources=("drawn",)).singles
    assert read.class_index == NO_CLASS
    assert np.array_equal(read.level, made[0].level)

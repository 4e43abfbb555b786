from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from simulators.optics import SIXTY_THREE, TEN, ObjectiveModel, SensorModel, Shot, SlideCamera
from simulators.specimen.clutter import Patch
from simulators.specimen.slide import Body, CellTruth, SlideSettings, SlideWorld

SENSOR = SensorModel()
NOMINAL_MS = {TEN.label: 8.0, SIXTY_THREE.label: 32.0}


@pytest.fixture(scope="module")
def camera() -> SlideCamera:
    settings = SlideSettings(
        seed=11, cells=2, area_um=(30_000.0, 10_000.0, 31_000.0, 10_700.0), specks_per_mm2=60.0
    )
    return SlideCamera(SlideWorld(settings), SENSOR, seed=11)


@pytest.fixture(scope="module")
def cell(camera: SlideCamera) -> CellTruth:
    return camera.world.truth()[0]


def shot_of(cell: CellTruth, objective: ObjectiveModel, defocus_um: float = 0.0) -> Shot:
    return Shot(cell.slide_x_um, cell.slide_y_um, objective, defocus_um, 0.5, NOMINAL_MS[objective.label])


@pytest.mark.parametrize("objective", [TEN, SIXTY_THREE], ids=lambda objective: objective.label)
def test_blank_field_is_bright_and_not_clipped(camera: SlideCamera, objective: ObjectiveModel) -> None:
    world = SlideWorld(SlideSettings(cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0))
    frame = SlideCamera(world, SENSOR).expose(
        Shot(30_000.0, 10_000.0, objective, 0.0, 0.5, NOMINAL_MS[objective.label]), 1
    )
    assert frame.dtype == np.uint16
    assert frame.shape == (1024, 1360)
    assert 3000 < np.median(frame) < 3400
    assert frame.max() < SENSOR.full_scale
    corners = np.mean([frame[:40, :40].mean(), frame[:40, -40:].mean(), frame[-40:, :40].mean()])
    assert 0.8 < corners / frame[480:540, 640:720].mean() < 0.95
    # Shot noise of about 13000 electrons is 0.9 per cent.
    patch = frame[500:540, 660:700].astype(float)
    assert patch.std() / patch.mean() == pytest.approx(0.0088, abs=0.0015)


def test_frames_are_repeatable_and_exposures_differ(camera: SlideCamera, cell: CellTruth) -> None:
    shot = shot_of(cell, TEN)
    once = camera.expose(shot, 7)
    np.testing.assert_array_equal(once, camera.expose(shot, 7))
    assert (once != camera.expose(shot, 8)).mean() > 0.9
    # A fresh camera that looked elsewhere first sees the same.
    other = SlideCamera(SlideWorld(camera.world.settings), SENSOR, seed=11)
    other.expose(shot_of(cell, SIXTY_THREE), 3)
    np.testing.assert_array_equal(once, other.expose(shot, 7))


def box_mask(cell: CellTruth, shot: Shot, um_per_px: float, grow_um: float = 0.0) -> np.ndarray:
    mask = np.zeros((SENSOR.height_px, SENSOR.width_px), bool)
    for chromosome in cell.chromosomes:
        xmin, ymin, xmax, ymax = chromosome.box_um
        columns = [
            (x - shot.centre_x_um) / um_per_px + (SENSOR.width_px - 1) / 2
            for x in (xmin - grow_um, xmax + grow_um)
        ]
        rows = [
            (y - shot.centre_y_um) / um_per_px + (SENSOR.height_px - 1) / 2
            for y in (ymin - grow_um, ymax + grow_um)
        ]
        mask[max(round(rows[0]), 0) : round(rows[1]) + 1, max(round(columns[0]), 0) : round(columns[1]) + 1] = True
    return mask


@pytest.mark.parametrize("objective", [TEN, SIXTY_THREE], ids=lambda objective: objective.label)
def test_dark_pixels_lie_in_the_truth_boxes(
    camera: SlideCamera, cell: CellTruth, objective: ObjectiveModel
) -> None:
    shot = shot_of(cell, objective)
    um_per_px = SENSOR.pixel_um / objective.magnification
    frame = camera.expose(shot, 1)
    rows, columns = np.indices(frame.shape)
    distance = np.hypot(columns - (SENSOR.width_px - 1) / 2, rows - (SENSOR.height_px - 1) / 2) * um_per_px
    disc = distance < cell.radius_um + 1.0
    dark = (frame < 0.72 * np.median(frame)) & disc
    # Chromosomes cover a fifth of their disc; nothing else there is as dark, a grain of dirt apart.
    assert 0.08 < dark.sum() / disc.sum() < 0.35
    assert (dark & ~box_mask(cell, shot, um_per_px, 0.3)).sum() < 0.01 * dark.sum()
    # Shifted boxes don't fit: the truth isn't merely roughly there.
    shifted = replace(shot, centre_x_um=shot.centre_x_um - 3.0, centre_y_um=shot.centre_y_um - 3.0)
    assert (dark & ~box_mask(cell, shifted, um_per_px, 0.3)).sum() > 0.05 * dark.sum()
    # Each box holds a chromosome.
    for chromosome in cell.chromosomes:
        alone = replace(cell, chromosomes=(chromosome,))
        inside = box_mask(alone, shot, um_per_px)
        assert dark[inside].mean() > 0.1


@pytest.mark.parametrize("objective", [TEN, SIXTY_THREE], ids=lambda objective: objective.label)
def test_contrast_falls_with_defocus(camera: SlideCamera, cell: CellTruth, objective: ObjectiveModel) -> None:
    contrasts = []
    for steps in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0):
        seen = camera.see(shot_of(cell, objective, steps * objective.depth_of_field_um))
        assert seen.shape == (SENSOR.height_px, SENSOR.width_px)
        contrasts.append(float(np.square(np.diff(seen, axis=1)).mean()))
    assert all(nearer > farther for nearer, farther in itertools.pairwise(contrasts))
    # Both sides of focus alike.
    below = camera.see(shot_of(cell, objective, -objective.depth_of_field_um))
    np.testing.assert_allclose(below, camera.see(shot_of(cell, objective, objective.depth_of_field_um)))


def test_depth_of_field_is_that_of_the_textbook() -> None:
    assert TEN.depth_of_field_um == pytest.approx(2.7, abs=0.1)
    assert SIXTY_THREE.depth_of_field_um == pytest.approx(0.43, abs=0.02)


class _OneDisc:
    """A slide with a single disc; stands in for a `SlideWorld`."""

    def __init__(self, x_um: float, y_um: float, radius_um: float, um_per_px: float) -> None:
        half = round(radius_um * 1.3 / um_per_px)
        offset = (np.arange(2 * half) + 0.5 - half) * um_per_px
        od = (np.hypot(offset[:, None], offset[None, :]) < radius_um).astype(np.float32) * 0.4
        reach_um = half * um_per_px
        self.body = Body(("disc",), x_um, y_um, reach_um, reach_um, lambda: Patch(od, um_per_px))

    def bodies_in(self, _box_um: tuple[float, float, float, float]) -> list[Body]:
        return [self.body]


@pytest.mark.parametrize("objective", [TEN, SIXTY_THREE], ids=lambda objective: objective.label)
@pytest.mark.parametrize(("radius_um", "tolerance_px"), [(12.0, 0.02), (2.0, 0.15)], ids=["nucleus", "grain"])
def test_bodies_lie_where_the_conventions_say(
    objective: ObjectiveModel, radius_um: float, tolerance_px: float
) -> None:
    um_per_px = SENSOR.pixel_um / objective.magnification
    # 200.3 px right of and 100.7 px below the image centre, which is at ((width - 1) / 2, (height - 1) / 2).
    disc = _OneDisc(1_000.0 + 200.3 * um_per_px, 500.0 + 100.7 * um_per_px, radius_um, 0.1)
    seen = SlideCamera(disc, SENSOR).see(Shot(1_000.0, 500.0, objective, 0.0, 1.0, 1.0))  # type: ignore[arg-type]
    weight = 1.0 - seen
    rows, columns = np.indices(seen.shape)
    assert (columns * weight).sum() / weight.sum() == pytest.approx(679.5 + 200.3, abs=tolerance_px)
    assert (rows * weight).sum() / weight.sum() == pytest.approx(511.5 + 100.7, abs=tolerance_px)


def test_without_light_there_is_only_bias(camera: SlideCamera, cell: CellTruth) -> None:
    frame = camera.expose(replace(shot_of(cell, TEN), light=0.0), 1)
    assert abs(np.median(frame) - SENSOR.bias_level) <= 1
    assert frame.max() < 70


def test_long_exposures_clip_at_full_scale(camera: SlideCamera, cell: CellTruth) -> None:
    frame = camera.expose(replace(shot_of(cell, TEN), exposure_ms=40.0), 1)
    assert frame.max() == SENSOR.full_scale


def test_a_moving_stage_smears_along_its_way(camera: SlideCamera, cell: CellTruth) -> None:
    sharp = camera.see(shot_of(cell, TEN))
    smeared = camera.see(replace(shot_of(cell, TEN), smear_um=(6.0, 0.0)))
    along = np.square(np.diff(smeared, axis=1)).mean() / np.square(np.diff(sharp, axis=1)).mean()
    across = np.square(np.diff(smeared, axis=0)).mean() / np.square(np.diff(sharp, axis=0)).mean()
    assert along < 0.4 * across


def test_a_shift_of_the_stage_shifts_the_picture_by_fractions_of_a_pixel(
    camera: SlideCamera, cell: CellTruth
) -> None:
    shot = shot_of(cell, TEN)
    whole = camera.see(replace(shot, centre_x_um=shot.centre_x_um + 0.645))
    np.testing.assert_allclose(whole[:, :-1], camera.see(shot)[:, 1:], atol=0.06)
    half = camera.see(replace(shot, centre_x_um=shot.centre_x_um + 0.3225))
    between = (camera.see(shot)[:, 1:] + camera.see(shot)[:, :-1]) / 2.0
    assert np.abs(half[:, :-1] - between).mean() < np.abs(camera.see(shot)[:, :-1] - between).mean()


def test_patches_beyond_the_budget_are_drawn_anew(camera: SlideCamera, cell: CellTruth) -> None:
    poor = SlideCamera(camera.world, SENSOR, seed=11)
    poor.cache.limit_bytes = 100_000
    shot = shot_of(cell, TEN)
    np.testing.assert_array_equal(poor.expose(shot, 2), camera.expose(shot, 2))
    assert poor.cache.held_bytes < 2 * 2**20

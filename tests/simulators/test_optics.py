from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.dust import Dust
from simulators.lamp import LampModel
from simulators.optics import SIXTY_THREE, TEN, ObjectiveModel, SensorModel, Shot, SlideCamera
from simulators.specimen.banding import Banding, Contrast
from simulators.specimen.clutter import ClutterPatch
from simulators.specimen.slide import CellTruth, SlideSettings, SlideWorld, SpecimenBody
from simulators.twin import Twin

pytestmark = pytest.mark.usefixtures("drawn_anew")

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

    contrast = Contrast.ABSORBS

    def __init__(self, x_um: float, y_um: float, radius_um: float, um_per_px: float) -> None:
        half = round(radius_um * 1.3 / um_per_px)
        offset = (np.arange(2 * half) + 0.5 - half) * um_per_px
        od = (np.hypot(offset[:, None], offset[None, :]) < radius_um).astype(np.float32) * 0.4
        reach_um = half * um_per_px
        self.body = SpecimenBody(("disc",), x_um, y_um, reach_um, reach_um, lambda: ClutterPatch(od, um_per_px))

    def bodies_in(self, _box_um: tuple[float, float, float, float]) -> list[SpecimenBody]:
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


# -- dust, lamp and fluorescence ---------------------------------------------------------------------------------

DUSTY = Dust(sensor_motes=12, optics_motes=4, depth=0.08, seed=3)


def empty_world(**changes: object) -> SlideWorld:
    return SlideWorld(SlideSettings(cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0, **changes))  # type: ignore[arg-type]


def blank(objective: ObjectiveModel, x_um: float = 30_000.0) -> Shot:
    return Shot(x_um, 10_000.0, objective, 0.0, 0.5, NOMINAL_MS[objective.label])


def test_exposures_shortly_after_one_another_share_no_row_of_noise() -> None:
    camera = SlideCamera(empty_world(), SENSOR, seed=3)
    starts = [camera._noise_offset(number) % SENSOR.width_px for number in range(1, 1_500)]
    drawn = [camera._drawn_offset(number) % SENSOR.width_px for number in range(1, 1_500)]
    meetings = [n for n in range(4, len(drawn)) if drawn[n] in drawn[n - 4 : n]]
    assert meetings
    assert not any(starts[n] in starts[n - 4 : n] for n in range(4, len(starts)))
    frames = [camera.expose(blank(SIXTY_THREE), meetings[0] + 1 - back) for back in range(5)]
    rows = [{row.tobytes() for row in frame} for frame in frames]
    assert not any(rows[0] & other for other in rows[1:])


def test_dust_stays_where_it_is_while_the_slide_moves() -> None:
    dusty = SlideCamera(empty_world(), replace(SENSOR, dust=DUSTY))
    clean = SlideCamera(empty_world(), SENSOR)
    shadows = DUSTY.shadows(SENSOR.width_px, SENSOR.height_px, TEN.label)
    assert shadows.dtype == np.float32
    assert 1.0 - 2.0 * DUSTY.depth <= shadows.min() < 1.0 - 0.4 * DUSTY.depth
    assert 0.9 < (shadows == 1.0).mean() < 0.995
    for x_um in (30_000.0, 30_300.0):
        ratio = (dusty.expose(blank(TEN, x_um), 1).astype(float) - 40) / (clean.expose(blank(TEN, x_um), 1) - 40.0)
        np.testing.assert_allclose(ratio, shadows, atol=0.012)


def test_each_objective_has_dust_of_its_own_beside_that_of_the_camera() -> None:
    size = (SENSOR.width_px, SENSOR.height_px)
    only_camera, only_optics = replace(DUSTY, optics_motes=0), replace(DUSTY, sensor_motes=0)
    np.testing.assert_array_equal(only_camera.shadows(*size, "10x"), only_camera.shadows(*size, "63x"))
    assert (only_optics.shadows(*size, "10x") != only_optics.shadows(*size, "63x")).any()
    np.testing.assert_array_equal(DUSTY.shadows(*size, "10x"), DUSTY.shadows(*size, "10x"))
    assert (replace(DUSTY, seed=4).shadows(*size, "10x") != DUSTY.shadows(*size, "10x")).any()


def test_without_dust_the_light_is_untouched() -> None:
    assert (Dust().shadows(64, 48, "10x") == 1.0).all()


@pytest.mark.parametrize("wrong", [{"sensor_motes": -1}, {"optics_motes": -2}, {"depth": 1.5}])
def test_impossible_dust_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="dust"):
        replace(Dust(), **wrong)


@given(st.floats(0.0, 1e6), st.floats(0.0, 0.3), st.integers(0, 1000))
def test_a_lamp_stays_within_its_drift(time_s: float, drift: float, seed: int) -> None:
    lamp = LampModel(drift_fraction=drift, seed=seed)
    assert abs(lamp.fraction_at(time_s) - 1.0) <= drift + 1e-12
    assert lamp.fraction_at(time_s) == LampModel(drift_fraction=drift, seed=seed).fraction_at(time_s)


def test_a_lamp_drifts_slowly_and_warms_up() -> None:
    lamp = LampModel(drift_fraction=0.04, period_s=2400.0, seed=1)
    shares = [lamp.fraction_at(float(second)) for second in range(3600)]
    assert max(shares) - min(shares) > 0.04
    assert max(abs(b - a) for a, b in itertools.pairwise(shares)) < 5e-4
    cold = LampModel(warm_up_fraction=0.1, warm_up_s=300.0)
    assert cold.fraction_at(0.0) == pytest.approx(0.9)
    assert cold.fraction_at(3000.0) == pytest.approx(1.0, abs=1e-4)
    assert LampModel().fraction_at(12.0) == 1.0
    with pytest.raises(ValueError, match="lamp"):
        LampModel(drift_fraction=1.0)


def test_the_twins_lamp_drifts_with_simulated_time() -> None:
    twin = Twin(SlideSettings(cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0))
    twin.configuration = replace(twin.configuration, lamp=LampModel(warm_up_fraction=0.2, warm_up_s=60.0))
    twin.lamp_open = True
    levels = []
    for _ in range(2):
        levels.append(float(np.median(twin.expose(8.0, "Camera", "Lamp"))))
        twin.clock.sleep_s(600.0)
    assert (levels[0] - 40.0) / (levels[1] - 40.0) == pytest.approx(0.8, abs=0.01)


class _TwoDiscs:
    """Two discs that emit and overlap in the middle."""

    contrast = Contrast.EMITS

    def __init__(self) -> None:
        patch = ClutterPatch(np.full((200, 200), 0.2, np.float32), 0.1, Contrast.EMITS)
        self.bodies = [
            SpecimenBody(("disc", number), 1_000.0 + shift, 500.0, 10.0, 10.0, lambda: patch)
            for number, shift in enumerate((-5.0, 5.0))
        ]

    def bodies_in(self, _box_um: tuple[float, float, float, float]) -> list[SpecimenBody]:
        return self.bodies


@pytest.mark.parametrize("objective", [TEN, SIXTY_THREE], ids=lambda objective: objective.label)
def test_what_emits_adds_its_light_to_a_dark_field(objective: ObjectiveModel) -> None:
    seen = SlideCamera(_TwoDiscs(), SENSOR).see(Shot(1_000.0, 500.0, objective, 0.0, 1.0, 1.0))  # type: ignore[arg-type]
    um_per_px = SENSOR.pixel_um / objective.magnification

    def at(offset_um: float) -> float:
        return float(seen[512, 680 + round(offset_um / um_per_px)])

    dark = float(seen[5, 5])
    assert 0.0 < dark < 0.05
    assert at(-10.0) == pytest.approx(dark + 0.2, abs=0.004)
    assert at(0.0) == pytest.approx(dark + 0.4, abs=0.004)
    assert at(10.0) == pytest.approx(dark + 0.2, abs=0.004)


def test_a_fluorescent_cell_is_bright_on_dark() -> None:
    settings = SlideSettings(
        seed=11, cells=1, banding=Banding.DAPI, area_um=(30_000.0, 10_000.0, 31_000.0, 10_700.0)
    )
    camera = SlideCamera(SlideWorld(settings), SENSOR)
    cell = camera.world.truth()[0]
    shot = shot_of(cell, SIXTY_THREE)
    frame = camera.expose(shot, 1)
    inside = box_mask(cell, shot, SENSOR.pixel_um / 63.0)
    assert np.median(frame[~inside]) < 250
    assert np.percentile(frame[inside], 75) > 3.0 * np.median(frame[~inside])


def test_a_field_is_the_same_in_strips_and_whole(camera: SlideCamera, cell: CellTruth) -> None:
    # The picture is blurred strip by strip; no seam may show.
    for defocus_um in (0.0, 4.0, 15.0):
        shot = shot_of(cell, TEN, defocus_um)
        whole = camera._digitise(camera.see(shot), 0.0, camera._light_through(TEN), 3200.0, 5)
        strips = camera.expose(shot, 5)
        assert np.abs(whole.astype(int) - strips.astype(int)).max() <= 1

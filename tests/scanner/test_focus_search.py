"""The search for focus: its parts on made-up pictures and curves, the whole on the twin."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.coordinates import StagePoint
from scanner.errors import BlankFieldError, FocusError, FrameError
from scanner.focus import measure
from scanner.focus.curve import fit_peak
from scanner.focus.presence import GRID_PX, even_out, find_presence, noise_of
from scanner.focus.search import FocusResult, FocusSweep, search_focus
from simulators.faults import TwinFault, TwinFaultKind
from simulators.optics import SIXTY_THREE, TEN, SensorModel, Shot, SlideCamera
from simulators.specimen.slide import SlideSettings, SlideWorld

SHAPE = (160, 240)
MEASURES = {
    "brenner": measure.brenner,
    "tenengrad": measure.tenengrad,
    "normalised variance": measure.normalised_variance,
}


def sharp_scene(seed: int, bodies: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    scene = np.ones(SHAPE, np.float32)
    for _ in range(bodies):
        centre = (int(rng.integers(20, SHAPE[1] - 20)), int(rng.integers(20, SHAPE[0] - 20)))
        axes = (int(rng.integers(4, 14)), int(rng.integers(3, 6)))
        cv2.ellipse(scene, centre, axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(0.3, 0.7)), -1)
    return scene


def photograph(scene: np.ndarray, blur_px: float, seed: int, level: float = 3000.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    seen = cv2.GaussianBlur(scene, (0, 0), blur_px) if blur_px > 0.1 else scene
    return np.clip(seen * level + rng.normal(0, 0.008 * level, SHAPE), 0, 4095).astype(np.uint16)


@pytest.mark.parametrize("kind", MEASURES.values(), ids=MEASURES.keys())
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), true_plane=st.integers(1, 5))
def test_every_measure_peaks_at_the_true_plane(kind, seed, true_plane):
    scene = sharp_scene(seed)
    pictures = [
        measure.relative_transmission(photograph(scene, np.hypot(0.6, 1.5 * (plane - true_plane)), seed + plane))
        for plane in range(7)
    ]
    mask = np.logical_or.reduce([measure.object_mask(picture) for picture in pictures])
    values = [kind(picture, mask) for picture in pictures]
    assert int(np.argmax(values)) == true_plane
    # Down on both sides: no second peak for a search to fall for.
    assert values[true_plane - 1] > values[0] or true_plane == 1
    assert values[true_plane + 1] > values[6] or true_plane == 5


@given(
    peak=st.floats(-20, 20),
    width=st.floats(1, 10),
    height=st.floats(1e-6, 1e3),
    offsets=st.lists(st.floats(-2.5, 2.5), min_size=3, max_size=7, unique_by=lambda offset: round(offset * 4)),
)
def test_the_peak_of_a_curve_is_found_from_any_planes(peak, width, height, offsets):
    z = np.sort(np.asarray(offsets)) * width + peak
    fit = fit_peak(z, height / (1.0 + ((z - peak) / width) ** 2), noise=1e-6 * height)
    assert fit.z_um == pytest.approx(peak, abs=0.02 * width)


@given(seed=st.integers(0, 1000), peak=st.floats(-3, 3))
def test_errors_of_the_measure_move_the_peak_little(seed, peak):
    z = np.array([-5.4, 0.0, 5.4, peak])
    z = np.sort(z + np.array([0, 0, 0, 1e-3]))
    noisy = np.random.default_rng(seed).normal(1.0, 0.02, z.size) / (1.0 + ((z - peak) / 4.0) ** 2)
    assert fit_peak(z, noisy, noise=1e-3).z_um == pytest.approx(peak, abs=0.5)


@pytest.mark.parametrize("side", [-1, 1])
def test_on_a_flank_the_curve_says_which_way_is_up(side):
    z = np.array([-10.0, 0.0, 10.0])
    fit = fit_peak(z, 1.0 / (1.0 + ((z - 45.0 * side) / 6.0) ** 2), noise=1e-9)
    assert fit.uphill == side
    assert fit.z_um == pytest.approx(45.0 * side, abs=1.0)
    steeper = fit_peak(z, 1.0 / np.sqrt(14.0 - side * z), noise=1e-9)
    assert steeper.uphill == side
    assert steeper.z_um is None or abs(steeper.z_um) > 14.0


def test_light_that_falls_off_is_evened_out_and_no_body():
    rng = np.random.default_rng(0)
    x, y = np.meshgrid(np.linspace(-1, 1, 640), np.linspace(-1, 1, 480))
    light = 3000 * (1 - 0.15 * ((x - 0.2) ** 2 + y**2))
    even = even_out(rng.normal(light, 0.008 * light).astype(np.uint16))
    assert abs(float(even.mean()) - 1.0) < 0.003
    assert noise_of(even) == pytest.approx(0.008, rel=0.15)
    assert find_presence(even).blank


@pytest.mark.parametrize("level", [0, 1, 40, 3000, 4095])
def test_an_even_picture_shows_nothing(level):
    presence = find_presence(even_out(np.full(SHAPE, level, np.uint16)))
    assert presence.blank
    assert not presence.mask.any()
    assert presence.mask.shape == (SHAPE[0] // GRID_PX, SHAPE[1] // GRID_PX)


@given(seed=st.integers(0, 10_000), level=st.floats(200, 3500))
@settings(max_examples=25, deadline=None)
def test_noise_is_no_body(seed, level):
    noise = np.random.default_rng(seed).normal(level, np.sqrt(level / 4.0), SHAPE)
    assert find_presence(even_out(np.clip(noise, 0, 4095).astype(np.uint16))).blank


def test_what_emits_is_seen_as_well_as_what_absorbs():
    glow = 60.0 + 900.0 * (1.0 - sharp_scene(4))
    noisy = np.random.default_rng(1).normal(glow, 4.0).astype(np.uint16)
    presence = find_presence(even_out(noisy))
    assert not presence.blank
    lit = cv2.resize(glow, presence.mask.shape[::-1], interpolation=cv2.INTER_AREA) > 200
    assert presence.mask[lit].mean() > 0.95


def only_nuclei(seed: int, per_mm2: float) -> SlideCamera:
    return SlideCamera(
        SlideWorld(SlideSettings(seed=seed, cells=0, nuclei_per_mm2=per_mm2, specks_per_mm2=0.0)), SensorModel()
    )


@pytest.mark.parametrize("defocus_um", [0.0, -40.0, 100.0])
def test_a_nucleus_is_seen_however_far_off_the_focus_is(defocus_um):
    # Light that is absorbed stays absorbed: the field is not called blank anywhere in the envelope.
    camera = only_nuclei(3, 4.0)
    nucleus = camera.world.bodies_in((20_000.0, 8_000.0, 24_000.0, 12_000.0))[0]
    shot = Shot(nucleus.x_um, nucleus.y_um, TEN, defocus_um, 0.5, 8.0)
    assert not find_presence(even_out(camera.expose(shot, 1))).blank


# -- on the twin -------------------------------------------------------------------------------------------------

TEN_SWEEP = FocusSweep(half_range_um=40.0, coarse_step_um=5.4, fine_step_um=1.9, exposure_ms=8.0)
OIL_SWEEP = FocusSweep(
    half_range_um=6.0, coarse_step_um=0.85, fine_step_um=0.3, exposure_ms=32.0, centre_fraction=0.7
)


def at_a_cell(bench, objective: str = "10x", number: int = 0) -> float:
    """Objective in, cell in the middle, light on; returns where focus truly is."""
    cell = bench.twin.truth()[number]
    microscope = bench.microscope
    chosen = microscope.select_objective(objective, oil_allowed=True)
    microscope.move_to(
        StagePoint(cell.slide_x_um - chosen.parcentric_x_um, cell.slide_y_um - chosen.parcentric_y_um)
    )
    microscope.light(on=True)
    return bench.twin.sharp_um(bench.twin.objective)


@pytest.mark.parametrize("offset_um", [-70.0, -4.0, 19.0, 60.0])
def test_at_10x_few_exposures_find_the_plane(bench, offset_um):
    sharp_um = at_a_cell(bench)
    result = search_focus(bench.microscope, sharp_um + offset_um, TEN_SWEEP)
    assert result.z_um == pytest.approx(sharp_um, abs=0.6)
    assert bench.microscope.focus_position_um() == result.z_um
    assert result.exposures == bench.twin.exposures <= 10
    assert result.peak_ratio > 1.15


@pytest.mark.parametrize("offset_um", [-9.0, 2.0])
def test_at_63x_few_exposures_find_the_plane(bench, offset_um):
    sharp_um = at_a_cell(bench, "63x", number=1)
    result = search_focus(bench.microscope, sharp_um + offset_um, OIL_SWEEP)
    assert result.z_um == pytest.approx(sharp_um, abs=0.15)
    assert result.exposures <= 11


def test_a_narrow_expectation_costs_fewer_exposures(bench):
    sharp_um = at_a_cell(bench)
    narrow = replace(TEN_SWEEP, half_range_um=11.0)
    assert search_focus(bench.microscope, sharp_um + 3.0, narrow).exposures <= 5


def test_the_same_search_ends_in_the_same_place(bench):
    results: list[FocusResult] = []
    for _ in range(2):
        # The twin's noise follows from the number of the exposure, which starts anew with the slide.
        bench.twin._record.exposures = 0
        results.append(search_focus(bench.microscope, at_a_cell(bench) + 12.0, TEN_SWEEP))
    assert results[0] == results[1]


def test_play_of_the_focus_drive_does_not_move_the_plane(bench):
    drive = bench.twin.configuration.z_drive
    bench.twin.configuration = replace(bench.twin.configuration, z_drive=replace(drive, backlash_um=3.0))
    sharp_um = at_a_cell(bench)
    found = []
    for start_um in (1910.0, 2090.0):
        # The play lies below after the one, above after the other.
        bench.microscope.focus_to(start_um)
        found.append(search_focus(bench.microscope, sharp_um + 7.0, replace(TEN_SWEEP, half_range_um=11.0)).z_um)
    assert found[1] == pytest.approx(found[0], abs=0.3)


def test_a_blank_field_costs_one_exposure_and_no_travel(bench):
    bench.twin.settings = replace(bench.twin.settings, cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0)
    bench.microscope.select_objective("10x")
    bench.microscope.move_to(StagePoint(30_500.0, 11_500.0))
    bench.microscope.light(on=True)
    moves = []
    bench.twin.move_focus, real = (lambda z, device: (moves.append(z), real(z, device))[1]), bench.twin.move_focus
    with pytest.raises(BlankFieldError, match="blank field"):
        search_focus(bench.microscope, 2000.0, TEN_SWEEP)
    assert bench.twin.exposures == 1
    assert set(moves) == {2000.0}


def test_focus_beyond_the_range_is_refused(bench):
    sharp_um = at_a_cell(bench)
    narrow = replace(TEN_SWEEP, half_range_um=11.0)
    with pytest.raises(FocusError, match="edge of the searched range") as caught:
        search_focus(bench.microscope, sharp_um - 60.0, narrow)
    assert not isinstance(caught.value, BlankFieldError)
    assert caught.value.wanted == pytest.approx(sharp_um - 60.0)


@pytest.mark.parametrize("expected_um", [1900.0, 2100.0])
def test_an_expectation_on_the_edge_of_the_envelope_is_searched_inwards(bench, expected_um):
    sharp_um = at_a_cell(bench)
    result = search_focus(bench.microscope, expected_um, replace(TEN_SWEEP, half_range_um=60.0))
    assert result.z_um == pytest.approx(sharp_um, abs=0.8)


@pytest.mark.parametrize("expected_um", [1500.0, 2500.0])
def test_an_expectation_far_outside_the_envelope_moves_nothing(bench, expected_um):
    at_a_cell(bench)
    before = bench.microscope.focus_position_um()
    with pytest.raises(FocusError, match="outside the focus envelope"):
        search_focus(bench.microscope, expected_um, TEN_SWEEP)
    assert bench.microscope.focus_position_um() == before
    assert bench.twin.exposures == 0


def test_a_lamp_that_dies_during_the_search_is_no_focus(bench):
    sharp_um = at_a_cell(bench)
    bench.twin.faults.add(TwinFault(TwinFaultKind.BLACK_FRAME, "Camera", 3))
    with pytest.raises(FrameError, match="black frame"):
        search_focus(bench.microscope, sharp_um + 10.0, TEN_SWEEP)


def test_both_objectives_are_blurred_by_their_aperture():
    # The steps of the sweeps above rest on this.
    assert TEN.blur_um(5.4) > 3.0 * TEN.blur_um(0.0)
    assert SIXTY_THREE.blur_um(0.85) > 3.0 * SIXTY_THREE.blur_um(0.0)

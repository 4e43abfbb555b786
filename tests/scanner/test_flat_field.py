"""Dark and flat field: taken off frames, and what is left of shading and dust on a calibrated twin."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.calibration.field_images import compute_field_images, measure_field_images
from scanner.calibration.record import write_calibration
from scanner.coordinates import CameraFrame, ObjectiveView, StagePoint
from scanner.core import ScanCore
from scanner.errors import BlankFieldError, FrameError, RigError
from scanner.flat_field import FlatField
from scanner.focus.search import FocusSweep, search_focus
from scanner.frame import Frame
from scanner.microscope import Microscope
from scanner.rig import ReferenceImage, load_rig
from simulators.devices import twin_of
from simulators.dust import Dust

ROOT = Path(__file__).parents[2]
SHAPE = (40, 60)
FULL_SCALE = 4095
HERE = StagePoint(30_500.0, 11_500.0)


def frame_of(pixels: np.ndarray, objective: str = "10x") -> Frame:
    view = ObjectiveView(HERE, CameraFrame(pixels.shape[1], pixels.shape[0], 0.645))
    return Frame(pixels.astype(np.uint16), view, 2000.0, objective, 8.0, datetime.now(UTC))


def references(seed: int = 0) -> FlatField:
    rng = np.random.default_rng(seed)
    flat = cv2.GaussianBlur(rng.uniform(0.7, 1.3, SHAPE).astype(np.float32), (0, 0), 5.0)
    dark = rng.uniform(30.0, 50.0, SHAPE).astype(np.float32)
    return FlatField({"10x": flat / flat.mean()}, dark, FULL_SCALE)


@given(seed=st.integers(0, 100), level=st.floats(100.0, 2500.0))
@settings(max_examples=30, deadline=None)
def test_an_even_light_is_even_again(seed, level):
    fields = references(seed)
    raw = np.rint(level * fields.flats["10x"] + fields.dark)
    corrected = fields.correct(frame_of(raw))
    assert corrected.corrected
    assert corrected.pixels.dtype == np.uint16
    np.testing.assert_allclose(corrected.pixels, level, atol=1.3)


def test_what_the_frame_says_besides_its_pixels_stays():
    raw = frame_of(np.full(SHAPE, 1000))
    corrected = references().correct(raw)
    assert not raw.corrected
    assert replace(corrected, pixels=raw.pixels, corrected=False) == raw
    assert (raw.pixels == 1000).all()


def test_a_frame_is_corrected_once():
    fields = references()
    once = fields.correct(frame_of(np.full(SHAPE, 1000)))
    assert fields.correct(once) is once


def test_an_objective_without_references_is_told_not_guessed():
    fields = references()
    raw = frame_of(np.full(SHAPE, 1000), "63x")
    assert not fields.covers("63x")
    assert fields.correct(raw) is raw
    assert not raw.corrected


def test_levels_stay_within_the_camera_and_clipped_pixels_clipped():
    fields = references()
    fields.flats["10x"][:] = 1.0  # type: ignore[index]
    fields.flats["10x"][0, 0], fields.flats["10x"][0, 1] = 2.0, 0.5  # type: ignore[index]
    raw = np.full(SHAPE, 3000)
    raw[0, 0], raw[0, 1], raw[1, 0] = FULL_SCALE, 4000, 10
    pixels = fields.correct(frame_of(raw)).pixels
    # Bright beyond what the camera could tell; brighter than it can say; darker than its dark.
    assert (pixels[0, 0], pixels[0, 1], pixels[1, 0]) == (FULL_SCALE, FULL_SCALE, 0)


def test_a_frame_of_another_size_is_refused():
    with pytest.raises(FrameError, match="another size"):
        references().correct(frame_of(np.full((10, 10), 1000)))


def rig_with(folder: Path, flat: np.ndarray):
    import hashlib

    shutil.copytree(ROOT / "hardware_configs" / "simulated", folder)
    np.save(folder / "flat.npy", flat)
    rig, _ = load_rig(folder)
    image = ReferenceImage(file="flat.npy", sha256=hashlib.sha256((folder / "flat.npy").read_bytes()).hexdigest())
    objectives = (rig.objectives[0].model_copy(update={"flat_field": image}), *rig.objectives[1:])
    return rig.model_copy(update={"objectives": objectives})


@pytest.mark.parametrize(
    ("flat", "complaint"),
    [
        (np.ones((1024, 1000), np.float32), "shape"),
        (np.full((1024, 1360), 0.01, np.float32), "falls to"),
        (np.full((1024, 1360), np.nan, np.float32), "falls to"),
        (np.ones((1024, 1360), np.float64), "float32"),
    ],
    ids=["size", "dark", "nan", "kind"],
)
def test_references_that_are_none_are_refused(tmp_path, flat, complaint):
    rig = rig_with(tmp_path / "rig", flat)
    with pytest.raises(RigError, match=complaint):
        FlatField.of_rig(rig, tmp_path / "rig")


def test_a_rig_that_was_never_calibrated_corrects_nothing():
    folder = ROOT / "hardware_configs" / "simulated"
    rig, _ = load_rig(folder)
    fields = FlatField.of_rig(rig, folder)
    assert not fields.covers("10x")
    assert fields.dark is None


def test_the_flat_field_keeps_dust_and_drops_noise():
    rng = np.random.default_rng(0)
    dust = Dust(sensor_motes=8, depth=0.05, seed=1).shadows(400, 300, "10x")
    low, high = (
        (40.0 + level * dust + rng.normal(0.0, 0.004 * level, dust.shape)).astype(np.float32)
        for level in (200.0, 3000.0)
    )
    flat = compute_field_images("10x", low, high, 1.0, 15.0, 7, FULL_SCALE).flat
    left = dust / dust.mean() / flat
    # Of shadows 7 per cent deep a fifth of that is left at their steepest flanks, elsewhere next to nothing.
    assert float(np.abs(left - 1.0).max()) < 0.016
    assert float(np.abs(left - 1.0)[dust < 1.0].mean()) < 0.003
    clean = cv2.erode(dust, np.ones((61, 61))) == 1.0
    # A pixel's noise of 0.4 per cent is not in it.
    assert float(np.std(flat[clean])) < 0.0008


def test_shading_and_dust_vanish_on_a_calibrated_twin(tmp_path):
    folder = tmp_path / "simulated"
    shutil.copytree(ROOT / "hardware_configs" / "simulated", folder)
    rig, cfg = load_rig(folder)
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    twin = twin_of(core)
    dust = Dust(sensor_motes=10, optics_motes=4, depth=0.06, seed=2)
    twin.configuration = replace(twin.configuration, sensor=replace(twin.configuration.sensor, dust=dust))
    twin.settings = replace(twin.settings, seed=5, cells=1, nuclei_per_mm2=12.0)
    microscope = Microscope(core, rig)
    microscope.select_objective("10x")
    with microscope.lit():
        microscope.move_to(HERE)
        microscope.focus_to(2000.0)
        rig = write_calibration(folder, [measure_field_images(microscope)])
        fields = FlatField.of_rig(rig, folder)
        # Another slide, and nothing on it: what is left is the instrument's own.
        twin.settings = replace(twin.settings, cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0)
        frames = [microscope.snap(8.0) for _ in range(6)]
        sweep = FocusSweep(40.0, 5.4, 1.9, 8.0)
        before = twin.exposures
        with pytest.raises(BlankFieldError):
            search_focus(microscope, 2000.0, sweep)
        assert twin.exposures - before <= 3
        before = twin.exposures
        with pytest.raises(BlankFieldError):
            search_focus(microscope, 2000.0, replace(sweep, flat_field=fields))
        assert twin.exposures - before == 1
    core.unloadAllDevices()
    raw = np.mean([frame.pixels for frame in frames], axis=0)
    even = np.mean([fields.correct(frame).pixels for frame in frames], axis=0)
    shadows = dust.shadows(1360, 1024, "10x/0.45")
    deep = shadows < 0.97
    assert deep.sum() > 300

    def shading(picture: np.ndarray) -> float:
        smooth = cv2.GaussianBlur(picture, (0, 0), 25.0)
        return float(np.ptp(smooth) / smooth.mean())

    def shadow(picture: np.ndarray) -> float:
        return 1.0 - float(np.median((picture / cv2.GaussianBlur(picture, (0, 0), 40.0))[deep]))

    assert shading(raw - 40.0) > 0.08
    assert shading(even) < 0.01
    assert shadow(raw - 40.0) > 0.03
    assert abs(shadow(even)) < 0.003

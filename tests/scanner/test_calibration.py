"""Calibration of a twin whose misalignment nobody has told."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from scanner.calibration.record import load_reference_image, write_calibration
from scanner.calibration.results import (
    Backlash,
    FieldImages,
    ObjectiveOffset,
    PixelGeometry,
    ReadOut,
    Result,
    StageMotion,
)
from scanner.calibration.session import CalibrationPlan, Procedure, calibrate
from scanner.coordinates import ImagePoint, ObjectiveView, StagePoint, stage_to_centre
from scanner.core import ScanCore
from scanner.errors import FocusError, RigError
from scanner.microscope import Microscope
from scanner.rig import ReferenceImage, Rig, load_rig
from simulators.devices import twin_of
from simulators.twin import Twin

SIMULATED_RIG = Path(__file__).parents[2] / "hardware_configs" / "simulated"
AREA_UM = (30_000.0, 11_000.0, 31_000.0, 12_000.0)
TRUE_PARCENTRIC_UM = (24.0 + 36.0, -17.0 - 48.0)
CELLS = 8


@dataclass
class Calibrated:
    """A twin with hidden misalignment, before and after."""

    folder: Path
    core: ScanCore
    twin: Twin
    before: Rig
    results: tuple[Result, ...]
    after: Rig

    def one(self, kind: type, objective: str | None = None) -> Result:
        return next(
            result
            for result in self.results
            if isinstance(result, kind) and (objective is None or result.objective == objective)
        )


def misalign(twin: Twin) -> None:
    configuration = twin.configuration
    ten, sixty_three = configuration.objectives
    twin.configuration = replace(
        configuration,
        sensor=replace(configuration.sensor, pixel_um=6.45 * 1.02, rotation_deg=1.7),
        xy_drive=replace(configuration.xy_drive, backlash_um=3.0),
        objectives=(ten, replace(sixty_three, parcentric_um=TRUE_PARCENTRIC_UM)),
    )


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calibrated]:
    folder = tmp_path_factory.mktemp("rig") / "simulated"
    shutil.copytree(SIMULATED_RIG, folder)
    rig, cfg = load_rig(folder)
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    twin = twin_of(core)
    twin.settings = replace(twin.settings, seed=5, cells=CELLS, area_um=AREA_UM)
    misalign(twin)
    cell = twin.truth()[0]
    plan = CalibrationPlan(StagePoint(cell.slide_x_um, cell.slide_y_um), oil_allowed=True)
    microscope = Microscope(core, rig)
    results = calibrate(microscope, plan, twin.clock.now_s)
    assert not microscope.safe_state()
    yield Calibrated(folder, core, twin, rig, results, write_calibration(folder, results))
    core.unloadAllDevices()


def test_the_camera_is_measured(calibrated: Calibrated) -> None:
    for objective, um_per_px in (("10x", 0.6579), ("63x", 6.579 / 63.0)):
        found = calibrated.one(PixelGeometry, objective)
        assert isinstance(found, PixelGeometry)
        assert found.um_per_px == pytest.approx(um_per_px, rel=1e-3)
        assert found.rotation_deg == pytest.approx(1.7, abs=0.02)
        assert not found.flip_x
        assert not found.flip_y
        assert found.evidence.residual < 0.1 * um_per_px


def test_the_turret_is_measured(calibrated: Calibrated) -> None:
    found = calibrated.one(ObjectiveOffset)
    assert isinstance(found, ObjectiveOffset)
    assert (found.parcentric_x_um, found.parcentric_y_um) == pytest.approx(TRUE_PARCENTRIC_UM, abs=0.5)
    assert found.parfocal_um == pytest.approx(3.5, abs=1.0)
    assert found.evidence.measurements >= 2


def test_the_stage_is_measured(calibrated: Calibrated) -> None:
    backlash = calibrated.one(Backlash)
    assert isinstance(backlash, Backlash)
    assert (backlash.x_um, backlash.y_um) == pytest.approx((3.0, 3.0), abs=0.1)
    motion = calibrated.one(StageMotion)
    assert isinstance(motion, StageMotion)
    assert motion.speed_um_s == pytest.approx(100_000.0, rel=0.01)
    assert motion.acceleration_um_s2 == pytest.approx(2_000_000.0, rel=0.01)
    assert motion.settle_ms == pytest.approx(20.0, abs=0.5)


def test_light_and_read_out_are_measured(calibrated: Calibrated) -> None:
    read_out = calibrated.one(ReadOut)
    assert isinstance(read_out, ReadOut)
    assert read_out.read_out_ms == pytest.approx(83.0, abs=0.5)
    images = calibrated.one(FieldImages)
    assert isinstance(images, FieldImages)
    assert float(np.median(images.dark)) == pytest.approx(40.0, abs=2.0)
    assert images.flat[10, -10] / images.flat[512, 680] == pytest.approx(0.87, abs=0.03)


def test_nothing_was_broken_and_the_light_is_off(calibrated: Calibrated) -> None:
    assert calibrated.twin.collisions == ()
    assert not calibrated.twin.lamp_open
    assert calibrated.twin.focus_um() == pytest.approx(0.0, abs=0.2)


def test_the_rig_file_holds_values_dates_and_comments(calibrated: Calibrated) -> None:
    rig = calibrated.after
    assert rig == load_rig(calibrated.folder)[0]
    assert rig.objective("63x").parcentric_x_um == pytest.approx(TRUE_PARCENTRIC_UM[0], abs=0.5)
    assert rig.camera.rotation_deg == pytest.approx(1.7, abs=0.02)
    assert rig.stage.backlash_x_um == pytest.approx(3.0, abs=0.1)
    names = {entry.procedure for entry in rig.calibration}
    assert {"pixel_geometry.10x", "pixel_geometry.63x", "parcentric.63x", "backlash", "stage_motion"} <= names
    assert all(entry.measured_at.tzinfo is not None for entry in rig.calibration)
    text = (calibrated.folder / "rig.yaml").read_text()
    for line in (SIMULATED_RIG / "rig.yaml").read_text().splitlines():
        if "#" in line:
            assert line[line.index("#") :] in text
    assert not [path for path in calibrated.folder.iterdir() if "draft" in path.name]


def test_writing_again_replaces_and_adds_nothing(calibrated: Calibrated, tmp_path: Path) -> None:
    folder = tmp_path / "rig"
    shutil.copytree(calibrated.folder, folder)
    before = (folder / "rig.yaml").read_text()
    assert write_calibration(folder, calibrated.results) == calibrated.after
    assert (folder / "rig.yaml").read_text() == before


def test_a_result_that_would_spoil_the_rig_is_not_written(calibrated: Calibrated, tmp_path: Path) -> None:
    folder = tmp_path / "rig"
    shutil.copytree(calibrated.folder, folder)
    before = (folder / "rig.yaml").read_text()
    geometry = calibrated.one(PixelGeometry, "10x")
    assert isinstance(geometry, PixelGeometry)
    with pytest.raises(RigError, match="um_per_px"):
        write_calibration(folder, [replace(geometry, um_per_px=-1.0)])
    with pytest.raises(RigError, match="no objective"):
        write_calibration(folder, [replace(geometry, objective="100x")])
    assert (folder / "rig.yaml").read_text() == before
    assert not [path for path in folder.iterdir() if "draft" in path.name]


def test_every_objective_gets_its_flat_field(calibrated: Calibrated) -> None:
    for objective in calibrated.after.objectives:
        assert objective.flat_field is not None
        flat = load_reference_image(calibrated.folder, objective.flat_field)
        assert flat[10, -10] / flat[512, 680] == pytest.approx(0.87, abs=0.04)


def test_a_changed_reference_image_is_noticed(calibrated: Calibrated, tmp_path: Path) -> None:
    folder = tmp_path / "rig"
    shutil.copytree(calibrated.folder, folder)
    image = calibrated.after.objectives[0].flat_field
    assert image is not None
    assert load_reference_image(folder, image).shape == (1024, 1360)
    (folder / image.file).write_bytes((folder / image.file).read_bytes()[:-1] + b"x")
    with pytest.raises(RigError, match="sha256"):
        load_reference_image(folder, image)
    with pytest.raises(RigError, match="can't be read"):
        load_reference_image(folder, ReferenceImage(file="none.npy", sha256="0" * 64))


def view_of(microscope: Microscope) -> ObjectiveView:
    """Geometry of a picture that would be taken now."""
    objective = microscope.objective
    return ObjectiveView(microscope.stage_position(), microscope.rig.camera_frame(objective), objective.parcentric)


def relocation_errors_um(core: ScanCore, twin: Twin, rig: Rig) -> list[float]:
    """Where each cell, seen at 10x away from the centre, lies at 63x against where the rig puts it."""
    microscope = Microscope(core, rig)
    microscope.select_objective("10x")
    rng = np.random.default_rng(4)
    targets = []
    for cell in twin.truth():
        stage = StagePoint(cell.slide_x_um, cell.slide_y_um).shifted(*rng.uniform((-350, -250), (350, 250)))
        microscope.move_to(stage)
        seen = ImagePoint(*twin.image_px(cell.slide_x_um, cell.slide_y_um))
        targets.append(view_of(microscope).to_stage(seen))
    microscope.select_objective("63x", oil_allowed=True)
    errors = []
    for cell, target in zip(twin.truth(), targets, strict=True):
        microscope.move_to(stage_to_centre(target, microscope.objective.parcentric))
        x_px, y_px = twin.image_px(cell.slide_x_um, cell.slide_y_um)
        errors.append(math.hypot(x_px - 679.5, y_px - 511.5) * twin.configuration.sensor.pixel_um / 63.0)
    return errors


def test_cells_are_relocated_within_ten_um(calibrated: Calibrated) -> None:
    before = relocation_errors_um(calibrated.core, calibrated.twin, calibrated.before)
    after = relocation_errors_um(calibrated.core, calibrated.twin, calibrated.after)
    assert len(after) == CELLS
    assert min(before) > 40.0
    assert max(after) < 5.0


def test_a_blank_slide_is_refused_and_nothing_is_written(calibrated: Calibrated) -> None:
    twin = calibrated.twin
    settings = twin.settings
    twin.settings = replace(settings, cells=0, nuclei_per_mm2=0.0, specks_per_mm2=0.0)
    microscope = Microscope(calibrated.core, calibrated.before)
    try:
        plan = CalibrationPlan(StagePoint(50_000.0, 13_000.0), what=frozenset({Procedure.PIXELS}))
        with pytest.raises(FocusError, match="blank"):
            calibrate(microscope, plan, twin.clock.now_s)
        assert not twin.lamp_open
    finally:
        twin.settings = settings
        microscope.safe_state()


def test_an_old_rig_file_stays_valid() -> None:
    data = yaml.safe_load((SIMULATED_RIG / "rig.yaml").read_text())
    assert Rig.model_validate(data).calibration == ()

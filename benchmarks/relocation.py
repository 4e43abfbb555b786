"""Relocation 10x -> 63x on twins with hidden misalignment: ``python benchmarks/relocation.py [--cells N]``.

The twin's camera is turned by 1.7 degrees, its pixels are 2 % larger than the rig says, the 63x looks 60 um
beside where the rig says, and the stage has 3 um of backlash. Cells are seen at 10x anywhere in the field and
relocated at 63x: before calibration, and with the rig file that calibration wrote. The place in the picture is the
twin's own, so that the figure is the instrument's and not the finder's.
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from scanner.calibration.record import write_calibration
from scanner.calibration.session import CalibrationPlan, Procedure, calibrate
from scanner.coordinates import ImagePoint, ObjectiveView, StagePoint, stage_to_centre
from scanner.core import ScanCore
from scanner.microscope import Microscope
from scanner.rig import Rig, load_rig
from simulators.devices import twin_of
from simulators.twin import Twin
from station.instrument.calibrate import described

RIG = Path(__file__).parents[1] / "hardware_configs" / "simulated"
LIMIT_UM = 10.0
MEASURED = frozenset({Procedure.PIXELS, Procedure.BACKLASH, Procedure.OFFSETS})


def misalign(twin: Twin, rng: np.random.Generator) -> None:
    """Hide errors of fixed size; the parcentric one points anywhere."""
    configuration = twin.configuration
    ten, sixty_three = configuration.objectives
    angle = float(rng.uniform(0.0, 2.0 * math.pi))
    x_um, y_um = sixty_three.parcentric_um
    hidden = (x_um + 60.0 * math.cos(angle), y_um + 60.0 * math.sin(angle))
    twin.configuration = replace(
        configuration,
        sensor=replace(configuration.sensor, pixel_um=6.45 * 1.02, rotation_deg=1.7),
        xy_drive=replace(configuration.xy_drive, backlash_um=3.0),
        objectives=(ten, replace(sixty_three, parcentric_um=hidden)),
    )


def view_of(microscope: Microscope) -> ObjectiveView:
    """Geometry of a picture that would be taken now."""
    objective = microscope.objective
    return ObjectiveView(microscope.stage_position(), microscope.rig.camera_frame(objective), objective.parcentric)


def relocation_errors_um(
    core: ScanCore, twin: Twin, rig: Rig, cells: Sequence[tuple[float, float]], rng: np.random.Generator
) -> list[float]:
    """Way between each cell and the centre of the 63x picture that should show it there."""
    microscope = Microscope(core, rig)
    microscope.select_objective("10x")
    targets = []
    for x_um, y_um in cells:
        microscope.move_to(StagePoint(x_um, y_um).shifted(*rng.uniform((-380, -280), (380, 280))))
        targets.append(view_of(microscope).to_stage(ImagePoint(*twin.image_px(x_um, y_um))))
    microscope.select_objective("63x", oil_allowed=True)
    sensor = twin.configuration.sensor
    um_per_px = sensor.pixel_um / twin.objective.magnification
    centre_x, centre_y = (sensor.width_px - 1) / 2.0, (sensor.height_px - 1) / 2.0
    errors = []
    for (x_um, y_um), target in zip(cells, targets, strict=True):
        microscope.move_to(stage_to_centre(target, microscope.objective.parcentric))
        x_px, y_px = twin.image_px(x_um, y_um)
        errors.append(math.hypot(x_px - centre_x, y_px - centre_y) * um_per_px)
    return errors


def one_twin(seed: int, cells: int, folder: Path) -> tuple[list[float], list[float]]:
    """Errors before and after calibration."""
    rng = np.random.default_rng(seed)
    rig, cfg = load_rig(folder)
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    try:
        twin = twin_of(core)
        twin.settings = replace(twin.settings, seed=seed, cells=4)
        misalign(twin, rng)
        first = twin.truth()[0]
        places = [
            (float(x), float(y)) for x, y in rng.uniform((5_000.0, 3_000.0), (70_000.0, 23_000.0), (cells, 2))
        ]
        before = relocation_errors_um(core, twin, rig, places, rng)
        microscope = Microscope(core, rig)
        plan = CalibrationPlan(StagePoint(first.slide_x_um, first.slide_y_um), what=MEASURED, oil_allowed=True)
        results = calibrate(microscope, plan, twin.clock.now_s)
        for result in results:
            print("   ", *described(result), sep="  ")
        after = relocation_errors_um(core, twin, write_calibration(folder, results), places, rng)
    finally:
        core.unloadAllDevices()
    return before, after


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--cells", type=int, default=500, help="places a twin")
    parser.add_argument("--twins", type=int, default=3)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    before: list[float] = []
    after: list[float] = []
    for seed in range(arguments.twins):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "simulated"
            shutil.copytree(RIG, folder)
            print(f"twin {seed}")
            found = one_twin(seed, arguments.cells, folder)
        before += found[0]
        after += found[1]
    for name, errors in (("before", before), ("after", after)):
        values = np.array(errors)
        print(
            f"{name:>6} calibration: median {np.median(values):.2f} um, 99th percentile "
            f"{np.percentile(values, 99):.2f} um, worst {values.max():.2f} um, "
            f"within {LIMIT_UM:g} um {np.mean(values <= LIMIT_UM):.2%} of {values.size}"
        )


if __name__ == "__main__":
    main()

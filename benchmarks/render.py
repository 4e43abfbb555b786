"""Time and memory of rendering a frame: ``python benchmarks/render.py [--specimen rendered|FOLDER] [--frames N]``.

Prints processor time on one core (what a frame costs) and time on the wall (what a loaded machine makes of it),
each as median over frames at different places after one warming round, with the ratio to the limit.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from simulators.optics import SIXTY_THREE, TEN, ObjectiveModel, SensorModel, Shot, SlideCamera
from simulators.specimen.slide import CellTruth, SlideSettings, SlideWorld

LIMITS_MS = {TEN.label: 15.0, SIXTY_THREE.label: 25.0}


def shots_at(cells: Sequence[CellTruth], objective: ObjectiveModel, exposure_ms: float) -> list[Shot]:
    """Frames around every cell, a little out of focus and off centre, as in a run."""
    rng = np.random.default_rng(5)
    return [
        Shot(
            cell.slide_x_um + float(rng.uniform(-20.0, 20.0)),
            cell.slide_y_um + float(rng.uniform(-20.0, 20.0)),
            objective,
            float(rng.uniform(-0.3, 0.3)) * objective.depth_of_field_um,
            0.5,
            exposure_ms,
        )
        for cell in cells
    ]


def median_ms(clock: Callable[[], float], camera: SlideCamera, shots: Sequence[Shot], frames: int) -> float:
    """Median time of a frame on a clock."""
    taken = []
    for number in range(frames):
        start = clock()
        camera.expose(shots[number % len(shots)], number)
        taken.append((clock() - start) * 1000.0)
    return float(np.median(taken))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--specimen", default="rendered")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--cells", type=int, default=12)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    world = SlideWorld(SlideSettings(specimen=arguments.specimen, cells=arguments.cells))
    start = time.perf_counter()
    cells = world.truth()
    print(f"drawing {len(cells)} cells: {time.perf_counter() - start:.2f} s")
    camera = SlideCamera(world, SensorModel())
    for objective, exposure_ms in ((TEN, 8.0), (SIXTY_THREE, 32.0)):
        shots = shots_at(cells, objective, exposure_ms)
        start = time.perf_counter()
        for shot in shots:
            camera.expose(shot, 0)
        first_ms = (time.perf_counter() - start) * 1000.0 / len(shots)
        cpu_ms = median_ms(time.process_time, camera, shots, arguments.frames)
        wall_ms = median_ms(time.perf_counter, camera, shots, arguments.frames)
        limit_ms = LIMITS_MS[objective.label]
        print(
            f"{objective.label:12s} processor {cpu_ms:5.1f} ms a frame, {cpu_ms / limit_ms:.2f} of the limit "
            f"({limit_ms:.0f} ms); wall {wall_ms:.1f} ms, {wall_ms / limit_ms:.2f}; first visit {first_ms:.1f} ms"
        )
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    print(
        f"patches held: {camera.cache.held_bytes / 2**20:.1f} MiB; peak memory of the process: {peak_mib:.0f} MiB"
    )


if __name__ == "__main__":
    main()

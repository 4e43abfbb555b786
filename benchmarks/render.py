"""Time and memory of rendering a frame, beside the textbook way of doing it.

    python benchmarks/render.py [--specimen rendered] [--specimen FOLDER] [--frames N] [--json PATH]

For each specimen and objective: processor time on one core (what a frame costs) and time on the wall (what a
loaded machine makes of it), median over frames at different places after one warming round, and the first visit
to a place apart, for bodies are drawn when they are first seen. The limits are 15 ms at 10x and 25 ms at 63x.

The named peer, `textbook`, renders the same fields in the same run with the same bodies, drawn beforehand: optical
densities added up on the camera's grid (`cv2.warpAffine`), `scipy.ndimage.gaussian_filter` over the frame,
`numpy.random` Poisson and normal noise. The frames of both take turns, so that a busy machine slows both alike.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from simulators.optics import SIXTY_THREE, TEN, ObjectiveModel, SensorModel, Shot, SlideCamera
from simulators.specimen.clutter import ClutterPatch
from simulators.specimen.slide import CellTruth, SlideSettings, SlideWorld

LIMITS_MS = {TEN.label: 15.0, SIXTY_THREE.label: 25.0}
EXPOSURE_MS = {TEN.label: 8.0, SIXTY_THREE.label: 32.0}
LEAST_FRAMES = 50


class TextbookCamera:
    """The peer: everything anew for every frame, by the book."""

    def __init__(self, world: SlideWorld, sensor: SensorModel) -> None:
        self.world = world
        self.sensor = sensor
        self._patches: dict[tuple[object, ...], ClutterPatch] = {}

    def expose(self, shot: Shot, number: int) -> NDArray[np.uint16]:
        sensor = self.sensor
        um_per_px = sensor.pixel_um / shot.objective.magnification
        left_um = shot.centre_x_um - sensor.width_px / 2.0 * um_per_px
        top_um = shot.centre_y_um - sensor.height_px / 2.0 * um_per_px
        box = (left_um, top_um, left_um + sensor.width_px * um_per_px, top_um + sensor.height_px * um_per_px)
        od = np.zeros((sensor.height_px, sensor.width_px), np.float32)
        for body in self.world.bodies_in(box):
            patch = self._patches.get(body.patch_key)
            if patch is None:
                patch = self._patches[body.patch_key] = body.render()
            _add_od(od, patch, (body.x_um - left_um, body.y_um - top_um), um_per_px)
        passed = gaussian_filter(np.power(10.0, -od), shot.objective.blur_um(shot.defocus_um) / um_per_px)
        level = sensor.levels_per_ms * shot.exposure_ms * shot.light * shot.objective.brightness
        rng = np.random.default_rng(number)
        electrons = rng.poisson(passed * level * sensor.electrons_per_level)
        noisy = (electrons + rng.normal(0.0, sensor.read_noise, electrons.shape)) / sensor.electrons_per_level
        return np.clip(noisy + sensor.bias_level, 0, sensor.full_scale).astype(np.uint16)


def _add_od(od: NDArray[np.float32], patch: ClutterPatch, at_um: tuple[float, float], um_per_px: float) -> None:
    height, width = (side * patch.um_per_px / um_per_px for side in patch.od.shape)
    left, top = at_um[0] / um_per_px - width / 2.0, at_um[1] / um_per_px - height / 2.0
    x0, y0 = max(math.floor(left), 0), max(math.floor(top), 0)
    x1, y1 = min(math.ceil(left + width) + 1, od.shape[1]), min(math.ceil(top + height) + 1, od.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    step = um_per_px / patch.um_per_px
    matrix = np.array([[step, 0.0, (x0 - left) * step], [0.0, step, (y0 - top) * step]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    od[y0:y1, x0:x1] += cv2.warpAffine(patch.od, matrix, (x1 - x0, y1 - y0), flags=flags)


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds a frame on two clocks."""

    processor_ms: float
    wall_ms: float


def shots_at(cells: Sequence[CellTruth], objective: ObjectiveModel) -> list[Shot]:
    """Frames around every cell, a little out of focus and off centre, as in a run."""
    rng = np.random.default_rng(5)
    return [
        Shot(
            cell.slide_x_um + float(rng.uniform(-20.0, 20.0)),
            cell.slide_y_um + float(rng.uniform(-20.0, 20.0)),
            objective,
            float(rng.uniform(-0.3, 0.3)) * objective.depth_of_field_um,
            0.5,
            EXPOSURE_MS[objective.label],
        )
        for cell in cells
    ]


def take_turns(
    cameras: Sequence[SlideCamera | TextbookCamera], shots: Sequence[Shot], frames: int
) -> list[Timing]:
    """Median time of a frame for each camera, one after the other at each place."""
    taken: list[list[tuple[float, float]]] = [[] for _ in cameras]
    for number in range(frames):
        for camera, times in zip(cameras, taken, strict=True):
            processor_s, wall_s = time.process_time(), time.perf_counter()
            camera.expose(shots[number % len(shots)], number)
            times.append((time.process_time() - processor_s, time.perf_counter() - wall_s))
    medians = [np.median(np.array(times), axis=0) * 1000.0 for times in taken]
    return [Timing(float(processor), float(wall)) for processor, wall in medians]


def first_visits(camera: SlideCamera | TextbookCamera, shots: Sequence[Shot]) -> float:
    """Mean time of the first look at each place, ms."""
    start = time.process_time()
    for shot in shots:
        camera.expose(shot, 0)
    return (time.process_time() - start) * 1000.0 / len(shots)


def measure(specimen: str, cells: int, frames: int) -> dict[str, object]:
    """Figures of one specimen."""
    world = SlideWorld(SlideSettings(specimen=specimen, cells=cells))
    start = time.process_time()
    truth = world.truth()
    drawing_s = time.process_time() - start
    kind = specimen if specimen == "rendered" else "pictures"
    print(f"{kind}: drawing {len(truth)} cells {drawing_s:.2f} s")
    camera, textbook = SlideCamera(world, SensorModel()), TextbookCamera(world, SensorModel())
    found: dict[str, object] = {"drawing_s": drawing_s}
    for objective in (TEN, SIXTY_THREE):
        shots = shots_at(truth, objective)
        first_ms = first_visits(camera, shots)
        first_visits(textbook, shots)
        ours, peer = take_turns((camera, textbook), shots, frames)
        limit_ms = LIMITS_MS[objective.label]
        found[objective.label] = {
            "limit_ms": limit_ms,
            "frames": frames,
            "ours": asdict(ours),
            "first_visit_ms": first_ms,
            "textbook": asdict(peer),
            "textbook_over_ours": peer.processor_ms / ours.processor_ms,
            "within_limit": ours.processor_ms <= limit_ms,
        }
        print(
            f"  {objective.label:12s} processor {ours.processor_ms:5.1f} ms a frame, "
            f"{ours.processor_ms / limit_ms:.2f} of the limit ({limit_ms:.0f} ms); wall {ours.wall_ms:.1f} ms; "
            f"first visit {first_ms:.1f} ms; textbook {peer.processor_ms:.1f} ms, "
            f"{peer.processor_ms / ours.processor_ms:.1f} times ours"
        )
    print(f"  bodies held: {camera.cache.held_bytes / 2**20:.1f} MiB")
    return found


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--specimen", action="append", help="rendered, or a folder of pictures; may be repeated")
    parser.add_argument("--frames", type=int, default=60, help=f"at least {LEAST_FRAMES}")
    parser.add_argument("--cells", type=int, default=12)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.frames < LEAST_FRAMES:
        parser.error(f"--frames {arguments.frames}: a median over fewer than {LEAST_FRAMES} says little")
    cv2.setNumThreads(1)
    results = {
        specimen if specimen == "rendered" else "pictures": measure(specimen, arguments.cells, arguments.frames)
        for specimen in arguments.specimen or ["rendered"]
    }
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    print(f"peak memory of the process: {peak_mib:.0f} MiB")
    if arguments.json:
        arguments.json.write_text(json.dumps({**results, "peak_mib": peak_mib}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

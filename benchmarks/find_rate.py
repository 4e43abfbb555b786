"""How many fields a second the finder searches on two cores, what a field costs, and what others make of it.

    python benchmarks/find_rate.py [--fields 50 200 800] [--frames 60] [--weights FOLDER] [--json PATH]

Frames of 1360 x 1024 px are drawn by the digital twin before the clock runs: a slide of mixed cells, nuclei, dirt
and precipitate in the density of a routine preparation, 12 bit, a little out of focus. Two processes, one thread
each, search them from a file that both map into memory, as the run's processes search its spool. The same frames
are searched in the same run by

- `default`: the finder that the product ships (proposals, then a net);
- `proposals`: its first stage alone;
- `rules`: the finder without a net;
- `mser`: maximally stable extremal regions (Matas et al. 2002) of cell size on the blurred field, from OpenCV;
- `blobs`: OpenCV's SimpleBlobDetector on the blurred field, the textbook way to find cells.

`fields_per_s` is by the wall clock and suffers from whatever else the machine does; `fields_per_s_two_cores` is
what two free cores give, from the processor time of a field. Cost is told for growing numbers of fields. Recall
and false finds a field are of these drawn frames: peers that are quick and find nothing are no peers.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.storage.atomic import write_json_atomic
from analysis.evaluation.finder_matching import Planted, judge
from analysis.finder import Candidate, finder_of, load_finder, propose
from simulators.optics import TEN, SensorModel, Shot, SlideCamera
from simulators.specimen.quality import CLINICAL
from simulators.specimen.slide import SlideSettings, SlideWorld

UM_PER_PX = 0.645
PROCESSES = 2
# The processes are started afresh and know of nothing but their surroundings.
WEIGHTS_VARIABLE = "FIND_RATE_WEIGHTS"
GOAL_FIELDS_PER_S = 20.0
CALL_SCORE = 0.5
FIELD_UM = (1360 * UM_PER_PX, 1024 * UM_PER_PX)
# A metaphase is 20-60 um across; blurred by this it is one dark spot.
SPOT_BLUR_UM = 5.0
SPOT_AREA_UM2 = (300.0, 4000.0)

Searcher = Callable[[NDArray[np.uint16]], Sequence[Candidate]]


def by_default(pixels: NDArray[np.uint16]) -> Sequence[Candidate]:
    return finder_named("default")(pixels, UM_PER_PX, min_score=0.05)


def by_rules(pixels: NDArray[np.uint16]) -> Sequence[Candidate]:
    return finder_named("rules")(pixels, UM_PER_PX, min_score=0.05)


def by_proposals(pixels: NDArray[np.uint16]) -> Sequence[Candidate]:
    made = propose(pixels, UM_PER_PX)
    return [Candidate(crowd.x_px, crowd.y_px, crowd.radius_px, 1.0) for crowd in made.crowds]


def by_mser(pixels: NDArray[np.uint16]) -> Sequence[Candidate]:
    low, high = (round(area / UM_PER_PX**2) for area in SPOT_AREA_UM2)
    detector = cv2.MSER.create(delta=5, min_area=low, max_area=high)
    regions, _ = detector.detectRegions(spots(pixels))
    found: list[Candidate] = []
    for region in sorted(regions, key=len, reverse=True):
        x, y = region.mean(axis=0)
        radius = float(np.sqrt(len(region) / np.pi))
        if all(np.hypot(x - other.x_px, y - other.y_px) > other.radius_px for other in found):
            found.append(Candidate(float(x), float(y), radius, 1.0))
    return found


def by_blobs(pixels: NDArray[np.uint16]) -> Sequence[Candidate]:
    parameters = cv2.SimpleBlobDetector.Params()
    parameters.filterByArea = True
    parameters.minArea, parameters.maxArea = (area / UM_PER_PX**2 for area in SPOT_AREA_UM2)
    parameters.filterByCircularity = parameters.filterByInertia = parameters.filterByConvexity = False
    parameters.minThreshold, parameters.maxThreshold, parameters.thresholdStep = 40.0, 240.0, 10.0
    points = cv2.SimpleBlobDetector.create(parameters).detect(spots(pixels))
    return [Candidate(point.pt[0], point.pt[1], point.size / 2.0, 1.0) for point in points]


def spots(pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """The field with its grey levels stretched and all that is finer than a cell blurred."""
    blurred = cv2.GaussianBlur(pixels, (0, 0), SPOT_BLUR_UM / UM_PER_PX)
    low, high = float(blurred.min()), float(blurred.max())
    return cv2.convertScaleAbs(blurred.astype(np.float32) - low, alpha=255.0 / max(high - low, 1.0))


SEARCHERS: dict[str, Searcher] = {
    "default": by_default,
    "proposals": by_proposals,
    "rules": by_rules,
    "mser": by_mser,
    "blobs": by_blobs,
}


@cache
def finder_named(name: str) -> Callable[..., Sequence[Candidate]]:
    folder = os.environ.get(WEIGHTS_VARIABLE)
    return finder_of("finder", Path(folder)) if name == "default" and folder else load_finder(name)


@cache
def mapped(path: str) -> NDArray[np.uint16]:
    frames: NDArray[np.uint16] = np.load(path, mmap_mode="r")
    return frames


def prepare() -> None:
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


@dataclass(frozen=True)
class Portion:
    """Fields that a process searches in one go; numbers beyond the file begin anew."""

    searcher: str
    path: str
    numbers: tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    processor_s: float
    peak_mib: float
    found: tuple[tuple[int, tuple[Candidate, ...]], ...]


def work(portion: Portion) -> Answer:
    frames, searcher = mapped(portion.path), SEARCHERS[portion.searcher]
    start_s = time.process_time()
    found = [(number, tuple(searcher(np.array(frames[number % len(frames)])))) for number in portion.numbers]
    spent_s = time.process_time() - start_s
    return Answer(spent_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0, tuple(found))


def draw_frames(count: int, seed: int) -> tuple[NDArray[np.uint16], list[tuple[Planted, ...]]]:
    """Frames of one slide, a cell on every second of them, and their truth."""
    columns = int(np.ceil(np.sqrt(count)))
    corner_um = (20_000.0, 6_000.0)
    side_um = (columns * FIELD_UM[0], -(-count // columns) * FIELD_UM[1])
    settings = SlideSettings(
        seed=seed,
        cells=max(2, count // 2),
        area_um=(*corner_um, corner_um[0] + side_um[0], corner_um[1] + side_um[1]),
        qualities=CLINICAL,
        precipitates_per_mm2=3.0,
    )
    camera = SlideCamera(SlideWorld(settings), SensorModel())
    cells = camera.world.truth()
    rng = np.random.default_rng(seed)
    frames, truths = [], []
    for number in range(count):
        x_um = corner_um[0] + (number % columns + 0.5) * FIELD_UM[0]
        y_um = corner_um[1] + (number // columns + 0.5) * FIELD_UM[1]
        frames.append(camera.expose(Shot(x_um, y_um, TEN, float(rng.normal(0, 1.5)), 0.5, 8.0), number))
        truth = []
        for cell in cells:
            x_px = (cell.slide_x_um - x_um) / UM_PER_PX + (1360 - 1) / 2.0
            y_px = (cell.slide_y_um - y_um) / UM_PER_PX + (1024 - 1) / 2.0
            radius_px = cell.radius_um / UM_PER_PX
            edge = min(x_px, y_px, 1359 - x_px, 1023 - y_px)
            if edge > -radius_px and cell.is_metaphase:
                kind = str(cell.quality)
                truth.append(Planted(x_px, y_px, radius_px, True, kind, cell.analysable, is_cut=edge < radius_px))
        truths.append(tuple(truth))
    return np.stack(frames), truths


def portions_of(searcher: str, path: str, count: int) -> list[Portion]:
    share = max(1, min(count // (4 * PROCESSES), 10))
    return [
        Portion(searcher, path, tuple(range(first, min(first + share, count)))) for first in range(0, count, share)
    ]


def measure(pool: Executor, searcher: str, path: str, count: int) -> dict[str, float]:
    """Search `count` fields on the pool."""
    start_s = time.perf_counter()
    answers = list(pool.map(work, portions_of(searcher, path, count)))
    wall_s = time.perf_counter() - start_s
    processor_s = sum(answer.processor_s for answer in answers)
    return {
        "fields": count,
        "fields_per_s": count / wall_s,
        "processor_ms_per_field": 1000.0 * processor_s / count,
        "fields_per_s_two_cores": PROCESSES * count / processor_s,
        "peak_mib": max(answer.peak_mib for answer in answers),
    }


def take_turns(pool: Executor, path: str, count: int) -> dict[str, float]:
    """Processor time of a field for each searcher, ms; they take turns, so that a busy machine slows all alike."""
    turns = [
        portion
        for round_ in zip(*(portions_of(n, path, count) for n in SEARCHERS), strict=True)
        for portion in round_
    ]
    spent = dict.fromkeys(SEARCHERS, 0.0)
    for portion, answer in zip(turns, pool.map(work, turns), strict=True):
        spent[portion.searcher] += answer.processor_s
    return {name: 1000.0 * seconds / count for name, seconds in spent.items()}


def quality(pool: Executor, searcher: str, path: str, truths: Sequence[tuple[Planted, ...]]) -> dict[str, float]:
    """Recall and false finds on the drawn frames."""
    answers = pool.map(work, [Portion(searcher, path, (number,)) for number in range(len(truths))])
    found = whole = false = 0
    for answer in answers:
        for number, candidates in answer.found:
            called = [candidate for candidate in candidates if candidate.score >= CALL_SCORE]
            judged = judge(truths[number], called)
            found += sum(find.is_right for find in judged)
            false += sum(find.planted is None and not find.is_neutral for find in judged)
            whole += sum(not entry.is_cut for entry in truths[number])
    return {"recall": found / max(1, whole), "false_finds_per_field": false / len(truths), "metaphases": whole}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fields", type=int, nargs="+", default=[50, 200, 800], help="numbers to search")
    parser.add_argument("--turns", type=int, default=80, help="fields that all searchers search in turns")
    parser.add_argument("--frames", type=int, default=60, help="different frames")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--weights", type=Path, help="folder of weights; default: the product's")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    prepare()
    if arguments.weights is not None:
        os.environ[WEIGHTS_VARIABLE] = str(arguments.weights)
    frames, truths = draw_frames(arguments.frames, arguments.seed)
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="find-rate-") as folder:
        path = str(Path(folder) / "frames.npy")
        np.save(path, frames)
        with ProcessPoolExecutor(PROCESSES, mp_context=context, initializer=prepare) as pool:
            measure(pool, "default", path, 2 * PROCESSES)  # whatever is loaded once is loaded then
            scaling = [measure(pool, "default", path, count) for count in arguments.fields]
        with ProcessPoolExecutor(PROCESSES, mp_context=context, initializer=prepare) as pool:
            searched: dict[str, dict[str, float]] = {name: quality(pool, name, path, truths) for name in SEARCHERS}
            cost_ms = take_turns(pool, path, arguments.turns)
    for entry in scaling:
        print(
            f"{entry['fields']:5d} fields: {entry['fields_per_s_two_cores']:.1f} a second on two free cores "
            f"({entry['fields_per_s']:.1f} now), {entry['processor_ms_per_field']:.1f} ms a field, "
            f"{entry['peak_mib']:.0f} MiB a process"
        )
    for name, entry in searched.items():
        entry["processor_ms_per_field"] = cost_ms[name]
        entry["times_the_default"] = cost_ms[name] / cost_ms["default"]
        print(
            f"{name:10s} {cost_ms[name]:6.1f} ms a field, {entry['times_the_default']:5.2f} times the default; "
            f"recall {entry['recall']:.3f} of {entry['metaphases']}, "
            f"{entry['false_finds_per_field']:.2f} false finds a field"
        )
    costs = [entry["processor_ms_per_field"] for entry in scaling]
    reached = scaling[-1]["fields_per_s_two_cores"]
    figures = {
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "frame_px": [1360, 1024],
        "by_fields": scaling,
        "searched": searched,
        "fields_per_s_two_cores": reached,
        "of_goal": reached / GOAL_FIELDS_PER_S,
        "dearest_over_cheapest": max(costs) / min(costs),
        "growth_mib": scaling[-1]["peak_mib"] - scaling[0]["peak_mib"],
    }
    print(
        json.dumps(
            {name: value for name, value in figures.items() if name not in ("searched", "by_fields")}, indent=2
        )
    )
    if arguments.json is not None:
        write_json_atomic(arguments.json, figures)


if __name__ == "__main__":
    main()

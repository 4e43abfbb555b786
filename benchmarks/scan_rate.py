"""Fields a second, against the hardware's limit: ``python benchmarks/scan_rate.py [--fields 400] [--json FILE]``.

With ``--overlapping``, the twin's camera exposes one field while it reads out the one before, and our loop uses
that; the stock engine has no such mode and is left out.

The digital twin in real time (stage 100 mm/s and 2 m/s^2, settling 20 ms, exposure 5 ms, read-out 83 ms) is
scanned at 10x with the finder running in its processes, by our field loop with journal and casebook, and then by
the stock acquisition engine of pymmcore-plus on the same devices, which stores nothing and hands its frames to the
same finder.

Frames are rendered before the clock runs: rendering is what the twin costs, not the scanner. Two limits are told.
`limit`: each field is exposed and then read out, while the stage goes on; no camera driven by single pictures can
do more. `limit_overlapped`: the camera exposes one picture while it reads out the one before.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import resource
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import useq
from numpy.typing import NDArray

from acquisition.casebook import open_casebook
from acquisition.journal import Journal
from acquisition.plan.tiling import PlannedField, serpentine
from acquisition.protocol import Area, Protocol
from acquisition.records import RunRecord
from acquisition.run.boundary import Boundary
from acquisition.run.context import RunContext, RunFinders, RunInstrument, RunStorage, SearchResources
from acquisition.run.listener import SilentListener
from acquisition.run.run_log import Progress, RunLog
from acquisition.run.scan_pass import ScanPass
from acquisition.run.search_task import be_ready
from acquisition.run.states import RunMachine
from acquisition.storage import RunFolder
from analysis.finder import FieldFinder, load_finder
from scanner.camera_setup import set_up_camera
from scanner.core import ScanCore
from scanner.focus.surface import FocusPoint, FocusSurface
from scanner.microscope import Microscope
from scanner.rig import Rig, load_rig
from simulators.clock import Clock, RealClock, ScaledClock
from simulators.devices import twin_of
from simulators.optics import Shot, SlideCamera
from station.compose import SEARCH_WORKERS, make_searchers

RIGS = Path(__file__).parents[1] / "hardware_configs"
RIG, OVERLAPPING_RIG = RIGS / "simulated", RIGS / "simulated-equipped"
CORNER_UM = (12_000.0, 4_000.0)
MOST_ROWS = 28  # the glass is no higher
FOCUS_UM = 2_000.0
EXPOSURE_MS = 5.0
OVERLAP = 0.1
# Different enough that the finder has its usual work.
RENDERED = 24
MEMORY_SPEED = 20.0
MEMORY_FROM = 50
STEPS = ("move_ms", "settle_ms", "focus_ms", "expose_ms", "read_ms", "write_ms", "find_ms")


class PreparedCamera:
    """Gives frames that were rendered before, one after the other."""

    def __init__(self, camera: SlideCamera, frames: Sequence[NDArray[np.uint16]]) -> None:
        self._frames = frames
        self.world = camera.world

    def expose(self, shot: Shot, number: int) -> NDArray[np.uint16]:
        return self._frames[number % len(self._frames)]


@dataclass(frozen=True)
class Bench:
    rig: Rig
    core: ScanCore
    microscope: Microscope
    fields: tuple[PlannedField, ...]
    protocol: Protocol
    finder: FieldFinder


@contextmanager
def bench(count: int, clock: Clock, folder: Path) -> Iterator[Bench]:
    rig, cfg = load_rig(folder)
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    set_up_camera(core, rig)
    try:
        fields, protocol = plan(rig, count)
        area = protocol.scan.area.bounds
        twin = twin_of(core)
        box = (area.x_min_um, area.y_min_um, area.x_max_um, area.y_max_um)
        twin.settings = replace(twin.settings, seed=5, cells=max(10, count // 10), area_um=box)
        microscope = Microscope(core, rig)
        microscope.select_objective("10x")
        frames = []
        with microscope.lit():
            for planned in fields[:: max(1, len(fields) // RENDERED)][:RENDERED]:
                microscope.move_to(rig.slide.frame.to_stage(planned.centre))
                microscope.focus_to(FOCUS_UM)
                frames.append(microscope.snap(EXPOSURE_MS).pixels.copy())
        # The twin keeps its camera to itself; a benchmark may know it.
        prepared = PreparedCamera(twin._view.camera(), frames)  # noqa: SLF001
        twin._view.camera = lambda: prepared  # noqa: SLF001
        twin.clock = clock
        yield Bench(rig, core, microscope, fields, protocol, load_finder(protocol.find.model))
    finally:
        core.unloadAllDevices()


def plan(rig: Rig, count: int) -> tuple[tuple[PlannedField, ...], Protocol]:
    """A nearly square block of fields."""
    frame = rig.camera_frame(rig.objective("10x"))
    rows = min(MOST_ROWS, max(1, round(math.sqrt(count * frame.width_um / frame.height_um))))
    columns = math.ceil(count / rows)
    width_um = frame.width_um * (1 + (columns - 1) * (1 - OVERLAP))
    height_um = frame.height_um * (1 + (rows - 1) * (1 - OVERLAP))
    x_um, y_um = CORNER_UM
    area = Area(x_min_um=x_um, y_min_um=y_um, x_max_um=x_um + width_um, y_max_um=y_um + height_um)
    protocol = Protocol.model_validate(
        {
            "version": 1,
            "name": "rate",
            "banding": "G",
            "tissue": "lymphocyte",
            "scan": {"objective": "10x", "area": area, "overlap": OVERLAP, "exposure_ms": EXPOSURE_MS},
            "capture": {"objective": "63x", "oil": "allowed", "number": 0, "exposure_ms": 40},
            "karyotype": {"enabled": False},
        }
    )
    return serpentine(area, frame.width_um, frame.height_um, OVERLAP)[:count], protocol


def limits_s(rig: Rig, fields: Sequence[PlannedField], *, overlapped: bool) -> float:
    """What the hardware alone needs, from the first exposure to the last frame."""
    read_s, exposure_s = rig.camera.read_out_ms / 1000.0, EXPOSURE_MS / 1000.0
    total_s = exposure_s + read_s
    for here, there in pairwise(fields):
        way_um = max(abs(there.centre.x_um - here.centre.x_um), abs(there.centre.y_um - here.centre.y_um))
        travel_s = rig.stage.motion.duration_s(way_um)
        total_s += max(travel_s + exposure_s, read_s) if overlapped else exposure_s + max(travel_s, read_s)
    return total_s


class MemoryListener:
    """Notes the memory of the process at every field."""

    def __init__(self) -> None:
        self.rss_mib: list[float] = []

    def phase(self, name: str, total: int) -> None:
        pass

    def step(self, name: str, note: str = "") -> None:
        self.rss_mib.append(rss_mib())

    def message(self, text: str) -> None:
        print("!", text)


def rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


@dataclass(frozen=True)
class Scanned:
    seconds: float
    waited_s: float
    drain_s: float
    cpu_s: float
    medians_ms: dict[str, float]


def scan_ours(bench: Bench, root: Path, name: str, listener: MemoryListener | None = None) -> Scanned:
    """The product's scan: journal, spool, casebook and finder."""
    with (
        RunFolder.create(root / name) as folder,
        open_casebook(folder.casebook) as casebook,
        Journal.create(folder.journal) as journal,
    ):
        casebook.begin_run(RunRecord("r", "s", "rig", "", "rate", "", "0", datetime.now(UTC)))
        context = RunContext(
            "r",
            "s",
            RunInstrument(bench.microscope),
            bench.protocol,
            RunStorage(folder, casebook),
            RunFinders(bench.finder),
            listener=listener or SilentListener(),
            search=SearchResources(make_searchers, SEARCH_WORKERS + 1),
        )
        log = RunLog(journal)
        scan = ScanPass(context, log, bench.fields, Progress(), Boundary(context, RunMachine()))
        surface = FocusSurface.fit([FocusPoint(bench.fields[0].centre, FOCUS_UM)])
        with bench.microscope.lit():
            go_to_start(bench)
            start_s, start_cpu_s = time.perf_counter(), time.thread_time()
            scan.run(surface, EXPOSURE_MS)
            seconds, cpu_s = time.perf_counter() - start_s, time.thread_time() - start_cpu_s
        start_s = time.perf_counter()
        scan.finish()
        drain_s = time.perf_counter() - start_s
        waited_s = scan.search.waited_ms / 1000.0
        scan.close()
        records = casebook.fields("r")
        medians = {name: float(np.median([getattr(r, name) for r in records])) for name in STEPS}
    return Scanned(seconds, waited_s, drain_s, cpu_s, medians)


def go_to_start(bench: Bench) -> None:
    bench.microscope.move_to(bench.rig.slide.frame.to_stage(bench.fields[0].centre))
    bench.microscope.focus_to(FOCUS_UM)
    time.sleep(8.0)  # the finder's processes have started by then, as they have in a run that first focuses


class StockFinder:
    """Takes the stock engine's frames to the same finder, without keeping them anywhere."""

    def __init__(self, executor: Executor, finder: FieldFinder) -> None:
        self._executor = executor
        self._finder = finder
        self._room = threading.Semaphore(90)
        self.futures: list[Future[object]] = []

    def __call__(self, image: NDArray[np.uint16], event: useq.MDAEvent) -> None:
        self._room.acquire()
        future = self._executor.submit(self._finder, image, 0.645)
        future.add_done_callback(lambda _: self._room.release())
        self.futures.append(future)


def scan_stock(bench: Bench) -> float:
    """The stock engine over the same fields."""
    executor = make_searchers()
    for _ in range(SEARCH_WORKERS + 1):
        executor.submit(be_ready, bench.finder)
    finder = StockFinder(executor, bench.finder)
    core = bench.core
    events = [
        useq.MDAEvent(
            index={"p": planned.index},
            x_pos=planned.centre.x_um,
            y_pos=planned.centre.y_um,
            z_pos=FOCUS_UM,
            exposure=EXPOSURE_MS,
        )
        for planned in bench.fields
    ]
    core.mda.events.frameReady.connect(finder)
    try:
        with bench.microscope.lit():
            go_to_start(bench)
            start_s = time.perf_counter()
            core.mda.run(events)
            seconds = time.perf_counter() - start_s
    finally:
        core.mda.events.frameReady.disconnect(finder)
        executor.shutdown(wait=True, cancel_futures=True)
    if len(finder.futures) != len(bench.fields):
        raise RuntimeError(f"the stock engine gave {len(finder.futures)} frames of {len(bench.fields)}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--fields", type=int, default=400)
    parser.add_argument("--memory-fields", type=int, default=2000, help="0 leaves the memory out")
    parser.add_argument("--overlapping", action="store_true", help="with a camera that exposes while it reads out")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    cv2.setNumThreads(1)
    folder = OVERLAPPING_RIG if arguments.overlapping else RIG
    figures: dict[str, float | int | None] = {"fields": arguments.fields, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory(prefix="scan-rate-") as name:
        root = Path(name)
        with bench(arguments.fields, RealClock(), folder) as real:
            ours = scan_ours(real, root, "rate")
            stock_s = math.nan if arguments.overlapping else scan_stock(real)
            limit_s = limits_s(real.rig, real.fields, overlapped=False)
            overlapped_s = limits_s(real.rig, real.fields, overlapped=True)
        count = arguments.fields
        used_limit_s = overlapped_s if arguments.overlapping else limit_s
        figures |= {
            "limit_s": limit_s,
            "limit_overlapped_s": overlapped_s,
            "scan_s": ours.seconds,
            "stock_engine_s": None if arguments.overlapping else stock_s,
            "fraction_of_limit": limit_s / ours.seconds,
            "fraction_of_overlapped_limit": overlapped_s / ours.seconds,
            "speedup_vs_stock_engine": None if arguments.overlapping else stock_s / ours.seconds,
            "software_ms_per_field": 1000.0 * (ours.seconds - used_limit_s) / count,
            "driving_thread_cpu_ms_per_field": 1000.0 * ours.cpu_s / count,
            "ms_per_field": 1000.0 * ours.seconds / count,
            "waited_for_finder_s": ours.waited_s,
            "finder_after_the_scan_s": ours.drain_s,
            **{f"median_{step}": value for step, value in ours.medians_ms.items()},
        }
        print(json.dumps(figures, indent=2), flush=True)
        if arguments.memory_fields:
            with bench(arguments.memory_fields, ScaledClock(MEMORY_SPEED), folder) as scaled:
                listener = MemoryListener()
                scan_ours(scaled, root, "memory", listener)
                rss = listener.rss_mib
            from_mib, to_mib = rss[min(MEMORY_FROM, len(rss)) - 1], rss[-1]
            figures |= {
                "memory_fields": arguments.memory_fields,
                "memory_from_mib": from_mib,
                "memory_to_mib": to_mib,
                "memory_growth": to_mib / from_mib - 1.0,
            }
    print(json.dumps(figures, indent=2))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()

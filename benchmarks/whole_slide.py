"""A whole simulated slide through the product's own run: what is found, what is not, and where the time goes.

    python benchmarks/whole_slide.py [--cells 120] [--enough 20] [--columns-mm 50] [--json PATH]

The area under a coverslip of 22 x 50 mm is scanned at 10x with an overlap of 5 % (2,160 fields) by the run that
`karyoscan scan` makes: focus map, field loop, spool, journal, finder in a process of its own, merging, ranking and
report; nothing is photographed at 63x. On the slide lie 120 rendered metaphases of mixed quality (no clumps, which
are none), nuclei, dirt, precipitate, the edges of the coverslip and air bubbles.

The twin's clock passes at once where the instrument waits. `instrument_s` is what the mechanics and the camera
would have taken for focus map and scan, by that clock; `wall_s` is what this machine took, much of it for drawing
the frames that a camera would deliver. The same slide is scanned again with a stop rule (enough cells, and sure
enough of it), now in real time: a rule can only hear of what the finder has seen by then.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from acquisition.casebook import open_casebook
from acquisition.plan.scan_plan import plan_fields
from acquisition.protocol import Protocol
from acquisition.records import CandidateRecord, FieldRecord
from acquisition.run.control import RunControl
from acquisition.storage.atomic import write_json_atomic
from scanner.coordinates import SlidePoint
from simulators.clock import Clock, RealClock
from simulators.specimen.quality import CLINICAL
from simulators.specimen.slide import CellTruth
from simulators.twin import Twin
from station.compose import Instrument, open_instrument
from station.scan import ScanRequest, scan_slide
from station.scoring import TrueCell, match_cells

RIG = Path(__file__).parents[1] / "hardware_configs" / "simulated"
LEFT_UM, TOP_UM, HEIGHT_UM = 20_000.0, 2_000.0, 22_000.0
STEPS = ("move_ms", "settle_ms", "focus_ms", "expose_ms", "read_ms", "write_ms", "find_ms")


@dataclass
class Phases:
    """Notes when each phase of the run begins, by both clocks."""

    clock: Clock
    marks: list[tuple[str, float, float]] = field(default_factory=list)
    fields: int = 0

    def phase(self, name: str, total: int) -> None:
        self.marks.append((name, time.perf_counter(), self.clock.now_s()))
        print(f"    {name}, {total} steps", flush=True)

    def step(self, name: str, note: str = "") -> None:
        self.fields += name == "scan"
        if name == "scan" and self.fields % 400 == 0:
            print(f"      {self.fields} fields", flush=True)

    def message(self, text: str) -> None:
        print("    !", text, flush=True)

    def durations_s(self) -> dict[str, dict[str, float]]:
        ends = [*self.marks[1:], ("end", time.perf_counter(), self.clock.now_s())]
        spent: dict[str, dict[str, float]] = {}
        for (name, wall_s, instrument_s), (_, wall_end_s, instrument_end_s) in zip(self.marks, ends, strict=True):
            entry = spent.setdefault(name, {"wall_s": 0.0, "instrument_s": 0.0})
            entry["wall_s"] += wall_end_s - wall_s
            entry["instrument_s"] += instrument_end_s - instrument_s
        return spent


def protocol_of(width_um: float, enough: int | None) -> dict[str, Any]:
    """The protocol as it is written to a file."""
    area = {
        "x_min_um": LEFT_UM,
        "y_min_um": TOP_UM,
        "x_max_um": LEFT_UM + width_um,
        "y_max_um": TOP_UM + HEIGHT_UM,
    }
    return {
        "version": 1,
        "name": "whole-slide",
        "banding": "G",
        "tissue": "lymphocyte",
        "scan": {
            "objective": "10x",
            "area": area,
            "overlap": 0.05,
            "exposure_ms": 8,
            "focus": {"points": 9, "range_um": 40},
        },
        "capture": {"objective": "63x", "oil": "allowed", "number": 0, "exposure_ms": 40},
        "karyotype": {"enabled": False},
        **({"stop": {"cells": enough}} if enough is not None else {}),
    }


def lay(twin: Twin, cells: int, seed: int, width_um: float) -> tuple[CellTruth, ...]:
    mixture = tuple((quality, weight) for quality, weight in CLINICAL if quality.is_metaphase)
    twin.settings = replace(
        twin.settings,
        seed=seed,
        cells=cells,
        area_um=(LEFT_UM, TOP_UM, LEFT_UM + width_um, TOP_UM + HEIGHT_UM),
        qualities=mixture,
        coverslip=True,
        bubbles=3,
        precipitates_per_mm2=2.0,
    )
    return twin.truth()


@dataclass(frozen=True)
class Ran:
    """What one run left."""

    status: str
    candidates: list[CandidateRecord]
    fields: list[FieldRecord]
    phases: Phases
    wall_s: float
    processor_s: dict[str, float]


def run(instrument: Instrument, root: Path, name: str, width_um: float, enough: int | None) -> Ran:
    assert instrument.twin is not None
    path = root / f"{name}.yaml"
    # JSON is YAML.
    write_json_atomic(path, protocol_of(width_um, enough))
    protocol = Protocol.model_validate(protocol_of(width_um, enough))
    request = ScanRequest(RIG, path, root / name, seed=instrument.twin.settings.seed, slide=name)
    if enough is not None:
        instrument.twin.clock = RealClock()
    phases = Phases(instrument.twin.clock)
    instrument.microscope.resume()  # a run leaves its instrument stopped
    start_s, own_s, finder_s = time.perf_counter(), time.process_time(), children_s()
    result = scan_slide(instrument, request, protocol, RunControl(), phases)
    wall_s = time.perf_counter() - start_s
    processor_s = {"run_and_rendering": time.process_time() - own_s, "finder": children_s() - finder_s}
    summary = result.summary
    with open_casebook(root / name / "casebook.sqlite") as casebook:
        candidates = casebook.candidates(summary["run_uid"])
        fields = casebook.fields(summary["run_uid"])
    if summary["status"] != "completed":
        print("    the run ended:", summary["status"], summary["error"])
    return Ran(summary["status"], candidates, fields, phases, wall_s, processor_s)


def children_s() -> float:
    """Processor seconds of the processes that have ended, the finder's among them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def score(truth: Sequence[CellTruth], ran: Ran) -> dict[str, Any]:
    """Figures of a run against the planted cells."""
    cells = [
        TrueCell(cell.uid, SlidePoint(cell.slide_x_um, cell.slide_y_um), cell.radius_um, cell.iscn, ())
        for cell in truth
    ]
    matches = dict(match_cells(cells, ran.candidates))
    of_quality = {cell.uid: str(cell.quality) for cell in truth}
    planted = Counter(of_quality.values())
    found = Counter(of_quality[uid] for uid in matches)
    return {
        "planted": len(cells),
        "found": len(matches),
        "candidates": len(ran.candidates),
        "recall": len(matches) / len(cells) if cells else None,
        "precision": len(matches) / len(ran.candidates) if ran.candidates else None,
        "found_by_quality": {quality: [found[quality], count] for quality, count in sorted(planted.items())},
        "analysable_found": sum(cell.analysable and cell.uid in matches for cell in truth),
    }


def times(ran: Ran) -> dict[str, Any]:
    """Where the time of a run went."""
    phases = ran.phases.durations_s()
    return {
        "fields": len(ran.fields),
        "wall_s": ran.wall_s,
        "processor_s": ran.processor_s,
        "phases": phases,
        "instrument_s": sum(phases.get(name, {}).get("instrument_s", 0.0) for name in ("focus", "scan")),
        "sum_over_fields_s": {
            step.removesuffix("_ms"): float(np.sum([getattr(entry, step) for entry in ran.fields])) / 1000.0
            for step in STEPS
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=120)
    parser.add_argument("--enough", type=int, default=20, help="analysable cells at which the second run may stop")
    parser.add_argument("--columns-mm", type=float, default=50.0, help="length of the area; 22 mm is its height")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    cv2.setNumThreads(1)
    width_um = 1000.0 * arguments.columns_mm
    with tempfile.TemporaryDirectory(prefix="whole-slide-") as name, open_instrument(RIG) as instrument:
        assert instrument.twin is not None
        start_s = time.perf_counter()
        truth = lay(instrument.twin, arguments.cells, arguments.seed, width_um)
        drawing_s = time.perf_counter() - start_s
        protocol = Protocol.model_validate(protocol_of(width_um, None))
        planned = len(plan_fields(protocol, instrument.rig))
        print(f"{planned} fields planned; {len(truth)} metaphases drawn in {drawing_s:.0f} s")
        print("  the whole area")
        whole = run(instrument, Path(name), "whole", width_um, None)
        print(f"  until {arguments.enough} analysable cells are likely enough")
        stopped = run(instrument, Path(name), "stopped", width_um, arguments.enough)
    figures = {
        "fields_planned": planned,
        "drawing_s": drawing_s,
        "whole": {"status": whole.status, **score(truth, whole), **times(whole)},
        "stopped": {"status": stopped.status, **score(truth, stopped), **times(stopped)},
    }
    figures["stop_rule_saves"] = {
        "fields": 1.0 - len(stopped.fields) / max(1, len(whole.fields)),
        "instrument_s": 1.0 - figures["stopped"]["instrument_s"] / max(1e-9, figures["whole"]["instrument_s"]),
        "wall_s": 1.0 - stopped.wall_s / whole.wall_s,
    }
    print(json.dumps(figures, indent=2))
    if arguments.json is not None:
        write_json_atomic(arguments.json, figures)


if __name__ == "__main__":
    main()

"""A whole simulated slide through the product's own run: what is found, what is not, and where the time goes.

    python benchmarks/whole_slide.py [--cells 120] [--enough 20] [--finder default] [--columns-mm 50]

The area under a coverslip of 22 x 50 mm is scanned at 10x with an overlap of 5 % (2,160 fields) by the run that
`karyoscan scan` makes: focus map, field loop, spool, journal, finder in a process of its own, merging, ranking and
report; nothing is photographed at 63x. On the slide lie 120 rendered metaphases of mixed quality (no clumps, which
are none), nuclei, dirt, precipitate, the edges of the coverslip and air bubbles.

The twin's clock passes at once where the instrument waits. `instrument_s` is what the mechanics and the camera
would have taken for focus map and scan, by that clock; `wall_s` is what this machine took, much of it for drawing
the frames that a camera would deliver.

What a stop rule would have saved is read off the same run: field by field, the rule of the product is asked with
what had been found by then, and the clock is read at the field at which it says that it has seen enough. A real
scan goes on for the few fields that the finder is behind.
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
from acquisition.plan.stopping import stop_reason
from acquisition.protocol import Protocol, Stop, read_protocol
from acquisition.records import CandidateRecord, FieldRecord
from acquisition.run.control import RunControl
from acquisition.storage.atomic import write_json_atomic
from analysis.finder import FINDERS
from scanner.coordinates import SlidePoint
from simulators.clock import Clock
from simulators.specimen.quality import CLINICAL
from simulators.specimen.slide import CellTruth
from simulators.twin import Twin
from station.compose import Instrument, open_instrument
from station.run.scan import ScanRequest, scan_slide
from station.run.scoring import ScoredTrueCell, match_cells

RIG = Path(__file__).parents[1] / "hardware_configs" / "simulated"
LEFT_UM, TOP_UM, HEIGHT_UM = 20_000.0, 2_000.0, 22_000.0
STEPS = ("move_ms", "settle_ms", "focus_ms", "expose_ms", "read_ms", "write_ms", "find_ms")


@dataclass
class Phases:
    """Notes when each phase of the run begins, by both clocks."""

    clock: Clock
    marks: list[tuple[str, float, float]] = field(default_factory=list)
    scanned_s: list[float] = field(default_factory=list)

    def phase(self, name: str, total: int) -> None:
        self.marks.append((name, time.perf_counter(), self.clock.now_s()))
        print(f"    {name}, {total} steps", flush=True)

    def step(self, name: str, note: str = "") -> None:
        if name != "scan":
            return
        self.scanned_s.append(self.clock.now_s())
        if len(self.scanned_s) % 400 == 0:
            print(f"      {len(self.scanned_s)} fields", flush=True)

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


def protocol_of(width_um: float, finder: str) -> dict[str, Any]:
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
        "find": {"model": finder},
        "capture": {"objective": "63x", "oil": "allowed", "number": 0, "exposure_ms": 40},
        "karyotype": {"enabled": False},
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


def run(instrument: Instrument, root: Path, name: str, contents: dict[str, Any]) -> Ran:
    assert instrument.twin is not None
    path = root / f"{name}.yaml"
    # JSON is YAML.
    write_json_atomic(path, contents)
    protocol = read_protocol(path)
    request = ScanRequest(RIG, path, root / name, seed=instrument.twin.settings.seed, slide=name)
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
        ScoredTrueCell(cell.uid, SlidePoint(cell.slide_x_um, cell.slide_y_um), cell.radius_um, cell.iscn, ())
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


def stop_rule(truth: Sequence[CellTruth], ran: Ran, enough: int) -> dict[str, Any]:
    """Where a rule for so many analysable cells would have ended the scan, and what was truly there by then."""
    rule = Stop(cells=enough)
    cells = [
        ScoredTrueCell(cell.uid, SlidePoint(cell.slide_x_um, cell.slide_y_um), cell.radius_um, None, ())
        for cell in truth
    ]
    candidate_of = dict(match_cells(cells, ran.candidates))
    good = {candidate_of[cell.uid] for cell in truth if cell.analysable and cell.uid in candidate_of}
    marks = ran.phases.scanned_s
    begin_s = next(instrument_s for name, _, instrument_s in ran.phases.marks if name == "scan")
    for number in range(1, len(marks) + 1):
        seen = [entry for entry in ran.candidates if entry.field_index < number]
        chances = [entry.score if entry.analysable is None else entry.analysable for entry in seen]
        if stop_reason(rule, chances, 0.0) is not None:
            break
    else:
        return {"cells_wanted": enough, "would_stop": False}
    spent_s, all_s = marks[number - 1] - begin_s, marks[-1] - begin_s
    return {
        "cells_wanted": enough,
        "would_stop": True,
        "fields": number,
        "share_of_fields": number / len(marks),
        "scan_instrument_s": spent_s,
        "scan_instrument_s_without": all_s,
        "saved": 1.0 - spent_s / all_s,
        "analysable_by_then": sum(entry.uid in good for entry in seen),
        "analysable_expected": float(sum(chances)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=120)
    parser.add_argument("--enough", type=int, default=20, help="analysable cells that the stop rule wants")
    parser.add_argument("--columns-mm", type=float, default=50.0, help="length of the area; 22 mm is its height")
    parser.add_argument("--finder", default="default", choices=FINDERS)
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
        contents = protocol_of(width_um, arguments.finder)
        planned = len(plan_fields(Protocol.model_validate(contents), instrument.rig))
        print(f"{planned} fields planned; {len(truth)} metaphases drawn in {drawing_s:.0f} s")
        ran = run(instrument, Path(name), "whole", contents)
    figures = {
        "finder": arguments.finder,
        "fields_planned": planned,
        "drawing_s": drawing_s,
        "status": ran.status,
        **score(truth, ran),
        **times(ran),
        "stop_rule": stop_rule(truth, ran, arguments.enough),
    }
    print(json.dumps(figures, indent=2))
    if arguments.json is not None:
        write_json_atomic(arguments.json, figures)


if __name__ == "__main__":
    main()

"""Every fault of the twin in a run of its own: ``python benchmarks/fault_runs.py [--only KIND] [--json FILE]``.

A small slide is scanned and photographed while one thing goes wrong, early, in the middle or late; what the record
says is then held against what the twin knows: where every exposure truly looked, what it touched, where its cells
lie. A row is right when

* every field recorded as photographed was photographed there, in focus and standing still, or the run ended saying
  that its places can't be trusted;
* every picture is whole, sharp, of the place that the record names, and shows the cell it is of;
* every planted cell was photographed, or the record says why not;
* the instrument ended safe. What did no harm (a shortfall within the tolerance, a drift focused away) need
  not be told.

Faults of loader, label and oil concern a tray of two slides: one is finished, the other parked with the reason.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import cv2
import yaml

from acquisition.batch.report import SlideStatus
from acquisition.casebook import Casebook, open_casebook
from acquisition.errors import StorageError
from acquisition.protocol import Protocol
from acquisition.records import CandidateStatus, FieldStatus, RunRecord, RunStatus
from acquisition.run.context import RunContext, RunFinders, RunInstrument, RunStorage
from acquisition.run.control import RunControl
from acquisition.run.listener import SilentListener
from acquisition.run.slide_run import RunOutcome, SlideRun
from acquisition.storage import RunFolder, read_capture
from analysis.finder import find_metaphases
from scanner.coordinates import SlidePoint, StagePoint
from scanner.core import ScanCore
from scanner.microscope import Microscope
from scanner.rig import Rig, load_rig
from simulators.devices import twin_of
from simulators.fault_scenario import FaultScenario, parse_scenario
from simulators.faults import TwinFaultKind
from simulators.serial.devices import SerialHubOnTwin
from simulators.serial.faults import SerialFaultKind
from simulators.storage_faults import faulty_disk
from simulators.twin import Twin
from station.run.batch import run_batch
from station.run.batch_request import BatchRequest

RIGS = Path(__file__).parents[1] / "hardware_configs"
AREA_UM = {"x_min_um": 30_000.0, "y_min_um": 11_000.0, "x_max_um": 32_200.0, "y_max_um": 12_700.0}
CELLS, SEED = 3, 5
# What every run tells.
USUAL_EVENTS = {"focus_surface", "slide_recognised", "analysable", "finder"}
# Operations that go wrong, as shares of those of a run without fault.
MOMENTS = (0.2, 0.6, 0.9)
NEVER = 10**9
PLACE_TOLERANCE_UM = 5.0
CELL_TOLERANCE_UM = 12.0
# 63x oil is sharp within .54 um, and bands are readable a little beyond; 10x within 8 um.
SHARP_UM = {"10x": 8.3, "63x": 1.0}

TARGETS: dict[TwinFaultKind, tuple[str, ...]] = {
    TwinFaultKind.MOVE_FAILS: ("XY", "Z"),
    TwinFaultKind.MOVE_SHORT: ("XY", "Z"),
    TwinFaultKind.NEVER_IDLE: ("XY", "Z"),
    TwinFaultKind.MOVE_STALLS: ("XY", "Z"),
    TwinFaultKind.LOST_STEPS: ("XY", "Z"),
    TwinFaultKind.LIES_ABOUT_ARRIVAL: ("XY", "Z"),
    TwinFaultKind.TURRET_BETWEEN: ("Objective",),
    TwinFaultKind.FOCUS_DRIFTS: ("Z",),
    TwinFaultKind.CAMERA_RAISES: ("Camera",),
    TwinFaultKind.FRAME_DROPPED: ("Camera",),
    TwinFaultKind.CAMERA_HANGS: ("Camera",),
    TwinFaultKind.GARBAGE_FRAME: ("Camera",),
    TwinFaultKind.BLACK_FRAME: ("Camera",),
    TwinFaultKind.LAMP_DEAD: ("Lamp",),
}
SERIAL_TARGETS: dict[SerialFaultKind, str] = {
    SerialFaultKind.MUTE: "?pos",
    SerialFaultKind.GARBLED: "?pos",
    SerialFaultKind.LATE: "?pos",
    SerialFaultKind.HANGS_UP: "!moa",
    SerialFaultKind.WRONG_ECHO: "?pos",
    SerialFaultKind.LIMIT_SWITCH: "!moa",
    SerialFaultKind.EMERGENCY_STOP: "!moa",
    SerialFaultKind.JOYSTICK_ON: "!moa",
    SerialFaultKind.LOST_STEPS: "!moa",
}
STORAGE = (
    "disk_full@finds/*:1 x*",
    "disk_full@captures/*:1 x*",
    "disk_full@captures/*:3 x*",
    "disk_full@landmarks/*:1 x*",
    "disk_slow@finds/*:1",
    "disk_slow@captures/*:2",
)
TRAY = {
    "loader_jams@Loader:3": "KS-2",
    "no_slide@Loader:3": "KS-2",
    "wrong_slide@Loader:3": "KS-2",
    "label_unreadable@LabelCamera:2": "KS-2",
    "label_duplicate@LabelCamera:2": "",
    "oil_empty@Oiler:1 x*": "",
}


def make_protocol() -> dict[str, object]:
    return {
        "version": 1,
        "name": "faults",
        "banding": "G",
        "tissue": "lymphocyte",
        "scan": {"objective": "10x", "area": AREA_UM, "exposure_ms": 5, "focus": {"points": 2}},
        "capture": {"objective": "63x", "oil": "allowed", "number": 5, "exposure_ms": 40},
        "karyotype": {"enabled": False},
    }


@dataclass(frozen=True)
class Row:
    """What came of one fault."""

    fault: str
    rig: str
    struck: int
    status: str
    fields_done: int
    fields_failed: int
    captured: int
    told: str
    off_um: float
    wrong: tuple[str, ...]


def counts_of(rig_name: str, root: Path) -> dict[str, int]:
    """Operations of each kind in a run without fault, by how faults are written."""
    parts = [f"{kind}@{target}:{NEVER}" for kind, targets in TARGETS.items() for target in targets]
    if rig_name == "tango-serial":
        parts = [f"serial.{kind}@{command}:{NEVER}" for kind, command in SERIAL_TARGETS.items()]
    scenario = parse_scenario("; ".join(parts))
    rig, core = load(rig_name)
    try:
        scenario.apply(core)
        sit(rig, core, root / f"clean-{rig_name}", FaultScenario())
        plans = [twin_of(core).faults] if scenario.devices else []
        hubs = [d for d in map(core.python_device, core.python_labels()) if isinstance(d, SerialHubOnTwin)]
        plans += [hub.simulator.controller.faults for hub in hubs] if scenario.lines else []
        # Only the plan itself counts; a benchmark may look.
        seen = [plan._seen[index] for plan in plans for index in range(len(parts))]  # noqa: SLF001
        return dict(zip((part.rpartition(":")[0] for part in parts), seen, strict=True))
    finally:
        core.unloadAllDevices()


def load(rig_name: str) -> tuple[Rig, ScanCore]:
    rig, cfg = load_rig(RIGS / rig_name)
    core = ScanCore()
    core.loadSystemConfiguration(cfg)
    twin = twin_of(core)
    box = (AREA_UM["x_min_um"], AREA_UM["y_min_um"], AREA_UM["x_max_um"], AREA_UM["y_max_um"])
    twin.settings = replace(twin.settings, seed=SEED, cells=CELLS, area_um=box)
    return rig, core


def sit(rig: Rig, core: ScanCore, out: Path, scenario: FaultScenario) -> RunOutcome:
    """One run; an error that ends it before it began is raised."""
    microscope = Microscope(core, rig)
    protocol = Protocol.model_validate(make_protocol())
    with (
        RunFolder.create(out) as folder,
        open_casebook(folder.casebook) as casebook,
        faulty_disk(out, scenario.storage),
    ):
        casebook.begin_run(RunRecord("r", "s", rig.name, "", protocol.name, "", "0", datetime.now(UTC)))
        context = RunContext(
            "r",
            "s",
            RunInstrument(microscope),
            protocol,
            RunStorage(folder, casebook),
            RunFinders(find_metaphases),
        )
        return SlideRun(context, None).run()


def run_with(fault: str, rig_name: str, out: Path) -> Row:
    scenario = parse_scenario(fault)
    rig, core = load(rig_name)
    try:
        scenario.apply(core)
        twin = twin_of(core)
        outcome = sit(rig, core, out, scenario)
        with open_casebook(out / "casebook.sqlite", create=False) as casebook:
            lost_um = 0.0
            if "lost_steps" in fault:
                table, counted = twin._state.table_um(), core.getXYPosition(rig.devices.stage)  # noqa: SLF001
                lost_um = math.hypot(table[0] - counted[0], table[1] - counted[1])
            return judge(fault, rig, twin, outcome, casebook, out, lost_um, lines=bool(scenario.lines))
    finally:
        core.unloadAllDevices()


def judge(
    fault: str,
    rig: Rig,
    twin: Twin,
    outcome: RunOutcome,
    casebook: Casebook,
    out: Path,
    lost_um: float,
    *,
    lines: bool,
) -> Row:
    """Hold the record against what the twin knows."""
    fields = casebook.fields("r")
    captures = casebook.captures("r")
    events = [e for e in casebook.events("r") if e.kind not in USUAL_EVENTS]
    wrong = [
        *wrong_fields(rig, twin, casebook, outcome, lost_um),
        *wrong_captures(twin, casebook, out, lost_um),
        *silent_losses(rig, twin, casebook, outcome, lost_um),
        *unsafe(rig, twin, outcome),
    ]
    recorded = casebook.run("r")
    if recorded.status is RunStatus.RUNNING or recorded.status is not outcome.status:
        wrong.append(f"recorded as {recorded.status}")
    if recorded.status is RunStatus.FAILED and not recorded.error:
        wrong.append("failed without a reason")
    struck = sum(event.kind == "fault" for event in twin.events)
    told = recorded.error or (events[-1].message if events else "did no harm")
    return Row(
        fault,
        rig.name,
        struck if not lines else -1,
        recorded.status.value,
        sum(f.status is FieldStatus.DONE for f in fields),
        sum(f.status is FieldStatus.FAILED for f in fields),
        len(captures),
        told,
        lost_um,
        tuple(wrong),
    )


def wrong_fields(rig: Rig, twin: Twin, casebook: Casebook, outcome: RunOutcome, lost_um: float) -> list[str]:
    """Fields that are recorded as photographed and were not, at that place."""
    if outcome.error and "can't be trusted" in outcome.error:
        return []
    sights = [s[0] for s in twin.handed_over if len(s) == 1 and s[0].objective.startswith("10x")]
    wrong = []
    for field in casebook.fields("r"):
        if field.status is not FieldStatus.DONE:
            if not field.error:
                wrong.append(f"field {field.index} failed without a reason")
            continue
        assert field.stage_x_um is not None
        assert field.stage_y_um is not None
        where = rig.slide.frame.to_slide(StagePoint(field.stage_x_um, field.stage_y_um))
        there = [
            s
            for s in sights
            if where.distance_um(SlidePoint(s.slide_x_um, s.slide_y_um)) <= PLACE_TOLERANCE_UM + lost_um
            and abs(s.defocus_um) <= SHARP_UM["10x"]
            and max(map(abs, s.smear_um)) < 1.0
        ]
        if not there:
            wrong.append(f"field {field.index} was not photographed where the record says, or not sharp")
    return wrong


def wrong_captures(twin: Twin, casebook: Casebook, out: Path, lost_um: float) -> list[str]:
    """Pictures that are not what the record says."""
    sights = [s[0] for s in twin.handed_over if len(s) == 1 and s[0].objective.startswith("63x")]
    wrong = []
    for capture in casebook.captures("r"):
        where = SlidePoint(capture.slide_x_um, capture.slide_y_um)
        try:
            read_capture(out / capture.path, sha256=capture.sha256)
        except StorageError as error:
            wrong.append(f"{capture.path}: {error}")
        reach_um = PLACE_TOLERANCE_UM + lost_um
        there = [s for s in sights if where.distance_um(SlidePoint(s.slide_x_um, s.slide_y_um)) <= reach_um]
        if not any(abs(s.defocus_um) <= SHARP_UM["63x"] for s in there):
            wrong.append(f"{capture.path}: {'blurred' if there else 'of another place'}")
        nearest = min(where.distance_um(SlidePoint(c.slide_x_um, c.slide_y_um)) for c in twin.truth())
        if nearest > CELL_TOLERANCE_UM + lost_um:
            wrong.append(f"{capture.path}: no cell in its middle")
    captured = {c.uid for c in casebook.candidates("r") if c.status is CandidateStatus.CAPTURED}
    if {capture.candidate_uid for capture in casebook.captures("r")} != captured:
        wrong.append("captures and candidates disagree")
    return wrong


def silent_losses(rig: Rig, twin: Twin, casebook: Casebook, outcome: RunOutcome, lost_um: float) -> list[str]:
    """Planted cells of which the record says nothing, though the run claims to have been through."""
    if outcome.status in (RunStatus.FAILED, RunStatus.PARKED):
        return []
    frame = rig.camera_frame(rig.objective("10x"))
    candidates = casebook.candidates("r")
    dark = [f for f in casebook.fields("r") if f.status is FieldStatus.FAILED]
    lost = []
    for cell in twin.truth():
        where = SlidePoint(cell.slide_x_um, cell.slide_y_um)
        reach_um = 2 * CELL_TOLERANCE_UM + lost_um
        known = [c for c in candidates if where.distance_um(SlidePoint(c.slide_x_um, c.slide_y_um)) < reach_um]
        if any(c.status is CandidateStatus.CAPTURED for c in known):
            continue
        # A cell that was seen and not photographed says so itself; one in a field that failed, by its field.
        said = any(c.status is CandidateStatus.FAILED for c in known) or any(
            abs(f.slide_x_um - where.x_um) <= frame.width_um / 2
            and abs(f.slide_y_um - where.y_um) <= frame.height_um / 2
            for f in dark
        )
        if not said or outcome.status is RunStatus.COMPLETED:
            lost.append(f"cell at {where.x_um:.0f}, {where.y_um:.0f} is lost in silence")
    return lost


def unsafe(rig: Rig, twin: Twin, outcome: RunOutcome) -> list[str]:
    """What the instrument should not have been left in, unless the record says so."""
    wrong = []
    if twin.collisions:
        wrong.append(f"collision: {twin.collisions[0]}")
    if outcome.safe_state_faults:
        return wrong
    if twin.lamp_open:
        wrong.append("light left on")
    if twin.focus_um() > rig.focus.down_um + max(rig.focus.motion.tolerance_um, 25.0):
        wrong.append(f"focus left up at {twin.focus_um():.0f} um")
    return wrong


def tray_with(fault: str, parked: str, out: Path) -> Row:
    """A tray of two slides; the one that the fault isn't about is finished."""
    out.mkdir(parents=True)
    (out / "protocol.yaml").write_text(yaml.safe_dump(make_protocol()))
    (out / "worklist.csv").write_text(
        "barcode,accession,protocol,priority\nKS-1,case-1,protocol.yaml,\nKS-2,case-2,protocol.yaml,\n"
    )
    (out / "tray.csv").write_text(f"slot,barcode,cells,seed\n1,KS-1,{CELLS},41\n2,KS-2,{CELLS},42\n")
    request = BatchRequest(
        RIGS / "simulated-feeder", out / "worklist.csv", out / "batch", out / "tray.csv", faults=fault
    )
    report = run_batch(request, RunControl(), SilentListener())
    wrong = []
    for slide in report.slides:
        if slide.status is SlideStatus.FINISHED:
            if slide.barcode == parked:
                wrong.append(f"{slide.barcode} should not have been scanned")
            elif slide.cells != CELLS:
                wrong.append(f"{slide.barcode}: {slide.cells} of {CELLS} cells")
        elif not slide.reason:
            wrong.append(f"slot {slide.slot} is {slide.status} without a reason")
    finished = report.count(SlideStatus.FINISHED)
    if parked and finished == 0 and not report.ended:
        wrong.append("the other slide was given up as well")
    told = "; ".join(s.reason for s in report.slides if s.reason) or report.ended
    return Row(fault, "simulated-feeder", -1, f"{finished} of 2 finished", 0, 0, 0, told, 0.0, tuple(wrong))


def rows_of(root: Path, only: str) -> list[Row]:
    rows: list[Row] = []

    def add(row: Row) -> None:
        rows.append(row)
        verdict = "right" if not row.wrong else "WRONG: " + "; ".join(row.wrong)
        if row.off_um > PLACE_TOLERANCE_UM:
            verdict += f" (places off by {row.off_um:.0f} um, unknown to anybody)"
        print(
            f"{row.fault:34s} {row.status:22s} fields {row.fields_done}+{row.fields_failed} "
            f"captured {row.captured}  {verdict}\n    {row.told[:150]}",
            flush=True,
        )

    for rig_name in ("simulated", "tango-serial"):
        for stem, count in counts_of(rig_name, root).items():
            for share in MOMENTS:
                nth = max(1, round(share * count))
                fault = f"{stem}:{nth}"
                if re.search(only, fault):
                    add(run_with(fault, rig_name, root / f"run{len(rows)}"))
    for fault in STORAGE:
        if re.search(only, fault):
            add(run_with(fault, "simulated", root / f"run{len(rows)}"))
    for fault, parked in TRAY.items():
        if re.search(only, fault):
            add(tray_with(fault, parked, root / f"run{len(rows)}"))
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="faults that this regular expression is found in")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="fault-runs-") as name:
        rows = rows_of(Path(name), options.only)
    wrong = sum(bool(row.wrong) for row in rows)
    print(f"{len(rows)} runs, {wrong} wrong")
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=2))
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""The command ``karyoscan batch``: a tray of slides against a worklist, unattended."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from acquisition.batch.batch import Batch, SlideJob, SlideResult
from acquisition.batch.report import BATCH_NAME, BatchReport, SlideReport, SlideStatus
from acquisition.batch.tray import tray_of
from acquisition.batch.worklist import Worklist, load_worklist
from acquisition.errors import StorageError
from acquisition.protocol import Protocol, load_protocol
from acquisition.records import RunStatus
from acquisition.run.control import RunControl
from acquisition.run.listener import GuardedListener, RunListener
from acquisition.storage.run_folder import REQUEST_NAME
from station.compose import Instrument, open_instrument
from station.errors import UsageError
from station.rehearsal import read_scenario, rehearsed
from station.resume import resume_slide
from station.scan import ScanRequest, ScanResult, scan_slide
from station.simulated_tray import fill_feeder


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What the command was asked.

    Attributes
    ----------
    rig, worklist, out
        Folder of the rig, worklist file, folder of the batch.
    tray
        Simulated rigs with a feeder: table of the slides in the magazine; None takes the rig's own.
    faults
        Simulated rigs: what goes wrong on purpose.
    """

    rig: Path
    worklist: Path
    out: Path
    tray: Path | None = None
    faults: str = ""


def run_batch(request: BatchRequest, control: RunControl, listener: RunListener) -> BatchReport:
    """Scan every slide of the tray that the worklist wants; a folder with an earlier sitting is gone on with.

    Raises
    ------
    WorklistError, ProtocolError, UsageError
        Something is wrong with what was asked; nothing has moved.
    ScannerError, StorageError
        The batch could not begin, or its record can't be written.
    """
    worklist = load_worklist(request.worklist)
    protocols = {path: load_protocol(path) for path in {entry.protocol for entry in worklist.entries}}
    scenario = read_scenario(request.faults, request.rig)
    done = _read_done(request.out)
    request.out.mkdir(parents=True, exist_ok=True)
    with open_instrument(request.rig) as instrument:
        _fill(request, instrument, worklist, protocols)
        run_slide = _runner(request, instrument, protocols, control, listener)
        microscope = instrument.microscope
        tray = tray_of(microscope)
        batch = Batch(tray, worklist, run_slide, request.out, control, GuardedListener(listener), done=done)
        try:
            with rehearsed(instrument, scenario, request.out, seed=0):
                return batch.run()
        finally:
            # Runs end in the safe state by themselves; what is interrupted between two of them does so here.
            microscope.safe_state()


def _runner(
    request: BatchRequest,
    instrument: Instrument,
    protocols: dict[Path, Protocol],
    control: RunControl,
    listener: RunListener,
) -> Callable[[SlideJob], SlideResult]:
    def run_slide(job: SlideJob) -> SlideResult:
        protocol = protocols[job.entry.protocol]
        control.begin_again()
        if (job.folder / REQUEST_NAME).is_file():
            result = resume_slide(instrument, job.folder, control, listener, frame=job.frame)
        else:
            scan = ScanRequest(request.rig, job.entry.protocol, job.folder, slide=job.entry.barcode)
            result = scan_slide(instrument, scan, protocol, control, listener, frame=job.frame)
        return _result_of(result, protocol)

    return run_slide


def _result_of(result: ScanResult, protocol: Protocol) -> SlideResult:
    summary = result.summary
    cells = int(summary["candidates"])
    wanted = protocol.stop.cells or protocol.capture.number
    return SlideResult(RunStatus(summary["status"]), summary["error"], cells, enough=cells >= wanted)


def _fill(
    request: BatchRequest, instrument: Instrument, worklist: Worklist, protocols: dict[Path, Protocol]
) -> None:
    if request.tray is None:
        return
    if instrument.twin is None:
        raise UsageError("--tray: only a simulated rig can be filled from a table")
    areas = [protocols[entry.protocol].scan.area.bounds for entry in worklist.entries]
    area = areas[0] if areas else None
    settings = instrument.twin.settings
    if area is not None:
        settings = replace(settings, area_um=(area.x_min_um, area.y_min_um, area.x_max_um, area.y_max_um))
    fill_feeder(instrument.core, request.tray, settings)


def _read_done(folder: Path) -> dict[str, SlideReport]:
    """Slides that an earlier sitting finished, by barcode."""
    path = folder / BATCH_NAME
    if not path.is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise UsageError(f"--out: {folder} holds something else than a batch")
        return {}
    try:
        slides = json.loads(path.read_text(encoding="utf-8"))["slides"]
        reports = [SlideReport(**{**slide, "status": SlideStatus(slide["status"])}) for slide in slides]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError("the record of the batch can't be read", path=path) from error
    return {report.barcode: report for report in reports if report.barcode is not None}

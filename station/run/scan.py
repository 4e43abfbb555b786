"""The command ``karyoscan scan``: compose a run, let it run, write its figures and its report."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from acquisition.batch.report import BATCH_NAME
from acquisition.casebook import Casebook, open_casebook
from acquisition.deadline import call_disk
from acquisition.errors import DeadlineError
from acquisition.journal import read_journal
from acquisition.notifier import occasions_of, send_notices
from acquisition.plan.density import cell_figures
from acquisition.protocol import DetectedArea, Protocol, ProtocolFile, read_protocol
from acquisition.records import CandidateStatus, EventLevel, KaryotypeStatus, RunEvent, RunRecord, RunStatus
from acquisition.review import rejected_cells
from acquisition.run.context import RunContext, RunFinders, RunInstrument, RunStorage, SearchResources
from acquisition.run.control import RunControl
from acquisition.run.listener import GuardedListener, RunListener
from acquisition.run.run_log import read_sessions
from acquisition.run.slide_run import RunOutcome, SlideRun
from acquisition.storage import RunFolder, write_json_atomic
from analysis.finder import find_metaphases
from analysis.parameters.store import verify_all
from scanner.configuration_check import MismatchKind
from scanner.configuration_file import configuration_digest
from scanner.coordinates import SlideFrame
from scanner.counted import counted
from scanner.rig import RIG_FILE, load_rig
from simulators.specimen.pictures import LABEL_PADDING_PX
from station.compose import (
    RENDERED,
    SEARCH_WORKERS,
    Instrument,
    SimulatedSlide,
    make_handoff,
    make_searchers,
    open_instrument,
)
from station.errors import UsageError
from station.exit_codes import ExitCode
from station.report import build_report
from station.report.candidate_table import read_candidates, write_candidates
from station.report.page import NOTHING_PHOTOGRAPHED
from station.run.finders import ChosenFinder, choose_finder
from station.run.rehearsal import read_scenario, rehearsed
from station.run.scoring import Score, ScoredTrueCell, score_run

CONFIGURATION_KEY = "configuration_sha256"
"""Key of ``request.json``: digest of the Micro-Manager configuration with which the run began."""
TRUTH_NAME = "truth.json"
LOG_NAME = "run.log"


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What the command was asked.

    Attributes
    ----------
    rig, protocol, out
        Folder of the rig, protocol file, folder of the run.
    specimen, seed, cells
        Slide of a simulated rig.
    slide
        Name of the slide in the record.
    faults
        What goes wrong on purpose, on a simulated rig; see `simulators.fault_scenario`.
    accession
        The case to which the slide belongs; empty where nobody said.
    """

    rig: Path
    protocol: Path
    out: Path
    specimen: str = RENDERED
    seed: int = 1
    cells: int = 12
    slide: str = "slide-1"
    faults: str = ""
    accession: str = ""

    def as_json(self) -> dict[str, Any]:
        """What ``request.json`` keeps; paths are absolute, since a run may be resumed from another folder."""
        paths = {name: str(getattr(self, name).resolve()) for name in ("rig", "protocol", "out")}
        specimen = self.specimen if self.specimen == RENDERED else str(Path(self.specimen).resolve())
        return {**asdict(self), **paths, "specimen": specimen}


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Figures as in ``run.json``, and where the report is."""

    summary: dict[str, Any]
    report: Path


def run_scan(request: ScanRequest, control: RunControl, listener: RunListener) -> ScanResult:
    """Run a protocol on one slide.

    Parameters
    ----------
    request
        What was asked.
    control
        Stops, pauses or gives up the run.
    listener
        Hears of progress.

    Raises
    ------
    ScannerError, AcquisitionError, AnalysisError, UsageError
        The run could not begin. A run that began and failed returns, with its status.
    """
    if (request.out / BATCH_NAME).exists():
        raise UsageError(
            f"{request.out}: holds the record of a batch, with which a run would be mixed; name another folder"
        )
    protocol = read_protocol(request.protocol)
    verify_all()
    scenario = read_scenario(request.faults, request.rig)
    with (
        open_instrument(request.rig, lying_slide(request, protocol.protocol)) as instrument,
        rehearsed(instrument, scenario, request.out, request.seed),
    ):
        return scan_slide(instrument, request, protocol, control, listener)


def scan_slide(
    instrument: Instrument,
    request: ScanRequest,
    protocol: ProtocolFile,
    control: RunControl,
    listener: RunListener,
    *,
    frame: SlideFrame | None = None,
    trusted_notices: bool = True,
) -> ScanResult:
    """Run a protocol on the slide that lies on an instrument's stage.

    Parameters
    ----------
    instrument
        Ready to run; left in the safe state.
    request
        Where the run is written, and what the record says of rig, protocol and slide.
    protocol
        What to do; its text goes into the record, whatever becomes of the file meanwhile.
    control, listener
        Requests, and who hears of progress.
    frame
        How the slide lies on the stage; default: as the rig says.
    trusted_notices
        Whether the protocol is of this machine, see `acquisition.notifier.send_notices`.

    Raises
    ------
    ScannerError, AcquisitionError, AnalysisError
        The run could not begin. A run that began and failed returns, with its status.
    """
    start_s = time.perf_counter()
    # A finder that can't be loaded is told before there is anything of the run.
    choose_finder(protocol.protocol.find.model)
    with (
        RunFolder.create(request.out) as folder,
        log_to(folder.path / LOG_NAME),
        open_casebook(folder.casebook) as casebook,
    ):
        run_uid = str(uuid.uuid4())
        # The request first: a run that the casebook knows can then always be resumed.
        write_json_atomic(
            folder.request, {**request.as_json(), CONFIGURATION_KEY: rig_configuration_digest(request.rig)}
        )
        casebook.begin_run(_run_record(run_uid, request, instrument, protocol))
        session = RunSession(
            request, run_uid, instrument, protocol.protocol, folder, casebook, frame, trusted_notices
        )
        return session.carry_out(SlideRun.run, control, listener, start_s)


def end_hung_process() -> None:
    """End the process where a device hangs; workers end with it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ExitCode.DEVICE_HANGS)


def lying_slide(request: ScanRequest, protocol: Protocol) -> SimulatedSlide:
    """What a simulated rig has on its stage.

    Parameters
    ----------
    request
        Specimen, seed and number of cells.
    protocol
        Whose area they are planted on.
    """
    area = protocol.scan.area
    looked_for = isinstance(area, DetectedArea)
    planted = area.bounds.middle_half if looked_for else area.bounds
    return SimulatedSlide(request.specimen, request.seed, request.cells, planted, coverslip=looked_for)


@dataclass(frozen=True, slots=True)
class RunSession:
    """One process' share of a run: what it works with, and what it leaves behind."""

    request: ScanRequest
    run_uid: str
    instrument: Instrument
    protocol: Protocol
    folder: RunFolder
    casebook: Casebook
    frame: SlideFrame | None = None
    trusted_notices: bool = True

    def context(self, control: RunControl, listener: RunListener) -> RunContext:
        """Collaborators of the run.

        Parameters
        ----------
        control
            Stops, pauses or gives up the run.
        listener
            Hears of progress.
        """
        chosen = self._choose_finder()
        return RunContext(
            run_uid=self.run_uid,
            slide=self.request.slide,
            instrument=RunInstrument(
                self.instrument.microscope,
                self.request.rig if self.request.rig.is_dir() else self.request.rig.parent,
                self.frame,
            ),
            protocol=self.protocol,
            storage=RunStorage(self.folder, self.casebook),
            # The net knows cells as the scan sees them; where one lies at high magnification, the rules tell.
            finders=RunFinders(chosen.finder, find_metaphases, chosen.reference),
            control=control,
            listener=GuardedListener(listener),
            # One more than are worked on: a worker that is done finds its next field waiting.
            search=SearchResources(make_searchers, SEARCH_WORKERS + 1),
            accession=self.request.accession,
            end_process=end_hung_process,
        )

    def _choose_finder(self) -> ChosenFinder:
        """The finder of the protocol; the record says which, since its scores mean nothing without."""
        chosen = choose_finder(self.protocol.find.model)
        before = [event.context for event in self.casebook.events(self.run_uid) if event.kind == "finder"]
        context = {"name": chosen.name, "sha256": chosen.sha256}
        changed = any(former != context for former in before)
        level = EventLevel.WARNING if changed else EventLevel.INFO
        words = " instead of the one before; scores don't compare" if changed else ""
        event = RunEvent(datetime.now(UTC), level, "finder", f"fields are searched by {chosen}{words}", context)
        self.casebook.record_event(self.run_uid, event)
        return chosen

    def carry_out(
        self, begin: Callable[[SlideRun], RunOutcome], control: RunControl, listener: RunListener, start_s: float
    ) -> ScanResult:
        """Let the run go on to its end; figures, report and notices are made before it is recorded as ended.

        Parameters
        ----------
        begin
            `SlideRun.run` or `SlideRun.resume`.
        control, listener
            Requests, and who hears of progress.
        start_s
            When the session began, of `time.perf_counter`.
        """
        concluded: list[ScanResult] = []
        run = SlideRun(
            self.context(control, listener),
            make_handoff(self.protocol),
            conclude=lambda outcome: concluded.append(self.finish(outcome, start_s, control)),
        )
        outcome = begin(run)
        if concluded and concluded[-1].summary["status"] == outcome.status.value:
            return concluded[-1]
        # What could not be made is made when the run is resumed.
        summary = _summary(self.request, self.instrument, self.protocol, self.run_uid, outcome, None)
        return ScanResult(summary, self.folder.report)

    def finish(self, outcome: RunOutcome, start_s: float, control: RunControl) -> ScanResult:
        """Write figures and report, and give notice.

        Parameters
        ----------
        outcome
            How the run ended.
        start_s
            When it began, on the clock of `time.perf_counter`.
        control
            An abort ends the wait for whoever is notified.
        """
        outcome.seconds["total"] = time.perf_counter() - start_s
        score = _score(self.request, self.instrument, self.folder, self.casebook, self.run_uid)
        summary = _summary(self.request, self.instrument, self.protocol, self.run_uid, outcome, score)
        summary |= _cells(self.casebook, self.run_uid)
        summary["remark"] = self._remark(outcome)
        summary["sessions"] = self._sessions(outcome)
        write_json_atomic(self.folder.run_json, summary)
        write_candidates(read_candidates(self.casebook, self.run_uid), self.folder.path)
        report = build_report(self.folder.path)
        occasions = occasions_of(outcome.status, unsafe=bool(outcome.safe_state_faults))
        for fault in send_notices(
            self.protocol.notify,
            occasions,
            summary,
            self.folder.path,
            trusted=self.trusted_notices,
            is_aborted=_aborted_from_now_on(control),
        ):
            event = RunEvent(datetime.now(UTC), EventLevel.WARNING, "notice_failed", fault)
            self.casebook.record_event(self.run_uid, event)
        return ScanResult(summary, report)

    def _sessions(self, outcome: RunOutcome) -> list[dict[str, Any]]:
        """All sessions of the run; the end of this one stands in the journal only after the figures."""
        sessions = [session.to_json() for session in read_sessions(read_journal(self.folder.journal))]
        if sessions:
            sessions[-1]["status"] = outcome.status.value
        return sessions

    def _remark(self, outcome: RunOutcome) -> str:
        statuses = [candidate.status for candidate in self.casebook.candidates(self.run_uid)]
        remark = remark_on(outcome, self.protocol, statuses.count(CandidateStatus.FAILED))
        if remark:
            event = RunEvent(datetime.now(UTC), EventLevel.WARNING, NOTHING_PHOTOGRAPHED, remark)
            self.casebook.record_event(self.run_uid, event)
        return remark


def _aborted_from_now_on(control: RunControl) -> Callable[[], bool]:
    """Whether a person aborts what follows; that an aborted run is notified of is no reason not to."""
    was_aborted = control.abort_requested

    def is_aborted() -> bool:
        control.poll()
        return control.abort_requested and not was_aborted

    return is_aborted


def rig_configuration_digest(rig: Path) -> str:
    """Digest of the Micro-Manager configuration of a rig, see `configuration_digest`.

    Raises
    ------
    RigError
        The rig or its configuration can't be read.
    """
    _, configuration = load_rig(rig, tolerated=tuple(MismatchKind))
    return configuration_digest(configuration)


def _run_record(run_uid: str, request: ScanRequest, instrument: Instrument, protocol: ProtocolFile) -> RunRecord:
    rig_file = request.rig if request.rig.is_file() else request.rig / RIG_FILE
    return RunRecord(
        uid=run_uid,
        slide=request.slide,
        rig=instrument.rig.name,
        rig_yaml=rig_file.read_text(encoding="utf-8"),
        protocol=protocol.protocol.name,
        protocol_yaml=protocol.text,
        software_version=metadata.version("karyoscan"),
        started_at=datetime.now(UTC),
    )


def _score(
    request: ScanRequest, instrument: Instrument, folder: RunFolder, casebook: Casebook, run_uid: str
) -> Score | None:
    cells = instrument.truth()
    if cells is None:
        return None
    proposals: dict[str, dict[str, Any]] = {
        record.capture_uid: json.loads((folder.path / record.json_path).read_text(encoding="utf-8"))
        for record in casebook.karyotypes(run_uid)
        if record.json_path is not None
    }
    # Boxes of labelled pictures are padded as their data set pads them; rendered truth is tight.
    pad_px = (0.0, 0.0, 0.0, 0.0) if request.specimen == RENDERED else LABEL_PADDING_PX
    score = score_run(
        cells,
        casebook.candidates(run_uid),
        casebook.captures(run_uid),
        proposals,
        instrument.rig,
        pad_px=pad_px,
    )
    write_json_atomic(folder.path / TRUTH_NAME, _truth_json(cells, score))
    return score


def _truth_json(true_cells: tuple[ScoredTrueCell, ...], run_score: Score) -> dict[str, Any]:
    return {
        "cells": [
            {
                "uid": cell.uid,
                "slide_x_um": cell.where.x_um,
                "slide_y_um": cell.where.y_um,
                "radius_um": cell.radius_um,
                "iscn": cell.iscn,
            }
            for cell in true_cells
        ],
        "matches": [{"cell_uid": cell, "candidate_uid": candidate} for cell, candidate in run_score.matches],
    }


def _summary(
    request: ScanRequest,
    instrument: Instrument,
    protocol: Protocol,
    run_uid: str,
    outcome: RunOutcome,
    run_score: Score | None,
) -> dict[str, Any]:
    area = protocol.scan.area.bounds
    frame = instrument.rig.camera_frame(instrument.rig.objective(protocol.scan.objective))
    labelled = run_score is not None and run_score.chromosomes_true > 0
    return {
        "run_uid": run_uid,
        "status": outcome.status.value,
        "error": outcome.error,
        "slide": request.slide,
        "accession": request.accession or None,
        "rig": instrument.rig.name,
        "protocol": protocol.name,
        "specimen": request.specimen if instrument.twin is not None else None,
        "seed": request.seed if instrument.twin is not None else None,
        "area_um": [area.x_min_um, area.y_min_um, area.x_max_um, area.y_max_um],
        "field_um": [frame.width_um, frame.height_um],
        "fields": outcome.fields,
        "planted": run_score.planted if run_score else None,
        "found": run_score.detected if run_score else outcome.candidates,
        "candidates": outcome.candidates,
        "captured": len(outcome.captures),
        "karyotyped": sum(record.status is KaryotypeStatus.PROPOSED for record in outcome.karyotypes),
        "false_finds": run_score.false_finds if run_score else None,
        "chromosomes_true": run_score.chromosomes_true if run_score and labelled else None,
        "chromosomes_right": run_score.chromosomes_right if run_score and labelled else None,
        "seconds": {phase: round(seconds, 3) for phase, seconds in outcome.seconds.items()},
        "safe_state_faults": list(outcome.safe_state_faults),
        "software_version": metadata.version("karyoscan"),
    }


def remark_on(outcome: RunOutcome, protocol: Protocol, failed_captures: int) -> str:
    """What a run that came to its end without a picture has to say; empty where there is one, or none was wanted.

    Parameters
    ----------
    outcome
        How the run ended.
    protocol
        What was asked of it.
    failed_captures
        Candidates that were looked for at high magnification in vain.
    """
    is_complete = outcome.status in {RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS}
    if not is_complete or outcome.captures or not protocol.capture.number:
        return ""
    if not outcome.candidates:
        return "nothing photographed: no metaphase was detected on the scanned area"
    if not failed_captures:
        return (
            f"nothing photographed: none of {counted(outcome.candidates, 'candidate')} was left to be photographed"
        )
    if outcome.status is RunStatus.COMPLETED_WITH_ERRORS:
        captures = counted(failed_captures, "capture")
        return f"nothing photographed: {captures} failed; the report gives the reason of each"
    low, high = protocol.scan.objective, protocol.capture.objective
    return (
        f"completed, nothing confirmed: none of {counted(failed_captures, 'candidate')} of the {low} scan "
        f"was confirmed at {high}. Check that the slide lies as the rig file says (orientation, "
        "mirrored axes), and calibrate the objectives' offsets: karyoscan rig calibrate"
    )


def _cells(casebook: Casebook, run_uid: str) -> dict[str, Any]:
    """What the run expects of its finds, those left out that a reviewer rejected."""
    rejected = rejected_cells(casebook, run_uid)
    wanted = [item for item in casebook.candidates(run_uid) if item.uid not in rejected]
    figures = cell_figures(casebook.fields(run_uid), wanted)
    return {
        "analysable": figures.expected.to_json(),
        "analysable_per_mm2": None if figures.density is None else figures.density.per_mm2.to_json(),
    }


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Keep the run's log, tracebacks included, beside its record.

    A thread writes it: nobody who has something to log waits for a disk that gives no answer.
    """
    file = logging.FileHandler(path, encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    lines: SimpleQueue[logging.LogRecord] = SimpleQueue()
    handler, writer = QueueHandler(lines), QueueListener(lines, file)
    handler.setLevel(logging.INFO)
    root = logging.getLogger()
    level = root.level
    writer.start()
    root.addHandler(handler)
    root.setLevel(min(level, logging.INFO))
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
        # Threads that still wait for the disk end with the process.
        with suppress(DeadlineError):
            call_disk(writer.stop, "writing the log")
            call_disk(file.close, "closing the log")

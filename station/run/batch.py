"""The command ``karyoscan batch``: a tray of slides against a worklist, unattended."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from acquisition.batch.batch import SlideBatch, SlideJob, SlideResult
from acquisition.batch.notices import BatchNotices
from acquisition.batch.report import BATCH_NAME, BatchReport, SlideReport, SlideStatus, read_report, write_report
from acquisition.batch.tray import tray_of
from acquisition.batch.worklist import Worklist, WorklistEntry, load_worklist
from acquisition.errors import AcquisitionError, ResumeError, StorageError
from acquisition.protocol import Protocol, ProtocolFile
from acquisition.records import RunStatus
from acquisition.run.control import RunControl
from acquisition.run.listener import GuardedListener, RunListener
from acquisition.storage import write_json_atomic
from acquisition.storage.run_folder import (
    CONTROL_NAME,
    JOURNAL_NAME,
    LOCK_NAME,
    REQUEST_NAME,
    locked_folder,
)
from analysis.parameters.store import verify_all
from scanner.errors import ScannerError
from scanner.portable.atomic_files import rename
from scanner.portable.file_names import file_name_part
from simulators.fault_scenario import FaultScenario
from station.compose import Instrument, open_instrument
from station.errors import UsageError
from station.installation.packaged import packaged_protocols
from station.report.batch_page import build_batch_page
from station.run.batch_protocols import BatchProtocols, read_batch_protocols
from station.run.batch_request import BatchRequest
from station.run.finished import cells_wanted, finished_run
from station.run.rehearsal import read_scenario, rehearsed
from station.run.resume import NOTICES_NOT_TRUSTED, read_request, resume_slide
from station.run.scan import ScanRequest, ScanResult, lying_slide, scan_slide
from station.run.simulated_tray import fill_feeder

_log = logging.getLogger(__name__)

_BEGUN: Final = frozenset({REQUEST_NAME, LOCK_NAME, CONTROL_NAME})
"""What is in the folder of a batch that was cut off before its first record."""


def run_batch(
    request: BatchRequest,
    control: RunControl,
    listener: RunListener,
    *,
    trust_notices: bool = False,
    recorded_protocol: bool = False,
) -> BatchReport:
    """Scan every slide of the tray that the worklist wants; a batch that was stopped there is gone on with.

    Parameters
    ----------
    request
        What was asked.
    control
        Stops, pauses or gives up; commands of other processes come through the batch's folder.
    listener
        Hears of progress.
    trust_notices
        As for `station.run.resume.run_resume`, for the slides that are gone on with.
    recorded_protocol
        Whether a batch that is gone on with keeps the protocols that it began with, though their files have other
        values by now.

    Raises
    ------
    WorklistError, ProtocolError, UsageError, ResumeError
        Something is wrong with what was asked; nothing has moved.
    FolderInUseError
        Another batch works in the folder.
    ScannerError, StorageError
        The batch could not begin, or its record can't be written.
    """
    worklist = _read_worklist(request, listener)
    verify_all()
    protocols = read_batch_protocols(
        worklist, request.out, as_recorded=recorded_protocol, trust_notices=trust_notices
    )
    is_trusted = trust_notices or protocols.trusted
    if not is_trusted:
        listener.message(NOTICES_NOT_TRUSTED)
    scenario = read_scenario(request.faults, request.rig)
    done = _read_done(request.out, worklist, protocols.protocols, listener)
    with locked_folder(request.out):
        write_json_atomic(request.out / REQUEST_NAME, request.to_json() | protocols.to_json())
        control.begin_batch(request.out / CONTROL_NAME)
        notices = BatchNotices(worklist, protocols.protocols, request.out, trusted=is_trusted)
        try:
            with open_instrument(request.rig) as instrument:
                _fill(request, instrument, worklist, protocols.protocols)
                runner = _SlideRunner(request, instrument, protocols, control, listener)
                batch = _batch_of(runner, worklist, done, notices)
                report = _run(batch, instrument, scenario, request.out)
        except (ScannerError, AcquisitionError) as error:
            notices.failed(error)
            _write_page(request.out, listener)
            raise
        return _finish(request.out, report, notices, control, listener)


def _read_worklist(request: BatchRequest, listener: RunListener) -> Worklist:
    if (request.out / JOURNAL_NAME).exists():
        raise UsageError(f"{request.out}: holds a run, with which a batch would be mixed; name another folder")
    worklist = load_worklist(request.worklist, packaged_protocols())
    for warning in worklist.warnings:
        listener.message(f"{request.worklist.name}: {warning}")
    return worklist


def _batch_of(
    runner: _SlideRunner, worklist: Worklist, done: dict[str, SlideReport], notices: BatchNotices
) -> SlideBatch:
    return SlideBatch(
        tray_of(runner.instrument.microscope),
        worklist,
        runner,
        runner.request.out,
        runner.control,
        GuardedListener(runner.listener),
        done=done,
        on_parked=notices.parked,
        on_missing=notices.missing,
    )


def _run(batch: SlideBatch, instrument: Instrument, scenario: FaultScenario, folder: Path) -> BatchReport:
    try:
        with rehearsed(instrument, scenario, folder, seed=0):
            return batch.run()
    finally:
        # Runs end in the safe state by themselves; what is interrupted between two of them does so here.
        instrument.microscope.safe_state()


def _finish(
    folder: Path, report: BatchReport, notices: BatchNotices, control: RunControl, listener: RunListener
) -> BatchReport:
    """Write the page and tell of the end; what could not be told is written down."""
    page = _write_page(folder, listener)
    notices.ended(report, page, by_a_person=bool(report.ended) and control.stop_requested)
    if not notices.failed_notices:
        return report
    report = replace(report, failed_notices=notices.failed_notices)
    write_report(folder, report)
    _write_page(folder, listener)
    return report


def _write_page(folder: Path, listener: RunListener) -> Path | None:
    """The page repeats the record; where it can't be written, the record still stands."""
    try:
        return build_batch_page(folder)
    except AcquisitionError as error:
        _log.exception("no page about the batch")
        GuardedListener(listener).message(f"no page about the batch: {error}")
        return None


@dataclass(frozen=True, slots=True)
class _SlideRunner:
    """Scans a slide of the batch, or goes on with its run."""

    request: BatchRequest
    instrument: Instrument
    protocols: BatchProtocols
    control: RunControl
    listener: RunListener

    def __call__(self, job: SlideJob) -> SlideResult:
        file = self.protocols.files[job.entry.protocol]
        require_same_case(job.folder, job.entry)
        finished = finished_run(job.folder, job.entry.barcode, file.protocol).result
        if finished is not None:
            return finished
        self.control.begin_again()
        is_begun = (job.folder / JOURNAL_NAME).is_file()
        result = self._go_on(job) if is_begun else self._begin(job, file)
        return _result_of(result, file.protocol)

    def _go_on(self, job: SlideJob) -> ScanResult:
        # Whether its own record is of this machine is checked anew: the folder may hold another one's.
        return resume_slide(
            self.instrument,
            job.folder,
            self.control,
            self.listener,
            frame=job.frame,
            trust_notices=self.protocols.trust_notices,
            recorded_protocol=self.protocols.as_recorded,
        )

    def _begin(self, job: SlideJob, file: ProtocolFile) -> ScanResult:
        _set_aside(job.folder)
        entry = job.entry
        scan = ScanRequest(
            self.request.rig, entry.protocol, job.folder, slide=entry.barcode, accession=entry.accession
        )
        return scan_slide(
            self.instrument,
            scan,
            file,
            self.control,
            self.listener,
            frame=job.frame,
            trusted_notices=self.protocols.trust_notices or self.protocols.trusted,
        )


def require_same_case(folder: Path, worklist_entry: WorklistEntry) -> None:
    """Refuse to go on with a run under another accession than that which stands on its pictures.

    Parameters
    ----------
    folder
        Of the run; nothing is refused where none was begun.
    worklist_entry
        What the worklist says of its slide.

    Raises
    ------
    ResumeError
        The run was begun under another accession.
    StorageError
        What it was asked can't be read.
    """
    if not (folder / JOURNAL_NAME).is_file():
        return
    before = read_request(folder).accession
    if before and before != worklist_entry.accession:
        raise ResumeError(
            f"was begun as {before}, the worklist says {worklist_entry.accession} now: put the worklist right, or "
            "move this folder away so that the slide is scanned anew",
            path=folder,
        )


def _result_of(result: ScanResult, protocol: Protocol) -> SlideResult:
    summary = result.summary
    cells = int(summary["candidates"])
    return SlideResult(
        RunStatus(summary["status"]), summary["error"], cells, enough=cells >= cells_wanted(protocol)
    )


def _set_aside(folder: Path) -> None:
    """A run that never came to its journal took no picture and can't be gone on with: its folder makes room.

    Raises
    ------
    StorageError
        It can't be renamed, as on Windows while a program has a file of it open.
    """
    if not folder.exists():
        return
    number = 1 + sum(1 for _ in folder.parent.glob(f"{folder.name}-not-begun-*"))
    try:
        rename(folder, folder.with_name(f"{folder.name}-not-begun-{number}"))
    except OSError as error:
        raise StorageError(
            f"holds a run that never began, and can't be renamed ({error.strerror or error}): close what has its "
            "files open, or move it away",
            path=folder,
        ) from error


def _fill(
    request: BatchRequest, instrument: Instrument, worklist: Worklist, protocols: dict[Path, Protocol]
) -> None:
    if request.tray is None:
        return
    if instrument.twin is None:
        raise UsageError("--tray: only a simulated rig can be filled from a table")
    settings = instrument.twin.settings
    if worklist.entries:
        path = worklist.entries[0].protocol
        lying = lying_slide(ScanRequest(request.rig, path, request.out), protocols[path])
        area_um = (lying.area.x_min_um, lying.area.y_min_um, lying.area.x_max_um, lying.area.y_max_um)
        settings = replace(settings, area_um=area_um, coverslip=lying.coverslip)
    fill_feeder(instrument.core, request.tray, settings)


def _read_done(
    folder: Path, worklist: Worklist, protocols: Mapping[Path, Protocol], listener: RunListener
) -> dict[str, SlideReport]:
    """Slides that were finished before the batch was stopped, by barcode.

    The batch's own record may be older than the runs, copied or edited: what it calls finished is believed only
    where the folder of the slide holds a complete run.
    """
    report = read_report(folder)
    if report is None:
        if folder.is_dir() and any(path.name not in _BEGUN for path in folder.iterdir()):
            raise UsageError(f"--out: {folder} holds something else than a batch")
        return {}
    done: dict[str, SlideReport] = {}
    for slide in report.slides:
        entry = None if slide.barcode is None else worklist.find(slide.barcode)
        if slide.barcode is None or slide.status is not SlideStatus.FINISHED or entry is None:
            continue
        run = finished_run(folder / file_name_part(slide.folder or ""), slide.barcode, protocols[entry.protocol])
        if run.result is None:
            GuardedListener(listener).message(
                f"{slide.barcode}: {BATCH_NAME} calls it finished, but its folder does not ({run.lacks}); "
                "it is scanned or gone on with"
            )
            continue
        done[slide.barcode] = replace(slide, cells=run.result.cells, poor=not run.result.enough)
    return done

"""How far a run or a batch is, read from its record alone: no instrument, and nothing of the run is disturbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from typing import Any, Final

from acquisition.batch.report import BATCH_NAME, BatchReport, SlideStatus, read_report
from acquisition.batch.worklist import load_worklist
from acquisition.casebook import open_casebook
from acquisition.dry_run import Experience, estimate
from acquisition.errors import AcquisitionError, CasebookError
from acquisition.journal import JournalRecord, read_journal
from acquisition.protocol import Protocol, load_protocol
from acquisition.records import RunStatus, RunSummary
from acquisition.run.run_log import LogKind, read_sessions
from acquisition.run.states import RunState
from acquisition.storage.run_folder import CASEBOOK_NAME, JOURNAL_NAME, is_in_use
from scanner.errors import RigError
from scanner.rig import Rig
from scanner.strict_yaml import load_strict
from station.errors import UsageError
from station.installation.packaged import packaged_protocols
from station.quantities import clock
from station.run.batch_request import read_batch_request

RECENT_STEPS: Final = 20
"""Last fields, or captures, whose pace stands for the rest: enough to even out, few enough to follow a change."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is.

    Attributes
    ----------
    folder, slide, protocol
        Of the run.
    status
        As in its record.
    state
        What it is doing, or was when it was cut off.
    running
        Whether a process works on it at this moment.
    fields_done, fields_planned
        Searched or given up; at most. The second is None where nothing says how many.
    candidates
        Metaphase candidates; None before they are ranked.
    captured, capture_failed, captures_wanted
        Photographed, given up, wanted at most.
    karyotyped
        Captures whose analysis answered.
    elapsed_s
        From the first record to the last one, or to now while it runs.
    remaining_s
        At most that much time is left; None where it can't be told or nothing is left.
    error
        Why it ended, where it did not come to its end.
    """

    folder: Path
    slide: str
    protocol: str
    status: RunStatus
    state: RunState
    running: bool
    fields_done: int
    fields_planned: int | None
    candidates: int | None
    captured: int
    capture_failed: int
    captures_wanted: int
    karyotyped: int
    elapsed_s: float
    remaining_s: float | None
    error: str | None = None

    @property
    def is_cut_off(self) -> bool:
        """Whether the record says that it runs, while nobody works on it."""
        return self.status is RunStatus.RUNNING and not self.running

    def lines(self) -> list[str]:
        """For people, a fact a line."""
        what = "cut off" if self.is_cut_off else str(self.status)
        doing = f", {self.state.replace('_', ' ')}" if self.status is RunStatus.RUNNING else ""
        planned = "" if self.fields_planned is None else f" of at most {self.fields_planned}"
        lines = [
            f"{self.folder}: {what}{doing} (slide {self.slide}, protocol {self.protocol})",
            f"fields      {self.fields_done}{planned}",
            f"candidates  {'not ranked yet' if self.candidates is None else self.candidates}",
            f"captured    {self.captured} of at most {self.captures_wanted}"
            + (f", {self.capture_failed} given up" if self.capture_failed else ""),
            f"karyotyped  {self.karyotyped}",
            f"time        {clock(self.elapsed_s)}"
            + ("" if self.remaining_s is None else f", at most about {clock(self.remaining_s)} to go"),
        ]
        if self.error:
            lines.append(f"why         {self.error}")
        if self.is_cut_off or self.status in {RunStatus.STOPPED, RunStatus.FAILED, RunStatus.ABORTED}:
            lines.append(f"continue with: karyoscan resume {self.folder}")
        return lines

    def to_json(self) -> dict[str, Any]:
        """For programs; ``"kind"`` is ``"run"``."""
        values = asdict(self) | {"folder": str(self.folder), "status": self.status.value}
        return {"kind": "run", **values, "state": self.state.value, "cut_off": self.is_cut_off}


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is.

    Attributes
    ----------
    folder
        Of the batch.
    report
        Its record.
    running
        Whether a process works on it at this moment.
    current
        The slide that is being scanned; None between two.
    slides_left
        Slides of the worklist that nothing was decided about yet, the current one among them; None where the
        worklist can't be read any more.
    remaining_s
        At most that much time is left; None where it can't be told or nothing is left.
    """

    folder: Path
    report: BatchReport
    running: bool
    current: RunProgress | None
    slides_left: int | None
    remaining_s: float | None

    def lines(self) -> list[str]:
        """For people, a fact a line."""
        report = self.report
        stands = "running" if self.running else "ended early" if report.ended else "ended"
        if not self.running and report.finished_at is None:
            stands = "cut off; the same 'karyoscan batch' command continues it"
        lines = [f"{self.folder}: batch {stands} (worklist {report.worklist or '?'})"]
        lines += [f"{status.replace('_', ' '):12}{report.count(status)}" for status in SlideStatus]
        if self.slides_left is not None:
            lines.append(f"{'to come':12}{self.slides_left}")
        if self.remaining_s is not None:
            lines.append(f"{'time':12}at most about {clock(self.remaining_s)} to go")
        if report.ended:
            lines.append(f"{'why':12}{report.ended}")
        if self.current is not None:
            lines += ["", *self.current.lines()]
        return lines

    def to_json(self) -> dict[str, Any]:
        """For programs; ``"kind"`` is ``"batch"``."""
        return {
            "kind": "batch",
            "folder": str(self.folder),
            "running": self.running,
            "counts": {status.value: self.report.count(status) for status in SlideStatus},
            "ended": self.report.ended,
            "slides_left": self.slides_left,
            "remaining_s": self.remaining_s,
            "current": None if self.current is None else self.current.to_json(),
        }


def read_status(folder: Path, *, now: datetime | None = None) -> RunProgress | BatchProgress:
    """How far the run or the batch in a folder is.

    Parameters
    ----------
    folder
        Of a run or a batch.
    now
        The present moment, with a zone; default: the clock's.

    Raises
    ------
    UsageError
        The folder holds neither.
    AcquisitionError
        The record is damaged.
    """
    moment = now or datetime.now(UTC)
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    if (folder / CASEBOOK_NAME).is_file():
        return read_run_progress(folder, moment)
    if (folder / BATCH_NAME).is_file() or (read_batch_request(folder) is not None):
        return read_batch_progress(folder, moment)
    raise UsageError(f"{folder} holds neither a run nor a batch")


def read_run_progress(folder: Path, now: datetime) -> RunProgress:
    """How far the run in a folder is, as `read_status`.

    Parameters
    ----------
    folder
        Of the run.
    now
        The present moment, with a zone.
    """
    running = is_in_use(folder)
    with open_casebook(folder / CASEBOOK_NAME, create=False) as casebook:
        runs = casebook.runs()
        if len(runs) != 1:
            raise CasebookError(f"{len(runs)} runs where one is expected", path=casebook.path)
        summary = runs[0]
        karyotyped = len(casebook.karyotypes(summary.record.uid))
    has_journal = (folder / JOURNAL_NAME).is_file()
    records = read_journal(folder / JOURNAL_NAME) if has_journal else ()
    log = _RunLogDigest(records)
    protocol = load_protocol(folder / "protocol.yaml", text=summary.record.protocol_yaml)
    experience = Experience()
    planned = _planned_fields(folder, summary, protocol)
    is_over = summary.status is not RunStatus.RUNNING
    end = summary.finished_at if is_over and summary.finished_at is not None else now if running else log.last_at
    elapsed_s = 0.0 if end is None else max(0.0, (end - summary.record.started_at).total_seconds())
    sessions = read_sessions(records)
    if sessions:
        # Measured by a clock that nobody sets; only what follows the last record goes by dates.
        since_s = (now - log.last_at).total_seconds() if running and log.last_at is not None else 0.0
        elapsed_s = sum(session.elapsed_s for session in sessions) + max(0.0, since_s)
    progress = RunProgress(
        folder=folder,
        slide=summary.record.slide,
        protocol=summary.record.protocol,
        status=summary.status,
        state=log.state,
        running=running,
        fields_done=log.fields_done,
        fields_planned=planned,
        candidates=log.candidates,
        captured=log.count(LogKind.CAPTURED),
        capture_failed=log.count(LogKind.CAPTURE_FAILED),
        captures_wanted=protocol.capture.number,
        karyotyped=karyotyped,
        elapsed_s=elapsed_s,
        remaining_s=None,
        error=summary.error,
    )
    if is_over:
        return progress
    return _with_remaining(progress, log, protocol, experience)


def read_batch_progress(folder: Path, now: datetime) -> BatchProgress:
    """How far the batch in a folder is, as `read_status`.

    Parameters
    ----------
    folder
        Of the batch.
    now
        The present moment, with a zone.
    """
    report = read_report(folder) or BatchReport(())
    running = is_in_use(folder)
    current = _current_run(folder, now) if running else None
    left = _slides_left(folder, report)
    durations_s = [slide.seconds for slide in report.slides if slide.seconds]
    remaining_s = None
    if running and left is not None and durations_s:
        waiting = left - (current is not None)
        remaining_s = max(0, waiting) * fmean(durations_s) + ((current and current.remaining_s) or 0.0)
    return BatchProgress(folder, report, running, current, left if running else None, remaining_s)


class _RunLogDigest:
    """What the status of a run takes from its journal.

    Parameters
    ----------
    records
        The journal; a record that another version wrote is passed over.
    """

    def __init__(self, records: Sequence[JournalRecord]) -> None:
        self._times: dict[str, list[datetime]] = {}
        fields: set[int] = set()
        self.state = RunState.PLANNING
        self.candidates: int | None = None
        self.last_at: datetime | None = None
        for record in records:
            moment = datetime.fromisoformat(str(record.values["at"]))
            self.last_at = moment
            self._times.setdefault(record.kind, []).append(moment)
            if record.kind in {LogKind.SEARCHED, LogKind.FIELD_FAILED}:
                fields.add(int(record.values["record"]["index"]))
            elif record.kind == LogKind.STATE:
                self.state = RunState(record.values["after"])
            elif record.kind == LogKind.RANKED:
                self.candidates = len(record.values["candidates"])
        self.fields_done = len(fields)

    def count(self, log_kind: LogKind) -> int:
        """Records of a kind."""
        return len(self._times.get(log_kind.value, ()))

    def period_s(self, log_kind: LogKind, otherwise_s: float) -> float:
        """Median time between the last records of a kind."""
        times = self._times.get(log_kind.value, [])[-RECENT_STEPS:]
        gaps = [(after - before).total_seconds() for before, after in pairwise(times)]
        return median(gaps) if gaps else otherwise_s

    @property
    def scan_is_through(self) -> bool:
        """Whether no further field will be photographed."""
        return LogKind.SCANNED.value in self._times or self.candidates is not None


def _planned_fields(folder: Path, summary: RunSummary, protocol: Protocol) -> int | None:
    try:
        rig = load_strict(Rig, folder / "rig.yaml", _rig_fault, text=summary.record.rig_yaml)
        return estimate(protocol, rig).fields or None
    except (AcquisitionError, RigError):
        # The record of an older version: its status is worth reading without the number.
        return None


def _rig_fault(message: str, path: Path, line: int | None) -> RigError:
    return RigError(message, path=path, line=line)


def _with_remaining(
    progress: RunProgress, log: _RunLogDigest, protocol: Protocol, experience: Experience
) -> RunProgress:
    """The same with the time that is left, from the run's own pace where it has one."""
    if progress.fields_planned is None:
        return progress
    fields = 0 if log.scan_is_through else max(0, progress.fields_planned - progress.fields_done)
    limit = protocol.capture.number if log.candidates is None else min(log.candidates, protocol.capture.number)
    captures = max(0, limit - progress.captured - progress.capture_failed)
    unanswered = max(0, progress.captured + captures - progress.karyotyped) if protocol.karyotype.enabled else 0
    capture_s = log.period_s(LogKind.CAPTURED, experience.capture_s)
    # Karyotyping goes on beside the captures: the longer of the two counts.
    analysis_s = unanswered * experience.karyotype_s / protocol.karyotype.workers
    scan_s = fields * log.period_s(LogKind.SEARCHED, experience.field_s)
    return replace(progress, remaining_s=scan_s + max(captures * capture_s, analysis_s))


def _current_run(folder: Path, now: datetime) -> RunProgress | None:
    for run in sorted(path for path in folder.iterdir() if (path / CASEBOOK_NAME).is_file()):
        if is_in_use(run):
            return read_run_progress(run, now)
    return None


def _slides_left(folder: Path, report: BatchReport) -> int | None:
    """Slides of the worklist that the record doesn't speak of."""
    request = read_batch_request(folder)
    if request is None:
        return None
    try:
        worklist = load_worklist(request.worklist, packaged_protocols())
    except AcquisitionError:
        return None
    decided = {slide.barcode for slide in report.slides}
    return sum(entry.barcode not in decided for entry in worklist.entries)

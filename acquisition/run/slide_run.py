"""One slide from the first focus to the last karyotype, in one session or several."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from acquisition.errors import (
    AcquisitionError,
    PlacesLostError,
    ResumeError,
    RunAbortedError,
    SlideParkedError,
    StorageError,
)
from acquisition.handoff import Handoff, KaryotypeTask
from acquisition.journal import Journal, JournalRecord
from acquisition.plan.density import expected_cells
from acquisition.plan.scan_plan import plan_fields
from acquisition.plan.tiling import PlannedField
from acquisition.protocol import ExposureMode, KeepFields, Then
from acquisition.records import (
    CaptureRecord,
    EventLevel,
    FieldStatus,
    KaryotypeRecord,
    KaryotypeStatus,
    RunEvent,
    RunStatus,
)
from acquisition.review import leave_out_rejected, rejected_cells
from acquisition.run.boundary import Boundary
from acquisition.run.capture_loop import CaptureLoop
from acquisition.run.context import RunContext
from acquisition.run.exposure import measure_exposure
from acquisition.run.focus_map import measure_focus_surface
from acquisition.run.identity import read_barcode, require_barcode
from acquisition.run.landmarks import recognise, recognise_in_oil
from acquisition.run.ranking import candidate_records, rank
from acquisition.run.reconcile import reconcile
from acquisition.run.retry import retry_step
from acquisition.run.run_log import (
    Progress,
    RankedCandidate,
    RunLog,
    RunStart,
    plan_digest,
    read_progress,
)
from acquisition.run.scan_pass import ScanPass, slots_for
from acquisition.run.scanned_area import scanned_area
from acquisition.run.states import RunMachine, RunState, RunStep
from scanner.errors import MoveStoppedError, ScannerError
from scanner.focus.surface import FocusSurface

_log = logging.getLogger(__name__)

# Room for the casebook, thumbnails, karyograms and the report beside the pictures.
_OVERHEAD_BYTES = 50 * 1024 * 1024


@dataclass(slots=True)
class RunOutcome:
    """How a run ended.

    Attributes
    ----------
    status, error
        As recorded in the casebook.
    fields
        Fields planned.
    candidates
        Number of candidates after merging.
    captures
        Pictures stored, those of earlier sessions too.
    karyotypes
        Answers of the analysis in this session.
    seconds
        Duration of each phase of this session.
    safe_state_faults
        What could not be brought into the safe state at the end; empty on a sound instrument.
    """

    status: RunStatus = RunStatus.RUNNING
    error: str | None = None
    fields: int = 0
    candidates: int = 0
    captures: list[CaptureRecord] = field(default_factory=list)
    karyotypes: list[KaryotypeRecord] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    safe_state_faults: tuple[str, ...] = ()


class SlideRun:
    """Runs a protocol on the slide that lies on the stage; used once.

    Several may follow each other on one microscope: each ends in the safe state, which `Microscope.resume` leaves.

    Parameters
    ----------
    context
        Collaborators; the casebook knows the run already.
    handoff
        Workers that karyotype the captures; None where the protocol does not ask for it.
    now_s
        Time source for the durations.
    """

    def __init__(
        self, context: RunContext, handoff: Handoff | None, *, now_s: Callable[[], float] = time.perf_counter
    ) -> None:
        self._context = context
        self._handoff = handoff
        self._now_s = now_s
        self._outcome = RunOutcome()
        self._machine = RunMachine(lambda before, step, after: self._log_state(before, step, after))
        self._boundary = Boundary(context, self._machine)
        self._progress = Progress()
        self._is_resumed = False
        self._run_log: RunLog | None = None
        self._scan: ScanPass | None = None

    def run(self) -> RunOutcome:
        """Scan, capture and karyotype; whatever happens, end in the safe state with a truthful record.

        Returns
        -------
        RunOutcome
            Status ``COMPLETED``, ``COMPLETED_WITH_ERRORS``, ``STOPPED``, ``ABORTED``, ``PARKED`` or ``FAILED``
            (the last three with the error).

        Raises
        ------
        StorageError
            There is a journal already, or none can be begun; nothing has moved.
        CasebookError
            The record itself can't be written; the instrument has been made safe.
        """
        with Journal.create(self._context.folder.journal) as journal:
            return self._session(journal)

    def resume(self) -> RunOutcome:
        """Go on with a run that was cut off or ended early: at its first unfinished field or cell.

        The plan has to be the same, the barcode too, and landmarks have to look as they did; otherwise the run is
        refused, and what it had stays as it was.

        Returns
        -------
        RunOutcome
            As `run`; ``FAILED`` with the reason where the run is refused.

        Raises
        ------
        JournalError
            The journal is damaged; nothing has moved.
        ResumeError
            Nothing can be resumed: the run is complete.
        CasebookError
            As `run`.
        """
        journal, records = Journal.reopen(self._context.folder.journal)
        with journal:
            self._progress = read_progress(records, journal.path)
            self._is_resumed = True
            self._reopen(records)
            return self._session(journal)

    def _session(self, journal: Journal) -> RunOutcome:
        outcome, control = self._outcome, self._context.control
        self._run_log = RunLog(journal)
        control.begin(self._context.folder.control)
        try:
            self._phases()
            outcome.status = RunStatus.STOPPED if control.stop_requested else RunStatus.COMPLETED
        except (ScannerError, AcquisitionError) as error:
            if not isinstance(error, (MoveStoppedError, RunAbortedError)):
                _log.exception("run failed")
            outcome.status, outcome.error = self._status_after(error), str(error)
        except BaseException as error:
            # A bug, or a second Ctrl-C: the instrument is made safe and the record closed before it goes on.
            outcome.status, outcome.error = RunStatus.FAILED, f"{type(error).__name__}: {error}"
            self._end()
            raise
        self._end()
        return outcome

    def _status_after(self, error: Exception) -> RunStatus:
        if isinstance(error, RunAbortedError) or self._context.control.abort_requested:
            return RunStatus.ABORTED
        if isinstance(error, MoveStoppedError):
            return RunStatus.STOPPED
        if isinstance(error, SlideParkedError):
            return RunStatus.PARKED
        parks = self._context.protocol.errors.storage.then is Then.PARK_SLIDE
        return RunStatus.PARKED if isinstance(error, StorageError) and parks else RunStatus.FAILED

    # -- phases --------------------------------------------------------------------------------------------

    def _phases(self) -> None:
        context, progress = self._context, self._progress
        with self._timed("prepare"):
            area = scanned_area(context)
            fields = plan_fields(context.protocol, context.microscope.rig, area, context.instrument.slide_frame)
            self._outcome.fields = len(fields)
            self._begin(fields)
            self._require_room(fields)
        candidates = list(progress.ranked or ())
        if progress.ranked is not None and not self._cells_left(candidates):
            self._machine.take(RunStep.NOTHING_LEFT)
        elif progress.ranked is not None and self._is_in_oil():
            self._go_on_in_oil(candidates)
            if context.control.stop_requested:
                return
        else:
            candidates = self._photograph(fields, candidates)
            if context.control.stop_requested:
                return
        # Analysis needs no light and no objective near the glass: the instrument rests while it catches up.
        context.microscope.lower_focus()
        with self._timed("karyotype"):
            self._collect_rest()
        if not context.control.stop_requested:
            self._machine.take(RunStep.KARYOTYPED)

    def _photograph(
        self, fields: tuple[PlannedField, ...], candidates: list[RankedCandidate]
    ) -> list[RankedCandidate]:
        context, progress = self._context, self._progress
        self._select(context.protocol.scan.objective)
        self._scan = ScanPass(context, self._journal, fields, progress, self._boundary, now_s=self._now_s)
        self._machine.take(RunStep.PLANNED)
        with context.microscope.lit():
            with self._timed("focus"):
                surface = measure_focus_surface(context, fields)
            if surface is None:
                return []
            self._journal.surface(surface.points)
            self._recognise(fields, surface)
            with self._timed("scan"):
                self._scan.run(surface, self._scan_exposure_ms(surface))
        with self._timed("search"):
            self._scan.finish()
        if not context.control.stop_requested:
            self._machine.take(RunStep.SCANNED)
        if progress.ranked is None:
            candidates = self._rank()
        self._outcome.candidates = len(candidates)
        if context.control.stop_requested:
            return candidates
        self._machine.take(RunStep.RANKED)
        if self._cells_left(candidates):
            self._require_sound_places(fields, surface)
        with self._timed("capture"):
            self._capture(self._cells_left(candidates), surface)
        if not context.control.stop_requested:
            self._machine.take(RunStep.CAPTURED)
        return candidates

    def _require_sound_places(self, fields: tuple[PlannedField, ...], surface: FocusSurface) -> None:
        """Prove, before oil comes near the slide, that what the scan saw is still where the stage says it is.

        A stage without encoders that loses steps reports every target reached; only a picture tells.
        """
        if self._scan is None or not self._scan.search.landmarks:
            return
        with self._timed("places"), self._context.microscope.lit():
            try:
                recognise(self._context, fields, self._scan.search.landmarks, surface)
            except ResumeError as error:
                raise PlacesLostError(f"the places of the scan can't be trusted: {error}") from error

    def _is_in_oil(self) -> bool:
        microscope = self._context.microscope
        capture = microscope.rig.objective(self._context.protocol.capture.objective)
        return capture.immersion == "oil" and microscope.slides.is_oiled()

    def _go_on_in_oil(self, candidates: Sequence[RankedCandidate]) -> None:
        """Photograph the cells that are left without going back to the dry objective."""
        context = self._context
        capture = context.protocol.capture
        surface = FocusSurface.fit(self._progress.surface)
        self._machine.take(RunStep.IN_OIL)
        self._select(capture.objective, oil_allowed=capture.oil == "allowed")
        with self._timed("recognise"), context.microscope.lit():
            recognise_in_oil(context, list(self._progress.captures.values()))
        self._journal.resumed({})
        self._machine.take(RunStep.RANKED)
        with self._timed("capture"):
            self._capture(self._cells_left(candidates), surface)
        if not context.control.stop_requested:
            self._machine.take(RunStep.CAPTURED)

    def _begin(self, fields: Sequence[PlannedField]) -> None:
        """Write down with what the run begins; or, going on, hold it against what it began with."""
        digest, barcode = plan_digest(fields), read_barcode(self._context)
        began = self._progress.start
        if began is None:
            self._journal.started(RunStart(digest, barcode))
            return
        if began.plan != digest:
            raise ResumeError("the plan is another one: protocol, rig or software changed since the run began")
        require_barcode(began.barcode, barcode)

    def _recognise(self, fields: tuple[PlannedField, ...], surface: FocusSurface) -> None:
        if not self._is_resumed:
            self._machine.take(RunStep.FOCUSED)
            return
        self._machine.take(RunStep.FOCUSED_AGAIN)
        pictures = [f for f in self._progress.photographed.values() if f.status is FieldStatus.DONE]
        if pictures and self._scan is not None:
            with self._timed("recognise"):
                # The search makes the landmarks: fields that still wait for it may be the only ones.
                self._scan.search.finish(stop=lambda: self._context.control.abort_requested)
                shifts = recognise(self._context, fields, self._scan.search.landmarks, surface)
            self._journal.resumed(shifts)
        self._machine.take(RunStep.RECOGNISED)

    def _scan_exposure_ms(self, surface: FocusSurface) -> float:
        scan = self._context.protocol.scan
        if scan.exposure is ExposureMode.FIXED:
            return scan.exposure_ms
        where = surface.points[0].where
        microscope = self._context.microscope
        microscope.move_to(self._context.frame.to_stage(where))
        microscope.focus_to(surface.z_um(where))
        exposure_ms = retry_step(self._context, "exposure", lambda: measure_exposure(microscope, scan.exposure_ms))
        self._context.note(
            EventLevel.INFO, "exposure", f"scan exposure {exposure_ms:.2f} ms, measured", exposure_ms=exposure_ms
        )
        return exposure_ms

    def _require_room(self, fields: Sequence[PlannedField]) -> None:
        camera, protocol = self._context.microscope.rig.camera, self._context.protocol
        picture_bytes = 2 * camera.width_px * camera.height_px
        pictures = protocol.capture.number * protocol.capture.z_stack.planes - len(self._progress.captures)
        pictures += slots_for(self._context, len(fields))
        if protocol.scan.keep_fields is KeepFields.ALL:
            pictures += len(fields) - len(self._progress.photographed)
        self._context.folder.require_free(max(0, pictures) * picture_bytes + _OVERHEAD_BYTES)

    def _rank(self) -> list[RankedCandidate]:
        if self._scan is None:
            return []
        ranked = rank(self._scan.finds, self._context.protocol.capture.ranking)
        records = candidate_records(ranked, self._scan.finds, self._context.protocol.capture.number)
        self._context.casebook.record_candidates(self._context.run_uid, records)
        leave_out_rejected(self._context.casebook, self._context.run_uid)
        expected = expected_cells([candidate.sighting.chance for candidate in ranked])
        self._context.note(
            EventLevel.INFO,
            "analysable",
            f"{len(ranked)} cells found, about {expected.mean:.0f} of them analysable "
            f"({expected.low:.0f} to {expected.high:.0f})",
            **expected.to_json(),
        )
        if not self._context.control.stop_requested:
            # After a stop more may be found: the order is provisional, and made anew when the run goes on.
            self._journal.ranked(ranked)
        return ranked

    def _cells_left(self, candidates: Sequence[RankedCandidate]) -> list[RankedCandidate]:
        """The best cells that are not photographed yet; one that was rejected makes room for the next best."""
        rejected = rejected_cells(self._context.casebook, self._context.run_uid)
        wanted = [candidate for candidate in candidates if candidate.uid not in rejected]
        done = self._progress.captures.keys() | self._progress.failed_captures.keys()
        return [c for c in wanted[: self._context.protocol.capture.number] if c.uid not in done]

    def _capture(self, candidates: Sequence[RankedCandidate], surface: FocusSurface) -> None:
        if not candidates:
            return
        context = self._context
        capture = context.protocol.capture
        self._select(capture.objective, oil_allowed=capture.oil == "allowed")
        loop = CaptureLoop(context, self._journal, surface, self._boundary, self._hand_over)
        with context.microscope.lit():
            loop.run(candidates)

    def _select(self, objective: str, *, oil_allowed: bool = False) -> None:
        microscope = self._context.microscope
        retry_step(
            self._context,
            f"objective {objective}",
            lambda: microscope.select_objective(objective, oil_allowed=oil_allowed),
        )

    # -- analysis ------------------------------------------------------------------------------------------

    def _hand_over(self, capture: CaptureRecord) -> None:
        self._outcome.captures.append(capture)
        if self._handoff is None:
            return
        self._handoff.submit(self._task(capture))
        self._take_in(self._handoff.collect(timeout_s=0))

    def _collect_rest(self) -> None:
        if self._handoff is None:
            return
        self._context.listener.phase("karyotype", self._handoff.waiting + len(self._outcome.karyotypes))
        for record in self._outcome.karyotypes:
            self._context.listener.step("karyotype", record.iscn or "")
        while self._handoff.waiting and not self._stop_heard():
            self._take_in(self._handoff.collect(timeout_s=1.0), tell=True)
        if self._handoff.waiting:
            self._context.note(
                EventLevel.WARNING,
                "karyotypes_left",
                f"{self._handoff.waiting} captures were not karyotyped: the run was stopped",
                left=self._handoff.waiting,
            )

    def _stop_heard(self) -> bool:
        self._context.control.poll()
        return self._context.control.stop_requested

    def _take_in(self, records: Sequence[KaryotypeRecord], *, tell: bool = False) -> None:
        for record in records:
            self._context.casebook.record_karyotype(self._context.run_uid, record)
            self._outcome.karyotypes.append(record)
            if record.status is not KaryotypeStatus.PROPOSED:
                self._context.note(
                    EventLevel.WARNING,
                    f"karyotype_{record.status.value}",
                    f"{record.capture_uid}: {record.error}",
                    capture=record.capture_uid,
                )
            if tell:
                self._context.listener.step("karyotype", record.iscn or record.status.value)

    # -- going on ------------------------------------------------------------------------------------------

    def _reopen(self, records: Sequence[JournalRecord]) -> None:
        """Bring the casebook to what the journal says, and hand over what was never karyotyped."""
        context = self._context
        summary = context.casebook.run(context.run_uid)
        if summary.status in {RunStatus.COMPLETED, RunStatus.COMPLETED_WITH_ERRORS}:
            raise ResumeError(f"the run is {summary.status}: there is nothing to resume", path=context.folder.path)
        context.casebook.reopen_run(
            context.run_uid,
            RunEvent(
                datetime.now(UTC),
                EventLevel.INFO,
                "resumed",
                f"going on after {len(records)} steps: {len(self._progress.searched)} fields done, "
                f"{len(self._progress.waiting)} to be searched, {len(self._progress.captures)} cells photographed",
            ),
        )
        reconcile(context, self._progress)
        leave_out_rejected(context.casebook, context.run_uid)
        self._outcome.candidates = len(self._progress.ranked or ())
        self._outcome.captures.extend(self._progress.captures.values())
        if self._handoff is None:
            return
        known = {record.capture_uid for record in context.casebook.karyotypes(context.run_uid)}
        rejected = rejected_cells(context.casebook, context.run_uid)
        for capture in self._outcome.captures:
            if capture.uid not in known and capture.candidate_uid not in rejected:
                self._handoff.submit(self._task(capture))

    def _task(self, capture: CaptureRecord) -> KaryotypeTask:
        context = self._context
        return KaryotypeTask(capture.uid, str(context.folder.path), capture.path, context.protocol.banding)

    # -- end -----------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Make the instrument safe first; only then finish the record and write how it ended."""
        context, outcome = self._context, self._outcome
        context.control.begin_ending()
        with ExitStack() as stack:
            if self._handoff is not None:
                stack.callback(self._handoff.close)
            if self._scan is not None:
                stack.callback(self._scan.close)
            faults = context.microscope.safe_state()
            outcome.safe_state_faults = tuple(str(fault) for fault in faults)
            self._leave()
            self._search_rest()
        for fault in faults:
            context.note(EventLevel.ERROR, "unsafe", f"safe state not reached: {fault}")
        if outcome.status is RunStatus.COMPLETED and self._had_errors():
            outcome.status = RunStatus.COMPLETED_WITH_ERRORS
        context.casebook.finish_run(context.run_uid, outcome.status, datetime.now(UTC), outcome.error)
        with _unless_the_disk_is_full():
            self._journal.ended(outcome.status, outcome.error)

    def _leave(self) -> None:
        """Take the step that the end was; the instrument is safe already."""
        steps = {RunStatus.STOPPED: RunStep.STOP, RunStatus.ABORTED: RunStep.ABORT}
        with _unless_the_disk_is_full():
            if self._machine.state is not RunState.MAKING_SAFE:
                self._machine.take(steps.get(self._outcome.status, RunStep.FAULT))
        with _unless_the_disk_is_full():
            self._machine.take(RunStep.SAFE)

    def _search_rest(self) -> None:
        """What was photographed before a fault is searched all the same, unless the run was given up."""
        if self._scan is None or self._outcome.status is RunStatus.ABORTED:
            return
        try:
            self._scan.finish()
        except AcquisitionError as error:
            _log.exception("fields were left unsearched")
            self._context.note(EventLevel.ERROR, "fields_unsearched", f"fields were left unsearched: {error}")

    def _had_errors(self) -> bool:
        return any(
            event.level is EventLevel.ERROR for event in self._context.casebook.events(self._context.run_uid)
        ) or any(record.status is KaryotypeStatus.FAILED for record in self._outcome.karyotypes)

    @property
    def _journal(self) -> RunLog:
        if self._run_log is None:
            raise RuntimeError("the run has no journal yet")
        return self._run_log

    def _log_state(self, before: str, step: str, after: str) -> None:
        self._journal.state(before, step, after)

    def _timed(self, phase: str) -> _Stopwatch:
        return _Stopwatch(phase, self._outcome.seconds, self._now_s)


@contextmanager
def _unless_the_disk_is_full() -> Iterator[None]:
    """The casebook says how a run ended; a journal that lacks its last lines is one that can be resumed."""
    try:
        yield
    except StorageError:
        _log.exception("the end is not in the journal")


class _Stopwatch:
    def __init__(self, phase: str, seconds: dict[str, float], now_s: Callable[[], float]) -> None:
        self._phase = phase
        self._seconds = seconds
        self._now_s = now_s
        self._start_s = 0.0

    def __enter__(self) -> None:
        self._start_s = self._now_s()

    def __exit__(self, *_: object) -> None:
        self._seconds[self._phase] = self._now_s() - self._start_s

"""One slide from the first focus to the last karyotype, in one session or several."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata

from acquisition.errors import (
    AcquisitionError,
    CasebookError,
    PlacesLostError,
    ResumeError,
    RunAbortedError,
    SlideParkedError,
    StorageError,
)
from acquisition.handoff import Handoff
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
from acquisition.run.clean_up import CleanUp, make_safe
from acquisition.run.context import RunContext
from acquisition.run.exposure import measure_exposure
from acquisition.run.focus_map import measure_focus_surface
from acquisition.run.hanging import HangResponse
from acquisition.run.identity import read_barcode, require_barcode
from acquisition.run.illumination import lit, select_filters
from acquisition.run.integrity import note_altered, require_same_identity, run_start
from acquisition.run.interruption import interruptions_handled
from acquisition.run.karyotyping import CaptureKaryotyping
from acquisition.run.landmarks import recognise, recognise_in_oil
from acquisition.run.listener import GuardedListener
from acquisition.run.ranking import candidate_records, rank
from acquisition.run.reconcile import reconcile
from acquisition.run.retry import retry_step
from acquisition.run.run_log import (
    Progress,
    RankedCandidate,
    RunLog,
    plan_digest,
    read_progress,
)
from acquisition.run.scan_pass import ScanPass, slots_for
from acquisition.run.scanned_area import scanned_area
from acquisition.run.states import RunMachine, RunState, RunStep
from acquisition.run.steps import note_steps
from acquisition.run.unfinished import FINISHED, captures_to_karyotype, unfinished_work
from scanner.counted import counted
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
    end_faults
        What else went wrong at the end, one line each; it never hides why the run ended.
    """

    status: RunStatus = RunStatus.RUNNING
    error: str | None = None
    fields: int = 0
    candidates: int = 0
    captures: list[CaptureRecord] = field(default_factory=list)
    karyotypes: list[KaryotypeRecord] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    safe_state_faults: tuple[str, ...] = ()
    end_faults: tuple[str, ...] = ()


class SlideRun:
    """Runs a protocol on the slide that lies on the stage; used once.

    Several may follow each other on one microscope: each ends in the safe state, which `Microscope.resume` leaves.

    Parameters
    ----------
    context
        Collaborators; the casebook knows the run already.
    handoff
        Workers that karyotype the captures; None where the protocol does not ask for it.
    conclude
        Called at the end, the instrument safe, with how the run ended: makes figures and report, and gives notice.
        Only where it succeeds is the run recorded as ended; a run that lacks them can be resumed.
    now_s
        Time source for the durations.
    """

    def __init__(
        self,
        context: RunContext,
        handoff: Handoff | None,
        *,
        conclude: Callable[[RunOutcome], object] | None = None,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._context = replace(context, listener=GuardedListener(context.listener))
        self._handoff = handoff
        self._conclude = conclude
        self._now_s = now_s
        self._outcome = RunOutcome()
        self._machine = RunMachine(lambda before, step, after: self._log_state(before, step, after))
        self._boundary = Boundary(self._context, self._machine)
        self._progress = Progress()
        self._is_resumed = False
        self._run_log: RunLog | None = None
        self._scan: ScanPass | None = None
        self._karyotyping: CaptureKaryotyping | None = None

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
        """
        with Journal.create(self._context.folder.journal) as journal:
            return self._session(journal, lambda: None)

    def resume(self) -> RunOutcome:
        """Go on with a run that was cut off or ended early: at its first unfinished field or cell.

        The plan has to be the same, the barcode too, and landmarks have to look as they did; otherwise the run is
        refused, and what it had stays as it was. A run that completed but lacks karyotypes, figures or the report
        gets them, and nothing moves.

        Returns
        -------
        RunOutcome
            As `run`; ``FAILED`` with the reason where the run is refused.

        Raises
        ------
        JournalError
            The journal is damaged or altered; nothing has moved.
        ResumeError
            Nothing can be resumed: the run is complete.
        CasebookError
            The casebook can't be read; nothing has moved.
        """
        journal, records = Journal.reopen(self._context.folder.journal)
        with journal:
            self._progress = read_progress(records, journal.path)
            self._is_resumed = True
            self._require_unfinished()
            return self._session(journal, lambda: self._reopen(journal, records))

    def _session(self, journal: Journal, begin: Callable[[], None]) -> RunOutcome:
        outcome, control = self._outcome, self._context.control
        self._run_log = RunLog(journal)
        self._karyotyping = CaptureKaryotyping(self._context, self._run_log, self._handoff)
        outcome.karyotypes = self._karyotyping.records
        first: BaseException | None = None
        control.begin(self._context.folder.control)
        # From here on no signal raises: each is a request that the run hears.
        with (
            interruptions_handled(control, self._context.listener.message),
            self._context.microscope.watched(HangResponse(self._context, self._journal, self._conclude_hung)),
        ):
            try:
                self._journal.session(metadata.version("karyoscan"))
                begin()
                self._phases()
                if control.abort_requested:
                    raise RunAbortedError("the run was aborted by request")
                outcome.status = RunStatus.STOPPED if control.stop_requested else RunStatus.COMPLETED
            except (ScannerError, AcquisitionError) as error:
                if not isinstance(error, (MoveStoppedError, RunAbortedError)):
                    _log.exception("run failed")
                outcome.status, outcome.error = self._status_after(error), str(error)
            except BaseException as error:  # noqa: BLE001 - raised again once the instrument is safe
                first = error
                outcome.status, outcome.error = RunStatus.FAILED, f"{type(error).__name__}: {error}"
            clean_up = CleanUp(first)
            self._end(clean_up)
        if clean_up.first is not None:
            raise clean_up.first
        return outcome

    def _conclude_hung(self, reason: str) -> None:
        """Figures, report and notices of a run whose instrument hangs."""
        self._outcome.status, self._outcome.error = RunStatus.FAILED, reason
        if self._conclude is not None:
            self._conclude(self._outcome)

    def _status_after(self, error: Exception) -> RunStatus:
        if isinstance(error, RunAbortedError) or self._context.control.abort_requested:
            return RunStatus.ABORTED
        if isinstance(error, MoveStoppedError):
            return RunStatus.STOPPED
        if isinstance(error, SlideParkedError):
            return RunStatus.PARKED
        parks = self._context.protocol.errors.storage.then is Then.PARK_SLIDE
        return RunStatus.PARKED if isinstance(error, (StorageError, CasebookError)) and parks else RunStatus.FAILED

    # -- phases --------------------------------------------------------------------------------------------

    def _phases(self) -> None:
        context, progress = self._context, self._progress
        candidates = list(progress.ranked or ())
        if progress.ranked is not None and not self._cells_left(candidates):
            # The slide may be gone by now: nothing moves, and its label isn't read.
            self._outcome.fields = len(progress.photographed)
            self._machine.take(RunStep.NOTHING_LEFT)
        else:
            self._take_pictures(candidates)
            if context.control.stop_requested:
                return
            # Analysis needs no light and no objective near the glass: the instrument rests while it catches up.
            context.microscope.lower_focus()
        with self._timed("karyotype"):
            self._captures.finish()
        if not context.control.stop_requested:
            self._machine.take(RunStep.KARYOTYPED)

    def _take_pictures(self, candidates: list[RankedCandidate]) -> None:
        context = self._context
        with self._timed("prepare"):
            area = scanned_area(context)
            fields = plan_fields(context.protocol, context.microscope.rig, area, context.instrument.slide_frame)
            self._outcome.fields = len(fields)
            self._begin(fields)
            self._require_room(fields)
        if self._progress.ranked is not None and self._is_in_oil():
            self._go_on_in_oil(candidates)
        else:
            self._photograph(fields, candidates)

    def _photograph(self, fields: tuple[PlannedField, ...], candidates: list[RankedCandidate]) -> None:
        context, progress = self._context, self._progress
        self._select(context.protocol.scan.objective)
        self._scan = ScanPass(context, self._journal, fields, progress, self._boundary, now_s=self._now_s)
        self._machine.take(RunStep.PLANNED)
        if self._is_resumed:
            # The search makes the landmarks: fields that still wait for it may be the only ones.
            with self._timed("search"):
                self._scan.search.finish(stop=self._is_aborted, on_long_wait=context.microscope.lower_focus)
        with lit(context):
            with self._timed("focus"):
                surface = measure_focus_surface(context, fields)
            if surface is None:
                return
            self._journal.surface(surface.points)
            self._recognise(fields, surface)
            with self._timed("scan"):
                self._scan.run(surface, self._scan_exposure_ms(surface))
        with self._timed("search"):
            self._scan.finish(on_long_wait=context.microscope.lower_focus)
        if not context.control.stop_requested:
            self._machine.take(RunStep.SCANNED)
        if progress.ranked is None:
            candidates = self._rank()
        self._outcome.candidates = len(candidates)
        if context.control.stop_requested:
            return
        self._machine.take(RunStep.RANKED)
        if self._cells_left(candidates):
            self._require_sound_places(fields, surface)
        with self._timed("capture"):
            self._capture(self._cells_left(candidates), surface)
        if not context.control.stop_requested:
            self._machine.take(RunStep.CAPTURED)

    def _is_aborted(self) -> bool:
        self._context.control.poll()
        return self._context.control.abort_requested

    def _require_sound_places(self, fields: tuple[PlannedField, ...], surface: FocusSurface) -> None:
        """Prove, before oil comes near the slide, that what the scan saw is still where the stage says it is.

        A stage without encoders that loses steps reports every target reached; only a picture tells.
        """
        if self._scan is None or not self._scan.search.landmarks:
            return
        with self._timed("places"), lit(self._context):
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
        with self._timed("recognise"), lit(context):
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
            self._journal.started(run_start(self._context, digest, barcode))
            note_steps(self._context)
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
            f"{counted(len(ranked), 'cell')} found, about {expected.mean:.0f} of them analysable "
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
        loop = CaptureLoop(context, self._journal, surface, self._boundary, self._take_in)
        with lit(context):
            loop.run(candidates)

    def _select(self, objective: str, *, oil_allowed: bool = False) -> None:
        microscope = self._context.microscope
        select_filters(self._context)
        retry_step(
            self._context,
            f"objective {objective}",
            lambda: microscope.select_objective(objective, oil_allowed=oil_allowed),
        )

    def _take_in(self, capture: CaptureRecord) -> None:
        self._outcome.captures.append(capture)
        self._captures.submit(capture)

    # -- going on ------------------------------------------------------------------------------------------

    def _require_unfinished(self) -> None:
        context = self._context
        status = context.casebook.run(context.run_uid).status
        if status in FINISHED and not self._lacking():
            raise ResumeError(f"the run is {status}: there is nothing to resume", path=context.folder.path)

    def _lacking(self) -> tuple[str, ...]:
        return unfinished_work(
            self._context.casebook,
            self._context.run_uid,
            self._context.folder.path,
            self._progress,
            karyotypes=self._handoff is not None,
            derived=self._conclude is not None,
        )

    def _reopen(self, journal: Journal, records: Sequence[JournalRecord]) -> None:
        """Bring the casebook to what the journal says, and hand over what was never karyotyped."""
        context, progress = self._context, self._progress
        context.casebook.reopen_run(
            context.run_uid,
            RunEvent(
                datetime.now(UTC),
                EventLevel.INFO,
                "resumed",
                f"continued after {counted(len(records), 'step')}: {counted(len(progress.searched), 'field')} "
                f"done, {len(progress.waiting)} to be searched, "
                f"{counted(len(progress.captures), 'cell')} photographed",
            ),
        )
        if not journal.is_chained:
            context.note(
                EventLevel.INFO,
                "journal_unchained",
                "the run was begun by a version whose journal has no chain: earlier alterations can't be detected",
            )
        if progress.start is not None:
            require_same_identity(context, progress.start)
        altered = note_altered(context, progress)
        reconcile(context, progress)
        leave_out_rejected(context.casebook, context.run_uid)
        self._outcome.candidates = len(progress.ranked or ())
        self._outcome.captures.extend(progress.captures.values())
        to_do = captures_to_karyotype(context.casebook, context.run_uid, progress)
        self._captures.resubmit(capture for capture in to_do if capture.uid not in altered)

    # -- end -----------------------------------------------------------------------------------------------

    def _end(self, clean_up: CleanUp) -> None:
        """Make the instrument safe first; only then finish the record, and write last how the run ended."""
        context, outcome = self._context, self._outcome
        context.control.begin_ending()
        outcome.safe_state_faults = make_safe(context.microscope)
        context.control.mark_safe()
        with clean_up.step("state of the run"):
            self._leave()
        with clean_up.step("search of what was photographed"):
            self._search_rest()
        if self._scan is not None:
            with clean_up.step("end of the search"):
                self._scan.close()
        if self._handoff is not None:
            with clean_up.step("end of the analysis"):
                self._handoff.close(is_aborted=self._is_aborted)
        for fault in outcome.safe_state_faults:
            with clean_up.step("record of what is not safe"):
                context.note(EventLevel.ERROR, "unsafe", f"safe state not reached: {fault}")
        self._record_end(clean_up)
        outcome.end_faults = clean_up.faults

    def _record_end(self, clean_up: CleanUp) -> None:
        """Casebook, figures and report, journal; a run that lacks any of them has not completed."""
        context, outcome = self._context, self._outcome
        faults_before = len(clean_up.faults)
        with clean_up.step("errors of the run"):
            if outcome.status is RunStatus.COMPLETED and self._had_errors():
                outcome.status = RunStatus.COMPLETED_WITH_ERRORS
        with clean_up.step("end in the casebook"):
            context.casebook.finish_run(context.run_uid, outcome.status, datetime.now(UTC), outcome.error)
        if self._conclude is not None:
            with clean_up.step("figures, report and notices"):
                self._conclude(outcome)
        if outcome.status in FINISHED and len(clean_up.faults) > faults_before:
            self._withdraw("; ".join(clean_up.faults[faults_before:]), clean_up)
        with clean_up.step("end in the journal"):
            self._journal.ended(outcome.status, outcome.error)
        if outcome.status in FINISHED and len(clean_up.faults) > faults_before:
            self._withdraw("; ".join(clean_up.faults[faults_before:]), clean_up)

    def _withdraw(self, fault: str, clean_up: CleanUp) -> None:
        """Say that a run that did all else lacks its record: resuming makes it."""
        context, outcome = self._context, self._outcome
        outcome.status = RunStatus.FAILED
        outcome.error = f"all was photographed, but the record of it is not whole ({fault}); resume the run"
        with clean_up.step("correction in the casebook"):
            event = RunEvent(datetime.now(UTC), EventLevel.WARNING, "record_incomplete", outcome.error)
            context.casebook.reopen_run(context.run_uid, event)
            context.casebook.finish_run(context.run_uid, outcome.status, datetime.now(UTC), outcome.error)

    def _leave(self) -> None:
        """Take the step that the end was; the instrument is safe already."""
        steps = {RunStatus.STOPPED: RunStep.STOP, RunStatus.ABORTED: RunStep.ABORT}
        with _storage_faults_logged():
            if self._machine.state is not RunState.MAKING_SAFE:
                self._machine.take(steps.get(self._outcome.status, RunStep.FAULT))
        with _storage_faults_logged():
            self._machine.take(RunStep.SAFE)

    def _search_rest(self) -> None:
        """What was photographed before a fault is searched all the same, unless the run was aborted."""
        if self._scan is None or self._outcome.status is RunStatus.ABORTED:
            return
        try:
            self._scan.finish()
        except AcquisitionError as error:
            _log.exception("fields were left unsearched")
            self._context.note(EventLevel.ERROR, "fields_unsearched", f"fields were left unsearched: {error}")

    def _had_errors(self) -> bool:
        casebook, run_uid = self._context.casebook, self._context.run_uid
        return any(event.level is EventLevel.ERROR for event in casebook.events(run_uid)) or any(
            record.status is KaryotypeStatus.FAILED for record in casebook.karyotypes(run_uid)
        )

    @property
    def _captures(self) -> CaptureKaryotyping:
        if self._karyotyping is None:
            raise RuntimeError("the run has no journal yet")
        return self._karyotyping

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
def _storage_faults_logged() -> Iterator[None]:
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

"""One slide from the first focus to the last karyotype."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from acquisition.errors import AcquisitionError, PlanError
from acquisition.handoff import Handoff, KaryotypeTask
from acquisition.plan.candidates import Sighting, merge
from acquisition.plan.tiling import PlannedField, serpentine
from acquisition.records import (
    CandidateRecord,
    CandidateStatus,
    CaptureRecord,
    EventLevel,
    KaryotypeRecord,
    KaryotypeStatus,
    RunStatus,
)
from acquisition.run.capture_loop import CaptureLoop, RankedCandidate
from acquisition.run.context import RunContext
from acquisition.run.field_loop import FieldLoop, Find
from acquisition.run.focus_map import measure_focus_surface
from acquisition.storage import write_png_atomic
from scanner.coordinates import SlidePoint, stage_to_centre
from scanner.errors import LimitError, MoveStoppedError, RigError, ScannerError
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
    found
        Candidates after merging.
    captures
        Pictures stored.
    karyotypes
        Answers of the analysis.
    seconds
        Duration of each phase.
    safe_state_faults
        What could not be brought into the safe state at the end; empty on a sound instrument.
    """

    status: RunStatus = RunStatus.RUNNING
    error: str | None = None
    fields: int = 0
    found: int = 0
    captures: list[CaptureRecord] = field(default_factory=list)
    karyotypes: list[KaryotypeRecord] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    safe_state_faults: tuple[str, ...] = ()


class SlideRun:
    """Runs a protocol on the slide that lies on the stage.

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

    def run(self) -> RunOutcome:
        """Scan, capture and karyotype; whatever happens, end in the safe state with a truthful record.

        Returns
        -------
        RunOutcome
            Status ``COMPLETED``, ``COMPLETED_WITH_ERRORS``, ``STOPPED`` or ``FAILED`` (with the error).

        Raises
        ------
        CasebookError
            The record itself can't be written; the instrument has been made safe.
        """
        outcome = self._outcome
        try:
            self._phases()
            stopped = self._context.control.stop_requested
            outcome.status = RunStatus.STOPPED if stopped else RunStatus.COMPLETED
        except MoveStoppedError as error:
            outcome.status, outcome.error = RunStatus.STOPPED, str(error)
        except (ScannerError, AcquisitionError) as error:
            _log.exception("run failed")
            outcome.status, outcome.error = RunStatus.FAILED, str(error)
        except BaseException as error:
            # A bug, or a second Ctrl-C: the instrument is made safe and the record closed before it goes on.
            outcome.status, outcome.error = RunStatus.FAILED, f"{type(error).__name__}: {error}"
            self._end()
            raise
        self._end()
        return outcome

    # -- phases --------------------------------------------------------------------------------------------

    def _phases(self) -> None:
        context = self._context
        protocol, microscope = context.protocol, context.microscope
        with self._timed("prepare"):
            fields = self._plan()
            self._require_room()
            microscope.select_objective(protocol.scan.objective)
        with microscope.lit():
            with self._timed("focus"):
                surface = measure_focus_surface(context, fields)
            if surface is None:
                return
            with self._timed("scan"):
                finds = FieldLoop(context, surface).run(fields)
        candidates = self._rank(finds)
        if candidates and not context.control.stop_requested:
            with self._timed("capture"):
                self._capture(candidates[: protocol.capture.number], surface)
        # Analysis needs no light and no objective near the glass: the instrument rests while it catches up.
        microscope.lower_focus()
        with self._timed("karyotype"):
            self._collect_rest()

    def _plan(self) -> tuple[PlannedField, ...]:
        context = self._context
        rig, protocol = context.microscope.rig, context.protocol
        scan, capture = protocol.scan, protocol.capture
        try:
            scan_objective, capture_objective = rig.objective(scan.objective), rig.objective(capture.objective)
        except RigError as error:
            raise PlanError(str(error)) from error
        if scan_objective.immersion == "oil":
            raise PlanError(f"scan.objective: {scan_objective.name} needs oil; a scan needs a dry objective")
        if capture_objective.immersion == "oil" and capture.oil != "allowed":
            raise PlanError(f"capture.objective: {capture_objective.name} needs oil, but capture.oil is forbidden")
        frame = rig.camera_frame(scan_objective)
        fields = serpentine(scan.area, frame.width_um, frame.height_um, scan.overlap)
        self._check_corners(fields)
        self._outcome.fields = len(fields)
        return fields

    def _check_corners(self, fields: Sequence[PlannedField]) -> None:
        """Refuse a plan of which any field or capture would be refused halfway."""
        context = self._context
        rig, area = context.microscope.rig, context.protocol.scan.area.bounds
        parcentric = rig.objective(context.protocol.capture.objective).parcentric
        corners = [
            SlidePoint(x, y) for x in (area.x_min_um, area.x_max_um) for y in (area.y_min_um, area.y_max_um)
        ]
        targets = [rig.slide.frame.to_stage(planned.centre) for planned in fields]
        targets += [stage_to_centre(rig.slide.frame.to_stage(corner), parcentric) for corner in corners]
        try:
            for target in targets:
                context.microscope.check_reachable(target)
        except LimitError as error:
            raise PlanError(f"scan.area: {error}") from error

    def _require_room(self) -> None:
        camera = self._context.microscope.rig.camera
        picture_bytes = 2 * camera.width_px * camera.height_px
        self._context.folder.require_free(self._context.protocol.capture.number * picture_bytes + _OVERHEAD_BYTES)

    def _rank(self, finds: Sequence[Find]) -> list[RankedCandidate]:
        thumbnails = {_key(find.sighting): find.thumbnail for find in finds}
        merged = merge(find.sighting for find in finds)
        number = self._context.protocol.capture.number
        ranked, records = [], []
        for rank, sighting in enumerate(merged, start=1):
            uid = f"cell-{rank:04d}"
            thumbnail = self._context.folder.finds / f"{uid}.png"
            write_png_atomic(thumbnail, thumbnails[_key(sighting)])
            ranked.append(RankedCandidate(uid, rank, sighting))
            records.append(
                CandidateRecord(
                    uid=uid,
                    field_index=sighting.field_index,
                    slide_x_um=sighting.where.x_um,
                    slide_y_um=sighting.where.y_um,
                    radius_um=sighting.radius_um,
                    score=sighting.score,
                    rank=rank,
                    status=CandidateStatus.FOUND if rank <= number else CandidateStatus.NOT_SELECTED,
                    thumbnail=str(thumbnail.relative_to(self._context.folder.path)),
                )
            )
        self._context.casebook.record_candidates(self._context.run_uid, records)
        self._outcome.found = len(ranked)
        return ranked

    def _capture(self, candidates: Sequence[RankedCandidate], surface: FocusSurface) -> None:
        context = self._context
        capture = context.protocol.capture
        context.microscope.select_objective(capture.objective, oil_allowed=capture.oil == "allowed")
        loop = CaptureLoop(context, surface, self._hand_over)
        with context.microscope.lit():
            loop.run(candidates)

    # -- analysis ------------------------------------------------------------------------------------------

    def _hand_over(self, capture: CaptureRecord) -> None:
        self._outcome.captures.append(capture)
        if self._handoff is None:
            return
        self._handoff.submit(KaryotypeTask(capture.uid, str(self._context.folder.path), capture.path))
        self._take_in(self._handoff.collect(timeout_s=0))

    def _collect_rest(self) -> None:
        if self._handoff is None:
            return
        self._context.listener.phase("karyotype", len(self._outcome.captures))
        for record in self._outcome.karyotypes:
            self._context.listener.step("karyotype", record.iscn or "")
        while self._handoff.waiting and not self._context.control.stop_requested:
            self._take_in(self._handoff.collect(timeout_s=1.0), tell=True)
        if self._handoff.waiting:
            self._context.note(
                EventLevel.WARNING,
                "karyotypes_left",
                f"{self._handoff.waiting} captures were not karyotyped: the run was stopped",
                left=self._handoff.waiting,
            )

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

    # -- end -----------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Make the instrument safe first; only then write how it ended."""
        context, outcome = self._context, self._outcome
        context.control.begin_ending()
        faults = context.microscope.safe_state()
        outcome.safe_state_faults = tuple(str(fault) for fault in faults)
        if self._handoff is not None:
            self._handoff.close()
        for fault in faults:
            context.note(EventLevel.ERROR, "unsafe", f"safe state not reached: {fault}")
        if outcome.status is RunStatus.COMPLETED and self._had_errors():
            outcome.status = RunStatus.COMPLETED_WITH_ERRORS
        context.casebook.finish_run(context.run_uid, outcome.status, datetime.now(UTC), outcome.error)

    def _had_errors(self) -> bool:
        return any(
            event.level is EventLevel.ERROR for event in self._context.casebook.events(self._context.run_uid)
        ) or any(record.status is KaryotypeStatus.FAILED for record in self._outcome.karyotypes)

    def _timed(self, phase: str) -> _Stopwatch:
        return _Stopwatch(phase, self._outcome.seconds, self._now_s)


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


def _key(sighting: Sighting) -> tuple[int, float, float]:
    return sighting.field_index, sighting.where.x_um, sighting.where.y_um

"""The scan: every field once, at the place it was sent to, or marked as failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from acquisition.errors import StorageError
from acquisition.plan.tiling import PlannedField
from acquisition.records import EventLevel, FieldRecord, FieldStatus
from acquisition.run.background_sync import BackgroundSync
from acquisition.run.boundary import Boundary
from acquisition.run.context import RunContext
from acquisition.run.faults import FaultCounter
from acquisition.run.field_focus import FieldFocus
from acquisition.run.field_search import FieldSearch
from scanner.coordinates import StagePoint
from scanner.counted import counted
from scanner.errors import AutofocusError, DeviceError, MoveStoppedError
from scanner.focus.surface import FocusSurface
from scanner.frame import Exposure, Frame

# Room that stays free while the scan goes on: the record of how it ended has to fit.
RESERVE_BYTES = 32 * 1024 * 1024
SYNC_DEADLINE_S = 120.0
"""A disk that flushes a few frames in no less time has failed, or is a share whose server is gone."""
_MS_PER_S = 1000.0
# A wait is broken up, so that commands are heard.
_WAIT_S = 0.5


@dataclass(slots=True)
class _Timing:
    move_ms: float = 0.0
    settle_ms: float = 0.0
    focus_ms: float = 0.0
    expose_ms: float = 0.0
    read_ms: float = 0.0


@dataclass(slots=True)
class _Ahead:
    """Where the stage is or was sent while another field is read out."""

    index: int
    timing: _Timing = field(default_factory=_Timing)
    fault: DeviceError | StorageError | None = None
    exposure: Exposure | None = None


class FieldLoop:
    """Photographs the planned fields and hands them to the finder.

    As soon as an exposure has ended, the stage goes to the next field, arrives, and the focus follows, all while
    the frame is read out. The picture of a field is taken only after its own arrival has been proven; a camera
    that overlaps exposes it while the one before is still read out. What goes wrong is tried again, skipped and
    marked, or ends the slide, as the protocol says for its kind.

    Parameters
    ----------
    context
        The run; light on, scan objective selected.
    surface
        Focus of the scan objective over the slide.
    search
        Takes the frames.
    background_sync
        Brings them to the disk.
    boundary
        Grants pause and stop.
    exposure_ms
        Exposure of every field.
    now_s
        Time source for the timings.
    """

    def __init__(
        self,
        context: RunContext,
        surface: FocusSurface,
        search: FieldSearch,
        background_sync: BackgroundSync,
        boundary: Boundary,
        exposure_ms: float,
        *,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._context = context
        self._focus = FieldFocus(context, surface, exposure_ms)
        self._search = search
        self._background_sync = background_sync
        self._boundary = boundary
        self._exposure_ms = exposure_ms
        self._now_s = now_s
        self._ahead: _Ahead | None = None
        self._failed_in_a_row = 0
        self._unsynced_since_s: float | None = None

    def run(self, fields: Sequence[PlannedField], *, enough: Callable[[], bool] = lambda: False) -> bool:
        """Photograph fields in order.

        Parameters
        ----------
        fields
            What to photograph.
        enough
            Asked before each field whether the scan has seen enough.

        Returns
        -------
        bool
            False where the run was asked to stop, or had seen enough, before the last field.

        Raises
        ------
        DeviceError
            The protocol aborts for this fault, or more fields in a row failed than it allows.
        SlideParkedError
            The protocol gives the slide up for this fault.
        StorageError, SearchError
            Frames can't be kept, or not be searched.
        RunAbortedError
            The run was given up.
        """
        for position, planned in enumerate(fields):
            if not self._cross() or enough():
                return False
            following = fields[position + 1] if position + 1 < len(fields) else None
            self._field(planned, following)
            self._context.listener.step("scan", counted(len(self._search.finds), "sighting"))
        return True

    def _cross(self) -> bool:
        rests = self._boundary.rests
        goes_on = self._boundary.cross(self._search.take_in)
        if self._boundary.rests > rests:
            # The focus went down, and a person may have pushed the stage.
            self._forget_ahead()
        return goes_on

    def _field(self, planned: PlannedField, following: PlannedField | None) -> None:
        counter = FaultCounter(self._context.protocol.errors, self._context.microscope.rig)
        while True:
            timing = _Timing()
            try:
                frame = self._attempt(planned, following, timing)
            except MoveStoppedError:
                raise
            except DeviceError as error:
                rule = counter.retry(error)
                if rule is None:
                    self._give_up(planned, error, timing, counter.attempt - 1)
                    return
                self._note_retry(planned, error)
                self._forget_ahead()
                if rule.refocus:
                    self._refocus(planned)
            else:
                self._failed_in_a_row = 0
                start_s = self._now_s()
                self._wait_for(lambda: self._search.has_room(timeout_s=_WAIT_S), "room: the finder is behind")
                record = replace(
                    self._done(planned, frame, timing, counter.attempt), write_ms=self._ms_since(start_s)
                )
                self._search.hand_over(record, frame)
                return

    def _attempt(self, planned: PlannedField, following: PlannedField | None, timing: _Timing) -> Frame:
        microscope = self._context.microscope
        if self._ahead is None:
            self._context.folder.require_free(RESERVE_BYTES)
        while (exposure := self._arrive(planned, timing)) is None:
            # No more than the field under way and the one before it may be lost to a power cut.
            if not self._wait_for(self._is_synced, "the disk"):
                start_s = self._now_s()
                exposure = self._expose(planned)
                timing.expose_ms = self._ms_since(start_s)
                break
        start_s = self._now_s()
        self._move_ahead(following)
        frame = microscope.read(exposure)
        timing.read_ms = self._ms_since(start_s)
        return frame

    def _expose(self, planned: PlannedField) -> Exposure:
        """Expose; where the hardware autofocus has let go meanwhile, once more after a focus by pictures."""
        microscope = self._context.microscope
        try:
            return microscope.expose(self._exposure_ms)
        except AutofocusError as error:
            if not self._focus.take_over(planned, error):
                raise
        self._focus.refine(planned)
        return microscope.expose(self._exposure_ms)

    def _wait_for(self, is_ready: Callable[[], bool], what: str) -> bool:
        """Wait; True where the instrument was put to rest meanwhile, and has to arrive anew."""
        rests = self._boundary.rests
        self._boundary.wait_for(is_ready, what)
        if self._boundary.rests == rests:
            return False
        self._forget_ahead()
        return True

    def _forget_ahead(self) -> None:
        """What was prepared for the next field holds no longer."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.exposure is not None:
            self._context.microscope.discard_exposure()

    def _is_synced(self) -> bool:
        if self._background_sync.wait(timeout_s=_WAIT_S):
            self._unsynced_since_s = None
            return True
        now_s = self._now_s()
        if self._unsynced_since_s is None:
            self._unsynced_since_s = now_s
        if now_s - self._unsynced_since_s > SYNC_DEADLINE_S:
            raise StorageError(
                f"the disk has not confirmed the last frames for {SYNC_DEADLINE_S:g} s",
                path=self._context.folder.path,
            )
        return False

    # -- arriving ------------------------------------------------------------------------------------------

    def _arrive(self, planned: PlannedField, timing: _Timing) -> Exposure | None:
        """Bring stage and focus to a field; its exposure, where that was made already."""
        ahead = self._ahead
        if ahead is not None and ahead.index == planned.index:
            self._ahead = None
            timing.move_ms, timing.settle_ms = ahead.timing.move_ms, ahead.timing.settle_ms
            timing.focus_ms, timing.expose_ms = ahead.timing.focus_ms, ahead.timing.expose_ms
            if ahead.exposure is not None:
                return ahead.exposure
            if ahead.fault is not None and not self._focus.take_over(planned, ahead.fault):
                raise ahead.fault
        else:
            self._forget_ahead()
            start_s = self._now_s()
            self._context.microscope.start_move(self._target(planned))
            self._finish_move(start_s, timing)
            self._follow_focus(planned, timing)
        start_s = self._now_s()
        self._focus.refine(planned)
        timing.focus_ms += self._ms_since(start_s)
        return None

    def _move_ahead(self, following: PlannedField | None) -> None:
        """Bring the stage to the next field while the last one is read out.

        A fault on the way belongs to the next field: the picture that is being read out has nothing to do with it.
        """
        if following is None or self._context.control.stop_requested:
            self._search.take_in()
            return
        ahead = _Ahead(following.index)
        self._ahead = ahead
        start_s = self._now_s()
        try:
            self._context.microscope.start_move(self._target(following))
            # The time of the way is used for what the next exposure need not wait for.
            self._search.take_in()
            ahead.fault = self._lack_of_room()
            self._finish_move(start_s, ahead.timing)
            self._follow_focus(following, ahead.timing)
            self._expose_ahead(following, ahead)
        except DeviceError as error:
            ahead.fault = error

    def _expose_ahead(self, following: PlannedField, ahead: _Ahead) -> None:
        """Expose the next field while the last one is read out, where camera, focus and disk are ready for it."""
        microscope = self._context.microscope
        if not microscope.overlaps or ahead.fault is not None or self._focus.needs_pictures(following):
            return
        if not self._background_sync.wait(timeout_s=0.0):
            return
        start_s = self._now_s()
        ahead.exposure = microscope.expose(self._exposure_ms)
        ahead.timing.expose_ms = self._ms_since(start_s)

    def _lack_of_room(self) -> StorageError | None:
        # What is being read out still has its place in the spool; only the next field has none.
        try:
            self._context.folder.require_free(RESERVE_BYTES)
        except StorageError as error:
            return error
        return None

    def _finish_move(self, start_s: float, timing: _Timing) -> None:
        self._context.microscope.finish_move()
        # The controller reports one time; how much of it is settling, the rig knows.
        took_ms = self._ms_since(start_s)
        timing.settle_ms = min(took_ms, self._context.microscope.rig.stage.motion.settle_ms)
        timing.move_ms = took_ms - timing.settle_ms

    def _follow_focus(self, planned: PlannedField, timing: _Timing) -> None:
        start_s = self._now_s()
        self._focus.follow(planned)
        timing.focus_ms = self._ms_since(start_s)

    def _refocus(self, planned: PlannedField) -> None:
        """Search the focus before another attempt; where that fails, the attempt itself will tell."""
        microscope = self._context.microscope
        ahead = _Ahead(planned.index)
        start_s = self._now_s()
        try:
            microscope.move_to(self._target(planned))
            ahead.timing.move_ms = self._ms_since(start_s)
            start_s = self._now_s()
            self._focus.search(planned)
            ahead.timing.focus_ms = self._ms_since(start_s)
        except MoveStoppedError:
            raise
        except DeviceError as error:
            self._context.note(
                EventLevel.INFO, "refocus_failed", f"field {planned.index}: {error}", field=planned.index
            )
        else:
            self._ahead = ahead

    def _target(self, planned: PlannedField) -> StagePoint:
        return self._context.frame.to_stage(planned.centre)

    # -- recording -----------------------------------------------------------------------------------------

    def _done(self, planned: PlannedField, frame: Frame, timing: _Timing, attempts: int) -> FieldRecord:
        record = self._record(planned, timing, FieldStatus.DONE, frame.taken_at, attempts)
        stage = frame.view.stage
        return replace(record, stage_x_um=stage.x_um, stage_y_um=stage.y_um, z_um=frame.z_um)

    def _give_up(self, planned: PlannedField, error: DeviceError, timing: _Timing, attempts: int) -> None:
        self._failed_in_a_row += 1
        self._forget_ahead()
        record = self._record(planned, timing, FieldStatus.FAILED, datetime.now(UTC), attempts)
        self._search.give_up(replace(record, error=str(error)))
        self._context.note(
            EventLevel.ERROR,
            "field_failed",
            f"field {planned.index} not photographed: {error}",
            field=planned.index,
        )
        if self._failed_in_a_row > self._context.protocol.errors.max_failed_fields:
            raise error

    def _note_retry(self, planned: PlannedField, error: DeviceError) -> None:
        self._context.note(
            EventLevel.WARNING,
            "field_retried",
            f"field {planned.index} tried again: {error}",
            field=planned.index,
        )

    def _record(
        self, planned: PlannedField, timing: _Timing, status: FieldStatus, taken_at: datetime, attempts: int
    ) -> FieldRecord:
        return FieldRecord(
            index=planned.index,
            row=planned.row,
            column=planned.column,
            slide_x_um=planned.centre.x_um,
            slide_y_um=planned.centre.y_um,
            stage_x_um=None,
            stage_y_um=None,
            z_um=None,
            status=status,
            taken_at=taken_at,
            move_ms=timing.move_ms,
            focus_ms=timing.focus_ms,
            expose_ms=timing.expose_ms,
            find_ms=0.0,
            candidates=0,
            settle_ms=timing.settle_ms,
            read_ms=timing.read_ms,
            attempts=attempts,
        )

    def _ms_since(self, start_s: float) -> float:
        return _MS_PER_S * (self._now_s() - start_s)

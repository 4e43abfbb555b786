"""From photographed fields to finds: frames go to the finder, answers into the record."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from acquisition.errors import AcquisitionError, SearchError, StorageError
from acquisition.plan.candidates import Sighting
from acquisition.plan.tiling import PlannedField
from acquisition.protocol import Background, KeepFields
from acquisition.records import EventLevel, FieldRecord, FieldStatus
from acquisition.run.background_sync import BackgroundSync
from acquisition.run.context import RunContext
from acquisition.run.drift_alarm import DriftAlarm
from acquisition.run.faults import FaultCounter
from acquisition.run.field_scores import candidate_score_of
from acquisition.run.landmarks import LandmarkKeeper
from acquisition.run.picture_metadata import picture_metadata
from acquisition.run.run_log import Progress, RecordedFind, RunLog, WaitingField
from acquisition.run.search_task import SearchAnswer, SearchTask, be_ready, search_field
from acquisition.storage import CaptureMetadata, FrameSpool
from acquisition.storage.overview import Overview, OverviewWrite
from acquisition.storage.spool import frame_checksum
from acquisition.workers import Workers
from analysis.finder import Candidate
from analysis.finder.drift import FieldSummary
from scanner.coordinates import ImagePoint, ObjectiveView, StagePoint
from scanner.counted import counted
from scanner.frame import Exposure, Frame

LONG_WAIT_S: Final = 5.0
"""Some ten times what a field takes."""
FINISH_PATIENCE_S: Final = 600.0
"""Well beyond a worker's deadline and its retries: nothing comes any more."""
_POLL_S: Final = 0.2
_MS_PER_S: Final = 1000.0


class FieldSearch:
    """Hands frames to the finder and writes down what it finds; used from the thread that drives the instrument.

    The finder may fall behind by as many frames as the spool holds. Every field that was handed over is recorded
    as searched or failed, or left in the spool for when the run is resumed: none is waited for that can't come.

    Parameters
    ----------
    context
        The run.
    log
        Its journal.
    spool
        Where frames wait.
    background_sync
        Brings them to the disk.
    fields
        The plan.
    progress
        How far the run had come when it was cut off.
    overview
        Where each field's part goes; None where the protocol wants no overview.
    now_s
        Time source for the timings.
    """

    def __init__(
        self,
        context: RunContext,
        log: RunLog,
        spool: FrameSpool,
        background_sync: BackgroundSync,
        fields: Sequence[PlannedField],
        progress: Progress,
        *,
        overview: Overview | None = None,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._context = context
        self._log = log
        self._spool = spool
        self._background_sync = background_sync
        self._now_s = now_s
        self._keeper = LandmarkKeeper(fields, sorted(progress.landmarks))
        self._workers: Workers[SearchTask, SearchAnswer] = Workers(
            context.search.make_executor,
            search_field,
            at_a_time=context.search.at_a_time,
            lost=_lost,
            deadline_s=context.search.deadline_s,
        )
        self._workers.warm_up(partial(be_ready, context.finders.scan))
        self._overview = overview
        # What the workers answered, until it is recorded: an answer that is lost would be waited for.
        self._answers: deque[SearchAnswer] = deque()
        self._writing: deque[tuple[OverviewWrite, Callable[[], None]]] = deque()
        self._in_journal: set[int] = set()
        self._under: dict[int, WaitingField] = {}
        self._left: dict[int, WaitingField] = {}
        self._unsubmitted: deque[WaitingField] = deque()
        self._faults: dict[int, FaultCounter] = {}
        self._unsearched_in_a_row = 0
        self.landmarks: dict[int, str] = dict(progress.landmarks)
        self.finds: list[RecordedFind] = list(progress.finds)
        self.cells_by_field: Counter[int] = Counter(find.sighting.field_index for find in progress.finds)
        self.alarm = DriftAlarm(context, progress.readings)
        self.waited_ms = 0.0
        for waiting in progress.waiting.values():
            self._under[waiting.record.index] = waiting
            self._unsubmitted.append(waiting)

    @property
    def waiting(self) -> int:
        """Fields that are photographed but not searched; those left for a resumed run too."""
        return len(self._under) + len(self._left)

    @property
    def taken(self) -> set[int]:
        """Fields that were handed over, searched or not."""
        return self.cells_by_field.keys() | self._under.keys() | self._left.keys()

    def has_room(self, *, timeout_s: float = 0.0) -> bool:
        """Whether a frame can be handed over.

        Parameters
        ----------
        timeout_s
            How long the finder may take to make room.

        Raises
        ------
        StorageError, CasebookError, SearchError, SlideParkedError
            As `take_in`.
        """
        if not self._spool.free_slots:
            start_s = self._now_s()
            self.take_in(timeout_s=timeout_s)
            self.waited_ms += _MS_PER_S * (self._now_s() - start_s)
        return self._spool.free_slots > 0

    def hand_over(self, record: FieldRecord, frame: Frame) -> None:
        """Keep a frame, record its field and let it be searched; there has to be room.

        A killed process loses nothing of it once this returns, and a power cut nothing once it is flushed.

        Parameters
        ----------
        record
            What was measured so far; `write_ms` is filled in here.
        frame
            The picture.

        Raises
        ------
        StorageError
            It can't be kept.
        """
        start_s = self._now_s()
        slot = self._spool.put(frame.pixels)
        record = replace(record, write_ms=record.write_ms + _MS_PER_S * (self._now_s() - start_s))
        checksum = frame_checksum(frame.pixels)
        waiting = WaitingField(record, frame.objective, frame.exposure_ms, slot, checksum)
        self._log.field(waiting)
        self._background_sync.add(record.index)
        self._under[record.index] = waiting
        # The instrument waits for this method, and for `take_in` only when it has nothing to do.
        self._unsubmitted.append(waiting)

    def give_up(self, record: FieldRecord) -> None:
        """Record a field that could not be photographed."""
        self._log.field_failed(record)
        self._context.casebook.record_field(self._context.run_uid, record)

    def take_in(self, *, timeout_s: float = 0.0) -> None:
        """Write down what the finder answered.

        Parameters
        ----------
        timeout_s
            0 takes what is there.

        Raises
        ------
        StorageError, CasebookError
            It can't be recorded.
        SearchError, SlideParkedError
            A field could not be searched, and the protocol gives up for that.
        """
        while self._unsubmitted:
            self._submit(self._unsubmitted.popleft())
        self._answers.extend(self._workers.collect(timeout_s=0.0 if self._answers else timeout_s))
        while self._answers:
            self._take(self._answers[0])
            self._answers.popleft()
        # A field counts as searched when its part of the overview is written: a killed run then lacks none.
        while self._writing and (timeout_s > 0 or self._writing[0][0].is_done):
            write, close = self._writing[0]
            if not write.finish(timeout_s=timeout_s):
                break
            close()
            self._writing.popleft()

    def finish(
        self,
        *,
        stop: Callable[[], bool] = lambda: False,
        on_long_wait: Callable[[], object] = lambda: None,
        patience_s: float = FINISH_PATIENCE_S,
    ) -> None:
        """Wait until all frames are searched, or `stop` says that nobody waits any more.

        Parameters
        ----------
        stop
            Asked again and again.
        on_long_wait
            Called once where the wait takes longer than a few fields: nobody may stay near the specimen for that.
        patience_s
            The wait ends where no field was searched for this time.

        Raises
        ------
        StorageError, CasebookError, SlideParkedError
            As `take_in`.
        SearchError
            As `take_in`; or no field was searched for `patience_s`: those that are left wait for a resumed run.
        """
        left = len(self._under)
        if left:
            self._context.listener.phase("search", left)
        start_s = progress_s = self._now_s()
        while self._under and not stop():
            self.take_in(timeout_s=_POLL_S)
            if len(self._under) < left:
                progress_s = self._now_s()
            for _ in range(left - len(self._under)):
                self._context.listener.step("search", counted(len(self.finds), "sighting"))
            left = min(left, len(self._under))
            if self._under and self._now_s() - start_s > LONG_WAIT_S:
                on_long_wait()
                start_s = math.inf
            if self._now_s() - progress_s > patience_s or not self._is_under_way():
                self._leave(*self._under)
                raise SearchError(
                    f"the finder came to no answer for {patience_s:g} s; {counted(len(self._left), 'field')} left "
                    "to be searched when the run is resumed"
                )

    def _is_under_way(self) -> bool:
        """Whether anything can still answer for the fields that wait."""
        return bool(
            not self._under or self._workers.waiting or self._answers or self._writing or self._unsubmitted
        )

    def _leave(self, *indices: int) -> None:
        """Leave fields for when the run is resumed: their frames stay in the spool."""
        for index in indices:
            self._left[index] = self._under.pop(index)

    def close(self) -> None:
        """Let the workers go; what they had not answered stays in the spool."""
        self._workers.close(is_aborted=lambda: self._context.control.abort_requested)

    def _submit(self, under: WaitingField) -> None:
        index = under.record.index
        context = self._context
        exposure = self._exposure(under)
        self._workers.submit(
            SearchTask(
                index,
                self._spool.path,
                under.slot,
                self._spool.shape,
                exposure,
                context.protocol.find.min_score,
                context.finders.scan,
                context.folder.path,
                self._keeper.wants(index),
                context.instrument.rig_folder
                if context.protocol.scan.background is Background.FLAT_FIELD
                else None,
                None if self._overview is None else self._overview.grid,
                self._metadata(under, exposure) if context.protocol.scan.keep_fields is KeepFields.ALL else None,
                full_scale=context.microscope.rig.camera.full_scale,
                checksum=under.checksum,
            )
        )

    def _take(self, answer: SearchAnswer) -> None:
        under = self._under.get(answer.field_index)
        if under is None:
            # Taken before; what failed then concerned what came after its record.
            return
        if answer.is_storage_fault:
            self._leave(answer.field_index)
            raise StorageError(f"field {answer.field_index} not searched: {answer.error}")
        self._keeper.answered(answer.field_index, kept=answer.landmark is not None)
        if answer.landmark is not None:
            self.landmarks[answer.field_index] = answer.landmark
        if answer.error is not None:
            self._not_searched(under, answer.error)
            return
        self._unsearched_in_a_row = 0
        finds = [
            RecordedFind(self._sighting(under, candidate), thumbnail, crop, answer.crops.noise_od)
            for candidate, thumbnail, crop in zip(
                answer.candidates, answer.thumbnails, answer.crops.paths, strict=True
            )
        ]
        record = replace(under.record, find_ms=answer.find_ms, candidates=len(finds), picture=answer.picture)
        if self._overview is None or answer.tile is None:
            self._close(under, record, finds, answer.landmark, answer.reading)
            return
        write = self._overview.write(answer.tile)
        self._writing.append((write, lambda: self._close(under, record, finds, answer.landmark, answer.reading)))

    def _close(
        self,
        under: WaitingField,
        record: FieldRecord,
        finds: Sequence[RecordedFind],
        landmark: str | None,
        reading: FieldSummary | None = None,
    ) -> None:
        if record.index not in self._in_journal:
            self._log.searched(record, finds, landmark, reading)
            self._in_journal.add(record.index)
        self._context.casebook.record_field(self._context.run_uid, record)
        self.finds.extend(finds)
        self.cells_by_field[record.index] = len(finds)
        # Only now: until the answer is in the journal, the frame may be needed again.
        del self._under[record.index]
        self._spool.release(under.slot)
        self.alarm.take(record.index, reading)

    def _not_searched(self, under: WaitingField, reason: str) -> None:
        index = under.record.index
        context = self._context
        counter = self._faults.setdefault(index, FaultCounter(context.protocol.errors, context.microscope.rig))
        error = SearchError(f"field {index} not searched: {reason}")
        try:
            is_retried = counter.retry(error) is not None
        except AcquisitionError:
            self._leave(index)
            raise
        if is_retried:
            self._unsubmitted.append(under)
            context.note(EventLevel.WARNING, "search_retried", f"{error}; tried again", field=index)
            return
        self._unsearched_in_a_row += 1
        record = replace(under.record, status=FieldStatus.FAILED, error=str(error))
        self._close(under, record, (), None)
        context.note(EventLevel.ERROR, "field_failed", str(error), field=index)
        if self._unsearched_in_a_row > context.protocol.errors.max_failed_fields:
            raise error

    def _sighting(self, under: WaitingField, candidate: Candidate) -> Sighting:
        view = self._exposure(under).view
        camera = view.camera
        point = ImagePoint(candidate.x_px, candidate.y_px)
        where = self._context.frame.to_slide(view.to_stage(point))
        edge_px = min(
            candidate.x_px,
            candidate.y_px,
            camera.width_px - 1 - candidate.x_px,
            camera.height_px - 1 - candidate.y_px,
        )
        return Sighting(
            under.record.index,
            where,
            candidate.radius_px * camera.um_per_px,
            candidate.score,
            max(0.0, edge_px) * camera.um_per_px,
            candidate_score_of(candidate),
        )

    def _exposure(self, under: WaitingField) -> Exposure:
        record = under.record
        if record.stage_x_um is None or record.stage_y_um is None or record.z_um is None:
            raise AcquisitionError(f"field {record.index} has a picture but no position")
        rig = self._context.microscope.rig
        objective = rig.objective(under.objective)
        stage = StagePoint(record.stage_x_um, record.stage_y_um)
        view = ObjectiveView(stage, rig.camera_frame(objective), objective.parcentric)
        return Exposure(view, record.z_um, objective.name, under.exposure_ms, record.taken_at)

    def _metadata(self, under: WaitingField, exposure: Exposure) -> CaptureMetadata:
        return picture_metadata(self._context, f"field-{under.record.index:05d}", "", exposure)


def _lost(task: SearchTask, error: BaseException) -> SearchAnswer:
    return SearchAnswer(
        task.field_index,
        task.slot,
        error=str(error)
        if isinstance(error, AcquisitionError)
        else f"the finder died on it every time: {error!r}",
        is_storage_fault=isinstance(error, (StorageError, OSError)),
    )

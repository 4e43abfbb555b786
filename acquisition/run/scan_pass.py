"""The pass at low magnification: the fields, the finder, and when it has seen enough."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from acquisition.errors import StorageError
from acquisition.plan.candidates import merge
from acquisition.plan.field_size import covered_um
from acquisition.plan.order import densest_first, sample
from acquisition.plan.stopping import StopReason, stop_reason
from acquisition.plan.tiling import PlannedField
from acquisition.protocol import FieldOrder, KeepFields
from acquisition.records import EventLevel
from acquisition.run.background_sync import BackgroundSync
from acquisition.run.boundary import Boundary
from acquisition.run.context import RunContext
from acquisition.run.field_loop import FieldLoop
from acquisition.run.field_search import FieldSearch
from acquisition.run.garbage_collection import frozen_garbage_collector
from acquisition.run.run_log import Progress, RecordedFind, RunLog
from acquisition.storage import FrameSpool
from acquisition.storage.overview import Overview, OverviewGrid
from acquisition.storage.spool import frame_bytes
from scanner.counted import counted
from scanner.focus.surface import FocusSurface

# Fewer frames than this in the spool, and the scan would wait for every hiccup of the finder.
LEAST_SLOTS = 4
# Fields after which what was seen decides anew where cells are densest.
REORDER_AFTER = 18
# A cell of 40 um is ten pixels wide: enough to find one's way; 22 x 50 mm take 70 MB before packing.
OVERVIEW_UM_PER_PX = 4.0


def slots_for(context: RunContext, fields: int) -> int:
    """Frames the spool has to hold: what the context allows, and never more than there are fields.

    Parameters
    ----------
    context
        The run.
    fields
        Number of fields in the plan.
    """
    camera = context.microscope.rig.camera
    affordable = context.search.spool_bytes // frame_bytes((camera.height_px, camera.width_px))
    return max(1, min(fields, max(LEAST_SLOTS, affordable)))


class ScanPass:
    """Owns what the scan needs beside the instrument: spool, finder, and the thread that secures frames.

    Parameters
    ----------
    context
        The run.
    log
        Its journal.
    fields
        The plan.
    progress
        How far the run had come when it was cut off.
    boundary
        Grants pause and stop.
    now_s
        Time source.
    """

    def __init__(
        self,
        context: RunContext,
        log: RunLog,
        fields: Sequence[PlannedField],
        progress: Progress,
        boundary: Boundary,
        *,
        now_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._context = context
        self._log = log
        self._fields = fields
        self._boundary = boundary
        self._now_s = now_s
        self._done = set(progress.photographed)
        self._through = self._recorded_through = progress.scan_is_through
        self._last_stop: tuple[int, StopReason | None] = (-1, None)
        with ExitStack() as stack:
            self._spool = stack.enter_context(self._open_spool(progress))
            self._background_sync = stack.enter_context(BackgroundSync(self._spool, log))
            for index in progress.waiting:
                # What a killed process had put there may not have reached the disk yet.
                self._background_sync.add(index)
            self._overview = _open_overview(context, fields)
            self.search = FieldSearch(
                context,
                log,
                self._spool,
                self._background_sync,
                fields,
                progress,
                overview=self._overview,
                now_s=now_s,
            )
            stack.callback(self.search.close)
            self._stack = stack.pop_all()

    @property
    def finds(self) -> list[RecordedFind]:
        """All sightings so far, those of one cell in two fields not yet merged."""
        return self.search.finds

    @property
    def fields_left(self) -> int:
        """Fields of the plan that are neither photographed nor given up."""
        return 0 if self._through else sum(field.index not in self._done for field in self._fields)

    def run(self, surface: FocusSurface, exposure_ms: float) -> None:
        """Photograph what is left of the plan; light on, scan objective selected.

        Parameters
        ----------
        surface
            Focus of the scan objective over the slide.
        exposure_ms
            Exposure of each field.

        Raises
        ------
        ScannerError, AcquisitionError
            As `FieldLoop.run`.
        """
        context = self._context
        loop = FieldLoop(
            context, surface, self.search, self._background_sync, self._boundary, exposure_ms, now_s=self._now_s
        )
        start_s = self._now_s()
        context.listener.phase("scan", self.fields_left)
        if self._through:
            return
        with frozen_garbage_collector(), context.microscope.overlapped():
            for fields in self._route():
                if not loop.run(fields, enough=lambda: self._is_enough(start_s)):
                    break
                self._done.update(field.index for field in fields)
        # Nothing drives the focus while the fields are searched.
        context.microscope.release_autofocus()
        if not context.control.stop_requested:
            self._through = True

    def finish(self, *, on_long_wait: Callable[[], object] = lambda: None) -> None:
        """Wait until all that was photographed is searched; needs neither light nor stage.

        Parameters
        ----------
        on_long_wait
            As for `FieldSearch.finish`.

        Raises
        ------
        StorageError, SearchError, SlideParkedError
            A field could not be searched or recorded.
        """
        self.search.finish(stop=self._is_aborted, on_long_wait=on_long_wait)
        if self.search.waiting or self._recorded_through:
            return
        self.search.alarm.check()
        if self._overview is not None:
            self._overview.build_pyramid()
        if self._through:
            self._recorded_through = True
            self._log.scanned()

    def _is_aborted(self) -> bool:
        self._context.control.poll()
        return self._context.control.abort_requested

    def close(self) -> None:
        """Let everything go; the frames stay on the disk only where one of them is still to be searched."""
        self._stack.close()
        if not self.search.waiting:
            self._spool.remove()

    def _route(self) -> Iterator[list[PlannedField]]:
        """What to photograph next, in portions between which the order may change."""
        if self._context.protocol.scan.order is FieldOrder.SERPENTINE:
            yield [field for field in self._fields if field.index not in self._done]
            return
        thin = [field for field in sample(self._fields) if field.index not in self._done]
        yield thin
        while True:
            seen = {index: float(self.search.cells_by_field[index]) for index in self._done}
            left = densest_first(self._fields, seen)
            if not left:
                return
            yield list(left[:REORDER_AFTER])

    def _is_enough(self, start_s: float) -> bool:
        rule = self._context.protocol.stop
        if rule.cells is None and rule.max_minutes is None:
            return False
        finds = self.search.finds
        chances: list[float] = []
        if rule.cells is not None and len(finds) != self._last_stop[0]:
            chances = [sighting.chance for sighting in merge(find.sighting for find in finds)]
        reason = stop_reason(rule, chances, self._now_s() - start_s)
        self._last_stop = (len(finds), reason)
        if reason is not None:
            self._note_stop(reason)
        return reason is not None

    def _note_stop(self, reason: StopReason) -> None:
        taken = self._done | self.search.taken
        left = sum(field.index not in taken for field in self._fields)
        self._context.note(
            EventLevel.INFO,
            "seen_enough",
            f"scan ended before its area ({reason.value}): {counted(left, 'field')} not needed",
            reason=reason.value,
            fields_left=left,
        )

    def _open_spool(self, progress: Progress) -> FrameSpool:
        context = self._context
        camera = context.microscope.rig.camera
        shape = (camera.height_px, camera.width_px)
        path = context.folder.spool
        if progress.waiting:
            try:
                return FrameSpool.reopen(path, shape, [waiting.slot for waiting in progress.waiting.values()])
            except StorageError as error:
                # The frames are gone: their fields are photographed again.
                context.note(
                    EventLevel.WARNING, "frames_lost", f"{counted(len(progress.waiting), 'frame')}: {error}"
                )
                self._done.difference_update(progress.waiting)
                progress.lost.update(progress.waiting)
                progress.waiting.clear()
        return FrameSpool.create(path, shape, slots_for(context, len(self._fields)))


def _open_overview(context: RunContext, fields: Sequence[PlannedField]) -> Overview | None:
    if context.protocol.scan.keep_fields is KeepFields.NONE:
        return None
    rig, path = context.microscope.rig, context.folder.overview
    width_um, height_um = covered_um(rig, rig.objective(context.protocol.scan.objective), context.frame)
    xs, ys = [f.centre.x_um for f in fields], [f.centre.y_um for f in fields]
    grid = OverviewGrid(
        x_min_um=min(xs) - width_um / 2,
        y_min_um=min(ys) - height_um / 2,
        width_px=max(1, math.floor((max(xs) - min(xs) + width_um) / OVERVIEW_UM_PER_PX)),
        height_px=max(1, math.floor((max(ys) - min(ys) + height_um) / OVERVIEW_UM_PER_PX)),
        um_per_px=OVERVIEW_UM_PER_PX,
        full_scale=rig.camera.full_scale,
        frame=context.frame,
        field_width_um=width_um,
        field_height_um=height_um,
    )
    return Overview.reopen(path, grid) if (path / "zarr.json").exists() else Overview.create(path, grid)

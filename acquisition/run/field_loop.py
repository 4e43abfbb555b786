"""The scan: every field once, at the place it was sent to, or marked as failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.plan.candidates import Sighting
from acquisition.plan.tiling import PlannedField
from acquisition.records import EventLevel, FieldRecord, FieldStatus
from acquisition.run.context import RunContext
from analysis.finder import Candidate
from scanner.coordinates import ImagePoint
from scanner.errors import DeviceError, MoveStoppedError
from scanner.focus.surface import FocusSurface
from scanner.frame import Frame

THUMBNAIL_UM = 120.0


@dataclass(frozen=True, slots=True)
class Find:
    """A sighting with the picture that a person will want to see.

    Attributes
    ----------
    sighting
        Where and how sure.
    thumbnail
        uint8, square, `THUMBNAIL_UM` wide where the field's edge allows.
    """

    sighting: Sighting
    thumbnail: NDArray[np.uint8]


@dataclass(slots=True)
class _Timing:
    move_ms: float = 0.0
    focus_ms: float = 0.0
    expose_ms: float = 0.0
    find_ms: float = 0.0


class FieldLoop:
    """Photographs the planned fields and looks for metaphases.

    While one field is searched, the stage is already on its way to the next; the picture of a field is taken only
    after its own arrival has been proven. A field that fails is tried once more, then recorded as failed.

    Parameters
    ----------
    context
        The run; light on, scan objective selected.
    surface
        Focus of the scan objective over the slide.
    now_s
        Time source for the timings.
    """

    def __init__(
        self, context: RunContext, surface: FocusSurface, *, now_s: Callable[[], float] = time.perf_counter
    ) -> None:
        self._context = context
        self._surface = surface
        self._now_s = now_s
        self._under_way: int | None = None
        self._failed_in_a_row = 0

    def run(self, fields: tuple[PlannedField, ...]) -> list[Find]:
        """Scan the fields in order.

        Returns
        -------
        list of Find
            All sightings at or above the protocol's score, those of one cell in two fields not yet merged.

        Raises
        ------
        DeviceError
            More fields in a row failed than the protocol allows.
        """
        finds: list[Find] = []
        self._context.listener.phase("scan", len(fields))
        for position, field in enumerate(fields):
            if self._context.control.stop_requested:
                break
            following = fields[position + 1] if position + 1 < len(fields) else None
            found = self._field(field, following)
            finds.extend(found)
            self._context.listener.step("scan", f"{len(finds)} sightings")
        self._settle_lookahead()
        return finds

    def _field(self, field: PlannedField, following: PlannedField | None) -> list[Find]:
        timing = _Timing()
        try:
            frame = self._photograph(field, timing)
        except MoveStoppedError:
            raise
        except DeviceError as error:
            self._fail(field, error, timing)
            return []
        self._failed_in_a_row = 0
        self._look_ahead(following)
        start_s = self._now_s()
        objective = self._context.microscope.rig.objective(frame.objective)
        candidates = self._context.finder(frame.pixels, objective.um_per_px)
        finds = [
            self._find(field, frame, candidate)
            for candidate in candidates
            if candidate.score >= self._context.protocol.find.min_score
        ]
        timing.find_ms = 1000 * (self._now_s() - start_s)
        stage = frame.view.stage
        self._context.casebook.record_field(
            self._context.run_uid,
            self._record(
                field, timing, FieldStatus.DONE, frame.taken_at, stage.x_um, stage.y_um, frame.z_um, len(finds)
            ),
        )
        return finds

    def _photograph(self, field: PlannedField, timing: _Timing) -> Frame:
        """Arrive, focus, expose; once more from the start if the instrument complains the first time."""
        try:
            return self._attempt(field, timing)
        except MoveStoppedError:
            raise
        except DeviceError as error:
            self._context.note(
                EventLevel.WARNING, "field_retried", f"field {field.index} tried again: {error}", field=field.index
            )
            self._settle_lookahead()
            return self._attempt(field, timing)

    def _attempt(self, field: PlannedField, timing: _Timing) -> Frame:
        microscope = self._context.microscope
        start_s = self._now_s()
        if self._under_way == field.index:
            self._under_way = None
            microscope.finish_move()
        else:
            microscope.move_to(microscope.rig.slide.frame.to_stage(field.centre))
        moved_s = self._now_s()
        microscope.focus_to(self._surface.z_um(field.centre))
        focused_s = self._now_s()
        frame = microscope.snap(self._context.protocol.scan.exposure_ms)
        timing.move_ms += 1000 * (moved_s - start_s)
        timing.focus_ms += 1000 * (focused_s - moved_s)
        timing.expose_ms += 1000 * (self._now_s() - focused_s)
        return frame

    def _look_ahead(self, following: PlannedField | None) -> None:
        if following is None or self._context.control.stop_requested:
            return
        microscope = self._context.microscope
        try:
            microscope.start_move(microscope.rig.slide.frame.to_stage(following.centre))
        except DeviceError as error:
            # The fault belongs to the next field, which will meet it again and handle it there.
            self._context.note(
                EventLevel.INFO, "lookahead_refused", f"field {following.index}: {error}", field=following.index
            )
        else:
            self._under_way = following.index

    def _settle_lookahead(self) -> None:
        """End a move that nobody will wait for any more."""
        if self._under_way is None:
            return
        index, self._under_way = self._under_way, None
        try:
            self._context.microscope.finish_move()
        except DeviceError as error:
            self._context.note(EventLevel.INFO, "lookahead_failed", f"field {index}: {error}", field=index)

    def _fail(self, field: PlannedField, error: DeviceError, timing: _Timing) -> None:
        self._failed_in_a_row += 1
        record = self._record(
            field, timing, FieldStatus.FAILED, datetime.now(UTC), None, None, None, 0, str(error)
        )
        self._context.casebook.record_field(self._context.run_uid, record)
        self._context.note(
            EventLevel.ERROR, "field_failed", f"field {field.index} not photographed: {error}", field=field.index
        )
        if self._failed_in_a_row > self._context.protocol.errors.max_failed_fields:
            raise error

    def _record(
        self,
        field: PlannedField,
        timing: _Timing,
        status: FieldStatus,
        taken_at: datetime,
        stage_x_um: float | None,
        stage_y_um: float | None,
        z_um: float | None,
        candidates: int,
        error: str | None = None,
    ) -> FieldRecord:
        return FieldRecord(
            index=field.index,
            row=field.row,
            column=field.column,
            slide_x_um=field.centre.x_um,
            slide_y_um=field.centre.y_um,
            stage_x_um=stage_x_um,
            stage_y_um=stage_y_um,
            z_um=z_um,
            status=status,
            taken_at=taken_at,
            move_ms=timing.move_ms,
            focus_ms=timing.focus_ms,
            expose_ms=timing.expose_ms,
            find_ms=timing.find_ms,
            candidates=candidates,
            error=error,
        )

    def _find(self, field: PlannedField, frame: Frame, candidate: Candidate) -> Find:
        microscope = self._context.microscope
        um_per_px = frame.view.camera.um_per_px
        where = microscope.rig.slide.frame.to_slide(
            frame.view.to_stage(ImagePoint(candidate.x_px, candidate.y_px))
        )
        height, width = frame.pixels.shape
        edge_px = min(candidate.x_px, candidate.y_px, width - 1 - candidate.x_px, height - 1 - candidate.y_px)
        sighting = Sighting(
            field.index, where, candidate.radius_px * um_per_px, candidate.score, max(0.0, edge_px) * um_per_px
        )
        return Find(sighting, _thumbnail(frame.pixels, candidate, um_per_px))


def _thumbnail(pixels: NDArray[np.uint16], candidate: Candidate, um_per_px: float) -> NDArray[np.uint8]:
    half = round(THUMBNAIL_UM / um_per_px / 2)
    row, column = round(candidate.y_px), round(candidate.x_px)
    height, width = pixels.shape
    part = pixels[max(0, row - half) : min(height, row + half), max(0, column - half) : min(width, column + half)]
    low, high = float(part.min()), float(np.percentile(part, 99))
    stretched = np.clip((part.astype(np.float32) - low) * (255.0 / max(high - low, 1.0)), 0, 255)
    return np.asarray(cv2.convertScaleAbs(stretched), dtype=np.uint8)

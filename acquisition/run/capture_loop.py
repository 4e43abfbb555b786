"""The captures: each chosen cell relocated, focused, centred and photographed at high magnification."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from acquisition.deadline import BoundedCalls
from acquisition.errors import (
    AcquisitionError,
    DeadlineError,
    NotConfirmedError,
    RunAbortedError,
    SearchError,
    UnsteadyError,
)
from acquisition.plan.capture_order import capture_order
from acquisition.protocol import Background, ExposureMode
from acquisition.records import CandidateStatus, CaptureRecord, EventLevel
from acquisition.run.boundary import Boundary
from acquisition.run.context import RunContext
from acquisition.run.exposure import measure_exposure
from acquisition.run.faults import FaultCounter
from acquisition.run.focus_map import sweep_for
from acquisition.run.picture_metadata import picture_metadata
from acquisition.run.run_log import RankedCandidate, RunLog
from acquisition.storage import write_capture
from analysis.finder import Candidate
from scanner.coordinates import ImagePoint, StagePoint, stage_to_centre
from scanner.errors import DeviceError, FocusError, MoveStoppedError, RigError
from scanner.flat_field import FlatField
from scanner.focus.measure import brenner, object_mask, relative_transmission
from scanner.focus.search import FocusResult, search_focus
from scanner.focus.surface import FocusSurface
from scanner.frame import Frame
from scanner.stillness import StillnessVerdict, prove_stillness

CENTRING_TRIES = 3
# A cell seen at 63x further from the relocated place than this is another cell.
SAME_CELL_UM = 45.0
# Focus is measured in the middle of the picture, where the cell has been brought to.
FOCUS_FRACTION = 0.7
# A search that is repeated after a fault reaches further, since the expectation has proven wrong.
REFOCUS_FACTOR = 2.0

# What is wrong with one cell says nothing about the next one, nor about the instrument.
_CELLS_OWN = (NotConfirmedError, FocusError)


@dataclass(frozen=True, slots=True)
class _Centred:
    frame: Frame
    focus: FocusResult
    offset_um: float


class CaptureLoop:
    """Photographs candidates with the capture objective.

    What goes wrong with a cell is tried again, skipped and marked, or ends the slide, as the protocol says for the
    kind of fault.

    Parameters
    ----------
    context
        The run; light on, capture objective selected.
    log
        Its journal.
    surface
        Focus of the reference objective over the slide.
    boundary
        Grants pause and stop.
    hand_over
        Called with every stored capture; must return at once.

    Raises
    ------
    RigError
        The protocol divides the flat field out, and the rig's pictures can't be used.
    """

    def __init__(
        self,
        context: RunContext,
        log: RunLog,
        surface: FocusSurface,
        boundary: Boundary,
        hand_over: Callable[[CaptureRecord], None],
    ) -> None:
        self._context = context
        self._log = log
        self._surface = surface
        self._boundary = boundary
        self._hand_over = hand_over
        self._flat_field = _flat_field(context)
        self._exposure_ms: float | None = None
        if context.protocol.capture.exposure is ExposureMode.FIXED:
            self._exposure_ms = context.protocol.capture.exposure_ms
        self._failed_in_a_row = 0
        # One thread: a locator that hangs on one picture is not asked again, and no more is left behind.
        self._locating = BoundedCalls("locator", context.finders.locator_deadline_s)

    def run(self, candidates: Sequence[RankedCandidate]) -> None:
        """Photograph the candidates, by rank as far as travel allows.

        A cell that can't be photographed is recorded with the reason, and the next one is taken.

        Raises
        ------
        DeviceError
            The protocol aborts for this fault, or more cells in a row failed by the instrument's fault than it
            allows fields to fail.
        SlideParkedError
            The protocol gives the slide up for this fault.
        StorageError
            A picture can't be written.
        RunAbortedError
            The run was given up.
        """
        places = [candidate.sighting.where for candidate in candidates]
        order = capture_order(places, self._context.protocol.capture.max_rank_delay)
        self._context.listener.phase("capture", len(candidates))
        for index in order:
            if not self._boundary.cross():
                return
            self._cell(candidates[index])
            self._context.listener.step("capture", candidates[index].uid)

    def _cell(self, candidate: RankedCandidate) -> None:
        counter = FaultCounter(self._context.protocol.errors, self._context.microscope.rig)
        range_um = self._context.protocol.capture.focus_range_um
        while True:
            try:
                capture = self._capture(candidate, range_um)
            except MoveStoppedError:
                raise
            except (DeviceError, NotConfirmedError, SearchError, UnsteadyError) as error:
                rule = counter.retry(error)
                if rule is None:
                    self._fail(candidate, error)
                    return
                self._context.note(
                    EventLevel.WARNING,
                    "capture_retried",
                    f"{candidate.uid} tried again: {error}",
                    candidate=candidate.uid,
                )
                if rule.refocus:
                    range_um *= REFOCUS_FACTOR
            else:
                self._failed_in_a_row = 0
                self._hand_over(capture)
                return

    def _capture(self, candidate: RankedCandidate, range_um: float) -> CaptureRecord:
        centred = self._centre(candidate, range_um)
        context, uid = self._context, candidate.uid
        planes = self._planes(centred)
        frame = max(planes, key=_sharpness)
        context.folder.require_free(2 * len(planes) * frame.pixels.nbytes)
        metadata = picture_metadata(context, uid, candidate.uid, frame)
        for number, plane in enumerate(planes if len(planes) > 1 else (), start=1):
            # Written first: once the sharpest is recorded, the cell counts as photographed.
            name = f"{uid}-z{number:02d}"
            beside = context.folder.captures / f"{name}.ome.tiff"
            write_capture(beside, plane.pixels, picture_metadata(context, name, candidate.uid, plane))
        path = context.folder.captures / f"{uid}.ome.tiff"
        sha256 = write_capture(path, frame.pixels, metadata)
        record = CaptureRecord(
            uid=uid,
            candidate_uid=candidate.uid,
            path=str(path.relative_to(context.folder.path)),
            sha256=sha256,
            slide_x_um=metadata.slide_x_um,
            slide_y_um=metadata.slide_y_um,
            stage_x_um=metadata.stage_x_um,
            stage_y_um=metadata.stage_y_um,
            z_um=frame.z_um,
            objective=frame.objective,
            um_per_px=metadata.um_per_px,
            exposure_ms=frame.exposure_ms,
            focus_score=centred.focus.score,
            centring_um=centred.offset_um,
            taken_at=frame.taken_at,
        )
        self._log.captured(record)
        context.casebook.record_capture(context.run_uid, record)
        context.casebook.set_candidate_status(context.run_uid, candidate.uid, CandidateStatus.CAPTURED)
        return record

    def _centre(self, candidate: RankedCandidate, range_um: float) -> _Centred:
        """Bring the cell into focus and to the middle of the picture."""
        microscope = self._context.microscope
        capture = self._context.protocol.capture
        objective = microscope.objective
        where = self._context.frame.to_stage(candidate.sighting.where)
        expected_um = self._surface.z_um(candidate.sighting.where) + objective.parfocal_um
        self._ensure_oil(where)
        for tries in range(1, CENTRING_TRIES + 1):
            microscope.move_to(stage_to_centre(where, objective.parcentric), one_sided=True)
            exposure_ms = self._exposure_ms or capture.exposure_ms
            sweep = sweep_for(objective.depth_of_field_um, range_um, exposure_ms, centre_fraction=FOCUS_FRACTION)
            focus = search_focus(microscope, expected_um, sweep)
            expected_um = focus.z_um
            frame = self._picture(candidate)
            seen = self._nearest_cell(frame)
            if seen is None:
                raise NotConfirmedError("high magnification shows no metaphase here")
            seen_at = frame.view.to_stage(ImagePoint(seen.x_px, seen.y_px))
            offset_um = seen_at.distance_um(frame.view.centre)
            centred = _Centred(frame, focus, offset_um)
            if offset_um <= capture.centring_tolerance_um:
                break
            where = seen_at
            if tries == CENTRING_TRIES:
                self._context.note(
                    EventLevel.WARNING,
                    "not_centred",
                    f"{candidate.uid}: still {offset_um:.1f} um off centre after {tries} tries",
                    candidate=candidate.uid,
                    offset_um=offset_um,
                )
        return centred

    def _planes(self, centred: _Centred) -> list[Frame]:
        """The planes that the protocol asks for, from below, the middle one in the best focus."""
        stack = self._context.protocol.capture.z_stack
        if stack.planes == 1:
            return [centred.frame]
        microscope = self._context.microscope
        frames = []
        for number in range(stack.planes):
            microscope.focus_to(centred.focus.z_um + number * stack.step_um - stack.half_range_um)
            frame = microscope.snap(centred.frame.exposure_ms)
            frames.append(frame if self._flat_field is None else self._flat_field.correct(frame))
        return frames

    def _ensure_oil(self, where: StagePoint) -> None:
        """Give a drop where an oil objective will work and none has fallen yet, if the instrument can."""
        microscope = self._context.microscope
        slides = microscope.slides
        if microscope.objective.immersion == "oil" and slides.has_oiler and not slides.has_oil(where):
            slides.apply_oil(where, allowed=self._context.protocol.capture.oil == "allowed")

    def _picture(self, candidate: RankedCandidate) -> Frame:
        """Expose what lies there now, in focus; still, and with the light divided out, where that is asked for."""
        microscope, capture = self._context.microscope, self._context.protocol.capture
        if self._exposure_ms is None:
            self._exposure_ms = measure_exposure(microscope, capture.exposure_ms)
            self._context.note(
                EventLevel.INFO,
                "exposure",
                f"capture exposure {self._exposure_ms:.2f} ms, measured on {candidate.uid}",
                exposure_ms=self._exposure_ms,
            )
        if capture.check_still:
            self._require_still(candidate, self._exposure_ms)
        frame = microscope.snap(self._exposure_ms)
        return frame if self._flat_field is None else self._flat_field.correct(frame)

    def _require_still(self, candidate: RankedCandidate, exposure_ms: float) -> None:
        stillness = prove_stillness(self._context.microscope, exposure_ms)
        if stillness.verdict is StillnessVerdict.MOVED:
            way = "by an unknown distance" if stillness.shift_um is None else f"by {stillness.shift_um:.2f} um"
            raise UnsteadyError(
                f"{candidate.uid} moved {way} between two exposures, allowed {stillness.limit_um:.2f} um"
            )

    def _nearest_cell(self, frame: Frame) -> Candidate | None:
        um_per_px = frame.view.camera.um_per_px
        centre = frame.view.camera.centre

        def distance_um(candidate: Candidate) -> float:
            return float(np.hypot(candidate.x_px - centre.x_px, candidate.y_px - centre.y_px)) * um_per_px

        near = [c for c in self._located(frame) if distance_um(c) <= SAME_CELL_UM]
        return min(near, key=distance_um, default=None)

    def _located(self, frame: Frame) -> Sequence[Candidate]:
        """Candidates at high magnification; searched in this process, and waited for only so long."""
        finders, control = self._context.finders, self._context.control
        locator = finders.locator or finders.scan

        def is_aborted() -> bool:
            control.poll()
            return control.abort_requested

        try:
            return self._locating.call(
                lambda: locator(frame.pixels, frame.view.camera.um_per_px),
                "search at high magnification",
                is_aborted=is_aborted,
            )
        except DeadlineError as error:
            if control.abort_requested:
                raise RunAbortedError("the run was aborted by request") from error
            raise SearchError(str(error)) from error

    def _fail(self, candidate: RankedCandidate, error: DeviceError | AcquisitionError) -> None:
        context = self._context
        self._log.capture_failed(candidate.uid, str(error))
        context.casebook.set_candidate_status(context.run_uid, candidate.uid, CandidateStatus.FAILED, str(error))
        is_cells_own = isinstance(error, _CELLS_OWN)
        context.note(
            EventLevel.WARNING if is_cells_own else EventLevel.ERROR,
            "capture_failed",
            f"{candidate.uid} not photographed: {error}",
            candidate=candidate.uid,
        )
        if is_cells_own:
            return
        self._failed_in_a_row += 1
        if self._failed_in_a_row > context.protocol.errors.max_failed_fields:
            raise error


def _sharpness(frame: Frame) -> float:
    """Brenner measure of the middle of a picture, where the cell is."""
    height, width = frame.pixels.shape
    rows, columns = (round(side * (1 - FOCUS_FRACTION) / 2) for side in (height, width))
    transmission = relative_transmission(frame.pixels[rows : height - rows, columns : width - columns])
    return brenner(transmission, object_mask(transmission))


def _flat_field(context: RunContext) -> FlatField | None:
    if context.protocol.capture.background is Background.NONE:
        return None
    if context.instrument.rig_folder is None:
        raise RigError(
            "capture.background: the rig has no folder of flat-field pictures; open the rig from its "
            "folder, or set capture.background: none"
        )
    return FlatField.of_rig(context.microscope.rig, context.instrument.rig_folder)

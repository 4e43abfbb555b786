"""The captures: each chosen cell relocated, focused, centred and photographed at high magnification."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from acquisition.errors import NotConfirmedError
from acquisition.plan.candidates import Sighting
from acquisition.records import CandidateStatus, CaptureRecord, EventLevel
from acquisition.run.context import RunContext
from acquisition.run.focus_map import sweep_for
from acquisition.storage import CaptureMetadata, ObjectiveMetadata, write_capture
from acquisition.storage.capture_metadata import Immersion
from analysis.finder import Candidate
from scanner.coordinates import ImagePoint, stage_to_centre
from scanner.errors import DeviceError, FocusError, MoveStoppedError
from scanner.focus.search import FocusResult, search_focus
from scanner.focus.surface import FocusSurface
from scanner.frame import Frame
from scanner.rig import Objective

CENTRING_TRIES = 3
# A cell seen at 63x further from the relocated place than this is another cell.
SAME_CELL_UM = 45.0
# Focus is measured in the middle of the picture, where the cell has been brought to.
FOCUS_SHARE = 0.7


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """A merged candidate with its name and its place in the order; rank 1 is the best."""

    uid: str
    rank: int
    sighting: Sighting


@dataclass(frozen=True, slots=True)
class _Centred:
    frame: Frame
    focus: FocusResult
    offset_um: float


class CaptureLoop:
    """Photographs candidates with the capture objective.

    Parameters
    ----------
    context
        The run; light on, capture objective selected.
    surface
        Focus of the reference objective over the slide.
    hand_over
        Called with every stored capture; must return at once.
    """

    def __init__(
        self, context: RunContext, surface: FocusSurface, hand_over: Callable[[CaptureRecord], None]
    ) -> None:
        self._context = context
        self._surface = surface
        self._hand_over = hand_over

    def run(self, candidates: Sequence[RankedCandidate]) -> list[CaptureRecord]:
        """Photograph the candidates in order.

        A cell that can't be photographed is recorded with the reason, and the next one is taken.

        Raises
        ------
        DeviceError
            As many cells in a row failed by the instrument's fault as the protocol allows fields to fail.
        StorageError
            A picture can't be written.
        """
        captures: list[CaptureRecord] = []
        failed_in_a_row = 0
        self._context.listener.phase("capture", len(candidates))
        for candidate in candidates:
            if self._context.control.stop_requested:
                break
            try:
                capture = self._capture(candidate)
            except MoveStoppedError:
                raise
            except (NotConfirmedError, FocusError) as error:
                # The cell's fault, not the instrument's: it says nothing about the next one.
                self._fail(candidate, error, EventLevel.WARNING)
            except DeviceError as error:
                failed_in_a_row += 1
                self._fail(candidate, error, EventLevel.ERROR)
                if failed_in_a_row > self._context.protocol.errors.max_failed_fields:
                    raise
            else:
                failed_in_a_row = 0
                captures.append(capture)
                self._hand_over(capture)
            self._context.listener.step("capture", candidate.uid)
        return captures

    def _capture(self, candidate: RankedCandidate) -> CaptureRecord:
        centred = self._centre(candidate)
        frame = centred.frame
        microscope = self._context.microscope
        objective = microscope.rig.objective(frame.objective)
        centre = microscope.rig.slide.frame.to_slide(frame.view.centre)
        uid = candidate.uid
        metadata = CaptureMetadata(
            uid=uid,
            run_uid=self._context.run_uid,
            candidate_uid=candidate.uid,
            slide=self._context.slide,
            um_per_px=frame.view.camera.um_per_px,
            stage_x_um=frame.view.stage.x_um,
            stage_y_um=frame.view.stage.y_um,
            z_um=frame.z_um,
            slide_x_um=centre.x_um,
            slide_y_um=centre.y_um,
            exposure_ms=frame.exposure_ms,
            taken_at=frame.taken_at,
            objective=_describe(objective),
            significant_bits=microscope.rig.camera.bit_depth,
        )
        self._context.folder.require_free(2 * frame.pixels.nbytes)
        path = self._context.folder.captures / f"{uid}.ome.tiff"
        sha256 = write_capture(path, frame.pixels, metadata)
        record = CaptureRecord(
            uid=uid,
            candidate_uid=candidate.uid,
            path=str(path.relative_to(self._context.folder.path)),
            sha256=sha256,
            slide_x_um=centre.x_um,
            slide_y_um=centre.y_um,
            stage_x_um=frame.view.stage.x_um,
            stage_y_um=frame.view.stage.y_um,
            z_um=frame.z_um,
            objective=objective.name,
            um_per_px=frame.view.camera.um_per_px,
            exposure_ms=frame.exposure_ms,
            focus_score=centred.focus.score,
            centring_um=centred.offset_um,
            taken_at=frame.taken_at,
        )
        self._context.casebook.record_capture(self._context.run_uid, record)
        self._context.casebook.set_candidate_status(self._context.run_uid, candidate.uid, CandidateStatus.CAPTURED)
        return record

    def _centre(self, candidate: RankedCandidate) -> _Centred:
        """Bring the cell into focus and to the middle of the picture."""
        microscope = self._context.microscope
        capture = self._context.protocol.capture
        objective = microscope.objective
        where = microscope.rig.slide.frame.to_stage(candidate.sighting.where)
        expected_um = self._surface.z_um(candidate.sighting.where) + objective.parfocal_um
        sweep = sweep_for(
            objective.depth_of_field_um, capture.focus_range_um, capture.exposure_ms, share=FOCUS_SHARE
        )
        for tries in range(1, CENTRING_TRIES + 1):
            microscope.move_to(stage_to_centre(where, objective.parcentric))
            focus = search_focus(microscope, expected_um, sweep)
            expected_um = focus.z_um
            frame = microscope.snap(capture.exposure_ms)
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

    def _nearest_cell(self, frame: Frame) -> Candidate | None:
        um_per_px = frame.view.camera.um_per_px
        centre = frame.view.camera.centre

        def distance_um(candidate: Candidate) -> float:
            return float(np.hypot(candidate.x_px - centre.x_px, candidate.y_px - centre.y_px)) * um_per_px

        near = [c for c in self._context.finder(frame.pixels, um_per_px) if distance_um(c) <= SAME_CELL_UM]
        return min(near, key=distance_um, default=None)

    def _fail(self, candidate: RankedCandidate, error: DeviceError | NotConfirmedError, level: EventLevel) -> None:
        self._context.casebook.set_candidate_status(
            self._context.run_uid, candidate.uid, CandidateStatus.FAILED, str(error)
        )
        self._context.note(
            level,
            "capture_failed",
            f"{candidate.uid} not photographed: {error}",
            candidate=candidate.uid,
        )


def _describe(objective: Objective) -> ObjectiveMetadata:
    return ObjectiveMetadata(
        name=objective.label,
        magnification=objective.magnification,
        numerical_aperture=objective.numerical_aperture,
        immersion=Immersion.OIL if objective.immersion == "oil" else Immersion.AIR,
    )

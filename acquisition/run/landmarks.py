"""Fields by which a slide is known again after the run was cut off."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ResumeError
from acquisition.plan.tiling import PlannedField
from acquisition.records import CaptureRecord, EventLevel
from acquisition.run.context import RunContext
from acquisition.run.focus_map import sweep_for
from acquisition.run.retry import retry_step
from acquisition.run.search_task import LANDMARK_FOLD, reduced
from acquisition.storage import read_capture
from scanner.calibration.errors import CalibrationError
from scanner.calibration.shift import image_shift
from scanner.coordinates import ImagePoint, SlidePoint, StagePoint
from scanner.counted import counted
from scanner.errors import FocusError
from scanner.focus.search import search_focus
from scanner.focus.surface import FocusSurface

# As many are compared; each alone could be a chance likeness or lie under a new speck of dust.
COMPARED = 3
# As many are kept: some may prove useless, and those compared should lie far apart.
KEPT = 8
# A slide that lies further off than this was taken out and put back; what was found before would be missed at 63x.
LARGEST_SHIFT_UM = 15.0
# Landmarks of one slide that lies still agree as well as the stage repeats.
LARGEST_DISAGREEMENT_UM = 5.0
FOCUS_RANGE_UM = 20.0

_Name = TypeVar("_Name", int, str)


class LandmarkKeeper:
    """Chooses, while the scan goes on, which fields become landmarks.

    Parameters
    ----------
    fields
        The plan.
    kept
        Indices of landmarks that there are already.
    """

    def __init__(self, fields: Sequence[PlannedField], kept: Sequence[int] = ()) -> None:
        self._fields = {f.index: f for f in fields}
        self._kept = set(kept)
        self._asked: set[int] = set()
        xs, ys = [f.centre.x_um for f in fields], [f.centre.y_um for f in fields]
        self._apart_um = max(max(xs) - min(xs), max(ys) - min(ys)) / KEPT

    def wants(self, index: int) -> bool:
        """Whether this field should be kept, if it shows enough; the first three wherever they lie."""
        chosen = self._kept | self._asked
        if len(chosen) >= KEPT:
            return False
        here = self._fields[index].centre
        near = any(here.distance_um(self._fields[other].centre) < self._apart_um for other in chosen)
        if len(chosen) >= COMPARED and near:
            return False
        self._asked.add(index)
        return True

    def answered(self, index: int, *, kept: bool) -> None:
        """Hear what became of a field.

        Parameters
        ----------
        index
            The field.
        kept
            Whether its landmark was kept.
        """
        self._asked.discard(index)
        if kept:
            self._kept.add(index)


def recognise(
    context: RunContext, fields: Sequence[PlannedField], landmarks: Mapping[int, str], surface: FocusSurface
) -> dict[int, tuple[float, float]]:
    """Photograph landmarks again and compare.

    Parameters
    ----------
    context
        The run; light on, scan objective selected.
    fields
        The plan.
    landmarks
        Field index to the reduced copy, relative to the run folder.
    surface
        Present focus of the scan objective over the slide.

    Returns
    -------
    dict
        Field index to the shift of its content along the stage's axes, um.

    Raises
    ------
    ResumeError
        This is another slide, or it lies elsewhere; with what was seen.
    DeviceError
        The instrument failed.
    """
    if not landmarks:
        raise ResumeError("no field photographed before has enough detail to recognise the slide; scan it anew")
    by_index = {f.index: f for f in fields}
    scan = context.protocol.scan
    shifts: dict[int, tuple[float, float]] = {}
    for index in _far_apart({i: by_index[i].centre for i in sorted(landmarks)}):
        centre = by_index[index].centre
        stage, z_um = context.frame.to_stage(centre), surface.z_um(centre)
        place = _Place(f"field {index}", stage, z_um, FOCUS_RANGE_UM, scan.exposure_ms)
        shifts[index] = _shift_um(context, place, _read(context.folder.path / landmarks[index]))
    _judge(shifts)
    _tell(context, {f"field {index}": shift for index, shift in shifts.items()})
    return shifts


def recognise_in_oil(context: RunContext, captures: Sequence[CaptureRecord]) -> None:
    """Photograph cells again and compare, where oil keeps the scan's objective away from the slide.

    Parameters
    ----------
    context
        The run; light on, capture objective selected.
    captures
        Pictures that the run has taken.

    Raises
    ------
    ResumeError
        This is another slide, or it lies elsewhere; or there is no picture to know it by.
    StorageError
        A picture is not what was recorded.
    DeviceError
        The instrument failed.
    """
    if not captures:
        raise ResumeError(
            "there is oil on the slide, and no capture by which to recognise it: clean it, declare it "
            "clean, and resume"
        )
    by_uid = {capture.uid: capture for capture in captures}
    range_um = context.protocol.capture.focus_range_um
    shifts: dict[str, tuple[float, float]] = {}
    for uid in _far_apart({c.uid: SlidePoint(c.slide_x_um, c.slide_y_um) for c in captures}):
        capture = by_uid[uid]
        stage = StagePoint(capture.stage_x_um, capture.stage_y_um)
        stored = read_capture(context.folder.path / capture.path, sha256=capture.sha256)
        place = _Place(uid, stage, capture.z_um, 2 * range_um, capture.exposure_ms)
        shifts[uid] = _shift_um(context, place, reduced(stored.pixels))
    _judge(shifts)
    _tell(context, shifts)


@dataclass(frozen=True, slots=True)
class _Place:
    name: str
    stage: StagePoint
    z_um: float
    range_um: float
    exposure_ms: float


def _shift_um(context: RunContext, place: _Place, stored: NDArray[np.uint16]) -> tuple[float, float]:
    return retry_step(context, place.name, lambda: _measured_shift_um(context, place, stored))


def _measured_shift_um(context: RunContext, place: _Place, stored: NDArray[np.uint16]) -> tuple[float, float]:
    microscope = context.microscope
    microscope.move_to(place.stage)
    sweep = sweep_for(microscope.objective.depth_of_field_um, place.range_um, place.exposure_ms)
    try:
        search_focus(microscope, place.z_um, sweep)
    except FocusError as error:
        raise ResumeError(f"another slide: nothing to focus on at {place.name}, which was full") from error
    frame = microscope.snap(place.exposure_ms)
    try:
        shift = image_shift(stored, reduced(frame.pixels))
    except CalibrationError as error:
        raise ResumeError(
            f"another slide, or it lies elsewhere: {place.name} doesn't match its picture ({error})"
        ) from error
    camera = frame.view.camera
    centre = camera.centre
    moved = ImagePoint(centre.x_px + LANDMARK_FOLD * shift.dx_px, centre.y_px + LANDMARK_FOLD * shift.dy_px)
    return camera.offset_um(moved)


def _tell(context: RunContext, shifts: Mapping[str, tuple[float, float]]) -> None:
    told = ", ".join(f"{name}: {x:+.1f}, {y:+.1f} um" for name, (x, y) in shifts.items())
    context.note(
        EventLevel.INFO, "slide_recognised", f"slide recognised by {counted(len(shifts), 'landmark')} ({told})"
    )


def _judge(shifts: Mapping[_Name, tuple[float, float]]) -> None:
    middle = [statistics.median(shift[axis] for shift in shifts.values()) for axis in (0, 1)]
    apart_um = max(math.hypot(x - middle[0], y - middle[1]) for x, y in shifts.values())
    if apart_um > LARGEST_DISAGREEMENT_UM:
        raise ResumeError(
            f"landmarks disagree by {apart_um:.1f} um (allowed {LARGEST_DISAGREEMENT_UM:g}): "
            "the slide was turned, or the stage lost steps"
        )
    off_um = math.hypot(*middle)
    if off_um > LARGEST_SHIFT_UM:
        raise ResumeError(
            f"the slide lies {off_um:.1f} um from where it was (allowed {LARGEST_SHIFT_UM:g}): "
            "put it back or scan anew"
        )


def _far_apart(places: Mapping[_Name, SlidePoint]) -> list[_Name]:
    """Up to `COMPARED` places, each as far as possible from those before."""
    chosen = [next(iter(places))]
    while len(chosen) < min(COMPARED, len(places)):
        left = [name for name in places if name not in chosen]
        chosen.append(max(left, key=lambda n: min(places[n].distance_um(places[c]) for c in chosen)))
    return chosen


def _read(path: Path) -> NDArray[np.uint16]:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise ResumeError("is no landmark picture", path=path)
    return np.asarray(pixels, dtype=np.uint16)

"""Fields by which a slide is known again after the run was cut off."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from acquisition.errors import ResumeError
from acquisition.plan.tiling import PlannedField
from acquisition.records import EventLevel
from acquisition.run.context import RunContext
from acquisition.run.focus_map import sweep_for
from acquisition.run.search_task import LANDMARK_FOLD, reduced
from scanner.calibration.errors import CalibrationError
from scanner.calibration.shift import image_shift
from scanner.coordinates import ImagePoint
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
        """Hear what became of a field."""
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
        raise ResumeError("no field photographed before shows enough to know the slide again; scan it anew")
    by_index = {f.index: f for f in fields}
    shifts: dict[int, tuple[float, float]] = {}
    for index in _far_apart([by_index[i] for i in sorted(landmarks)]):
        shifts[index] = _shift_um(context, by_index[index], context.folder.path / landmarks[index], surface)
    _judge(shifts)
    told = ", ".join(f"field {i}: {x:+.1f}, {y:+.1f} um" for i, (x, y) in shifts.items())
    context.note(EventLevel.INFO, "slide_recognised", f"{len(shifts)} landmarks found where they were ({told})")
    return shifts


def _shift_um(
    context: RunContext, field: PlannedField, picture: Path, surface: FocusSurface
) -> tuple[float, float]:
    microscope, scan = context.microscope, context.protocol.scan
    microscope.move_to(context.frame.to_stage(field.centre))
    expected_um = surface.z_um(field.centre)
    sweep = sweep_for(microscope.objective.depth_of_field_um, FOCUS_RANGE_UM, scan.exposure_ms)
    try:
        search_focus(microscope, expected_um, sweep)
    except FocusError as error:
        raise ResumeError(f"another slide: nothing to focus on at field {field.index}, which was full") from error
    frame = microscope.snap(scan.exposure_ms)
    try:
        shift = image_shift(_read(picture), reduced(frame.pixels))
    except CalibrationError as error:
        raise ResumeError(
            f"another slide, or it lies elsewhere: field {field.index} looks different ({error})"
        ) from error
    camera = frame.view.camera
    centre = camera.centre
    moved = ImagePoint(centre.x_px + LANDMARK_FOLD * shift.dx_px, centre.y_px + LANDMARK_FOLD * shift.dy_px)
    return camera.offset_um(moved)


def _judge(shifts: Mapping[int, tuple[float, float]]) -> None:
    middle = [statistics.median(shift[axis] for shift in shifts.values()) for axis in (0, 1)]
    apart_um = max(math.hypot(x - middle[0], y - middle[1]) for x, y in shifts.values())
    if apart_um > LARGEST_DISAGREEMENT_UM:
        raise ResumeError(
            f"landmarks disagree by {apart_um:.1f} um (allowed {LARGEST_DISAGREEMENT_UM:g}): "
            "the slide was turned, or the stage lost its way"
        )
    off_um = math.hypot(*middle)
    if off_um > LARGEST_SHIFT_UM:
        raise ResumeError(
            f"the slide lies {off_um:.1f} um from where it was (allowed {LARGEST_SHIFT_UM:g}): "
            "put it back or scan anew"
        )


def _far_apart(fields: Sequence[PlannedField]) -> list[int]:
    """Up to `COMPARED` fields, each as far as possible from those before."""
    chosen = [fields[0]]
    while len(chosen) < min(COMPARED, len(fields)):
        left = [f for f in fields if f not in chosen]
        chosen.append(max(left, key=lambda f: min(f.centre.distance_um(c.centre) for c in chosen)))
    return [f.index for f in chosen]


def _read(path: Path) -> NDArray[np.uint16]:
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise ResumeError("is no landmark picture", path=path)
    return np.asarray(pixels, dtype=np.uint16)

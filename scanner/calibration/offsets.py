"""Parcentric and parfocal offset of an objective: the same structures through the reference and through it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scanner.calibration.common_steps import arrive, evidence, find_focus, spread
from scanner.calibration.errors import BlankCalibrationFieldError, CalibrationError, ImplausibleError
from scanner.calibration.pictures import CalibrationPicture, PictureSink, discard_picture
from scanner.calibration.results import ObjectiveOffset, PixelGeometry
from scanner.calibration.shift import MIN_OBJECT_PX
from scanner.coordinates import ImagePoint, ObjectiveView, StagePoint
from scanner.counted import counted
from scanner.errors import FocusError, LimitError
from scanner.focus.measure import object_mask, relative_transmission
from scanner.microscope import Microscope

# Structures looked at; each gives an offset of its own.
TARGETS = 3
MIN_TARGETS = 2
# Correlation of the reduced picture with the reference's, and how far the second best place must stay behind.
MIN_MATCH = 0.6
MAX_RIVAL = 0.9
# Structures must agree this well.
MAX_RESIDUAL_UM = 3.0
MAX_PARFOCAL_RESIDUAL_UM = 3.0
# No turret misses by more.
MAX_PARCENTRIC_UM = 500.0
MAX_PARFOCAL_UM = 200.0
# Rings of fields searched about the place where a structure is expected.
_RINGS = 2
_RING_STEP_SHARE = 0.75
_RIVAL_RADIUS_UM = 8.0
# Part of the reference picture whose structures may serve: their surroundings must be in it too.
_INNER_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Reference:
    """A structure through the reference objective, near the picture's centre.

    Attributes
    ----------
    view
        Geometry of the picture.
    absorption
        float32, shape (h, w).
    z_um
        Its focus.
    """

    view: ObjectiveView
    absorption: NDArray[np.float32]
    z_um: float


def take_references(
    microscope: Microscope,
    geometry: PixelGeometry,
    exposure_ms: float,
    field_um: tuple[float, float],
    on_picture: PictureSink = discard_picture,
) -> tuple[Reference, ...]:
    """Centre the richest structures about the present position, focus and photograph each; light on.

    Parameters
    ----------
    microscope
        In focus, reference objective in the light path.
    geometry
        Of the reference objective.
    exposure_ms
        Exposure.
    field_um
        Width and height of the other objective's field.
    on_picture
        Takes the picture of each structure.

    Raises
    ------
    BlankCalibrationFieldError
        Fewer than two structures.
    """
    here = microscope.stage_position()
    z_um = microscope.focus_position_um()
    frame = microscope.snap(exposure_ms)
    overview = ObjectiveView(here, geometry.frame(frame.pixels.shape))
    window = tuple(max(3, round(side / geometry.um_per_px)) for side in field_um)
    references: list[Reference] = []
    for point in _richest(object_mask(relative_transmission(frame.pixels)), (window[0], window[1])):
        arrive(microscope, overview.to_stage(point))
        try:
            z_um = find_focus(microscope, z_um, exposure_ms, centre_fraction=0.4).z_um
        except FocusError:
            continue
        picture = microscope.snap(exposure_ms)
        view = ObjectiveView(picture.view.stage, geometry.frame(picture.pixels.shape))
        caption = f"structure {len(references) + 1} through {geometry.objective}, focus {z_um:.1f} um"
        on_picture(CalibrationPicture(f"structures through {geometry.objective}", caption, picture.pixels))
        references.append(Reference(view, _absorption(picture.pixels), z_um))
        if len(references) == TARGETS:
            break
    if len(references) < MIN_TARGETS:
        raise BlankCalibrationFieldError(
            "objective offsets", f"{counted(len(references), 'structure')} to compare, {MIN_TARGETS} needed"
        )
    return tuple(references)


def find_structure(microscope: Microscope, references: Sequence[Reference], exposure_ms: float) -> None:
    """Bring any structure into view and focus, offsets as yet unknown; light on.

    Parameters
    ----------
    microscope
        Light on.
    references
        Places where structure is expected, in the order of trying.
    exposure_ms
        Exposure.

    Raises
    ------
    BlankCalibrationFieldError
        There is none near any of the references.
    """
    objective = microscope.objective
    for reference in references:
        expected = _expected(reference, (objective.parcentric_x_um, objective.parcentric_y_um))
        for place in _around(microscope, expected):
            if _focus_at(microscope, place, reference.z_um + objective.parfocal_um, exposure_ms) is None:
                continue
            mask = object_mask(relative_transmission(microscope.snap(exposure_ms).pixels))
            # Enough of it to stay in view while the stage moves to and fro.
            height, width = mask.shape
            inner = mask[height // 4 : -height // 4, width // 4 : -width // 4]
            if np.count_nonzero(inner) >= 10 * MIN_OBJECT_PX:
                return
    raise BlankCalibrationFieldError(
        f"offset of {objective.name}", "no structure in view near the expected places"
    )


def measure_objective_offset(
    microscope: Microscope,
    references: Sequence[Reference],
    reference_geometry: PixelGeometry,
    geometry: PixelGeometry,
    exposure_ms: float,
    on_picture: PictureSink = discard_picture,
) -> ObjectiveOffset:
    """Look for each reference's structure through the objective in the light path; light on.

    Parameters
    ----------
    microscope
        The objective to measure in the light path.
    references
        From `take_references`.
    reference_geometry, geometry
        Of the reference objective and of this one.
    exposure_ms
        Exposure.
    on_picture
        Takes the picture of each structure that was found again.

    Raises
    ------
    BlankCalibrationFieldError
        Fewer than two structures were found again.
    ImplausibleError
        They contradict each other, or the offset is larger than a turret's can be.
    """
    objective = microscope.objective
    guess = (objective.parcentric_x_um, objective.parcentric_y_um)
    focus_guess = objective.parfocal_um
    offsets: list[tuple[float, float]] = []
    foci: list[float] = []
    for number, reference in enumerate(references, start=1):
        for place in _around(microscope, _expected(reference, guess)):
            z_um = _focus_at(microscope, place, reference.z_um + focus_guess, exposure_ms)
            if z_um is None:
                continue
            frame = microscope.snap(exposure_ms)
            found = _match(frame.pixels, geometry, reference, reference_geometry)
            if found is None:
                continue
            here = frame.view.stage
            offsets.append((found.x_um - here.x_um, found.y_um - here.y_um))
            foci.append(z_um - reference.z_um)
            caption = (
                f"structure {number} through {objective.name}: "
                f"({offsets[-1][0]:.2f}, {offsets[-1][1]:.2f}) um across, {foci[-1]:.2f} um in focus"
            )
            on_picture(CalibrationPicture(f"offset {objective.name}", caption, frame.pixels))
            # What the first structure taught saves the search for the others.
            guess, focus_guess = offsets[-1], foci[-1]
            break
    return _judged(objective.name, offsets, foci)


def _judged(name: str, offsets: Sequence[tuple[float, float]], foci: Sequence[float]) -> ObjectiveOffset:
    procedure = f"offset of {name}"
    if len(offsets) < MIN_TARGETS:
        raise BlankCalibrationFieldError(
            procedure, f"{counted(len(offsets), 'structure')} found again through it, {MIN_TARGETS} needed"
        )
    xs, ys = [x for x, _ in offsets], [y for _, y in offsets]
    residual_um = math.hypot(spread(xs), spread(ys))
    focus_residual_um = spread(foci)
    if residual_um > MAX_RESIDUAL_UM or focus_residual_um > MAX_PARFOCAL_RESIDUAL_UM:
        raise ImplausibleError(
            procedure,
            f"structures differ by {residual_um:.2f} um across (allowed {MAX_RESIDUAL_UM:g}) "
            f"and {focus_residual_um:.2f} um in focus (allowed {MAX_PARFOCAL_RESIDUAL_UM:g})",
        )
    x_um, y_um, z_um = (float(np.median(values)) for values in (xs, ys, foci))
    if math.hypot(x_um, y_um) > MAX_PARCENTRIC_UM or abs(z_um) > MAX_PARFOCAL_UM:
        raise ImplausibleError(procedure, f"({x_um:.1f}, {y_um:.1f}) um across, {z_um:.1f} um in focus")
    return ObjectiveOffset(name, x_um, y_um, z_um, evidence(residual_um, "um", len(offsets)), focus_residual_um)


def _absorption(pixels: NDArray[np.uint16]) -> NDArray[np.float32]:
    return np.asarray(np.clip(1.0 - relative_transmission(pixels), 0.0, 0.8), dtype=np.float32)


def _richest(mask: NDArray[np.bool_], window_px: tuple[int, int]) -> Iterator[ImagePoint]:
    """Centres of the windows that hold most, best first, none upon another."""
    height, width = mask.shape
    held = cv2.boxFilter(mask.astype(np.float32), -1, window_px, normalize=False, borderType=cv2.BORDER_CONSTANT)
    edge_y, edge_x = (round(side * (1.0 - _INNER_SHARE) / 2.0) for side in (height, width))
    inner = np.full(mask.shape, -1.0, np.float32)
    inner[edge_y : height - edge_y, edge_x : width - edge_x] = held[
        edge_y : height - edge_y, edge_x : width - edge_x
    ]
    for _ in range(3 * TARGETS):
        row, column = (int(v) for v in np.unravel_index(int(np.argmax(inner)), inner.shape))
        if inner[row, column] < MIN_OBJECT_PX:
            return
        rows = slice(max(0, row - window_px[1] // 2), row + window_px[1] // 2 + 1)
        columns = slice(max(0, column - window_px[0] // 2), column + window_px[0] // 2 + 1)
        ys, xs = np.nonzero(mask[rows, columns])
        yield ImagePoint(columns.start + float(xs.mean()), rows.start + float(ys.mean()))
        inner[rows, columns] = -1.0


def _expected(reference: Reference, offset: tuple[float, float]) -> StagePoint:
    return reference.view.centre.shifted(-offset[0], -offset[1])


def _around(microscope: Microscope, place: StagePoint) -> Iterator[StagePoint]:
    """The place, then rings of fields about it, nearest first."""
    objective = microscope.objective
    camera = microscope.rig.camera
    um_per_px = microscope.rig.um_per_px(objective)
    step_x = _RING_STEP_SHARE * camera.width_px * um_per_px
    step_y = _RING_STEP_SHARE * camera.height_px * um_per_px
    ring = range(-_RINGS, _RINGS + 1)
    steps = sorted(((x * step_x, y * step_y) for x in ring for y in ring), key=lambda step: math.hypot(*step))
    for dx, dy in steps:
        yield place.shifted(dx, dy)


def _focus_at(microscope: Microscope, place: StagePoint, expected_um: float, exposure_ms: float) -> float | None:
    """Go there and focus; None where the field is blank or out of reach."""
    try:
        arrive(microscope, place)
        return find_focus(microscope, expected_um, exposure_ms).z_um
    except (FocusError, LimitError):
        return None


def _match(
    pixels: NDArray[np.uint16],
    geometry: PixelGeometry,
    reference: Reference,
    reference_geometry: PixelGeometry,
) -> StagePoint | None:
    """Stage point (through the reference) of what the picture's centre shows; None where it isn't found."""
    ratio = geometry.um_per_px / reference_geometry.um_per_px
    if ratio >= 1.0:
        raise CalibrationError(
            f"offset of {geometry.objective}", "the reference objective must have the larger field"
        )
    height, width = pixels.shape
    size = (round(width * ratio), round(height * ratio))
    reduced = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    template = _absorption(np.asarray(reduced, dtype=np.uint16))
    if np.count_nonzero(template > 0.07) < MIN_OBJECT_PX // 4:
        return None
    matched = cv2.matchTemplate(reference.absorption, template, cv2.TM_CCOEFF_NORMED)
    scores = np.asarray(matched, dtype=np.float32)
    row, column = (int(v) for v in np.unravel_index(int(np.argmax(scores)), scores.shape))
    best = float(scores[row, column])
    if best < MIN_MATCH:
        return None
    dx, dy = _vertex(scores, row, column)
    radius = max(2, round(_RIVAL_RADIUS_UM / reference_geometry.um_per_px))
    scores[max(0, row - radius) : row + radius + 1, max(0, column - radius) : column + radius + 1] = -1.0
    if float(scores.max()) > MAX_RIVAL * best:
        return None
    centre = ImagePoint(column + dx + (size[0] - 1) / 2.0, row + dy + (size[1] - 1) / 2.0)
    return reference.view.to_stage(centre)


def _vertex(scores: NDArray[np.float32], row: int, column: int) -> tuple[float, float]:
    """Way from the highest sample to the vertex of the parabola, x and y."""
    height, width = scores.shape
    if not (0 < row < height - 1 and 0 < column < width - 1):
        return 0.0, 0.0

    def way(before: float, at: float, after: float) -> float:
        bend = before - 2.0 * at + after
        return 0.0 if bend >= 0.0 else float(np.clip((before - after) / (2.0 * bend), -0.5, 0.5))

    at = float(scores[row, column])
    return (
        way(float(scores[row, column - 1]), at, float(scores[row, column + 1])),
        way(float(scores[row - 1, column]), at, float(scores[row + 1, column])),
    )

"""Pixel size, rotation and flips of the camera, from image shift against known stage moves."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scanner.calibration.common_steps import arrive, evidence
from scanner.calibration.errors import ImplausibleError
from scanner.calibration.pictures import CalibrationPicture, PictureSink, discard_picture
from scanner.calibration.results import PixelGeometry
from scanner.calibration.shift import image_shift
from scanner.microscope import Microscope

# Moves: both axes, both directions, and diagonals against shear. Their lengths differ, so that they end at
# different fractions of a pixel and what interpolation adds averages out.
_PATTERN = (
    (1.0, 0.0),
    (-0.83, 0.0),
    (0.0, 0.91),
    (0.0, -1.0),
    (0.77, 0.95),
    (-0.93, -0.71),
    (0.69, -0.87),
    (-1.0, 0.79),
)
# Moves of the pattern whose pictures are handed out: one an axis shows shift, turn and mirroring.
_SHOWN_MOVES = (0, 2)
# Their unit, as a share of the field's shorter side.
_MOVE_SHARE = 0.2
# Pixels are square and stage axes perpendicular to better than this on any instrument in order.
MAX_ANISOTROPY = 0.01
# Measured against the value in the rig: beyond it, a wrong objective or adapter is more likely than an error.
MAX_SIZE_FACTOR = 1.2
# Root mean square residual, in px.
MAX_RESIDUAL_PX = 2.0


def measure_pixel_geometry(
    microscope: Microscope, exposure_ms: float, on_picture: PictureSink = discard_picture
) -> PixelGeometry:
    """Measure at the present stage position, in focus, with the light on; the stage ends where it was.

    Parameters
    ----------
    microscope
        In focus on a field with structure.
    exposure_ms
        Exposure of the pictures.
    on_picture
        Takes the picture before the moves, and one after a move along each axis.

    Raises
    ------
    BlankFieldError
        Nothing in the field.
    ImplausibleError
        Shifts and moves contradict each other, pixels are not square, or the size is far from the rig's.
    """
    objective = microscope.objective
    camera = microscope.rig.camera
    step_um = _MOVE_SHARE * min(camera.width_px, camera.height_px) * microscope.rig.um_per_px(objective)
    home = microscope.stage_position()
    origin = arrive(microscope, home)
    reference = microscope.snap(exposure_ms).pixels
    procedure = f"pixel geometry {objective.name}"
    on_picture(CalibrationPicture(procedure, "before the moves", reference))
    moves, shifts = [], []
    for index, (x, y) in enumerate(_PATTERN):
        here = arrive(microscope, home.shifted(x * step_um, y * step_um))
        moved = microscope.snap(exposure_ms).pixels
        if index in _SHOWN_MOVES:
            dx_um, dy_um = here.x_um - origin.x_um, here.y_um - origin.y_um
            caption = f"stage moved by x {dx_um:.1f}, y {dy_um:.1f} um"
            on_picture(CalibrationPicture(procedure, caption, moved))
        shift = image_shift(reference, moved)
        moves.append((here.x_um - origin.x_um, here.y_um - origin.y_um))
        shifts.append((shift.dx_px, shift.dy_px))
    arrive(microscope, home)
    return fit_geometry(objective.name, np.array(moves), np.array(shifts), microscope.rig.um_per_px(objective))


def fit_geometry(
    objective: str, moves_um: NDArray[np.float64], shifts_px: NDArray[np.float64], expected_um_per_px: float
) -> PixelGeometry:
    """Fit pixel size, rotation and flips.

    Parameters
    ----------
    objective
        Name in the rig.
    moves_um
        Stage moves, shape (n, 2).
    shifts_px
        Shifts of the picture's content, shape (n, 2).
    expected_um_per_px
        From the rig.

    Raises
    ------
    ImplausibleError
        See `measure_pixel_geometry`.
    """
    procedure = f"pixel geometry of {objective}"
    # Content goes against the stage: what was seen at p is seen at p - M^-1 d after a move by d.
    design = np.column_stack([-shifts_px, np.ones(len(shifts_px))])
    solution, _, rank, _ = np.linalg.lstsq(design, moves_um, rcond=None)
    if rank < 3:
        raise ImplausibleError(procedure, "the picture does not follow the stage")
    matrix = np.asarray(solution[:2].T, dtype=np.float64)
    left, sizes, right = np.linalg.svd(matrix)
    um_per_px = float(np.sqrt(sizes[0] * sizes[1]))
    if sizes[1] <= 0.0 or sizes[0] / sizes[1] - 1.0 > MAX_ANISOTROPY:
        raise ImplausibleError(
            procedure, f"pixels are not square: {sizes[0]:.5f} by {sizes[1]:.5f} um; is the stage calibrated?"
        )
    factor = um_per_px / expected_um_per_px
    if not 1.0 / MAX_SIZE_FACTOR < factor < MAX_SIZE_FACTOR:
        raise ImplausibleError(
            procedure,
            f"{um_per_px:.5f} um a pixel, the rig says {expected_um_per_px:.5f}; is this the objective meant?",
        )
    turn = left @ right
    rotation_deg, flip_x, flip_y = _decompose(turn)
    misses = moves_um - design @ np.vstack([um_per_px * turn.T, solution[2]])
    residual_um = float(np.sqrt(np.mean(np.sum(misses**2, axis=1))))
    if residual_um > MAX_RESIDUAL_PX * um_per_px:
        raise ImplausibleError(
            procedure,
            f"stage moves and image shifts differ by {residual_um:.3f} um, "
            f"allowed {MAX_RESIDUAL_PX * um_per_px:.3f} um",
        )
    return PixelGeometry(
        objective, um_per_px, rotation_deg, flip_x, flip_y, evidence(residual_um, "um", len(moves_um))
    )


def _decompose(turn: NDArray[np.float64]) -> tuple[float, bool, bool]:
    """Flips, then a rotation of at most 90 degrees."""
    # A mirrored camera is written as flipped in x; turned by more than 90 degrees, both flips are toggled.
    flip_x, flip_y = bool(np.linalg.det(turn) < 0), False
    rotation = turn @ np.diag([-1.0 if flip_x else 1.0, 1.0])
    angle = math.degrees(math.atan2(rotation[1, 0], rotation[0, 0]))
    if abs(angle) > 90:
        flip_x, flip_y = not flip_x, not flip_y
        angle -= math.copysign(180, angle)
    return angle, flip_x, flip_y

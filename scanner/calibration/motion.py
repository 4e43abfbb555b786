"""Backlash, speed, acceleration and settling of the stage, and the camera's read-out: by pictures and by time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from scanner.calibration.common_steps import arrive, evidence, spread
from scanner.calibration.errors import CalibrationError, ImplausibleError
from scanner.calibration.pictures import CalibrationPicture, PictureSink, discard_picture
from scanner.calibration.results import Backlash, PixelGeometry, ReadOut, StageMotion
from scanner.calibration.shift import image_shift
from scanner.coordinates import StagePoint
from scanner.microscope import Microscope

# Times that each axis is approached from both sides.
REPEATS = 3
# A stage with more is broken.
MAX_BACKLASH_UM = 15.0
# A negative backlash within this is scatter; beyond it the controller compensates too much.
MIN_BACKLASH_UM = -0.3
MAX_BACKLASH_SPREAD_UM = 0.5
DISTANCES_UM = (100.0, 300.0, 1_000.0, 3_000.0, 6_000.0, 12_000.0, 20_000.0)
MAX_TIME_RESIDUAL_FRACTION = 0.15
EXPOSURES_MS = (4.0, 20.0, 60.0)
READ_OUT_REPEATS = 3
MAX_READ_OUT_MS = 2_000.0
_S_TO_MS = 1000.0


def measure_backlash(
    microscope: Microscope,
    geometry: PixelGeometry,
    exposure_ms: float,
    on_picture: PictureSink = discard_picture,
) -> Backlash:
    """Approach the present position from below and from above, each axis by itself; light on, in focus.

    Parameters
    ----------
    microscope
        Light on, in focus.
    geometry
        Pixel size and mounting of the camera.
    exposure_ms
        Exposure.
    on_picture
        Takes the first picture of each approach.

    Raises
    ------
    BlankFieldError, ImplausibleError
        Nothing to measure by, scattered shifts, or a backlash that no stage in order has.
    """
    home = microscope.stage_position()
    ways: tuple[list[float], list[float]] = ([], [])
    for repeat in range(REPEATS):
        arrive(microscope, home)
        below = microscope.snap(exposure_ms).pixels
        if repeat == 0:
            on_picture(CalibrationPicture("backlash", "both axes from below", below))
        for axis, sides in enumerate(((1, -1), (-1, 1))):
            arrive(microscope, home, from_x=sides[0], from_y=sides[1])
            above = microscope.snap(exposure_ms).pixels
            if repeat == 0:
                on_picture(CalibrationPicture("backlash", f"{'xy'[axis]} from above", above))
            shift = image_shift(below, above)
            # The stage stands further by what the content went back.
            ways[axis].append(-geometry.shift_um(shift.dx_px, shift.dy_px)[axis])
    arrive(microscope, home)
    values, scatters = [], []
    for name, axis_ways in zip("xy", ways, strict=True):
        value, scatter = float(np.median(axis_ways)), spread(axis_ways)
        if scatter > MAX_BACKLASH_SPREAD_UM or not MIN_BACKLASH_UM < value < MAX_BACKLASH_UM:
            raise ImplausibleError(
                f"backlash of {name}",
                f"{value:.2f} um, scattered by {scatter:.2f} um; "
                f"allowed {MIN_BACKLASH_UM:g} .. {MAX_BACKLASH_UM:g} um and {MAX_BACKLASH_SPREAD_UM:g} um",
            )
        values.append(max(0.0, value))
        scatters.append(scatter)
    return Backlash(values[0], values[1], evidence(max(scatters), "um", 2 * REPEATS))


def measure_stage_motion(microscope: Microscope, now: Callable[[], float]) -> StageMotion:
    """Time moves of several lengths along x, focus down; the stage ends where it was.

    Parameters
    ----------
    microscope
        The instrument; the focus is lowered and stays down.
    now
        Time source, in s: the one by which the stage moves.

    Raises
    ------
    CalibrationError
        There is not enough room within the limits.
    ImplausibleError
        The times follow no trapezoid of speed.
    """
    microscope.lower_focus()
    home = microscope.stage_position()
    span = microscope.rig.stage.x
    room_um = max(span.max_um - home.x_um, home.x_um - span.min_um)
    direction = 1.0 if span.max_um - home.x_um >= home.x_um - span.min_um else -1.0
    distances = [distance for distance in DISTANCES_UM if distance <= room_um]
    if len(distances) < 4:
        raise CalibrationError("stage motion", f"only {room_um:.0f} um of travel within the limits")
    ways, times = [], []
    for distance in distances:
        for target in (home.shifted(direction * distance, 0.0), home):
            times.append(_timed(microscope, target, now))
            ways.append(distance)
    motion = microscope.rig.stage.motion
    return fit_motion(np.array(ways), np.array(times), motion.speed_um_s, motion.acceleration_um_s2)


def _timed(microscope: Microscope, target: StagePoint, now: Callable[[], float]) -> float:
    start_s = now()
    microscope.move_to(target)
    return now() - start_s


def move_time_s(
    distances_um: NDArray[np.float64], speed_um_s: float, acceleration_um_s2: float, settle_s: float
) -> NDArray[np.float64]:
    """Times of trapezoidal moves, settling included.

    Parameters
    ----------
    distances_um
        float64, shape (n,): distances, not negative.
    speed_um_s, acceleration_um_s2, settle_s
        Of the axis.
    """
    ramp_um = speed_um_s**2 / acceleration_um_s2
    short = 2.0 * np.sqrt(distances_um / acceleration_um_s2)
    long = distances_um / speed_um_s + speed_um_s / acceleration_um_s2
    return np.asarray(np.where(distances_um < ramp_um, short, long) + settle_s, dtype=np.float64)


def fit_motion(
    distances_um: NDArray[np.float64],
    times_s: NDArray[np.float64],
    expected_speed_um_s: float,
    expected_acceleration_um_s2: float,
) -> StageMotion:
    """Fit speed, acceleration and settling to timed moves.

    Parameters
    ----------
    distances_um, times_s
        Shape (n,).
    expected_speed_um_s, expected_acceleration_um_s2
        Where the fit begins.

    Raises
    ------
    ImplausibleError
        See `measure_stage_motion`.
    """
    if float(np.min(times_s)) <= 0.0:
        raise ImplausibleError("stage motion", "moves took no time; is this the stage's clock?")

    def misses(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        speed, acceleration = np.exp(parameters[:2])
        settle_s = parameters[2]
        return (move_time_s(distances_um, speed, acceleration, settle_s) - times_s) / times_s

    fits = []
    # The two regimes make the sum of squares uneven: several starts, the best one counts.
    for factor in (0.25, 0.5, 1.0, 2.0, 4.0):
        start = [
            np.log(expected_speed_um_s * factor),
            np.log(expected_acceleration_um_s2 * factor),
            0.5 * float(np.min(times_s)),
        ]
        bounds = ([-np.inf, -np.inf, 0.0], [np.inf, np.inf, float(np.min(times_s)) + 1e-9])
        fits.append(least_squares(misses, start, bounds=bounds, x_scale=[1.0, 1.0, 0.01]))
    best = min(fits, key=lambda fit: float(fit.cost))
    share = float(np.sqrt(np.mean(best.fun**2)))
    residual_ms = float(np.sqrt(np.mean((best.fun * times_s) ** 2))) * _S_TO_MS
    if share > MAX_TIME_RESIDUAL_FRACTION:
        raise ImplausibleError("stage motion", f"times follow no trapezoid of speed: {share:.0%} off")
    speed, acceleration = (float(value) for value in np.exp(best.x[:2]))
    reached = speed**2 / acceleration < 0.8 * float(np.max(distances_um))
    return StageMotion(
        speed if reached else None,
        acceleration,
        float(best.x[2]) * _S_TO_MS,
        evidence(residual_ms, "ms", len(times_s)),
    )


def measure_read_out(
    microscope: Microscope, now: Callable[[], float], exposures_ms: Sequence[float] = EXPOSURES_MS
) -> ReadOut:
    """Time pictures at several exposures: what does not grow with the exposure is read-out; light on.

    Parameters
    ----------
    microscope
        At rest; the exposures must give neither black nor saturated frames.
    now
        Time source, in s.
    exposures_ms
        At least two.

    Raises
    ------
    ImplausibleError
        The time does not grow as the exposure does.
    """
    asked, taken = [], []
    for exposure_ms in exposures_ms:
        # The first picture at an exposure also sets it.
        microscope.snap(exposure_ms)
        for _ in range(READ_OUT_REPEATS):
            start_s = now()
            microscope.snap(exposure_ms)
            taken.append((now() - start_s) * _S_TO_MS)
            asked.append(exposure_ms)
    slope, rest_ms = (float(value) for value in np.polyfit(asked, taken, 1))
    if not 0.8 < slope < 1.25 or not 0.0 <= rest_ms < MAX_READ_OUT_MS:
        raise ImplausibleError(
            "camera read-out", f"a picture takes {rest_ms:.1f} ms and {slope:.2f} ms for each ms of exposure"
        )
    misses = np.asarray(taken) - np.polyval([slope, rest_ms], asked)
    return ReadOut(rest_ms, evidence(float(np.sqrt(np.mean(misses**2))), "ms", len(taken)))

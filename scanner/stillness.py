"""Proof of stillness: two quick exposures of the same place must not differ by a shift."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from scanner.calibration.errors import BlankCalibrationFieldError, ImplausibleError
from scanner.calibration.shift import image_shift
from scanner.microscope import Microscope

# A tenth of what the 10x resolves, and half of what the 63x does: no picture shows less.
LIMIT_UM = 0.1
# Where pixels are coarse, shifts are measured to a tenth of one and proven to twice that.
LIMIT_PX = 0.2


class StillnessVerdict(StrEnum):
    """What two pictures prove."""

    STILL = "still"
    MOVED = "moved"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Stillness:
    """Outcome of the proof.

    Attributes
    ----------
    shift_um
        Way between the exposures; None where it could not be measured.
    limit_um
        Largest way that counts as still.
    verdict
        `UNDECIDED` on a field with nothing in it.
    """

    shift_um: float | None
    limit_um: float
    verdict: StillnessVerdict


def prove_stillness(microscope: Microscope, exposure_ms: float, limit_um: float | None = None) -> Stillness:
    """Photograph the same place twice and measure the shift in between.

    Parameters
    ----------
    microscope
        At rest, light on.
    exposure_ms
        Exposure of both pictures.
    limit_um
        Largest way that counts as still; default a fifth of a pixel, at least `LIMIT_UM`.

    Returns
    -------
    Stillness
        Two pictures that show different things count as moved; a blank field decides nothing.

    Raises
    ------
    PositionError, FrameError
        As `Microscope.snap`.
    """
    um_per_px = microscope.rig.um_per_px(microscope.objective)
    if limit_um is None:
        limit_um = max(LIMIT_UM, LIMIT_PX * um_per_px)
    first = microscope.snap(exposure_ms)
    second = microscope.snap(exposure_ms)
    try:
        shift = image_shift(first.pixels, second.pixels)
    except BlankCalibrationFieldError:
        return Stillness(None, limit_um, StillnessVerdict.UNDECIDED)
    except ImplausibleError:
        return Stillness(None, limit_um, StillnessVerdict.MOVED)
    shift_um = shift.length_px * um_per_px
    return Stillness(
        shift_um, limit_um, StillnessVerdict.STILL if shift_um <= limit_um else StillnessVerdict.MOVED
    )

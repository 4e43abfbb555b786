"""The exposure that uses the camera's range, measured on the slide."""

from __future__ import annotations

import numpy as np

from scanner.errors import FrameDefect, FrameError
from scanner.microscope import Microscope

# Fraction of full scale that the empty slide should reach: room for brighter places and for the lamp's drift.
TARGET_FRACTION = 0.75
CLOSE_ENOUGH = 0.05
# From here on noise has clipped part of the brightest pixels, and their level is too low.
CLIPPED_FRACTION = 0.98
TRIES = 8
# Where a frame is black or clipped its level says nothing: this much more or less light is tried.
STRIDE = 4.0
SHORTEST_MS, LONGEST_MS = 0.1, 1000.0
# The empty slide is the brightest thing in bright field; single hot pixels are not.
PERCENTILE = 99.0


def measure_exposure(microscope: Microscope, start_ms: float) -> float:
    """Find the exposure at which the brightest part of the field reaches `TARGET_FRACTION` of full scale.

    Parameters
    ----------
    microscope
        At rest where it was sent, light on.
    start_ms
        First exposure that is tried.

    Returns
    -------
    float
        Exposure, ms, between `SHORTEST_MS` and `LONGEST_MS`.

    Raises
    ------
    FrameError
        No exposure in that range gives a picture: too little light, or far too much.
    DeviceError
        The instrument failed.
    """
    exposure_ms = start_ms
    last: FrameError | None = None
    for _ in range(TRIES):
        try:
            level = _brightness(microscope, exposure_ms)
        except FrameError as error:
            last = error
            factor = STRIDE if error.defect is FrameDefect.BLACK else 1.0 / STRIDE
        else:
            last = None
            if abs(level - TARGET_FRACTION) <= CLOSE_ENOUGH:
                return exposure_ms
            # Near full scale the level is clipped and says only "less".
            factor = TARGET_FRACTION / level if level < CLIPPED_FRACTION else 1.0 / 2.0
        following_ms = float(np.clip(exposure_ms * factor, SHORTEST_MS, LONGEST_MS))
        if following_ms == exposure_ms:
            break
        exposure_ms = following_ms
    if last is not None:
        raise last
    return exposure_ms


def _brightness(microscope: Microscope, exposure_ms: float) -> float:
    frame = microscope.snap(exposure_ms)
    level = float(np.percentile(frame.pixels[::4, ::4], PERCENTILE))
    return level / microscope.rig.camera.full_scale

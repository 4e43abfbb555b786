"""One picture from the camera, with everything needed to say where and how it was taken."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from scanner.coordinates import ObjectiveView


@dataclass(frozen=True, slots=True)
class Exposure:
    """A picture that was exposed and not yet read out; `Microscope.read` makes a `Frame` of it.

    Attributes
    ----------
    view, z_um, objective, exposure_ms, taken_at
        As in `Frame`.
    """

    view: ObjectiveView
    z_um: float
    objective: str
    exposure_ms: float
    taken_at: datetime
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture.

    Attributes
    ----------
    pixels
        uint16, shape (height_px, width_px).
    view
        Geometry, with the stage position read back.
    z_um
        Focus position read back.
    objective
        Name of the objective in the rig.
    exposure_ms
        Exposure time.
    taken_at
        Start of the exposure, UTC.
    corrected
        Whether dark and flat field have been taken off `pixels`.
    """

    pixels: NDArray[np.uint16]
    view: ObjectiveView
    z_um: float
    objective: str
    exposure_ms: float
    taken_at: datetime
    corrected: bool = False

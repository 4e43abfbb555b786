"""The pictures that a calibration measures by, handed out while it measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CalibrationPicture:
    """A picture that a procedure measured by.

    Attributes
    ----------
    procedure
        What was being measured, such as ``pixel geometry 10x``.
    caption
        Which picture of the procedure it is.
    pixels
        uint16, shape (height_px, width_px), grey levels of the camera.
    """

    procedure: str
    caption: str
    pixels: NDArray[np.uint16]


PictureSink = Callable[[CalibrationPicture], None]
"""Takes each picture as it comes; the procedure goes on when it returns."""


def discard_picture(_picture: CalibrationPicture) -> None:
    """Keep no picture."""

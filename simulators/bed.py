"""A frame on the stage that holds several slides side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass

from simulators.specimen.glass import GLASS_UM
from simulators.tray import Tray, TraySlide

PITCH_UM = (80_000.0, 30_000.0)
"""Distance of two slides, along their long and their short side."""


@dataclass(frozen=True, slots=True)
class Bay:
    """A place for one slide.

    Attributes
    ----------
    name
        Name of the slot.
    origin_um
        Where the slide's corner lies against that of the first slot, along the stage axes.
    slide
        What lies there.
    """

    name: str
    origin_um: tuple[float, float]
    slide: TraySlide | None

    def distance_um(self, x_um: float, y_um: float) -> float:
        """How far a place is from the glass; 0 on it.

        Parameters
        ----------
        x_um, y_um
            Place, um from the corner of the first slide.
        """
        beyond = [
            max(origin - value, value - origin - length, 0.0)
            for value, origin, length in zip((x_um, y_um), self.origin_um, GLASS_UM, strict=True)
        ]
        return math.hypot(*beyond)


@dataclass(frozen=True, slots=True)
class Bed:
    """All places of a frame.

    Attributes
    ----------
    tray
        The slides, by slot.
    bays
        The places.
    """

    tray: Tray
    bays: tuple[Bay, ...]

    def at(self, x_um: float, y_um: float) -> Bay:
        """The place nearest to a point, um from the corner of the first slide.

        Parameters
        ----------
        x_um, y_um
            The point.
        """
        return min(self.bays, key=lambda bay: bay.distance_um(x_um, y_um))


def lay_out(tray: Tray, columns: int = 2, pitch_um: tuple[float, float] = PITCH_UM) -> Bed:
    """Lay the slides of a tray out, row by row.

    Parameters
    ----------
    tray
        The slides.
    columns
        Slides side by side along their long side.
    pitch_um
        Distance of two slides along the long and the short side.
    """
    bays = []
    for slot in range(1, tray.slots + 1):
        row, column = divmod(slot - 1, columns)
        bays.append(Bay(str(slot), (column * pitch_um[0], row * pitch_um[1]), tray.slides.get(slot)))
    return Bed(tray, tuple(bays))

"""A place on a field that may be a metaphase."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """A metaphase candidate in image coordinates.

    Attributes
    ----------
    x_px, y_px
        Centre, in px of the image that was given.
    radius_px
        Radius of the circle that holds its chromosomes.
    score
        In [0, 1]; at 0.5 it is as likely a metaphase as not.
    """

    x_px: float
    y_px: float
    radius_px: float
    score: float

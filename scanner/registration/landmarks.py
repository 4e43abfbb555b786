"""What a slide is registered by: its coverslip, or crosses engraved in its glass."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

from scanner.coordinates import SlidePoint


@dataclass(frozen=True, slots=True)
class Edge:
    """One side of a coverslip, from corner to corner, in slide um."""

    name: str
    start: SlidePoint
    end: SlidePoint

    def at(self, share: float) -> SlidePoint:
        """The place a share of the way from start to end."""
        return SlidePoint(
            self.start.x_um + share * (self.end.x_um - self.start.x_um),
            self.start.y_um + share * (self.end.y_um - self.start.y_um),
        )


@dataclass(frozen=True, slots=True)
class RegisteredCoverslip:
    """Where a coverslip lies on the slide.

    A coverslip is laid on by hand: nobody knows where it lies before it has been measured once. Registered by its
    nominal place, a slide's coordinates are the coverslip's; registered by the corners that an earlier
    registration found, they are again what they were then.

    Attributes
    ----------
    corners
        In slide um, in order round the coverslip; the first edge runs from the first corner to the second.
    """

    corners: tuple[SlidePoint, SlidePoint, SlidePoint, SlidePoint]

    def __post_init__(self) -> None:
        """Refuse what encloses nothing, or crosses itself."""
        turns = []
        for index in range(4):
            a, b, c = (self.corners[(index + step) % 4] for step in range(3))
            turns.append((b.x_um - a.x_um) * (c.y_um - b.y_um) - (b.y_um - a.y_um) * (c.x_um - b.x_um))
        if not (all(turn > 0.0 for turn in turns) or all(turn < 0.0 for turn in turns)):
            raise ValueError(f"the corners of a coverslip go round it in order, got {self.corners}")

    @classmethod
    def rectangle(
        cls, x_um: float, y_um: float, width_um: float, height_um: float, angle_deg: float = 0.0
    ) -> Self:
        """A coverslip by its middle, sides and turn (from the slide's x axis towards its y axis)."""
        cos, sin = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))

        def corner(across: float, down: float) -> SlidePoint:
            x, y = across * width_um / 2.0, down * height_um / 2.0
            return SlidePoint(x_um + x * cos - y * sin, y_um + x * sin + y * cos)

        return cls((corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)))

    @property
    def edges(self) -> tuple[Edge, Edge, Edge, Edge]:
        """The four sides."""
        one, two, three, four = self.corners
        return (
            Edge("edge 1", one, two),
            Edge("edge 2", two, three),
            Edge("edge 3", three, four),
            Edge("edge 4", four, one),
        )

    @property
    def middle(self) -> SlidePoint:
        """Mean of the corners."""
        return SlidePoint(
            sum(corner.x_um for corner in self.corners) / 4.0, sum(corner.y_um for corner in self.corners) / 4.0
        )


@dataclass(frozen=True, slots=True)
class Cross:
    """Two engraved strokes that cross, along the sides of the slide.

    Attributes
    ----------
    name
        For messages and records.
    place
        Where they cross, slide um.
    """

    name: str
    place: SlidePoint

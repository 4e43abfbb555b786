"""What truly happened to the twin: events, exposures, and the frames that were handed over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from simulators.twin.state import TwinState

COLLISION: Final = "collision"
"""Kind of events in which glass would have broken."""


@dataclass(frozen=True, slots=True)
class TwinEvent:
    """An event.

    Attributes
    ----------
    time_s
        Simulated time.
    kind
        ``"collision"``, ``"fault"``, ``"exposure"``, ``"objective"`` or ``"moving_exposure"``; `simulators.feeder`
        and `simulators.oil` name those that they add.
    detail
        One line.
    """

    time_s: float
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class FieldOfView:
    """What an exposure truly showed.

    Attributes
    ----------
    number
        Of the exposure, counted from 1.
    slide_x_um, slide_y_um
        Place of the slide in the image centre.
    objective
        Label of the objective.
    defocus_um
        Drive position minus the one at which the specimen there is sharp.
    smear_um
        Distance that the stage went meanwhile, x and y.
    """

    number: int
    slide_x_um: float
    slide_y_um: float
    objective: str
    defocus_um: float
    smear_um: tuple[float, float]


class TwinRecord:
    """Everything that happened, in order.

    Parameters
    ----------
    state
        Clock and lock.
    """

    def __init__(self, state: TwinState) -> None:
        self._state = state
        self._events: list[TwinEvent] = []
        self._handed_over: list[tuple[FieldOfView, ...]] = []
        self.exposures = 0

    @property
    def events(self) -> tuple[TwinEvent, ...]:
        """All events."""
        with self._state.lock:
            return tuple(self._events)

    @property
    def collisions(self) -> tuple[TwinEvent, ...]:
        """Events in which glass would have broken."""
        return tuple(event for event in self.events if event.kind == COLLISION)

    @property
    def handed_over(self) -> tuple[tuple[FieldOfView, ...], ...]:
        """For every frame that the camera handed over: the exposures that its pixels come from."""
        with self._state.lock:
            return tuple(self._handed_over)

    def note(self, kind: str, detail: str) -> None:
        """Write an event down.

        Parameters
        ----------
        kind
            As in `TwinEvent`.
        detail
            One line.
        """
        with self._state.lock:
            self._events.append(TwinEvent(self._state.clock.now_s(), kind, detail))

    def count_exposure(self) -> int:
        """Number of the exposure that begins."""
        self.exposures += 1
        return self.exposures

    def hand_over(self, sources: tuple[FieldOfView, ...]) -> None:
        """Write down from which exposures the pixels of a frame come."""
        self._handed_over.append(sources)

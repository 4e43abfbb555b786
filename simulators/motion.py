"""Motion of one axis: a trapezoid of speed, then settling."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drive:
    """What an axis can do.

    Attributes
    ----------
    speed_um_s, acceleration_um_s2
        Top speed and acceleration, both positive.
    settle_s
        Time from arrival until the axis is called at rest.
    backlash_um
        Play between the encoder and the table: as much lies between the places that one reading stands for when
        it is approached from below and from above.
    """

    speed_um_s: float
    acceleration_um_s2: float
    settle_s: float
    backlash_um: float = 0.0

    def travel_s(self, distance_um: float) -> float:
        """Time of a move without settling."""
        way = abs(distance_um)
        ramp = self.speed_um_s**2 / self.acceleration_um_s2
        if way <= ramp:
            return 2.0 * math.sqrt(way / self.acceleration_um_s2)
        return way / self.speed_um_s + self.speed_um_s / self.acceleration_um_s2

    def travelled_um(self, distance_um: float, elapsed_s: float) -> float:
        """Way gone after a time, with the sign of the distance.

        Parameters
        ----------
        distance_um
            Distance of the whole move.
        elapsed_s
            Time since it began.
        """
        total_s = self.travel_s(distance_um)
        if elapsed_s >= total_s:
            return distance_um
        if elapsed_s <= 0.0:
            return 0.0
        half_s = min(elapsed_s, total_s - elapsed_s)
        ramp_s = min(self.speed_um_s / self.acceleration_um_s2, total_s / 2.0)
        gone = self.acceleration_um_s2 * min(half_s, ramp_s) ** 2 / 2.0
        gone += self.acceleration_um_s2 * ramp_s * max(half_s - ramp_s, 0.0)
        way = gone if elapsed_s <= total_s / 2.0 else abs(distance_um) - gone
        return math.copysign(way, distance_um)


@dataclass(frozen=True, slots=True)
class Move:
    """A move of one axis on a clock.

    Attributes
    ----------
    start_um, target_um
        Ends.
    start_s
        When it began.
    drive
        The axis.
    """

    start_um: float
    target_um: float
    start_s: float
    drive: Drive

    @property
    def rest_s(self) -> float:
        """When the axis is at rest."""
        return self.start_s + self.duration_s

    @property
    def duration_s(self) -> float:
        """Time of the move, settling included; nothing for a move of no length."""
        distance = self.target_um - self.start_um
        return self.drive.travel_s(distance) + self.drive.settle_s if distance else 0.0

    def position_um(self, now_s: float) -> float:
        """Position at a time."""
        gone = self.drive.travelled_um(self.target_um - self.start_um, now_s - self.start_s)
        return self.start_um + gone


class Axis:
    """One axis: where it is at any time, and where it says it is.

    Parameters
    ----------
    drive
        What it can do.
    position_um
        Where it starts.

    Notes
    -----
    The drive counts (`position_um`); what is screwed to it follows behind by the play and by the steps that were
    lost (`table_um`). A move that is `announced` is reported as made from its first moment on (`reported_um`,
    `is_busy`), whatever the axis does.
    """

    def __init__(self, drive: Drive, position_um: float = 0.0) -> None:
        self.drive = drive
        self._move = Move(position_um, position_um, 0.0, drive)
        self._table_start_um = position_um
        self._slip_um = (0.0, 0.0)
        self._announced = False

    @property
    def target_um(self) -> float:
        """Where it was sent."""
        return self._move.target_um

    def position_um(self, now_s: float) -> float:
        """Position at a time, as the drive counts it."""
        return self._move.position_um(now_s)

    def reported_um(self, now_s: float) -> float:
        """Position at a time, as the device tells it."""
        return self.target_um if self._announced else self.position_um(now_s)

    def slip_um(self, now_s: float) -> float:
        """Steps lost so far: by so much the table is behind the count."""
        before, after = self._slip_um
        way = self._move.target_um - self._move.start_um
        if before == after or not way:
            return after
        return before + (after - before) * (self.position_um(now_s) - self._move.start_um) / way

    def table_um(self, now_s: float) -> float:
        """Where the table truly is: it follows only after the play is used up, and without the steps lost."""
        half_um = self.drive.backlash_um / 2.0
        middle_um = self.position_um(now_s) - self.slip_um(now_s)
        return min(max(self._table_start_um, middle_um - half_um), middle_um + half_um)

    def is_moving(self, now_s: float) -> bool:
        """Whether it is under way or settling."""
        return now_s < self._move.rest_s

    def is_busy(self, now_s: float) -> bool:
        """Whether the device says that it is under way or settling."""
        return self.is_moving(now_s) and not self._announced

    def send(
        self, target_um: float, now_s: float, *, slip_um: float | None = None, announced: bool = False
    ) -> float:
        """Start a move from where it is; returns its duration.

        Parameters
        ----------
        target_um
            Where the drive counts to.
        now_s
            Time.
        slip_um
            Steps lost by the end of the move, earlier ones included; as many as before by default, 0 where a limit
            switch gives the count back its zero.
        announced
            Whether the device calls the move made at once.
        """
        self._table_start_um = self.table_um(now_s)
        before_um = self.slip_um(now_s)
        self._move = Move(self.position_um(now_s), target_um, now_s, self.drive)
        self._slip_um = (before_um, before_um if slip_um is None else slip_um)
        self._announced = announced
        return self._move.duration_s

    def halt(self, now_s: float) -> None:
        """Stop at once."""
        self._table_start_um = self.table_um(now_s)
        here, slip_um = self.position_um(now_s), self.slip_um(now_s)
        self._move = Move(here, here, now_s, self.drive)
        self._slip_um = (slip_um, slip_um)
        self._announced = False

"""What every simulated controller shares: axes with an origin, faults, and a language to fill in."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping

from simulators.serial.faults import SerialFaultKind, SerialFaultPlan
from simulators.serial.mechanics import Mechanics

# How much of a move is made before a fault ends it, and how much of one remains undone when steps are lost.
FRACTION_BEFORE_FAULT = 0.4
FRACTION_LOST = 0.02


class SimulatedController(ABC):
    """A controller at the end of a line.

    Parameters
    ----------
    mechanics
        What it moves.
    faults
        What will go wrong.

    Attributes
    ----------
    commands
        Everything that was received, in order.
    refusals
        Error codes of what was refused, in order.
    joystick_on
        Whether the joystick drives the axes.
    emergency_stop
        Whether the button is pressed; release it by setting False.

    Notes
    -----
    The controller counts in its own coordinates, the machine's minus an origin; switching it off (`power_cycle`)
    makes the present place its zero.
    """

    def __init__(self, mechanics: Mechanics, faults: SerialFaultPlan | None = None) -> None:
        self.mechanics = mechanics
        self.faults = faults or SerialFaultPlan()
        self.commands: list[str] = []
        self.refusals: list[int] = []
        self.joystick_on = True
        self.emergency_stop = False
        self._lock = threading.RLock()
        self._origin_um = dict.fromkeys(mechanics.limits_um, 0.0)
        # What the motor believes minus where the axis is.
        self._slip_um = dict.fromkeys(mechanics.limits_um, 0.0)

    @property
    def axes(self) -> tuple[str, ...]:
        """Axes it has."""
        return tuple(self.mechanics.limits_um)

    @abstractmethod
    def answer(self, command: str) -> str | None:
        """Obey a command; what it answers, if anything."""

    @abstractmethod
    def due(self) -> list[str]:
        """What it has to say unasked by now."""

    @property
    @abstractmethod
    def owes(self) -> bool:
        """Whether it will have to say something unasked later."""

    def receive(self, command: str) -> str | None:
        """Take a command from the line."""
        with self._lock:
            self.commands.append(command)
            if self.faults.strikes(SerialFaultKind.JOYSTICK_ON, command):
                self.joystick_on = True
            return self.answer(command)

    def abort(self) -> None:
        """Halt everything at once."""
        with self._lock:
            self.mechanics.halt(self.axes)

    def power_cycle(self) -> None:
        """Off and on again: it counts from 0 where it stands, and has forgotten what it was told."""
        with self._lock:
            self.mechanics.halt(self.axes)
            for axis in self.axes:
                self._origin_um[axis] = self.mechanics.position_um(axis)
                self._slip_um[axis] = 0.0
            self.joystick_on = True

    # -- for languages -------------------------------------------------------------------------------------

    def _limits_um(self, axis: str) -> tuple[float, float]:
        lower, upper = self.mechanics.limits_um[axis]
        return lower - self._origin_um[axis], upper - self._origin_um[axis]

    def _reads_encoder(self, axis: str) -> bool:
        """Whether positions are those of an encoder; else they are what the motor has counted."""
        return False

    def _hidden_um(self, axis: str) -> float:
        """By how much the position it knows is wrong."""
        return 0.0 if self._reads_encoder(axis) else self._slip_um[axis]

    def _position_um(self, axis: str) -> float:
        # An axis under way slips bit by bit; the count is asked for at rest alone, so the end is good enough.
        return self.mechanics.position_um(axis) - self._origin_um[axis] + self._hidden_um(axis)

    def _set_position(self, axis: str, position_um: float) -> None:
        self._origin_um[axis] = self.mechanics.position_um(axis) - position_um
        self._slip_um[axis] = 0.0

    def _is_moving(self, axis: str) -> bool:
        return self.mechanics.is_moving(axis)

    def _is_outside(self, targets_um: Mapping[str, float]) -> bool:
        return any(
            not self._limits_um(axis)[0] <= target <= self._limits_um(axis)[1]
            for axis, target in targets_um.items()
        )

    def _move(self, targets_um: Mapping[str, float], command: str) -> SerialFaultKind | None:
        """Start a move, in the controller's coordinates; tells which fault spoils it.

        Raises
        ------
        OSError
            The mechanics do not start.
        """
        spoiled: SerialFaultKind | None = None
        share = 1.0
        for kind in (SerialFaultKind.LIMIT_SWITCH, SerialFaultKind.EMERGENCY_STOP):
            if self.faults.strikes(kind, command):
                spoiled, share = kind, FRACTION_BEFORE_FAULT
        if spoiled is SerialFaultKind.EMERGENCY_STOP:
            self.emergency_stop = True
        loses_steps = self.faults.strikes(SerialFaultKind.LOST_STEPS, command)
        machine: dict[str, float] = {}
        for axis, target in targets_um.items():
            here = self.mechanics.position_um(axis)
            way = share * (target - self._position_um(axis))
            lost = FRACTION_LOST * way if loses_steps else 0.0
            self._slip_um[axis] += lost
            machine[axis] = self._before_the_stop(axis, here + way - lost)
        self.mechanics.send(machine)
        return spoiled

    def _before_the_stop(self, axis: str, machine_um: float) -> float:
        """Where an axis gets to: one that lost steps is sent beyond its end stop, and leans on it."""
        if not self._slip_um[axis]:
            return machine_um
        low_um, high_um = self.mechanics.limits_um[axis]
        reached_um = min(max(machine_um, low_um), high_um)
        self._slip_um[axis] += machine_um - reached_um
        return reached_um

    def _halt(self, axes: Iterable[str]) -> None:
        self.mechanics.halt(axes)

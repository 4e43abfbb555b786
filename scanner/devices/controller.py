"""What every motion controller has to keep, whatever it speaks."""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from scanner.devices.connection import PortSettings, SerialConnection
from scanner.errors import DeviceError, DeviceNotReadyError, InterlockError, LimitError, ScannerError
from scanner.rig import Span

_log = logging.getLogger(__name__)

Axis = Literal["x", "y", "z"]
AXES: tuple[Axis, ...] = ("x", "y", "z")

# An axis at rest that is found farther than this from where it was left has been moved or has lost its count.
REST_TOLERANCE_UM = 2.0


class MotionController(ABC):
    """Axes behind one serial line.

    The public methods check limits, state and reference; `_...` hooks speak the controller's language. A hook is
    called within a transaction: nobody else talks meanwhile.

    Parameters
    ----------
    port
        How to reach it.
    device
        Label used in errors.

    Notes
    -----
    A controller counts steps from where it was switched on. When the line was lost, it may have been switched off
    meanwhile, and its coordinates may mean other places. So after a reconnect an axis moves only when its
    reference is proven: the controller says that it is still calibrated, or the axis rests where it was left.
    Otherwise moves are refused until it is homed.
    """

    def __init__(self, port: PortSettings, device: str) -> None:
        self.device = device
        self._connection = SerialConnection(port, device, self._greet)
        self._identity = ""
        self._axes: tuple[Axis, ...] = ()
        self._limits: dict[Axis, Span] = {}
        self._under_way: set[Axis] = set()
        self._rest_um: dict[Axis, float] = {}
        self._unreferenced: set[Axis] = set()
        self._homing: deque[Callable[[], None]] = deque()
        self._homing_axes: set[Axis] = set()

    # -- for devices ---------------------------------------------------------------------------------------

    @property
    def identity(self) -> str:
        """What the controller calls itself; empty before `start`."""
        return self._identity

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Axes it has."""
        return self._axes

    @property
    def answer_timeout_s(self) -> float:
        """An answer that takes longer is none; s."""
        return self._connection.answer_timeout_s

    @answer_timeout_s.setter
    def answer_timeout_s(self, seconds: float) -> None:
        self._connection.answer_timeout_s = seconds

    def start(self) -> None:
        """Connect, prove who answers, lock the joystick out and read the limits.

        Raises
        ------
        DeviceNotReadyError
            Nobody, or somebody else, answers.
        DeviceError
            It refuses to be set up.
        """
        with self._connection.transaction():
            self.position_um(*self._axes)
            _log.info("%s: %s, limits %s", self.device, self._identity, self._limits)

    def close(self) -> None:
        """Halt what moves, give the joystick back and let the line go; the line is let go whatever happens.

        Raises
        ------
        ScannerError
            The joystick could not be given back.
        """
        if not self._identity:
            self._connection.close()
            return
        try:
            with self._connection.transaction():
                if self._under_way or self._homing_axes:
                    self._halt(self._axes)
                self._give_back()
        finally:
            self._connection.close()

    def limits(self, axis: Axis) -> Span:
        """Allowed positions, um.

        Raises
        ------
        DeviceNotReadyError
            There is no such axis.
        """
        self.require(axis)
        return self._limits[axis]

    def require(self, *axes: Axis) -> None:
        """Refuse an axis that isn't there.

        Raises
        ------
        DeviceNotReadyError
            With its name.
        """
        for axis in axes:
            if axis not in self._axes:
                raise DeviceNotReadyError(
                    "has no such axis", device=self.device, axis=axis, allowed=", ".join(self._axes) or "none"
                )

    def position_um(self, *axes: Axis) -> tuple[float, ...]:
        """Positions read from the controller, under way too.

        Raises
        ------
        DeviceError
            No answer, or none that is a position.
        """
        self.require(*axes)
        with self._connection.transaction():
            found = self._read_positions(axes)
            self._rest_um.update({axis: value for axis, value in found.items() if axis not in self._moving()})
            return tuple(found[axis] for axis in axes)

    def start_move(self, targets_um: Mapping[Axis, float], device: str) -> None:
        """Start a move; it's under way when this returns without an error.

        Parameters
        ----------
        targets_um
            Where to go, by axis.
        device
            Label used where the move is refused.

        Raises
        ------
        LimitError
            Outside the limits; nothing has moved.
        InterlockError
            The axis is still under way, or the joystick is on; nothing has moved.
        DeviceNotReadyError
            No answer, emergency stop, or an axis whose reference was lost.
        DeviceError
            The controller refused.
        """
        self.require(*targets_um)
        for axis, target_um in targets_um.items():
            if not (math.isfinite(target_um) and target_um in self._limits[axis]):
                raise LimitError(
                    "refused before moving",
                    device=device,
                    axis=axis,
                    wanted=float(target_um),
                    allowed=f"{self._limits[axis]} um (of the controller)",
                    unit="um",
                )
        with self._connection.transaction():
            self._check_referenced(targets_um, device)
            if self._moving() and self.is_busy(*targets_um):
                raise InterlockError("a move is still under way", device=device, axis=", ".join(targets_um))
            # From here on, whatever goes wrong, the axes may be moving.
            self._under_way.update(targets_um)
            self._send_move(dict(targets_um))

    def is_busy(self, *axes: Axis) -> bool:
        """Whether any of the axes moves or is being homed.

        Raises
        ------
        DeviceError
            No answer, none that makes sense, or the move ended with an error.
        """
        self.require(*axes)
        with self._connection.transaction():
            self._follow(self._read_moving())
            return any(axis in self._moving() for axis in axes)

    def stop(self, *axes: Axis) -> None:
        """Halt axes now and give up homing them; `is_busy` tells when they rest.

        Raises
        ------
        DeviceError
            The controller does not answer: nobody can tell whether the axes move.
        """
        self.require(*axes)
        self._interrupt()
        with self._connection.transaction():
            self._halt(axes)

    def home(self, *axes: Axis) -> None:
        """Start to find the reference of axes; `is_busy` tells when it is found.

        Raises
        ------
        InterlockError
            They are still under way.
        DeviceError
            The controller refused, or can't home these axes.
        """
        self.require(*axes)
        with self._connection.transaction():
            if self._moving() and self.is_busy(*axes):
                raise InterlockError("a move is still under way", device=self.device, axis=", ".join(axes))
            self._homing = deque([*self._home_steps(axes), lambda: self._set_referenced(axes)])
            self._homing_axes = set(axes)
            # Until all steps are done, the coordinates belong to nothing.
            self._unreferenced.update(axes)
            self._next_home_step()

    # -- hooks ---------------------------------------------------------------------------------------------

    @abstractmethod
    def _identify(self) -> str:
        """Make the far end say who it is, throwing away what came before; raise if it's another kind."""

    @abstractmethod
    def _set_up(self) -> None:
        """Set units and modes, lock the joystick out, find axes and limits."""

    @abstractmethod
    def _give_back(self) -> None:
        """Hand the joystick back."""

    @abstractmethod
    def _read_positions(self, axes: Iterable[Axis]) -> dict[Axis, float]:
        """Positions in um."""

    @abstractmethod
    def _read_moving(self) -> frozenset[Axis]:
        """Axes that move."""

    @abstractmethod
    def _send_move(self, targets_um: Mapping[Axis, float]) -> None:
        """Start a move and raise what the controller has against it."""

    @abstractmethod
    def _send_stop(self, axes: Iterable[Axis]) -> None:
        """Halt axes."""

    @abstractmethod
    def _home_steps(self, axes: Iterable[Axis]) -> list[Callable[[], None]]:
        """What to do in turn to home, each step once the axes rest; raise where they can't be homed."""

    @abstractmethod
    def _interrupt(self) -> None:
        """Halt everything past whoever holds the line, where there is a command without answer for it."""

    @abstractmethod
    def _check_ended(self) -> None:
        """Raise what the controller has to say at the end of a move."""

    def _has_kept_reference(self) -> bool:
        """Whether the controller itself proves, after a reconnect, that its coordinates still hold."""
        return False

    # -- inside --------------------------------------------------------------------------------------------

    def _greet(self, fresh: bool) -> None:
        identity = self._identify()
        if self._identity and identity != self._identity:
            raise DeviceNotReadyError(
                "another controller answers", device=self.device, wanted=self._identity, actual=identity
            )
        if not fresh:
            return
        is_back = bool(self._identity)
        is_kept = is_back and self._has_kept_reference()
        self._set_up()
        self._identity = identity
        if is_back:
            _log.warning("%s: connected again", self.device)
            self._homing.clear()
            self._homing_axes.clear()
            if not is_kept:
                self._doubt_reference()

    def _doubt_reference(self) -> None:
        found = self._read_positions(self._axes)
        for axis, position_um in found.items():
            left_um = self._rest_um.get(axis, math.inf)
            if axis in self._under_way or abs(position_um - left_um) > REST_TOLERANCE_UM:
                self._unreferenced.add(axis)

    def _check_referenced(self, axes: Iterable[Axis], device: str) -> None:
        lost = [axis for axis in axes if axis in self._unreferenced]
        if lost:
            raise DeviceNotReadyError(
                "the connection was lost and the coordinates may have changed: home it",
                device=device,
                axis=", ".join(lost),
            )

    def _set_referenced(self, axes: Iterable[Axis]) -> None:
        self._unreferenced.difference_update(axes)

    def _moving(self) -> set[Axis]:
        return self._under_way | self._homing_axes

    def _halt(self, axes: Iterable[Axis]) -> None:
        self._homing.clear()
        self._homing_axes.clear()
        # Until the next question proves that they rest.
        self._under_way.update(axes)
        self._send_stop(axes)

    def _follow(self, moving: frozenset[Axis]) -> None:
        """Note which moves have ended, and go on with homing."""
        ended = self._under_way - moving
        if ended:
            self._under_way -= ended
            self._check_ended()
        if self._homing_axes and not self._homing_axes & moving:
            self._next_home_step()

    def _next_home_step(self) -> None:
        try:
            # A step that starts nothing, such as reading the limits anew, is followed by the next one at once.
            while self._homing:
                self._check_ended()
                self._homing.popleft()()
                if self._homing and self._read_moving() & self._homing_axes:
                    return
        except ScannerError:
            self._homing.clear()
            raise
        finally:
            if not self._homing:
                self._homing_axes.clear()

    def _refusal(self, kind: type[DeviceError], message: str, code: int) -> DeviceError:
        return kind(f"{message} (controller error {code})", device=self.device)

"""Maerzhaeuser TANGO: XY or XYZ, native instruction set (see ``docs/reference/serial/tango.md``)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from scanner.devices.connection import PortSettings
from scanner.devices.controller import AXES, Axis, MotionController
from scanner.devices.hub import ControllerHub
from scanner.errors import DeviceError, DeviceNotReadyError, InterlockError, LimitError
from scanner.rig import Span

_log = logging.getLogger(__name__)

# Answers that came late from an earlier question may stand before the identity; more than these are noise.
STALE_LINES = 8
ABORT = b"\x03"
CALIBRATED = 1
RANGE_MEASURED = 2

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_STATUS = re.compile(r"[@MJCSADEUT-]{2,}[@MJCSADEUT.-]*")
_MOVING = "M"
_AT_REST = "@SACD"
_JOYSTICK = "J"
_ABSENT = "-"

_ERRORS: dict[int, tuple[type[DeviceError], str]] = {
    1: (DeviceError, "no such axis"),
    2: (DeviceError, "instruction can't be executed"),
    4: (DeviceError, "invalid instruction"),
    5: (LimitError, "number out of range"),
    6: (DeviceError, "wrong number of parameters"),
    11: (InterlockError, "the joystick is on"),
    12: (DeviceError, "a limit switch was hit"),
    14: (DeviceNotReadyError, "calibration failed"),
    15: (DeviceNotReadyError, "measuring the range failed"),
    21: (InterlockError, "the door is open"),
    22: (InterlockError, "the door is open"),
    27: (DeviceNotReadyError, "emergency stop"),
    29: (DeviceNotReadyError, "the amplifiers are off"),
    32: (LimitError, "target outside the limits"),
    88: (DeviceNotReadyError, "overload"),
    90: (DeviceNotReadyError, "too hot"),
    91: (DeviceNotReadyError, "encoder fault"),
}


@dataclass(frozen=True, slots=True)
class TangoSettings:
    """What the controller is set to.

    Attributes
    ----------
    encoder_positions
        Positions are those of the encoders, so that lost steps show; needs encoders on X and Y.
    speed_mm_s, acceleration_m_s2
        Of X and Y; 0 leaves what the controller has stored.
    """

    encoder_positions: bool = True
    speed_mm_s: float = 0.0
    acceleration_m_s2: float = 0.0


class Tango(MotionController):
    """One TANGO controller.

    Parameters
    ----------
    port
        How to reach it.
    settings
        What to set it to.
    device
        Label used in errors.
    """

    def __init__(self, port: PortSettings, settings: TangoSettings, device: str) -> None:
        super().__init__(port, device)
        self._settings = settings
        self._joystick_before: int | None = None
        self._calibration: dict[Axis, int] = {}

    # -- hooks ---------------------------------------------------------------------------------------------

    def _identify(self) -> str:
        # An empty line ends whatever half a command the controller may still hold.
        self._connection.send("")
        answer = self._connection.ask("?version")
        for _ in range(STALE_LINES):
            if answer.upper().startswith("TANGO"):
                return answer
            answer = self._connection.read_line("?version")
        raise DeviceNotReadyError("another device answers", device=self.device, wanted="TANGO", actual=answer)

    def _set_up(self) -> None:
        self._connection.send("!autostatus 0")
        # What went wrong before this session is not ours to raise.
        self._read_error()
        status = self._read_status()
        self._axes = tuple(axis for axis, mark in zip(AXES, status, strict=False) if mark not in (_ABSENT, "."))
        if not {"x", "y"} <= set(self._axes):
            raise DeviceNotReadyError("has no XY stage", device=self.device, actual=status)
        self._lock_joystick()
        self._set_dynamics()
        self._order("!dim 1 1")
        if "z" in self._axes:
            self._order("!dim z 1")
        if self._settings.encoder_positions:
            self._order("!encpos 1 1")
        self._read_limits(self._axes)
        self._calibration = self._read_calibration(self._axes)

    def _give_back(self) -> None:
        if self._joystick_before:
            self._order(f"!joy {self._joystick_before}")

    def _read_positions(self, axes: Iterable[Axis]) -> dict[Axis, float]:
        wanted = set(axes)
        found: dict[Axis, float] = {}
        if wanted & {"x", "y"}:
            values = self._ask_numbers("?pos", (2, 3, 4))
            found = dict(zip(AXES, values, strict=False))
        if "z" in wanted - found.keys():
            found["z"] = self._ask_numbers("?pos z", (1,))[0]
        return {axis: found[axis] for axis in wanted}

    def _read_moving(self) -> frozenset[Axis]:
        status = self._read_status()
        moving: set[Axis] = set()
        for axis, mark in zip(AXES, status, strict=False):
            if axis not in self._axes:
                continue
            if mark == _MOVING:
                moving.add(axis)
            elif mark == _JOYSTICK:
                raise InterlockError("the joystick was switched on", device=self.device, axis=axis)
            elif mark not in _AT_REST:
                raise DeviceNotReadyError(
                    "axis reports a fault", device=self.device, axis=axis, allowed="@ or M", actual=mark
                )
        return frozenset(moving)

    def _send_move(self, targets_um: Mapping[Axis, float]) -> None:
        # Fixed point: an exponent or a rounded number would be another place.
        if "x" in targets_um and "y" in targets_um:
            self._order(f"!moa {targets_um['x']:.4f} {targets_um['y']:.4f}")
            rest: tuple[Axis, ...] = ("z",)
        else:
            rest = AXES
        for axis in rest:
            if axis in targets_um:
                self._order(f"!moa {axis} {targets_um[axis]:.4f}")

    def _send_stop(self, axes: Iterable[Axis]) -> None:
        for axis in axes:
            self._connection.send(f"!a {axis}")

    def _interrupt(self) -> None:
        self._connection.interrupt(ABORT)

    def _home_steps(self, axes: Iterable[Axis]) -> list[Callable[[], None]]:
        axes = tuple(axes)
        level = tuple(axis for axis in axes if axis != "z")
        steps: list[Callable[[], None]] = [lambda: self._order_each("!cal", axes)]
        if level:
            # Never the focus: measuring its range would drive the objective up into the slide.
            steps.append(lambda: self._order_each("!rm", level))
        steps.append(lambda: self._check_calibrated(axes))
        steps.append(lambda: self._read_limits(axes))
        return steps

    def _check_ended(self) -> None:
        self._check_error()

    def _has_kept_reference(self) -> bool:
        # The calibration is forgotten when the controller is switched off.
        axes = self._axes
        return all(self._calibration.values()) and self._read_calibration(axes) == self._calibration

    # -- inside --------------------------------------------------------------------------------------------

    def _order(self, command: str) -> None:
        self._connection.send(command)
        self._check_error()

    def _order_each(self, command: str, axes: Iterable[Axis]) -> None:
        for axis in axes:
            self._order(f"{command} {axis}")

    def _read_error(self) -> int:
        answer = self._connection.ask("?err")
        if not answer.isdigit():
            raise self._connection.nonsense("?err", answer, "a number")
        return int(answer)

    def _check_error(self) -> None:
        code = self._read_error()
        if code:
            kind, message = _ERRORS.get(code, (DeviceError, "refused"))
            raise self._refusal(kind, message, code)

    def _ask_numbers(self, command: str, counts: tuple[int, ...]) -> tuple[float, ...]:
        answer = self._connection.ask(command)
        words = answer.split()
        if len(words) not in counts or not all(_NUMBER.fullmatch(word) for word in words):
            raise self._connection.nonsense(command, answer, f"{' or '.join(map(str, counts))} numbers")
        return tuple(float(word) for word in words)

    def _read_status(self) -> str:
        status = self._connection.ask("?statusaxis")
        if not _STATUS.fullmatch(status) or (self._axes and len(status) < len(self._axes)):
            raise self._connection.nonsense("?statusaxis", status, "a mark per axis, such as @@@-.")
        return status

    def _read_limits(self, axes: Iterable[Axis]) -> None:
        for axis in axes:
            lower, upper = self._ask_numbers(f"?lim {axis}", (2,))
            if not lower < upper:
                raise DeviceNotReadyError(
                    "has no usable limits", device=self.device, axis=axis, actual=f"{lower} .. {upper}", unit="um"
                )
            self._limits[axis] = Span(min_um=lower, max_um=upper)

    def _read_calibration(self, axes: Iterable[Axis]) -> dict[Axis, int]:
        return {axis: int(self._ask_numbers(f"?calst {axis}", (1,))[0]) & 3 for axis in axes}

    def _check_calibrated(self, axes: Iterable[Axis]) -> None:
        for axis, state in self._read_calibration(axes).items():
            wanted = CALIBRATED if axis == "z" else CALIBRATED | RANGE_MEASURED
            if state & wanted != wanted:
                raise DeviceNotReadyError(
                    "homing did not succeed", device=self.device, axis=axis, wanted=str(wanted), actual=str(state)
                )
            self._calibration[axis] = state

    def _lock_joystick(self) -> None:
        state = int(self._ask_numbers("?joy", (1,))[0])
        if self._joystick_before is None:
            self._joystick_before = state
        self._order("!joy 0")
        state = int(self._ask_numbers("?joy", (1,))[0])
        if state:
            raise DeviceNotReadyError("the joystick stays on", device=self.device, wanted="0", actual=str(state))

    def _set_dynamics(self) -> None:
        settings = self._settings
        if not (settings.speed_mm_s or settings.acceleration_m_s2):
            return
        # Speeds are mm/s in this unit alone; positions go back to um right after.
        self._order("!dim 9 9")
        for axis in ("x", "y"):
            if settings.speed_mm_s:
                self._order(f"!vel {axis} {settings.speed_mm_s:.4f}")
            if settings.acceleration_m_s2:
                self._order(f"!accel {axis} {settings.acceleration_m_s2:.4f}")


class TangoHub(ControllerHub):
    """Maerzhaeuser TANGO controller; XY and focus hang on it.

    Properties, besides those of every hub: ``EncoderPositions`` (0 or 1), ``Speed_mm_s`` and ``Acceleration_m_s2``
    of X and Y (0 leaves what the controller has stored).
    """

    DEFAULT_BAUD_RATE = 57600

    def __init__(self) -> None:
        super().__init__()
        self.register_property("EncoderPositions", default_value=1, limits=(0, 1), is_pre_init=True)
        self.register_property("Speed_mm_s", default_value=0.0, limits=(0.0, 300.0), is_pre_init=True)
        self.register_property("Acceleration_m_s2", default_value=0.0, limits=(0.0, 20.0), is_pre_init=True)

    def make_controller(self, port: PortSettings) -> MotionController:
        """A TANGO behind this port."""
        settings = TangoSettings(
            bool(self.get_property_value("EncoderPositions")),
            float(self.get_property_value("Speed_mm_s")),
            float(self.get_property_value("Acceleration_m_s2")),
        )
        return Tango(port, settings, self.get_label())

"""Prior ProScan II/III: XY or XYZ, standard mode (see ``docs/reference/serial/prior.md``)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from scanner.devices.connection import PortSettings
from scanner.devices.controller import Axis, MotionController
from scanner.devices.hub import ControllerHub
from scanner.errors import DeviceError, DeviceNotReadyError, LimitError
from scanner.rig import Span

# Answers that came late from an earlier question may stand before the identity; more than these are noise.
STALE_LINES = 8
DONE = "R"
_BITS: dict[Axis, int] = {"x": 1, "y": 2, "z": 4}
_STEPS = re.compile(r"[+-]?\d+")
_ERROR = re.compile(r"E,(\d+)")

_ERRORS: dict[int, tuple[type[DeviceError], str]] = {
    1: (DeviceNotReadyError, "no stage"),
    2: (DeviceError, "not idle"),
    3: (DeviceNotReadyError, "no drive"),
    4: (DeviceError, "corrupt command"),
    5: (DeviceError, "unknown command"),
    7: (DeviceNotReadyError, "no focus drive"),
    8: (LimitError, "value out of range"),
    18: (DeviceError, "command queue full"),
}


@dataclass(frozen=True, slots=True)
class ProScanSettings:
    """What the controller is set to, and what it can't tell itself.

    Attributes
    ----------
    x, y, z
        Travel in um; None for z where there is no focus drive.
    home_x_um, home_y_um
        Coordinates of the corner to which homing drives.
    resolution_um
        Wanted step of all axes.
    speed_percent, acceleration_percent, s_curve_percent
        Of X and Y; 0 leaves what the controller has stored.
    """

    x: Span
    y: Span
    z: Span | None
    home_x_um: float
    home_y_um: float
    resolution_um: float = 0.1
    speed_percent: int = 0
    acceleration_percent: int = 0
    s_curve_percent: int = 0


class ProScan(MotionController):
    """One ProScan controller.

    Parameters
    ----------
    port
        How to reach it.
    settings
        Travel, steps and speeds.
    device
        Label used in errors.

    Notes
    -----
    A move is answered by ``R``: by some firmware at once, by some at the end of the move. So nobody waits for it.
    Each move is followed by the question ``$``, whose answer is a number and can't be taken for anything else: an
    error that stands before it belongs to the move; an ``R`` that doesn't is *owed* and skipped wherever it comes.
    Whether axes move is told by ``$`` alone.
    """

    def __init__(self, port: PortSettings, settings: ProScanSettings, device: str) -> None:
        super().__init__(port, device)
        self._settings = settings
        self._owed = 0
        self._step_um: dict[Axis, float] = {}

    # -- hooks ---------------------------------------------------------------------------------------------

    def _identify(self) -> str:
        self._owed = 0
        answer = self._connection.ask("DATE")
        for _ in range(STALE_LINES):
            if "PRIOR" in answer.upper():
                # A move that goes on over the surprise may still be answered.
                self._owed = 1 if self._moving() else 0
                return answer
            answer = self._connection.read_line("DATE")
        raise DeviceNotReadyError("another device answers", device=self.device, wanted="Prior", actual=answer)

    def _set_up(self) -> None:
        settings = self._settings
        self._set("COMP 0")
        self._set("H")
        spans: dict[Axis, Span | None] = {"x": settings.x, "y": settings.y, "z": settings.z}
        self._limits = {axis: span for axis, span in spans.items() if span is not None}
        self._axes = tuple(self._limits)
        stage_um = self._set_resolution("s")
        self._step_um = {"x": stage_um, "y": stage_um}
        if "z" in self._axes:
            self._step_um["z"] = self._set_resolution("z")
        for command, percent in (
            ("SMS", settings.speed_percent),
            ("SAS", settings.acceleration_percent),
            ("SCS", settings.s_curve_percent),
        ):
            if percent:
                self._set(f"{command},{percent}")

    def _give_back(self) -> None:
        self._set("J")

    def _read_positions(self, axes: Iterable[Axis]) -> dict[Axis, float]:
        return {axis: self._ask_steps(f"P{axis.upper()}") * self._step_um[axis] for axis in axes}

    def _read_moving(self) -> frozenset[Axis]:
        return self._moving_in(self._ask_steps("$"))

    def _send_move(self, targets_um: Mapping[Axis, float]) -> None:
        if "x" in targets_um or "y" in targets_um:
            steps = {axis: self._steps(axis, target) for axis, target in targets_um.items()}
            for axis in ("x", "y"):
                if axis not in steps:
                    steps[axis] = self._ask_steps(f"P{axis.upper()}")
            self._command(f"G,{steps['x']},{steps['y']}")
        if "z" in targets_um:
            way = self._steps("z", targets_um["z"]) - self._ask_steps("PZ")
            if way:
                self._command(f"{'U' if way > 0 else 'D'},{abs(way)}")

    def _send_stop(self, axes: Iterable[Axis]) -> None:
        # There is one stop for all axes; those that weren't meant end their moves early and are found there.
        self._under_way.update(self._axes)
        self._command("K")

    def _home_steps(self, axes: Iterable[Axis]) -> list[Callable[[], None]]:
        if set(axes) != {"x", "y"}:
            raise DeviceError(
                "can't be homed", device=self.device, axis=", ".join(axes), allowed="x and y together"
            )
        return [lambda: self._command("SIS"), self._set_home_position]

    def _interrupt(self) -> None:
        # Every command of a ProScan is answered: none can go past one that waits for its answer.
        return

    def _check_ended(self) -> None:
        # There is no error register; what a move came to shows in its position.
        return

    # -- inside --------------------------------------------------------------------------------------------

    def _set_home_position(self) -> None:
        settings = self._settings
        self._set(f"PS,{self._steps('x', settings.home_x_um)},{self._steps('y', settings.home_y_um)}")

    def _steps(self, axis: Axis, position_um: float) -> int:
        return round(position_um / self._step_um[axis])

    def _moving_in(self, bits: int) -> frozenset[Axis]:
        # Higher bits are wheels and shutters.
        return frozenset(axis for axis, bit in _BITS.items() if bits & bit and axis in self._axes)

    def _set_resolution(self, axis: str) -> float:
        """Set the step, and take what the controller made of it."""
        self._set(f"RES,{axis},{self._settings.resolution_um:g}")
        answer = self._ask(f"RES,{axis}")
        try:
            step_um = float(answer)
        except ValueError:
            raise self._connection.nonsense(f"RES,{axis}", answer, "um per step") from None
        if not (math.isfinite(step_um) and step_um > 0.0):
            raise self._connection.nonsense(f"RES,{axis}", answer, "um per step")
        return step_um

    def _set(self, command: str) -> None:
        """Send a setting; it is answered at once with 0, by some firmware with R."""
        answer = self._ask(command)
        if answer not in ("0", DONE):
            raise self._connection.nonsense(command, answer, "0 or R")

    def _ask_steps(self, command: str) -> int:
        answer = self._ask(command)
        if not _STEPS.fullmatch(answer):
            raise self._connection.nonsense(command, answer, "a whole number")
        return int(answer)

    def _ask(self, command: str) -> str:
        """Ask something that isn't a move, past an answer to an earlier move that comes in between."""
        if not self._owed:
            answer = self._connection.ask(command)
        else:
            self._connection.send(command)
            answer = self._connection.read_line(command)
            while answer == DONE and self._owed:
                self._owed -= 1
                answer = self._connection.read_line(command)
        self._raise_error(answer)
        return answer

    def _command(self, command: str) -> None:
        """Send what is answered with R, now or later, and find out whether it was refused."""
        if not self._owed:
            self._connection.flush_unexpected()
        self._connection.send(command)
        self._connection.send("$")
        # Never more than one R is waited for in vain: a stopped move may or may not be answered as well.
        owed = min(self._owed, 1) + 1
        refused: DeviceError | None = None
        while True:
            answer = self._connection.read_line(command)
            if answer == DONE and owed:
                owed -= 1
            elif _ERROR.fullmatch(answer) and refused is None:
                refused = self._error(answer)
                owed = max(owed - 1, 0)
            elif _STEPS.fullmatch(answer):
                break
            else:
                raise self._connection.nonsense(command, answer, "R, E,n or a whole number")
        self._owed = owed
        if refused is not None:
            raise refused

    def _raise_error(self, answer: str) -> None:
        if _ERROR.fullmatch(answer):
            raise self._error(answer)

    def _error(self, answer: str) -> DeviceError:
        code = int(answer.partition(",")[2])
        kind, message = _ERRORS.get(code, (DeviceError, "refused"))
        return self._refusal(kind, message, code)


class ProScanHub(ControllerHub):
    """Prior ProScan II/III controller; XY and focus hang on it.

    Properties, besides those of every hub: the travel in um, which the controller doesn't report (``XMin_um`` ..
    ``ZMax_um``; no Z where ``ZMin_um`` equals ``ZMax_um``), ``HomeX_um`` and ``HomeY_um`` (coordinates of the
    corner to which homing drives), ``Resolution_um``, ``Speed_percent``, ``Acceleration_percent`` and
    ``SCurve_percent`` of X and Y (0 leaves what the controller has stored).
    """

    DEFAULT_BAUD_RATE = 9600

    def __init__(self) -> None:
        super().__init__()
        for name in ("XMin_um", "XMax_um", "YMin_um", "YMax_um", "ZMin_um", "ZMax_um", "HomeX_um", "HomeY_um"):
            self.register_property(name, default_value=0.0, is_pre_init=True)
        self.register_property("Resolution_um", default_value=0.1, limits=(0.001, 10.0), is_pre_init=True)
        for name in ("Speed_percent", "Acceleration_percent", "SCurve_percent"):
            self.register_property(name, default_value=0, limits=(0, 100), is_pre_init=True)

    def make_controller(self, port: PortSettings) -> MotionController:
        """A ProScan behind this port."""
        settings = ProScanSettings(
            self._travel("X"),
            self._travel("Y"),
            self._travel("Z") if self._number("ZMin_um") != self._number("ZMax_um") else None,
            self._number("HomeX_um"),
            self._number("HomeY_um"),
            self._number("Resolution_um"),
            int(self._number("Speed_percent")),
            int(self._number("Acceleration_percent")),
            int(self._number("SCurve_percent")),
        )
        return ProScan(port, settings, self.get_label())

    def _travel(self, axis: str) -> Span:
        lower, upper = self._number(f"{axis}Min_um"), self._number(f"{axis}Max_um")
        if not lower < upper:
            raise DeviceNotReadyError(
                "needs the travel, which the controller doesn't report",
                device=self.get_label(),
                axis=axis.lower(),
                wanted=f"{axis}Min_um below {axis}Max_um",
                actual=f"{lower:g} .. {upper:g}",
                unit="um",
            )
        return Span(min_um=lower, max_um=upper)

    def _number(self, name: str) -> float:
        return float(self.get_property_value(name))

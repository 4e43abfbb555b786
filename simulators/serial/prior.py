"""Simulated Prior ProScan III: standard mode, lines end with a carriage return both ways."""

from __future__ import annotations

import re

from simulators.serial.controller import SimulatedController
from simulators.serial.faults import SerialFaultPlan
from simulators.serial.mechanics import Mechanics

IDENTITY = "Prior Scientific Instruments ProScan III Version 1.01"

ERROR_NOT_IDLE = 2
ERROR_CORRUPT = 4
ERROR_UNKNOWN = 5
ERROR_RANGE = 8

_BITS = {"x": 1, "y": 2, "z": 4}
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_WHOLE = re.compile(r"[+-]?\d+")
_POWER_ON_STEP_UM = 1.0


class _RefusedError(Exception):
    """The command is answered with an error."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(str(code))


class ProScanController(SimulatedController):
    """A ProScan III.

    Parameters
    ----------
    mechanics
        What it moves.
    faults
        What will go wrong.
    answers_at_end
        Firmware that sends the ``R`` of a move when it has ended; else it is sent at once.
    wheel_moves
        A filter wheel turns all the time: a bit of ``$`` that is nobody's business here.

    Notes
    -----
    There is no encoder: positions are what the motors have counted.
    """

    def __init__(
        self,
        mechanics: Mechanics,
        faults: SerialFaultPlan | None = None,
        *,
        answers_at_end: bool = False,
        wheel_moves: bool = False,
    ) -> None:
        super().__init__(mechanics, faults)
        self._answers_at_end = answers_at_end
        self._wheel_moves = wheel_moves
        self._reset()

    def _reset(self) -> None:
        self._step_um = {"s": _POWER_ON_STEP_UM, "z": _POWER_ON_STEP_UM}
        self._percent = dict.fromkeys(("SMS", "SAS", "SCS"), 100)
        self._owed_for: set[str] = set()
        self._is_homing = False

    def power_cycle(self) -> None:
        """Off and on again: steps of 1 um, and no answer owed."""
        with self._lock:
            super().power_cycle()
            self._reset()

    # -- line ----------------------------------------------------------------------------------------------

    def answer(self, command: str) -> str | None:
        """Obey."""
        self._note_ends()
        words = [word for word in re.split(r"[,\s;:=]+", command.strip().upper()) if word]
        if not words:
            return None
        try:
            return self._answer_to(words[0], words[1:], command.strip())
        except _RefusedError as refused:
            self.refusals.append(refused.code)
            return f"E,{refused.code}"

    def due(self) -> list[str]:
        """The ``R`` of moves that have ended, by firmware that sends it then."""
        with self._lock:
            self._note_ends()
            if self._owed_for and not any(self._is_moving(axis) for axis in self._owed_for):
                self._owed_for.clear()
                return ["R"]
            return []

    @property
    def owes(self) -> bool:
        """Whether an ``R`` is to come."""
        return bool(self._owed_for)

    # -- commands ------------------------------------------------------------------------------------------

    def _answer_to(self, name: str, words: list[str], text: str) -> str | None:
        if name == "$":
            return str(self._busy_bits())
        if name in ("G", "GR"):
            return self._go(words, text, is_relative=name == "GR")
        if name in ("U", "D"):
            return self._focus(words, text, 1 if name == "U" else -1)
        if name == "SIS":
            self._is_homing = True
            return self._start({axis: self._limits_um(axis)[0] for axis in ("x", "y")}, text)
        if name in ("K", "I"):
            self._halt(self.axes)
            self._is_homing = False
            return "R"
        return self._answer_setting(name, words)

    def _answer_setting(self, name: str, words: list[str]) -> str:
        if name == "DATE":
            return IDENTITY
        if name in ("PX", "PY", "PZ") and not words:
            return str(self._counted(name[1].lower()))
        if name == "PS":
            for axis, steps in zip(("x", "y"), self._whole(words, 2), strict=True):
                self._set_position(axis, steps * self._step_um["s"])
            return "0"
        if name == "RES":
            return self._resolution(words)
        if name == "COMP" and words in (["0"], ["1"]):
            return "0"
        if name in ("H", "J"):
            self.joystick_on = name == "J"
            return "0"
        if name in self._percent:
            if not words:
                return str(self._percent[name])
            self._percent[name] = self._whole(words, 1)[0]
            return "0"
        raise _RefusedError(ERROR_UNKNOWN)

    def _resolution(self, words: list[str]) -> str:
        if not words or words[0].lower() not in self._step_um:
            raise _RefusedError(ERROR_CORRUPT)
        which = words[0].lower()
        if len(words) == 1:
            return f"{self._step_um[which]:g}"
        if not _NUMBER.fullmatch(words[1]):
            raise _RefusedError(ERROR_CORRUPT)
        if not float(words[1]) > 0.0:
            raise _RefusedError(ERROR_RANGE)
        self._step_um[which] = float(words[1])
        return "0"

    def _busy_bits(self) -> int:
        bits = sum(_BITS[axis] for axis in self.axes if self._is_moving(axis))
        return bits | (16 if self._wheel_moves else 0)

    def _go(self, words: list[str], text: str, *, is_relative: bool) -> str | None:
        targets = dict(zip(("x", "y"), self._whole(words, 2), strict=True))
        if is_relative:
            targets = {axis: steps + self._counted(axis) for axis, steps in targets.items()}
        return self._start({axis: steps * self._step_um["s"] for axis, steps in targets.items()}, text)

    def _focus(self, words: list[str], text: str, sign: int) -> str | None:
        if "z" not in self.axes:
            raise _RefusedError(7)
        steps = self._counted("z") + sign * self._whole(words, 1)[0]
        return self._start({"z": steps * self._step_um["z"]}, text)

    def _start(self, targets_um: dict[str, float], text: str) -> str | None:
        if self.emergency_stop or any(self._is_moving(axis) for axis in targets_um):
            raise _RefusedError(ERROR_NOT_IDLE)
        if self._is_outside(targets_um):
            raise _RefusedError(ERROR_RANGE)
        try:
            # A switch or a button ends the move; there is no register that would tell.
            self._move(targets_um, text)
        except OSError:
            raise _RefusedError(ERROR_NOT_IDLE) from None
        if not self._answers_at_end:
            return "R"
        self._owed_for |= set(targets_um)
        return None

    def _note_ends(self) -> None:
        if self._is_homing and not any(self._is_moving(axis) for axis in ("x", "y")):
            self._is_homing = False
            for axis in ("x", "y"):
                self._set_position(axis, 0.0)

    def _counted(self, axis: str) -> int:
        step_um = self._step_um["z" if axis == "z" else "s"]
        return round(self._position_um(axis) / step_um)

    def _whole(self, words: list[str], count: int) -> list[int]:
        if len(words) != count or not all(_WHOLE.fullmatch(word) for word in words):
            raise _RefusedError(ERROR_CORRUPT)
        return [int(word) for word in words]

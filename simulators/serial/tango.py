"""Simulated Maerzhaeuser TANGO: native instruction set, lines end with a carriage return both ways."""

from __future__ import annotations

import re
from collections.abc import Callable

from simulators.serial.controller import SimulatedController
from simulators.serial.faults import SerialFaultKind, SerialFaultPlan
from simulators.serial.mechanics import Mechanics

VERSION = "TANGO-DT, Version 1.73, Jun 12 2023, 10:00:00"

ERROR_AXIS = 1
ERROR_NOT_EXECUTABLE = 2
ERROR_INSTRUCTION = 4
ERROR_RANGE = 5
ERROR_COUNT = 6
ERROR_JOYSTICK = 11
ERROR_LIMIT_SWITCH = 12
ERROR_EMERGENCY_STOP = 27
ERROR_OUTSIDE = 32

# Units a um, by `dim`: microsteps (1 mm pitch), um, mm, and mm with mm/s.
_UNITS_PER_UM = {0: 0.8192, 1: 1.0, 2: 1e-3, 9: 1e-3}
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_CALIBRATED = 1
_RANGE_MEASURED = 2


class _RefusedError(Exception):
    """The instruction sets the error register."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(str(code))


class TangoController(SimulatedController):
    """A TANGO.

    Parameters
    ----------
    mechanics
        What it moves.
    faults
        What will go wrong.
    has_encoders
        Whether positions can be read from encoders (``!encpos``).
    """

    def __init__(
        self, mechanics: Mechanics, faults: SerialFaultPlan | None = None, *, has_encoders: bool = True
    ) -> None:
        super().__init__(mechanics, faults)
        self._has_encoders = has_encoders
        self._reset()

    def _reset(self) -> None:
        self._error = 0
        self._error_at_rest = 0
        self._autostatus = 1
        self._status_due = False
        self._dim = dict.fromkeys(self.axes, 2)
        self._encoders = dict.fromkeys(self.axes, False)
        self._calibration = dict.fromkeys(self.axes, 0)
        self._measuring: dict[str, int] = {}
        self._stored = {
            "vel": dict.fromkeys(self.axes, 20.0),
            "accel": dict.fromkeys(self.axes, 0.2),
            "backlash": dict.fromkeys(self.axes, 0.0),
        }

    def power_cycle(self) -> None:
        """Off and on again: uncalibrated, millimetres, autostatus on."""
        with self._lock:
            super().power_cycle()
            self._reset()

    # -- line ----------------------------------------------------------------------------------------------

    def answer(self, command: str) -> str | None:
        """Obey."""
        self._note_ends()
        text = command.strip().lower()
        if not text:
            return None
        is_question = text.startswith("?")
        name, *words = text.lstrip("?!").split()
        try:
            if is_question:
                return self._answer_question(name, words)
            self._obey(name, words, text)
        except _RefusedError as refused:
            self.refusals.append(refused.code)
            self._error = refused.code
        return None

    def due(self) -> list[str]:
        """The status line of a move that has ended, in autostatus."""
        with self._lock:
            if self._status_due and not any(self._is_moving(axis) for axis in self.axes):
                self._status_due = False
                return [self._status()]
            return []

    @property
    def owes(self) -> bool:
        """Whether a move is under way in autostatus."""
        return self._status_due

    # -- questions -----------------------------------------------------------------------------------------

    def _answer_question(self, name: str, words: list[str]) -> str:
        questions: dict[str, Callable[[], str]] = {
            "version": lambda: VERSION,
            "err": self._take_error,
            "statusaxis": self._status,
            "joy": lambda: "2" if self.joystick_on else "0",
            "autostatus": lambda: str(self._autostatus),
            "pos": lambda: " ".join(self._shown(a, self._position_um(a)) for a in self._named(words)),
            "lim": lambda: " ".join(self._shown(a, v) for a in self._named(words) for v in self._limits_um(a)),
            "calst": lambda: " ".join(str(self._calibration[axis]) for axis in self._named(words)),
            "dim": lambda: " ".join(str(self._dim[axis]) for axis in self._named(words)),
            "encpos": lambda: " ".join(str(int(self._encoders[axis])) for axis in self._named(words)),
        }
        if name in self._stored:
            return " ".join(f"{self._stored[name][axis]:.4f}" for axis in self._named(words))
        if name not in questions:
            raise _RefusedError(ERROR_INSTRUCTION)
        return questions[name]()

    def _take_error(self) -> str:
        code, self._error = self._error, 0
        return str(code)

    def _status(self) -> str:
        marks = ""
        for axis in ("x", "y", "z"):
            if axis not in self.axes:
                marks += "-"
            elif self._is_moving(axis):
                marks += "M"
            else:
                marks += "J" if self.joystick_on else "@"
        return marks + "-."

    def _reads_encoder(self, axis: str) -> bool:
        return self._encoders[axis]

    def _shown(self, axis: str, value_um: float) -> str:
        dim = self._dim[axis]
        value = value_um * _UNITS_PER_UM[dim]
        return f"{value:.0f}" if dim == 0 else f"{value:.4f}" if dim == 1 else f"{value:.7f}"

    # -- instructions --------------------------------------------------------------------------------------

    def _obey(self, name: str, words: list[str], text: str) -> None:
        if name in ("moa", "mor"):
            self._start(self._values(words), text, is_relative=name == "mor")
        elif name == "a":
            self._halt(self._named(words))
            self._measuring.clear()
        elif name in ("cal", "rm"):
            self._find_end(name, self._named(words))
        elif name == "pos":
            for axis, value in self._values(words).items():
                self._set_position(axis, value / _UNITS_PER_UM[self._dim[axis]])
        elif name == "dim":
            self._set_dim(self._values(words))
        elif name == "encpos":
            for axis, value in self._values(words).items():
                self._encoders[axis] = bool(value) and self._has_encoders
        elif name == "joy":
            self.joystick_on = self._one(words) != 0
        elif name == "autostatus":
            self._autostatus = int(self._one(words))
        elif name in self._stored:
            for axis, value in self._values(words).items():
                self._stored[name][axis] = value
                if name == "vel" and self._dim[axis] == 9:
                    self.mechanics.set_speed(axis, value * 1000.0)
        else:
            raise _RefusedError(ERROR_INSTRUCTION)

    def _set_dim(self, values: dict[str, float]) -> None:
        if any(int(value) not in _UNITS_PER_UM for value in values.values()):
            raise _RefusedError(ERROR_RANGE)
        self._dim.update({axis: int(value) for axis, value in values.items()})

    def _start(self, values: dict[str, float], text: str, *, is_relative: bool) -> None:
        self._check_drivable()
        targets: dict[str, float] = {}
        for axis, value in values.items():
            start = self._position_um(axis) if is_relative else 0.0
            targets[axis] = start + value / _UNITS_PER_UM[self._dim[axis]]
        if self._is_outside(targets):
            raise _RefusedError(ERROR_OUTSIDE)
        spoiled = self._drive(targets, text)
        if spoiled is SerialFaultKind.LIMIT_SWITCH:
            self._error_at_rest = ERROR_LIMIT_SWITCH
        elif spoiled is SerialFaultKind.EMERGENCY_STOP:
            self._error_at_rest = ERROR_EMERGENCY_STOP

    def _find_end(self, name: str, axes: list[str]) -> None:
        self._check_drivable()
        for axis in axes:
            bit = _CALIBRATED if name == "cal" else _RANGE_MEASURED
            self._calibration[axis] &= ~bit
            self._measuring[axis] = bit
            # Calibration ends at the lower switch, measuring the range at the upper one.
            self._drive({axis: self._limits_um(axis)[0 if name == "cal" else 1]}, name)

    def _drive(self, targets: dict[str, float], text: str) -> SerialFaultKind | None:
        try:
            spoiled = self._move(targets, text)
        except OSError:
            raise _RefusedError(ERROR_NOT_EXECUTABLE) from None
        self._status_due = bool(self._autostatus)
        return spoiled

    def _check_drivable(self) -> None:
        if self.emergency_stop:
            raise _RefusedError(ERROR_EMERGENCY_STOP)
        if self.joystick_on:
            raise _RefusedError(ERROR_JOYSTICK)

    def abort(self) -> None:
        """Halt everything and give up measuring."""
        with self._lock:
            super().abort()
            self._measuring.clear()

    def _note_ends(self) -> None:
        """What becomes true once axes rest."""
        if self._error_at_rest and not any(self._is_moving(axis) for axis in self.axes):
            self._error, self._error_at_rest = self._error_at_rest, 0
        for axis, bit in list(self._measuring.items()):
            if self._is_moving(axis):
                continue
            del self._measuring[axis]
            self._calibration[axis] |= bit
            if bit == _CALIBRATED:
                self._set_position(axis, 0.0)

    # -- words ---------------------------------------------------------------------------------------------

    def _named(self, words: list[str]) -> list[str]:
        if not words:
            return list(self.axes)
        if len(words) > 1:
            raise _RefusedError(ERROR_COUNT)
        if words[0] not in self.axes:
            raise _RefusedError(ERROR_AXIS)
        return words

    def _values(self, words: list[str]) -> dict[str, float]:
        if words and not _NUMBER.fullmatch(words[0]):
            if words[0] not in self.axes:
                raise _RefusedError(ERROR_AXIS)
            if len(words) != 2:
                raise _RefusedError(ERROR_COUNT)
            return {words[0]: self._one(words[1:])}
        if not 1 <= len(words) <= len(self.axes):
            raise _RefusedError(ERROR_COUNT)
        return {axis: self._one([word]) for axis, word in zip(self.axes, words, strict=False)}

    def _one(self, words: list[str]) -> float:
        if len(words) != 1:
            raise _RefusedError(ERROR_COUNT)
        if not _NUMBER.fullmatch(words[0]):
            raise _RefusedError(ERROR_INSTRUCTION)
        return float(words[0])

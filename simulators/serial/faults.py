"""Faults of a serial controller, as data: which command goes wrong how, and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from simulators.fault_plan import CountingPlan, check_counts, parse_plan


class SerialFaultKind(StrEnum):
    """What can go wrong on the line or in the controller."""

    MUTE = "mute"
    """As if switched off: the command is neither obeyed nor answered."""
    GARBLED = "garbled"
    """The answer arrives with noise in it, as from a bad plug."""
    LATE = "late"
    """The answer comes only after the next command has arrived."""
    HANGS_UP = "hangs_up"
    """The far end goes: a USB adapter that was pulled out, a device server that restarted."""
    WRONG_ECHO = "wrong_echo"
    """The command comes back instead of its answer."""
    LIMIT_SWITCH = "limit_switch"
    """The move ends early at a limit switch."""
    EMERGENCY_STOP = "emergency_stop"
    """The move ends early because somebody pressed the button; later ones are refused until it is released."""
    JOYSTICK_ON = "joystick_on"
    """Somebody has switched the joystick on."""
    LOST_STEPS = "lost_steps"
    """The motor counts to its target, the axis stays a little behind."""


@dataclass(frozen=True, slots=True)
class SerialFault:
    """One fault.

    Attributes
    ----------
    kind
        What goes wrong.
    command
        It concerns commands that begin like this; all, where empty.
    nth
        First of these commands that goes wrong, counted from 1.
    times
        How many of them in a row; None for ever.
    probability
        Where given, every command from `nth` on goes wrong with this probability instead (`times` at most).
    """

    kind: SerialFaultKind
    command: str = ""
    nth: int = 1
    times: int | None = 1
    probability: float | None = None

    def __post_init__(self) -> None:
        """Refuse what can't happen."""
        check_counts(self)

    def concerns(self, target: str) -> bool:
        """Whether it is about this command."""
        return target.lower().startswith(self.command.lower())


class SerialFaultPlan(CountingPlan[SerialFault]):
    """Faults of a controller that are still to come; noise is drawn from a seeded stream.

    Parameters
    ----------
    faults
        What will go wrong.
    seed
        Seed of the noise and of faults with a probability.
    """

    def __init__(self, faults: tuple[SerialFault, ...] = (), seed: int = 0) -> None:
        super().__init__(faults, seed)
        self._noise = np.random.default_rng([seed, 7919])

    def garble(self, data: bytes) -> bytes:
        """Noise over some bytes: never less than one, and none that could pass for text."""
        noisy = bytearray(data)
        with self._lock:
            hits = self._noise.random(len(noisy)) < 0.4
            hits[int(self._noise.integers(len(noisy)))] = True
            for place in np.flatnonzero(hits):
                noisy[place] = int(self._noise.integers(0x80, 0x100))
        return bytes(noisy)


def parse_serial_faults(text: str) -> tuple[SerialFault, ...]:
    """Read faults from text: ``kind@command:nth xtimes ~probability``; see `simulators.fault_plan.parse_plan`.

    For instance ``mute@?pos:3x*; garbled@?statusaxis; hangs_up@!moa:2``. Any command is meant where ``@command``
    is left out.

    Raises
    ------
    ValueError
        With the part that can't be read.
    """
    return parse_plan(text, SerialFaultKind, SerialFault)

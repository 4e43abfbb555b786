"""Faults of a serial controller, as data: which command goes wrong how, and when."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import numpy as np


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
    """

    kind: SerialFaultKind
    command: str = ""
    nth: int = 1
    times: int | None = 1

    def __post_init__(self) -> None:
        """Refuse what can't happen."""
        if self.nth < 1 or (self.times is not None and self.times < 1):
            raise ValueError(f"a fault starts at command 1 or later and happens at least once, got {self}")

    def concerns(self, command: str) -> bool:
        """Whether it is about this command."""
        return command.lower().startswith(self.command.lower())


class SerialFaultPlan:
    """Faults still to come, decided by counters; noise is drawn from one seeded stream.

    Parameters
    ----------
    faults
        What will go wrong.
    seed
        Seed of the noise.
    """

    def __init__(self, faults: tuple[SerialFault, ...] = (), seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._faults = list(faults)
        self._rng = np.random.default_rng([seed, 7919])
        self._seen: Counter[int] = Counter()

    @property
    def faults(self) -> tuple[SerialFault, ...]:
        """All faults of the plan, past ones too."""
        with self._lock:
            return tuple(self._faults)

    def add(self, *faults: SerialFault) -> None:
        """Add faults; their commands are counted from now on."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()
            self._seen.clear()

    def strikes(self, kind: SerialFaultKind, command: str) -> bool:
        """Count one command and say whether it goes wrong in this way."""
        with self._lock:
            struck = False
            for index, fault in enumerate(self._faults):
                if fault.kind is not kind or not fault.concerns(command):
                    continue
                self._seen[index] += 1
                late_by = self._seen[index] - fault.nth
                struck |= late_by >= 0 and (fault.times is None or late_by < fault.times)
            return struck

    def garble(self, data: bytes) -> bytes:
        """Noise over some bytes: never less than one, and none that could pass for text."""
        noisy = bytearray(data)
        with self._lock:
            hits = self._rng.random(len(noisy)) < 0.4
            hits[int(self._rng.integers(len(noisy)))] = True
            for place in np.flatnonzero(hits):
                noisy[place] = int(self._rng.integers(0x80, 0x100))
        return bytes(noisy)


def parse_serial_faults(text: str) -> tuple[SerialFault, ...]:
    """Read faults from text: ``kind@command:nth``, then ``xtimes`` (``x*``: for ever), parted by ``;``.

    For instance ``mute@?pos:3x*; garbled@?statusaxis; hangs_up@!moa:2``. The first command is meant where ``:nth``
    is left out, any command where ``@command`` is.

    Raises
    ------
    ValueError
        With the part that can't be read.
    """
    return tuple(_parse_fault(part.strip()) for part in text.split(";") if part.strip())


def _parse_fault(part: str) -> SerialFault:
    head, _, count = part.partition(":")
    kind, _, command = head.partition("@")
    nth, cross, times = count.partition("x")
    try:
        return SerialFault(
            SerialFaultKind(kind.strip()),
            command.strip(),
            int(nth or 1),
            None if times == "*" else int(times) if cross else 1,
        )
    except ValueError as error:
        kinds = ", ".join(SerialFaultKind)
        raise ValueError(f"fault {part!r} ({error}): wanted kind@command:nthxtimes; kinds: {kinds}") from error

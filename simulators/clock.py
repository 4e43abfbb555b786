"""Time of the twin: instant, scaled or real."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What devices need of time; all methods may be called from any thread."""

    def now_s(self) -> float:
        """Seconds of simulated time since the clock was made."""

    def sleep_s(self, duration_s: float) -> None:
        """Return when this much simulated time has passed."""


class RealClock:
    """Simulated time is the time of day."""

    def __init__(self) -> None:
        self._start_s = time.perf_counter()

    def now_s(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._start_s

    def sleep_s(self, duration_s: float) -> None:
        """Wait."""
        if duration_s > 0.0:
            time.sleep(duration_s)


class ScaledClock:
    """Simulated time runs faster than the time of day.

    Parameters
    ----------
    speed
        Simulated seconds a real second; positive.
    """

    def __init__(self, speed: float) -> None:
        if not speed > 0.0:
            raise ValueError(f"a clock's speed must be positive, got {speed}")
        self.speed = speed
        self._real = RealClock()

    def now_s(self) -> float:
        """Simulated seconds since the clock was made."""
        return self._real.now_s() * self.speed

    def sleep_s(self, duration_s: float) -> None:
        """Wait for this much simulated time."""
        self._real.sleep_s(duration_s / self.speed)


class InstantClock:
    """Simulated time passes only when somebody waits for it, and then at once.

    Devices make their moves wait on it (see `advances_itself`), so nothing is ever busy and a test needs no
    patience; durations are still counted, so that simulated seconds can be reported.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now_s = 0.0

    def now_s(self) -> float:
        """Simulated seconds that were waited for."""
        with self._lock:
            return self._now_s

    def sleep_s(self, duration_s: float) -> None:
        """Let the time pass."""
        with self._lock:
            self._now_s += max(duration_s, 0.0)


class ManualClock(InstantClock):
    """An instant clock that stands still during moves: a test watches an axis under way and advances by hand."""


def advances_itself(clock: Clock) -> bool:
    """Whether simulated time goes on while nobody waits, or is moved on by hand."""
    return isinstance(clock, ManualClock) or not isinstance(clock, InstantClock)


def parse_clock(text: str) -> Clock:
    """Make a clock from its description: ``instant``, ``real`` or ``scaled:N``.

    Raises
    ------
    ValueError
        It is none of these.
    """
    if text == "instant":
        return InstantClock()
    if text == "real":
        return RealClock()
    kind, _, speed = text.partition(":")
    if kind == "scaled":
        try:
            return ScaledClock(float(speed))
        except ValueError as error:
            raise ValueError(f"clock {text!r}: scaled:N needs a positive number N") from error
    raise ValueError(f"clock {text!r}: allowed are instant, real and scaled:N")

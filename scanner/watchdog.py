"""Calls into a device that never return, noticed from outside.

A call into a device blocks the thread that makes it, and nothing in the process can end it: a C++ adapter that
waits for a dead camera waits for ever. A thread beside it notices and tells; what can still be done is for whoever
is told.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

_log = logging.getLogger(__name__)

LONGEST_CALL_S: Final = 60.0
"""No call into a device takes longer: moves are started and then asked for, and the slowest adapters block some
seconds. What waits in a loop says so."""
POLL_S: Final = 0.1
"""How soon a call that is overdue is noticed."""


@dataclass(frozen=True, slots=True)
class HungCall:
    """A call into a device that has not returned.

    Attributes
    ----------
    device
        Label of the device.
    action
        What it was asked.
    waited_s
        For how long, by the clock on the wall.
    """

    device: str
    action: str
    waited_s: float

    def __str__(self) -> str:
        return f"{self.device}: {self.action} has not returned for {self.waited_s:.0f} s"


@dataclass(frozen=True, slots=True)
class _Call:
    device: str
    action: str
    begun_s: float
    longest_s: float


class CallWatchdog:
    """A thread that tells of the first call that doesn't return; a context manager.

    Parameters
    ----------
    on_hang
        Told once, in the watchdog's thread; the call is still under way.
    now_s
        Time source.
    """

    def __init__(
        self, on_hang: Callable[[HungCall], object], *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_hang = on_hang
        self._now_s = now_s
        self._calls: dict[int, _Call] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="device-watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    @contextmanager
    def watched(self, device: str, action: str, longest_s: float) -> Iterator[None]:
        """Watch what is done within.

        Parameters
        ----------
        device, action
            Label of the device, and what it is asked.
        longest_s
            It hangs when it takes longer.
        """
        number = next(self._numbers)
        with self._lock:
            self._calls[number] = _Call(device, action, self._now_s(), longest_s)
        try:
            yield
        finally:
            with self._lock:
                del self._calls[number]

    def _watch(self) -> None:
        while not self._stopped.wait(POLL_S):
            hung = self._overdue()
            if hung is not None:
                _log.critical("%s", hung)
                self._on_hang(hung)
                return

    def _overdue(self) -> HungCall | None:
        now_s = self._now_s()
        with self._lock:
            for call in self._calls.values():
                if now_s - call.begun_s > call.longest_s:
                    return HungCall(call.device, call.action, now_s - call.begun_s)
        return None

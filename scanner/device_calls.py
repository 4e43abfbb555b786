"""How the microscope talks to its devices: typed errors, deadlines, and a stop that is heard while waiting."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from scanner.core import POLL_S, ScanCore
from scanner.errors import DeviceError, DeviceNotReadyError, MoveStoppedError, MoveTimeoutError, ScannerError
from scanner.watchdog import LONGEST_CALL_S, CallWatchdog

_log = logging.getLogger(__name__)


class DeviceCalls:
    """The core, with patience and manners.

    Parameters
    ----------
    core
        Core with the devices loaded.
    now, pause
        Time source and waiting, in s.

    Attributes
    ----------
    watchdog
        Told of every call; None where nobody watches.
    """

    def __init__(self, core: ScanCore, now: Callable[[], float], pause: Callable[[float], None]) -> None:
        self.core = core
        self.now = now
        self.watchdog: CallWatchdog | None = None
        self._pause = pause
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Make whoever waits fail, and everybody after; any thread."""
        self._stopped.set()

    def resume(self) -> None:
        """Go on after `stop`."""
        self._stopped.clear()

    def check_not_stopped(self, label: str) -> None:
        """Raise `MoveStoppedError` after `stop`."""
        if self._stopped.is_set():
            raise MoveStoppedError("the instrument was stopped", device=label)

    @contextmanager
    def device_errors(
        self, label: str, action: str, wanted: str | None = None, *, longest_s: float = LONGEST_CALL_S
    ) -> Iterator[None]:
        """Turn whatever a device raises into a typed error that names it; a watchdog hears of hangs.

        Parameters
        ----------
        label
            Label of the device.
        action
            What it is asked, for the message.
        wanted
            Value asked for.
        longest_s
            It hangs when it takes longer, by the clock on the wall.
        """
        watchdog = self.watchdog
        watch: AbstractContextManager[None] = (
            nullcontext() if watchdog is None else watchdog.watched(label, action, longest_s)
        )
        try:
            with watch:
                yield
        except ScannerError:
            raise
        except Exception as error:
            text = str(error).strip().splitlines()
            reason = text[0] if text else type(error).__name__
            raise DeviceError(f"{action} failed: {reason}", device=label, wanted=wanted) from error

    def wait_idle(
        self,
        label: str,
        allowance_s: float,
        *,
        stoppable: bool = True,
        halt: Callable[[], None] | None = None,
        poll_s: float = POLL_S,
    ) -> None:
        """Wait until a device is idle.

        Parameters
        ----------
        label
            The device.
        allowance_s
            Longest time.
        stoppable
            Whether `stop` ends the waiting.
        halt
            What makes the device stand still when it isn't idle in time.
        poll_s
            Time between two questions whether it is idle.

        Raises
        ------
        MoveTimeoutError
            It was not idle in time; it has been told to stand still.
        MoveStoppedError
            `stop` was called meanwhile.
        """

        def check() -> None:
            if stoppable:
                self.check_not_stopped(label)

        try:
            with self.device_errors(label, "busy", longest_s=allowance_s + LONGEST_CALL_S):
                self.core.wait_until_idle(
                    [label], allowance_s, now=self.now, pause=self._pause, check=check, poll_s=poll_s
                )
        except MoveTimeoutError:
            if halt is not None:
                self._try_to_halt(label, halt)
            raise

    def wait_until(self, label: str, until_s: float, *, stoppable: bool = True) -> None:
        """Wait for a time at which the laws of motion allow an arrival, whatever the device says.

        Parameters
        ----------
        label
            The device.
        until_s
            On the clock of these calls.
        stoppable
            Whether `stop` ends the waiting.

        Raises
        ------
        MoveStoppedError
            `stop` was called meanwhile.
        """
        while (left_s := until_s - self.now()) > 0.0:
            if stoppable:
                self.check_not_stopped(label)
            # Whom nothing can stop needs no waking up.
            self._pause(min(left_s, POLL_S) if stoppable else left_s)

    def finite(self, value: float, label: str, axis: str) -> float:
        """A position that is a number.

        Parameters
        ----------
        value
            What the device says.
        label
            Label of the device.
        axis
            Axis of it.

        Raises
        ------
        DeviceNotReadyError
            It is none.
        """
        if not math.isfinite(value):
            raise DeviceNotReadyError("no position", device=label, axis=axis, actual=str(value))
        return float(value)

    def _try_to_halt(self, label: str, halt: Callable[[], None]) -> None:
        try:
            with self.device_errors(label, "stop"):
                halt()
        except ScannerError:
            # Whoever waits hears of the timeout, which came first.
            _log.exception("%s did not even stop", label)

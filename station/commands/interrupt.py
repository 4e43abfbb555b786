"""Ctrl-C and termination while an instrument runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

from acquisition.run.control import RunControl

_ENDS_OF_THE_TERMINAL: Final = tuple(
    getattr(signal, name) for name in ("SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""What a closed terminal sends: the first on POSIX, the second on Windows."""


@contextmanager
def stop_on_interrupt(control: RunControl, tell: Callable[[str], None]) -> Iterator[None]:
    """First Ctrl-C: stop at the next field. Second: give up waiting. None interrupts the safe state.

    A terminal that is closed counts as the first Ctrl-C, however often it is heard.

    Parameters
    ----------
    control
        Carries the stop to the run.
    tell
        Called with what will happen.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        if control.ending:
            return
        if control.stop_requested:
            if number in _ENDS_OF_THE_TERMINAL:
                return
            raise KeyboardInterrupt
        control.request_stop()
        # A terminal that is gone can't be written to, and the run has to go on to its safe state all the same.
        with suppress(OSError):
            tell("stopping after this field; light off and focus down follow")

    handled = (signal.SIGINT, signal.SIGTERM, *_ENDS_OF_THE_TERMINAL)
    before = {number: signal.signal(number, handle) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

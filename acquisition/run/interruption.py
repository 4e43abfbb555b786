"""Signals and console events as requests to a run: it ends in the safe state, and nothing under way is broken."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from acquisition.run.control import RunControl

_log = logging.getLogger(__name__)

HANDLED_SIGNALS: Final = (
    "SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU", "SIGUSR1", "SIGUSR2", "SIGBREAK",
)  # fmt: skip
"""What would end the process at once otherwise, where the system has it."""
CONSOLE_CLOSE_PATIENCE_S: Final = 4.0
"""Windows ends a process 5 s after its console was closed."""


class InterruptionHandler:
    """Turns signals into requests: the first is a stop, each further one an abort. It never raises.

    Parameters
    ----------
    control
        The run's.
    report
        Gets one line for the person; what it raises is only logged.
    """

    def __init__(self, control: RunControl, report: Callable[[str], object]) -> None:
        self.control = control
        self._report = report

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Take in a signal."""
        self.interrupt(signal.Signals(number).name)

    def interrupt(self, name: str) -> None:
        """Take in an interruption of this name."""
        if self.control.stop_requested:
            self.control.request_abort()
            text = f"{name}: aborting; light off and focus down follow"
        else:
            self.control.request_stop()
            text = f"{name}: stopping after this field; light off and focus down follow"
        try:
            self._report(text)
        except BaseException:  # noqa: BLE001 - a closed terminal is why most of these signals come
            _log.debug("the interruption could not be reported", exc_info=True)


@contextmanager
def interruptions_handled(
    control: RunControl, report: Callable[[str], object] = lambda _text: None
) -> Iterator[None]:
    """Turn what would end the process into requests to a run, within the block.

    Signals that are ignored when the block begins (``nohup``) stay ignored. Where another block around this one
    does the same for the same run, or this isn't the main thread, nothing changes.

    Parameters
    ----------
    control
        The run's.
    report
        Gets one line for the person.
    """
    if threading.current_thread() is not threading.main_thread() or _is_handled(control):
        yield
        return
    handler = InterruptionHandler(control, report)
    with _signals_to(handler), _console_events(handler):
        yield


@contextmanager
def _signals_to(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    numbers = [number for name in HANDLED_SIGNALS if (number := getattr(signal, name, None)) is not None]
    before = {
        number: signal.signal(number, handler) for number in numbers if signal.getsignal(number) != signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, former in before.items():
            # None: installed by something that isn't Python; there is no way to give it back.
            signal.signal(number, signal.SIG_DFL if former is None else former)


@contextmanager
def interruptions_raised() -> Iterator[None]:
    """Let what would end the process raise `KeyboardInterrupt` within the block, once.

    For work on an instrument that isn't a run: its ``finally`` brings the safe state, and what comes while it does
    so is passed over. Signals that are ignored when the block begins stay ignored; in another thread than the main
    one nothing changes.

    Raises
    ------
    KeyboardInterrupt
        Such a signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_raised = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal is_raised
        if not is_raised:
            is_raised = True
            raise KeyboardInterrupt(signal.Signals(number).name)

    with _signals_to(handle):
        yield


def _is_handled(control: RunControl) -> bool:
    present = signal.getsignal(signal.SIGINT)
    return isinstance(present, InterruptionHandler) and present.control is control


@contextmanager
def _console_events(handler: InterruptionHandler) -> Iterator[None]:
    """On Windows, hear that the console is closed or the user logs off, and let the run become safe first."""
    if sys.platform != "win32":
        yield
        return
    import ctypes

    def on_event(_event: int) -> bool:
        handler.interrupt("console closed")
        # The system ends the process when this returns.
        handler.control.wait_for_end(CONSOLE_CLOSE_PATIENCE_S)
        return True

    routine = ctypes.WINFUNCTYPE(ctypes.c_bool, ctypes.c_uint)(on_event)
    ctypes.windll.kernel32.SetConsoleCtrlHandler(routine, True)
    try:
        yield
    finally:
        ctypes.windll.kernel32.SetConsoleCtrlHandler(routine, False)

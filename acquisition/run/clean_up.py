"""The end of a run: the instrument made safe, and every step of the clean-up taken whatever the others do."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from scanner.microscope import Microscope

_log = logging.getLogger(__name__)

SAFE_STATE_ATTEMPTS: Final = 3
"""A serial line that lost one answer gives the next; a device that failed three times won't obey a fourth."""


def make_safe(microscope: Microscope) -> tuple[str, ...]:
    """Light off, stage halted, focus down; tried again where a device did not obey. Never raises.

    Returns
    -------
    tuple of str
        What could not be brought into the safe state; empty on a sound instrument.
    """
    faults: tuple[str, ...] = ()
    for attempt in range(1, SAFE_STATE_ATTEMPTS + 1):
        try:
            faults = tuple(str(fault) for fault in microscope.safe_state())
        except BaseException as error:  # noqa: BLE001 - nothing may keep the other attempts from being made
            _log.exception("safe state, attempt %d", attempt)
            faults = (f"{type(error).__name__}: {error}",)
        if not faults:
            break
    return faults


class CleanUp:
    """Takes steps whatever the others do, and never hides why the run ended.

    Parameters
    ----------
    first
        Why the run ended, where an exception ended it: what else goes wrong is noted on it.
    """

    def __init__(self, first: BaseException | None = None) -> None:
        self.first = first
        self._faults: list[str] = []

    @property
    def faults(self) -> tuple[str, ...]:
        """What went wrong in the steps, one line each."""
        return tuple(self._faults)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Take a step; what it raises is recorded, and the next one is taken all the same."""
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - recorded; an exit that is asked for follows at the end
            _log.exception("at the end of the run: %s", name)
            fault = f"{name}: {str(error) or type(error).__name__}"
            self._faults.append(fault)
            if self.first is not None:
                self.first.add_note(f"at the end of the run, too: {fault}")
            elif not isinstance(error, Exception):
                self.first = error

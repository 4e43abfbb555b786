"""What a run tells while it goes on. A listener is told, never asked: its failure can't stop the scan."""

from __future__ import annotations

import logging
from typing import Protocol

_log = logging.getLogger(__name__)


class RunListener(Protocol):
    """Hears of progress. Called from the thread that drives the instrument; must return at once."""

    def phase(self, name: str, total: int) -> None:
        """A phase of `total` steps begins."""

    def step(self, name: str, note: str = "") -> None:
        """One step of phase `name` is done."""

    def message(self, text: str) -> None:
        """Something a person should know."""


class SilentListener:
    """Listens to nothing."""

    def phase(self, name: str, total: int) -> None:
        """Ignore a phase."""

    def step(self, name: str, note: str = "") -> None:
        """Ignore a step."""

    def message(self, text: str) -> None:
        """Ignore a message."""


class GuardedListener:
    """Passes on to another listener, and drops it at its first failure.

    Parameters
    ----------
    listener
        The listener to guard against.
    """

    def __init__(self, listener: RunListener) -> None:
        self._listener: RunListener | None = listener

    def phase(self, name: str, total: int) -> None:
        """Pass on."""
        self._pass("phase", name, total)

    def step(self, name: str, note: str = "") -> None:
        """Pass on."""
        self._pass("step", name, note)

    def message(self, text: str) -> None:
        """Pass on."""
        self._pass("message", text)

    def _pass(self, what: str, *arguments: object) -> None:
        if self._listener is None:
            return
        try:
            getattr(self._listener, what)(*arguments)
        except Exception:  # noqa: BLE001 - a display must not end a scan; recorded in the log
            _log.exception("progress display failed; the run goes on without it")
            self._listener = None

"""Who hears of a run while it goes on. A listener is never asked: its failure can't stop the scan."""

from __future__ import annotations

import logging
from typing import Protocol

_log = logging.getLogger(__name__)


class RunListener(Protocol):
    """Hears of progress. Called from the thread that drives the instrument; must return at once."""

    def phase(self, name: str, total: int) -> None:
        """A phase begins.

        Parameters
        ----------
        name
            Which phase.
        total
            Steps it will take.
        """

    def step(self, name: str, note: str = "") -> None:
        """One step is done.

        Parameters
        ----------
        name
            Phase it belongs to.
        note
            One line about it.
        """

    def message(self, text: str) -> None:
        """Take in something that a person should read."""


class SilentListener:
    """Listens to nothing."""

    def phase(self, name: str, total: int) -> None:
        """Ignore a phase.

        Parameters
        ----------
        name, total
            As for `RunListener.phase`.
        """

    def step(self, name: str, note: str = "") -> None:
        """Ignore a step.

        Parameters
        ----------
        name, note
            As for `RunListener.step`.
        """

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
        """Pass on.

        Parameters
        ----------
        name, total
            As for `RunListener.phase`.
        """
        self._pass("phase", name, total)

    def step(self, name: str, note: str = "") -> None:
        """Pass on.

        Parameters
        ----------
        name, note
            As for `RunListener.step`.
        """
        self._pass("step", name, note)

    def message(self, text: str) -> None:
        """Pass on."""
        self._pass("message", text)

    def _pass(self, what: str, *arguments: object) -> None:
        if self._listener is None:
            return
        try:
            getattr(self._listener, what)(*arguments)
        except KeyboardInterrupt:
            # Not the display's own: a person pressed Ctrl-C while it drew.
            raise
        except BaseException:  # noqa: BLE001 - a display must not end a scan, nor an exit it asks for; in the log
            _log.exception("progress display failed; the run continues without it")
            self._listener = None

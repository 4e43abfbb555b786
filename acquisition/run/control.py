"""The wish to stop, seen at field boundaries."""

from __future__ import annotations

import threading


class RunControl:
    """Carries the wish to stop from any thread, or a signal handler, to the run."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._ending = threading.Event()

    def request_stop(self) -> None:
        """Ask the run to end at the next field or capture boundary."""
        self._stop.set()

    @property
    def stop_requested(self) -> bool:
        """Whether the run should end."""
        return self._stop.is_set()

    def begin_ending(self) -> None:
        """Say that the instrument is being made safe: from here on nothing may interrupt."""
        self._ending.set()

    @property
    def ending(self) -> bool:
        """Whether the instrument is being made safe, or is safe already."""
        return self._ending.is_set()

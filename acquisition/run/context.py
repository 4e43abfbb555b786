"""The collaborators of one run, handed to each of its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from acquisition.casebook import Casebook
from acquisition.protocol import Protocol
from acquisition.records import EventLevel, RunEvent
from acquisition.run.control import RunControl
from acquisition.run.listener import RunListener, SilentListener
from acquisition.storage import RunFolder
from analysis.finder import Candidate
from scanner.microscope import Microscope

Finder = Callable[[NDArray[np.uint16], float], Sequence[Candidate]]


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every part of a run works with.

    Attributes
    ----------
    run_uid, slide
        Identity of the run and name of the slide.
    microscope
        The instrument.
    protocol
        What was asked for.
    folder, casebook
        Where pictures and records go.
    finder
        Pixels and um/px in, candidates out.
    control
        The wish to stop.
    listener
        Hears of progress.
    """

    run_uid: str
    slide: str
    microscope: Microscope
    protocol: Protocol
    folder: RunFolder
    casebook: Casebook
    finder: Finder
    control: RunControl = field(default_factory=RunControl)
    listener: RunListener = field(default_factory=SilentListener)

    def note(self, level: EventLevel, kind: str, message: str, **context: float | str | None) -> None:
        """Record an event, and tell the listener where it is more than information."""
        self.casebook.record_event(self.run_uid, RunEvent(datetime.now(UTC), level, kind, message, dict(context)))
        if level is not EventLevel.INFO:
            self.listener.message(message)

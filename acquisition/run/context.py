"""The collaborators of one run, handed to each of its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from acquisition.casebook import Casebook
from acquisition.protocol import Protocol
from acquisition.records import EventLevel, RunEvent
from acquisition.run.control import RunControl
from acquisition.run.judging import Finder
from acquisition.run.listener import RunListener, SilentListener
from acquisition.storage import RunFolder
from analysis.finder.drift import ReferenceStatistics
from scanner.coordinates import SlideFrame
from scanner.microscope import Microscope

SPOOL_BYTES = 256 * 1024 * 1024
"""Room for frames that wait for the finder: some 90 fields of 1.4 megapixels."""


def one_thread() -> Executor:
    """A single thread that searches: for tests, and where nothing has to be fast."""
    return ThreadPoolExecutor(1, thread_name_prefix="finder")


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
    searchers, searches_at_a_time
        Makes the workers that search the fields of the scan, and how many fields they are given at a time. Where
        they are processes, `finder` has to be importable by name.
    spool_bytes
        How far the finder may fall behind.
    rig_folder
        Where the rig's reference pictures are; needed where the protocol divides the flat field out.
    slide_frame
        How this slide lies on the stage, where that was measured or the rig has several places; default: as the
        rig says.
    usual
        What the slides are like that the finder learnt from, see `analysis.finder.drift`; without, no slide is
        told to be unlike them.
    locator
        Finds the cell again at high magnification; default: `finder`.
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
    searchers: Callable[[], Executor] = one_thread
    searches_at_a_time: int = 1
    spool_bytes: int = SPOOL_BYTES
    rig_folder: Path | None = None
    slide_frame: SlideFrame | None = None
    usual: Mapping[str, ReferenceStatistics] = field(default_factory=dict)
    locator: Finder | None = None

    @property
    def frame(self) -> SlideFrame:
        """How the slide lies on the stage."""
        return self.slide_frame or self.microscope.rig.slide.frame

    def note(self, level: EventLevel, kind: str, message: str, **context: float | str | None) -> None:
        """Record an event, and tell the listener where it is more than information."""
        self.casebook.record_event(self.run_uid, RunEvent(datetime.now(UTC), level, kind, message, dict(context)))
        if level is not EventLevel.INFO:
            self.listener.message(message)

"""The collaborators of one run, handed to each of its parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from acquisition.casebook import Casebook
from acquisition.protocol import Protocol
from acquisition.records import EventLevel, RunEvent
from acquisition.run.control import RunControl
from acquisition.run.field_scores import Finder
from acquisition.run.listener import RunListener, SilentListener
from acquisition.storage import RunFolder
from analysis.finder.drift import ReferenceStatistics
from scanner.coordinates import SlideFrame
from scanner.microscope import Microscope

SPOOL_BYTES = 256 * 1024 * 1024
"""Room for frames that wait for the finder: some 90 fields of 1.4 megapixels."""

SEARCH_DEADLINE_S = 90.0
"""A field is searched in a quarter second; a worker starts and loads the net in some seconds."""

LOCATOR_DEADLINE_S = 60.0
"""A picture at high magnification is searched in about a second; light and objective wait meanwhile."""


def end_at_once() -> None:
    """End the process, whatever its threads do."""
    os._exit(1)


def one_thread() -> Executor:
    """A single thread that searches: for tests, and where nothing has to be fast."""
    return ThreadPoolExecutor(1, thread_name_prefix="finder")


@dataclass(frozen=True, slots=True)
class RunInstrument:
    """The instrument of a run and how the slide lies on it.

    Attributes
    ----------
    microscope
        The instrument.
    rig_folder
        Where the rig's reference pictures are; needed where the protocol divides the flat field out.
    slide_frame
        How this slide lies on the stage, where that was measured or the rig has several places; default: as the
        rig says.
    """

    microscope: Microscope
    rig_folder: Path | None = None
    slide_frame: SlideFrame | None = None


@dataclass(frozen=True, slots=True)
class RunStorage:
    """Where the pictures and records of a run go."""

    folder: RunFolder
    casebook: Casebook


@dataclass(frozen=True, slots=True)
class RunFinders:
    """Who finds metaphases.

    Attributes
    ----------
    scan
        Finder of the scan: pixels and um/px in, candidates out.
    locator
        Finds the cell again at high magnification; default: `scan`.
    reference
        Statistics of the slides that the finder learnt from, see `analysis.finder.drift`; without, no slide is
        reported to differ from them.
    locator_deadline_s
        A picture that the locator has not searched in this time counts as not searched.
    """

    scan: Finder
    locator: Finder | None = None
    reference: Mapping[str, ReferenceStatistics] = field(default_factory=dict)
    locator_deadline_s: float = LOCATOR_DEADLINE_S


@dataclass(frozen=True, slots=True)
class SearchResources:
    """What the search of the fields may use.

    Attributes
    ----------
    make_executor
        Makes the workers that search the fields. Where they are processes, the finder has to be importable by
        name.
    at_a_time
        How many fields they are given at a time.
    spool_bytes
        How far the finder may fall behind.
    deadline_s
        A worker that takes longer for a field is killed.
    """

    make_executor: Callable[[], Executor] = one_thread
    at_a_time: int = 1
    spool_bytes: int = SPOOL_BYTES
    deadline_s: float = SEARCH_DEADLINE_S


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every part of a run works with.

    Attributes
    ----------
    run_uid, slide
        Identity of the run and name of the slide.
    instrument
        The microscope, and how the slide lies on it.
    protocol
        What was asked for.
    storage
        Folder and casebook.
    finders
        Who finds metaphases.
    control
        Requests to pause, stop or abort.
    listener
        Hears of progress.
    search
        Workers and room for the search of the fields.
    accession
        The case to which the slide belongs; empty where nobody said.
    end_process
        Ends the process where a device hangs and the thread that drives the instrument never comes back.
    """

    run_uid: str
    slide: str
    instrument: RunInstrument
    protocol: Protocol
    storage: RunStorage
    finders: RunFinders
    control: RunControl = field(default_factory=RunControl)
    listener: RunListener = field(default_factory=SilentListener)
    search: SearchResources = field(default_factory=SearchResources)
    accession: str = ""
    end_process: Callable[[], object] = end_at_once

    @property
    def microscope(self) -> Microscope:
        """The instrument."""
        return self.instrument.microscope

    @property
    def folder(self) -> RunFolder:
        """Where pictures go."""
        return self.storage.folder

    @property
    def casebook(self) -> Casebook:
        """Where records go."""
        return self.storage.casebook

    @property
    def frame(self) -> SlideFrame:
        """How the slide lies on the stage."""
        return self.instrument.slide_frame or self.microscope.rig.slide.frame

    def note(self, level: EventLevel, kind: str, message: str, **context: float | str | None) -> None:
        """Record an event; the listener gets its message where it is more than information.

        Parameters
        ----------
        level, kind
            How severe it is, and its machine-readable name.
        message
            One line for people.
        **context
            Further values that JSON can hold.

        Raises
        ------
        CasebookError
            It can't be recorded.
        """
        self.casebook.record_event(self.run_uid, RunEvent(datetime.now(UTC), level, kind, message, dict(context)))
        if level is not EventLevel.INFO:
            self.listener.message(message)

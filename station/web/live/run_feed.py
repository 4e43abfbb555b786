"""A run as it stands, and all that happens from then on as server-sent events."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from acquisition.casebook import open_casebook
from acquisition.errors import AcquisitionError, JournalError
from acquisition.journal import JournalPosition, read_journal_after
from acquisition.protocol import DetectedArea, KeepFields, load_protocol
from acquisition.run.states import RunState
from acquisition.storage.run_folder import CASEBOOK_NAME, JOURNAL_NAME
from scanner.errors import RigError
from scanner.rig import Rig
from scanner.strict_yaml import load_strict
from station.run.status import RunProgress, read_run_progress
from station.web.live.overview_tiles import OverviewGeometry, read_geometry
from station.web.live.run_changes import changes_of, plain_changes


@dataclass(frozen=True, slots=True)
class FeedSettings:
    """How often a run's record is read.

    Attributes
    ----------
    poll_s
        Time between two questions whether the journal grew: a size is asked, nothing is read.
    idle_poll_s
        The same for a run that nobody works on.
    status_s
        Time between two computations of progress and remaining time, which read the whole journal.
    keep_alive_s
        Something is sent at least so often, so that a connection that was lost is noticed.
    longest_s
        An answer ends after this time, and the browser asks again: who was logged out meanwhile gets no further.
    events
        Events in words that a page gets: the last ones.
    """

    poll_s: float = 0.5
    idle_poll_s: float = 3.0
    status_s: float = 2.0
    keep_alive_s: float = 15.0
    longest_s: float = 300.0
    events: int = 100


FEED: Final = FeedSettings()

_WAITS: Final = {
    RunState.SCAN_PAUSED: "for the command resume; the light is off and the focus down",
    RunState.CAPTURE_PAUSED: "for the command resume; the light is off and the focus down",
    RunState.RECOGNISING: "until the slide is recognised by its landmarks",
    RunState.KARYOTYPING: "for the analysis of the last pictures; the instrument is idle",
    RunState.MAKING_SAFE: "until light and focus are safe",
}


def position_text(position: JournalPosition) -> str:
    """A position as the id of an event."""
    return f"{position.offset_bytes}-{position.records}"


def position_of(text: str) -> JournalPosition:
    """The position of an id; the beginning where it is none."""
    offset, _, records = text.partition("-")
    if offset.isdecimal() and records.isdecimal():
        return JournalPosition(int(offset), int(records))
    return JournalPosition()


def waits_for(progress: RunProgress) -> str | None:
    """What a run waits for, in words; None where it is at work, or over."""
    if progress.is_cut_off:
        return f"for a person: it was cut off. Continue it with: karyoscan resume {progress.folder}"
    return _WAITS.get(progress.state) if progress.running else None


@dataclass(slots=True)
class RunFeed:
    """Reads one run for all pages that follow it.

    Attributes
    ----------
    folder
        Of the run.
    settings
        How often it is read.
    now_s
        Time source of the periods.
    """

    folder: Path
    settings: FeedSettings = FEED
    now_s: Callable[[], float] = time.monotonic
    _status: dict[str, Any] = field(default_factory=dict, repr=False)
    _status_at_s: float = field(default=float("-inf"), repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def snapshot(self) -> dict[str, Any]:
        """All of the run, and the position after which its events go on.

        Raises
        ------
        AcquisitionError
            Its record can't be read.
        """
        position, changes = JournalPosition(), dict[str, Any]()
        if (self.folder / JOURNAL_NAME).is_file():
            records, position = read_journal_after(self.folder / JOURNAL_NAME, position)
            changes = plain_changes(changes_of(records, self.folder))
        geometry = read_geometry(self.folder)
        return {
            "position": position_text(position),
            "changes": changes,
            "status": self.status(),
            "plan": _plan(self.folder),
            "overview": None if geometry is None else _geometry_json(geometry),
        }

    def status(self) -> dict[str, Any]:
        """Progress, remaining time and events in words; computed once for all who ask at the same time."""
        with self._lock:
            now_s = self.now_s()
            if now_s - self._status_at_s >= self.settings.status_s:
                self._status = self._read_status()
                self._status_at_s = now_s
            return self._status

    async def events(self, position: JournalPosition) -> AsyncIterator[bytes]:
        """Server-sent events after a position.

        ``changes`` carries an id, by which a browser that lost the connection goes on; ``status`` has none.
        ``reload`` asks the page to read everything anew: the journal isn't the one that it was.
        """
        sent_status: dict[str, Any] = {}
        begun_s = sent_at_s = self.now_s()
        while self.now_s() - begun_s <= self.settings.longest_s:
            try:
                changes, position = await asyncio.to_thread(self._changes_after, position)
            except JournalError:
                yield _event("reload", {})
                return
            if changes:
                yield _event("changes", changes, position_text(position))
                sent_at_s = self.now_s()
            try:
                status = await asyncio.to_thread(self.status)
            except AcquisitionError as error:
                status = {"unreadable": str(error), "running": False}
            if status != sent_status:
                yield _event("status", status)
                sent_status, sent_at_s = status, self.now_s()
            if self.now_s() - sent_at_s >= self.settings.keep_alive_s:
                yield b": alive\n\n"
                sent_at_s = self.now_s()
            await asyncio.sleep(self.settings.poll_s if status.get("running") else self.settings.idle_poll_s)

    def _changes_after(self, position: JournalPosition) -> tuple[dict[str, Any], JournalPosition]:
        path = self.folder / JOURNAL_NAME
        try:
            size = path.stat().st_size
        except OSError as error:
            raise JournalError(f"can't be read: {error.strerror}", path=path) from error
        if size < position.offset_bytes:
            raise JournalError("is shorter than it was", path=path)
        if size == position.offset_bytes:
            return {}, position
        records, position = read_journal_after(path, position)
        return plain_changes(changes_of(records, self.folder)) if records else {}, position

    def _read_status(self) -> dict[str, Any]:
        progress = read_run_progress(self.folder, datetime.now(UTC))
        values = progress.to_json()
        # Rounded: a page needs no more, and what stays the same is sent once.
        values["elapsed_s"] = round(progress.elapsed_s)
        values["remaining_s"] = None if progress.remaining_s is None else round(progress.remaining_s)
        return {**values, "waits_for": waits_for(progress), "events": self._events()}

    def _events(self) -> list[dict[str, Any]]:
        with open_casebook(self.folder / CASEBOOK_NAME, create=False) as casebook:
            events = casebook.events(casebook.runs()[-1].record.uid)
        return [
            {"at": event.at.isoformat(), "level": event.level.value, "kind": event.kind, "message": event.message}
            for event in events[-self.settings.events :]
        ]


@dataclass(frozen=True, slots=True)
class RunFeeds:
    """The feeds of all runs that somebody follows.

    Attributes
    ----------
    settings
        How often each is read.
    """

    settings: FeedSettings = FEED
    _feeds: dict[Path, RunFeed] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def of(self, folder: Path) -> RunFeed:
        """The feed of a run's folder, the same for all who ask."""
        with self._lock:
            return self._feeds.setdefault(folder, RunFeed(folder, self.settings))


def _plan(folder: Path) -> dict[str, Any]:
    """Area and field size, as protocol and rig of the record have them; empty where they can't be read."""
    try:
        with open_casebook(folder / CASEBOOK_NAME, create=False) as casebook:
            record = casebook.runs()[-1].record
        protocol = load_protocol(folder / "protocol.yaml", text=record.protocol_yaml)
        rig = load_strict(Rig, folder / "rig.yaml", _rig_fault, text=record.rig_yaml)
        um_per_px = rig.um_per_px(rig.objective(protocol.scan.objective))
    except (AcquisitionError, RigError, IndexError, KeyError, ValueError):
        return {}
    area = protocol.scan.area
    is_box = not isinstance(area, DetectedArea) and hasattr(area, "x_min_um")
    return {
        "rig": record.rig,
        "slide": record.slide,
        "protocol": record.protocol,
        "started_at": record.started_at.isoformat(),
        "software_version": record.software_version,
        "area_um": [area.x_min_um, area.y_min_um, area.x_max_um, area.y_max_um] if is_box else None,
        "field_um": [rig.camera.width_px * um_per_px, rig.camera.height_px * um_per_px],
        "overlap": protocol.scan.overlap,
        "captures_wanted": protocol.capture.number,
        "keeps_overview": protocol.scan.keep_fields is not KeepFields.NONE,
    }


def _rig_fault(message: str, path: Path, line: int | None) -> RigError:
    return RigError(message, path=path, line=line)


def _geometry_json(geometry: OverviewGeometry) -> dict[str, Any]:
    return {
        "x_min_um": geometry.x_min_um,
        "y_min_um": geometry.y_min_um,
        "um_per_px": geometry.um_per_px,
        "width_px": geometry.width_px,
        "height_px": geometry.height_px,
    }


def _event(name: str, values: dict[str, Any], identity: str | None = None) -> bytes:
    lines = [f"event: {name}"]
    if identity is not None:
        lines.append(f"id: {identity}")
    lines.append(f"data: {json.dumps(values, separators=(',', ':'))}")
    return ("\n".join(lines) + "\n\n").encode()

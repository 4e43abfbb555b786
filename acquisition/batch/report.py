"""What became of every slide of a batch; kept in ``batch.json`` while it goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from acquisition.errors import StorageError
from acquisition.storage.atomic import write_json_atomic

BATCH_NAME = "batch.json"


class SlideStatus(StrEnum):
    """What became of a slide."""

    FINISHED = "finished"
    PARKED = "parked"
    """Not scanned, or given up: the reason says why, and the next slide was taken."""
    NOT_NEEDED = "not_needed"
    """A sister slide gave enough cells."""
    NOT_REACHED = "not_reached"
    """The batch ended before."""
    MISSING = "missing"
    """On the worklist, and not in the tray."""


@dataclass(frozen=True, slots=True)
class SlideReport:
    """One slide.

    Attributes
    ----------
    slot
        Where it lay; None where it was nowhere.
    barcode
        What its label said; None where nothing could be believed.
    accession
        Its case; None where it is not on the worklist.
    status, reason
        What became of it, and why in one line.
    folder
        Its run, relative to the batch's folder; None where there is none.
    cells
        Metaphases found; None where it was not scanned.
    poor
        Fewer cells than the protocol asks for.
    at
        When it came to this, ISO 8601; empty where that is not known.
    seconds
        How long it was worked on after all labels had been read; None where it was not.
    """

    slot: str | None
    barcode: str | None
    accession: str | None
    status: SlideStatus
    reason: str = ""
    folder: str | None = None
    cells: int | None = None
    poor: bool = False
    at: str = field(default="", compare=False)
    seconds: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A batch as it stands or ended.

    Attributes
    ----------
    slides
        By slot; missing ones last.
    ended
        Why no further slide was taken before the end of the worklist; empty where it came to its end.
    worklist
        Name of the worklist's file.
    started_at, finished_at
        Of this session, ISO 8601; the second is None while it goes on.
    failed_notices
        Notices that could not be given.
    elapsed_s
        Duration of this session so far, by a clock that nobody sets; None where that is not known.
    """

    slides: tuple[SlideReport, ...]
    ended: str = ""
    worklist: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    failed_notices: tuple[str, ...] = ()
    elapsed_s: float | None = field(default=None, compare=False)

    def count(self, *statuses: SlideStatus) -> int:
        """How many slides have one of these statuses."""
        return sum(slide.status in statuses for slide in self.slides)

    @property
    def needs_person(self) -> bool:
        """Whether a slide was parked or is missing."""
        return self.count(SlideStatus.PARKED, SlideStatus.MISSING) > 0

    def to_json(self) -> dict[str, Any]:
        """As it stands in ``batch.json``."""
        return {
            "counts": {status.value: self.count(status) for status in SlideStatus},
            "ended": self.ended,
            "worklist": self.worklist,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "elapsed_s": self.elapsed_s,
            "failed_notices": list(self.failed_notices),
            "slides": [asdict(slide) | {"status": slide.status.value} for slide in self.slides],
        }


def in_order(slides: Iterable[SlideReport]) -> tuple[SlideReport, ...]:
    """Slides by slot; missing ones last."""
    return tuple(sorted(slides, key=lambda slide: (slide.slot is None, _natural(slide.slot), slide.barcode or "")))


def write_report(folder: Path, report: BatchReport) -> None:
    """Write ``batch.json``, as a whole or not at all.

    Parameters
    ----------
    folder
        Folder of the batch.
    report
        What became of each slide so far.

    Raises
    ------
    StorageError
        It can't be written.
    """
    write_json_atomic(folder / BATCH_NAME, report.to_json())


def read_report(folder: Path) -> BatchReport | None:
    """The record of a batch; None where there is none yet.

    Raises
    ------
    StorageError
        It is damaged.
    """
    path = folder / BATCH_NAME
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        slides = [SlideReport(**{**slide, "status": SlideStatus(slide["status"])}) for slide in record["slides"]]
        return BatchReport(
            tuple(slides),
            record["ended"],
            record.get("worklist", ""),
            record.get("started_at"),
            record.get("finished_at"),
            tuple(record.get("failed_notices", record.get("not_told", ()))),
            record.get("elapsed_s"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError("the record of the batch can't be read", path=path) from error


def _natural(slot: str | None) -> tuple[int, str]:
    return (int(slot), "") if slot is not None and slot.isdecimal() else (0, slot or "")

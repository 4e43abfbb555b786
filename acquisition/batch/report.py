"""What became of every slide of a batch; kept in ``batch.json`` while it goes on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

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
    """

    slot: str | None
    barcode: str | None
    accession: str | None
    status: SlideStatus
    reason: str = ""
    folder: str | None = None
    cells: int | None = None
    poor: bool = False


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A batch as it stands or ended.

    Attributes
    ----------
    slides
        By slot; missing ones last.
    ended
        Why no further slide was taken before the end of the worklist; empty where it came to its end.
    """

    slides: tuple[SlideReport, ...]
    ended: str = ""

    def count(self, status: SlideStatus) -> int:
        """Slides of a status."""
        return sum(slide.status is status for slide in self.slides)

    def to_json(self) -> dict[str, Any]:
        """As it stands in ``batch.json``."""
        return {
            "counts": {status.value: self.count(status) for status in SlideStatus},
            "ended": self.ended,
            "slides": [asdict(slide) | {"status": slide.status.value} for slide in self.slides],
        }


def write_report(folder: Path, slides: Iterable[SlideReport], ended: str = "") -> BatchReport:
    """Write ``batch.json``, as a whole or not at all.

    Raises
    ------
    StorageError
        It can't be written.
    """
    order = sorted(slides, key=lambda slide: (slide.slot is None, _natural(slide.slot), slide.barcode or ""))
    report = BatchReport(tuple(order), ended)
    write_json_atomic(folder / BATCH_NAME, report.to_json())
    return report


def _natural(slot: str | None) -> tuple[int, str]:
    return (int(slot), "") if slot is not None and slot.isdecimal() else (0, slot or "")

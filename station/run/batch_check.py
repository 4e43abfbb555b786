"""The dry run of ``karyoscan batch``: what would become of every row of the worklist, before anything moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from acquisition.batch.report import SlideStatus, read_report
from acquisition.batch.worklist import Worklist, WorklistEntry, load_worklist
from acquisition.dry_run import Estimate, estimate
from acquisition.errors import ResumeError
from acquisition.protocol import load_protocol
from scanner.counted import counted
from scanner.rig import Rig
from simulators.specimen.slide import SlideSettings
from station.compose import agreed_rig
from station.installation.packaged import packaged_protocols
from station.protocol.checking import ProtocolCheck, check_protocol
from station.protocol.explanation import free_bytes
from station.quantities import size
from station.run.batch_protocols import read_batch_protocols
from station.run.batch_request import BatchRequest
from station.run.simulated_tray import read_tray

_CHANGES_A_SLIDE: Final = 4
"""Loaded and unloaded once for its label, once for its scan."""


class RowOutcome(StrEnum):
    """What would become of a row."""

    SCANNED = "scanned"
    IF_NEEDED = "if_needed"
    """Only if the slides of its accession before it give too few cells."""
    FINISHED_BEFORE = "finished_before"
    NOT_IN_TRAY = "not_in_tray"
    REFUSED = "refused"
    """Its protocol can't be read, or not be carried out on the rig."""


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row of the worklist.

    Attributes
    ----------
    entry
        What is wanted.
    outcome
        What would become of it.
    estimate
        What its scan would take at most; None where its protocol can't be read.
    """

    entry: WorklistEntry
    outcome: RowOutcome
    estimate: Estimate | None

    @property
    def is_scanned(self) -> bool:
        """Whether time and room are reckoned with."""
        return self.outcome in (RowOutcome.SCANNED, RowOutcome.IF_NEEDED)


@dataclass(frozen=True, slots=True)
class BatchCheck:
    """What a night would be.

    Attributes
    ----------
    worklist
        What is wanted, with its warnings.
    rows
        In the order in which they would be taken.
    protocols
        Each protocol of the worklist held against the rig.
    slots
        How many slides the rig holds.
    labels
        Barcode by slot, where they can be told before they are read; None on glass.
    change_s
        How long a loader takes for one load or unload; 0 where there is none.
    free_bytes
        Room on the disk.
    refusals
        Why no slide would be scanned, beside what the protocols' findings say.
    """

    worklist: Worklist
    rows: tuple[CheckedRow, ...]
    protocols: tuple[ProtocolCheck, ...]
    slots: int
    labels: Mapping[str, str] | None
    change_s: float
    free_bytes: int
    refusals: tuple[str, ...]

    @property
    def refused(self) -> bool:
        """Whether anything has to be put right before the night."""
        return bool(self.refusals) or any(protocol.refused for protocol in self.protocols)

    @property
    def change_seconds(self) -> float:
        """Time in which slides are carried, at most."""
        return _CHANGES_A_SLIDE * self.change_s * sum(row.is_scanned for row in self.rows)

    @property
    def seconds(self) -> float:
        """Duration of the night, at most."""
        return self.change_seconds + sum(row.estimate.seconds for row in self._scanned if row.estimate)

    @property
    def stored_bytes(self) -> int:
        """What the night leaves on the disk, at most."""
        return sum(row.estimate.stored_bytes for row in self._scanned if row.estimate)

    @property
    def needed_bytes(self) -> int:
        """Room that has to be free: what stays, and what passes while the largest slide is scanned."""
        return self.stored_bytes + _passing_bytes(self._scanned)

    @property
    def strangers(self) -> dict[str, str]:
        """Barcode by slot of slides that would be parked: not on the worklist, or there twice."""
        counts = Counter((self.labels or {}).values())
        return {
            slot: label
            for slot, label in (self.labels or {}).items()
            if counts[label] > 1 or self.worklist.find(label) is None
        }

    def count(self, outcome: RowOutcome) -> int:
        """How many rows have an outcome."""
        return sum(row.outcome is outcome for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "worklist": str(self.worklist.path),
            "refused": self.refused,
            "refusals": list(self.refusals),
            "warnings": list(self.worklist.warnings),
            "slots": self.slots,
            "strangers": self.strangers,
            "seconds": round(self.seconds, 1),
            "needed_bytes": self.needed_bytes,
            "free_bytes": self.free_bytes,
            "counts": {outcome.value: self.count(outcome) for outcome in RowOutcome},
            "rows": [_row_json(row) for row in self.rows],
            "findings": [
                {"level": finding.level.value, "where": protocol.where(finding), "text": str(finding)}
                for protocol in self.protocols
                for finding in protocol.findings
            ]
            + [
                {"level": "refused", "where": str(protocol.path), "text": protocol.error}
                for protocol in self.protocols
                if protocol.error is not None
            ],
        }

    @property
    def _scanned(self) -> list[CheckedRow]:
        return [row for row in self.rows if row.is_scanned]


def check_batch(request: BatchRequest) -> BatchCheck:
    """Say what would become of a night; nothing moves, and nothing is written.

    Parameters
    ----------
    request
        As for `station.run.batch.run_batch`.

    Raises
    ------
    WorklistError, RigError, UsageError, StorageError
        Worklist, rig, tray or an earlier record of the batch can't be read.
    """
    worklist = load_worklist(request.worklist, packaged_protocols())
    rig = agreed_rig(request.rig)
    paths = dict.fromkeys(entry.protocol for entry in worklist.entries)
    protocols = {path: check_protocol(path, rig) for path in paths}
    estimates = {
        path: None if checked.error is not None else estimate(load_protocol(path), rig)
        for path, checked in protocols.items()
    }
    labels = tray_labels(request, rig)
    finished = _finished(request.out)
    rows: list[CheckedRow] = []
    begun: set[str] = set()
    for entry in worklist.entries:
        outcome = _outcome(entry, protocols[entry.protocol], labels, finished, begun)
        rows.append(CheckedRow(entry, outcome, estimates[entry.protocol]))
        if outcome is not RowOutcome.NOT_IN_TRAY:
            begun.add(entry.accession)
    check = BatchCheck(
        worklist=worklist,
        rows=tuple(rows),
        protocols=tuple(protocols.values()),
        slots=slot_count(rig),
        labels=labels,
        change_s=0.0 if rig.loader is None else rig.loader.change_s,
        free_bytes=free_bytes(request.out),
        refusals=(),
    )
    return _with_refusals(check, rig, request.out)


def _with_refusals(check: BatchCheck, rig: Rig, folder: Path) -> BatchCheck:
    refusals = []
    if not any(protocol.error is not None for protocol in check.protocols):
        try:
            read_batch_protocols(check.worklist, folder)
        except ResumeError as error:
            refusals.append(str(error))
    if rig.devices.label_camera is None:
        refusals.append(f"rig {rig.name} has no label camera: no slide can be identified")
    if not check.rows:
        refusals.append("the worklist names no slide")
    wanted = sum(row.is_scanned for row in check.rows)
    if wanted > check.slots:
        refusals.append(f"{counted(wanted, 'slide')} wanted, rig {rig.name} holds {check.slots} at a time")
    if check.needed_bytes > check.free_bytes:
        refusals.append(
            f"the disk has no room for the night: {size(check.needed_bytes)} needed, {size(check.free_bytes)} free"
        )
    return replace(check, refusals=tuple(refusals))


def _outcome(
    worklist_entry: WorklistEntry,
    protocol: ProtocolCheck,
    labels: Mapping[str, str] | None,
    finished: frozenset[str],
    begun: set[str],
) -> RowOutcome:
    if worklist_entry.barcode in finished:
        return RowOutcome.FINISHED_BEFORE
    if protocol.refused:
        return RowOutcome.REFUSED
    if labels is not None and list(labels.values()).count(worklist_entry.barcode) != 1:
        return RowOutcome.NOT_IN_TRAY
    return RowOutcome.IF_NEEDED if worklist_entry.accession in begun else RowOutcome.SCANNED


def slot_count(rig: Rig) -> int:
    """How many slides a rig holds at a time."""
    return rig.loader.slots if rig.loader is not None else len(rig.slides)


def tray_labels(request: BatchRequest, rig: Rig) -> dict[str, str] | None:
    """Barcode by slot of a simulated tray; None where labels are known only once they are read.

    Parameters
    ----------
    request
        Of the batch.
    rig
        Its rig.

    Raises
    ------
    UsageError
        The table of the tray can't be read.
    """
    if request.tray is None:
        return None
    slides = read_tray(request.tray, SlideSettings(), slots=None if rig.loader is None else rig.loader.slots)
    return {str(slot): slide.label for slot, slide in sorted(slides.items())}


def _finished(folder: Path) -> frozenset[str]:
    report = read_report(folder)
    if report is None:
        return frozenset()
    return frozenset(
        slide.barcode
        for slide in report.slides
        if slide.status is SlideStatus.FINISHED
        and slide.barcode is not None
        and slide.folder is not None
        and (folder / Path(slide.folder).name).is_dir()
    )


def _passing_bytes(checked_rows: list[CheckedRow]) -> int:
    estimates = [row.estimate for row in checked_rows if row.estimate is not None]
    return max((result.needed_bytes - result.stored_bytes for result in estimates), default=0)


def _row_json(row: CheckedRow) -> dict[str, Any]:
    return {
        "line": row.entry.line,
        "barcode": row.entry.barcode,
        "accession": row.entry.accession,
        "protocol": str(row.entry.protocol),
        "priority": row.entry.priority,
        "outcome": row.outcome.value,
        "seconds": None if row.estimate is None else round(row.estimate.seconds, 1),
        "stored_bytes": None if row.estimate is None else row.estimate.stored_bytes,
    }

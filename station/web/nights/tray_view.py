"""A night as a tray of slots: what lies where, what became of it, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from acquisition.batch.report import read_report
from acquisition.batch.worklist import load_worklist
from acquisition.errors import AcquisitionError
from acquisition.storage.run_folder import is_in_use
from scanner.errors import ScannerError
from scanner.rig import load_rig
from station.errors import UsageError
from station.installation.packaged import packaged_protocols
from station.run.batch_check import slot_count, tray_labels
from station.run.batch_request import BatchRequest, read_batch_request
from station.run.status import read_batch_progress
from station.web.live.run_library import SEPARATOR, RunFolderName


def night_summary(night: RunFolderName) -> dict[str, Any]:
    """How a night stands, in a few values."""
    values: dict[str, Any] = {"name": night.name, "running": is_in_use(night.path), "error": None}
    try:
        report = read_report(night.path)
    except AcquisitionError as error:
        return values | {"error": str(error), "counts": {}, "started_at": None, "finished_at": None, "ended": ""}
    return values | {
        "counts": {} if report is None else report.to_json()["counts"],
        "started_at": None if report is None else report.started_at,
        "finished_at": None if report is None else report.finished_at,
        "ended": "" if report is None else report.ended,
    }


def night_view(night: RunFolderName) -> dict[str, Any]:
    """Everything that a page shows of a night.

    Raises
    ------
    AcquisitionError
        Its record can't be read.
    """
    progress = read_batch_progress(night.path, datetime.now(UTC))
    request = read_batch_request(night.path)
    values = progress.to_json()
    current = None if progress.current is None else progress.current.folder
    values["current_run"] = None if current is None else SEPARATOR.join((night.name, current.name))
    report = progress.report
    return {
        **values,
        "name": night.name,
        "rig": None if request is None else request.rig.name,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "slides": [_slide(night, each) for each in report.to_json()["slides"]],
        "wanted": _wanted(request),
        **_tray(request),
    }


def _slide(night: RunFolderName, slide: dict[str, Any]) -> dict[str, Any]:
    folder = slide["folder"]
    # A record from elsewhere may name any folder: only one of the night's own is linked.
    is_own = folder and "/" not in folder and "\\" not in folder and (night.path / folder).is_dir()
    return {**slide, "run": SEPARATOR.join((night.name, folder)) if is_own else None}


def _tray(request: BatchRequest | None) -> dict[str, Any]:
    """How many slots there are, and what lies in them as far as that is recorded before labels are read."""
    if request is None:
        return {"slots": 0, "labels": {}}
    try:
        rig, _ = load_rig(request.rig)
        return {"slots": slot_count(rig), "labels": tray_labels(request, rig) or {}}
    except (ScannerError, AcquisitionError, UsageError):
        # The rig was changed or moved since: the record of the slides still counts.
        return {"slots": 0, "labels": {}}


def _wanted(request: BatchRequest | None) -> list[dict[str, Any]]:
    """Rows of the worklist; none where it can't be read any more."""
    if request is None:
        return []
    try:
        worklist = load_worklist(request.worklist, packaged_protocols())
    except AcquisitionError:
        return []
    return [
        {
            "line": entry.line,
            "barcode": entry.barcode,
            "accession": entry.accession,
            "protocol": entry.protocol.name,
            "priority": entry.priority,
        }
        for entry in worklist.entries
    ]

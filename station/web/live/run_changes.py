"""The journal of a run as changes that a page takes up: each may be applied twice, and in any portions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from acquisition.journal import JournalRecord
from acquisition.run.run_log import LogKind

MERGED_BY: Final = {
    "fields": "index",
    "finds": "key",
    "candidates": "uid",
    "captures": "uid",
    "failed_captures": "candidate",
    "karyotypes": "capture",
}
"""Lists of changes, and what tells their items apart; a later item of the same key adds to the one before it."""

Changes = dict[str, Any]


def changes_of(records: Iterable[JournalRecord], folder: Path) -> Changes:
    """What some records change of what a page shows.

    Parameters
    ----------
    records
        In the order of the journal; kinds of a newer version are passed over.
    folder
        Of the run: what a karyotype says is read from its file there.
    """
    merged: Changes = {}
    for record in records:
        merge_changes(merged, _changes(record, folder))
    return merged


def merge_changes(into: Changes, changes: Changes) -> None:
    """Add changes to those before them.

    Parameters
    ----------
    into
        Is changed.
    changes
        Come later.
    """
    for name, value in changes.items():
        key = MERGED_BY.get(name)
        if key is None:
            into[name] = value
            continue
        items = into.setdefault(name, {})
        if isinstance(items, list):
            items = into[name] = {item[key]: item for item in items}
        for item in value.values() if isinstance(value, dict) else value:
            items[item[key]] = {**items.get(item[key], {}), **item}


def plain_changes(changes: Changes) -> Changes:
    """Changes as JSON values: lists where `merge_changes` keeps tables."""
    return {
        name: list(value.values()) if name in MERGED_BY and isinstance(value, dict) else value
        for name, value in changes.items()
    }


def _changes(record: JournalRecord, folder: Path) -> Changes:
    values = record.values
    changes: Changes = {"last_at": values.get("at"), "elapsed_s": values.get("elapsed_s")}
    match record.kind:
        case LogKind.STATE:
            changes["state"] = values["after"]
        case LogKind.FIELD:
            changes["fields"] = [_field(values["record"], "photographed")]
        case LogKind.FIELD_FAILED:
            changes["fields"] = [_field(values["record"], "failed")]
        case LogKind.SEARCHED:
            searched = values["record"]
            changes["fields"] = [_field(searched, "failed" if searched["status"] == "failed" else "searched")]
            changes["finds"] = [_find(find, number) for number, find in enumerate(values["finds"])]
        case LogKind.SURFACE:
            changes["surface"] = [{"x_um": x, "y_um": y, "z_um": z} for x, y, z in values["points"]]
        case LogKind.SCANNED:
            changes["scanned"] = True
        case LogKind.RANKED:
            changes["ranked"] = True
            changes["candidates"] = [_candidate(candidate) for candidate in values["candidates"]]
        case LogKind.CAPTURED:
            changes["captures"] = [_capture(values["record"])]
        case LogKind.CAPTURE_FAILED:
            changes["failed_captures"] = [{"candidate": values["candidate"], "reason": values["reason"]}]
        case LogKind.KARYOTYPED:
            changes["karyotypes"] = [_karyotype(values, folder)]
        case LogKind.ENDED:
            changes["ended"] = {"status": values["status"], "error": values.get("error")}
        case LogKind.SESSION:
            changes["ended"] = None
        case _:
            pass
    return changes


def _field(record: dict[str, Any], status: str) -> dict[str, Any]:
    return {
        "index": record["index"],
        "row": record["row"],
        "column": record["column"],
        "x_um": record["slide_x_um"],
        "y_um": record["slide_y_um"],
        "z_um": record["z_um"],
        "status": status,
        "candidates": record["candidates"],
        "error": record.get("error"),
    }


def _sighting(sighting: dict[str, Any]) -> dict[str, Any]:
    assessment = sighting.get("assessment", sighting.get("judgement")) or {}
    return {
        "field": sighting["field_index"],
        "x_um": sighting["where"]["x_um"],
        "y_um": sighting["where"]["y_um"],
        "radius_um": sighting["radius_um"],
        "score": _rounded(sighting["score"]),
        "analysable": _rounded(assessment.get("analysable")),
    }


def _find(find: dict[str, Any], number: int) -> dict[str, Any]:
    place = _sighting(find["sighting"])
    return {"key": f"{place['field']}:{number}", "thumbnail": _file_name(find["thumbnail"]), **place}


def _candidate(candidate: dict[str, Any]) -> dict[str, Any]:
    return {"uid": candidate["uid"], "rank": candidate["rank"], **_sighting(candidate["sighting"])}


def _capture(record: dict[str, Any]) -> dict[str, Any]:
    return {
        "uid": record["uid"],
        "candidate": record["candidate_uid"],
        "file": _file_name(record["path"]),
        "x_um": record["slide_x_um"],
        "y_um": record["slide_y_um"],
        "objective": record["objective"],
        "um_per_px": record["um_per_px"],
        "exposure_ms": record["exposure_ms"],
        "focus_score": _rounded(record["focus_score"]),
        "taken_at": record["taken_at"],
    }


def _karyotype(values: Any, folder: Path) -> dict[str, Any]:  # noqa: ANN401 - JSON
    paths = list(values["sha256"])
    picture = next((path for path in paths if path.endswith(".png")), None)
    proposal = next((path for path in paths if path.endswith(".json")), None)
    said: dict[str, Any] = {"iscn": None, "chromosomes": None, "level": None, "reasons": []}
    if proposal is not None and "/" not in proposal.removeprefix("karyograms/"):
        said |= _proposal(folder / proposal)
    return {
        "capture": values["capture"],
        "status": values["status"],
        "picture": None if picture is None else _file_name(picture),
        **said,
    }


def _proposal(path: Path) -> dict[str, Any]:
    """What a proposal says; nothing of a file that is gone or can't be read: the run's record still counts."""
    try:
        proposal = json.loads(path.read_text("utf-8"))
        verdict = proposal.get("verdict") or {}
        return {
            "iscn": proposal.get("iscn"),
            "chromosomes": len(proposal.get("chromosomes", ())),
            "level": verdict.get("level"),
            "reasons": [str(reason.get("text")) for reason in verdict.get("reasons", ())],
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _rounded(value: Any) -> float | None:  # noqa: ANN401 - JSON
    is_number = isinstance(value, int | float) and math.isfinite(value)
    return round(float(value), 4) if is_number else None

"""What a run left on disk, read for the report.

``run.json`` gives the figures, ``casebook.sqlite`` the records, ``truth.json`` what was planted. A run that broke
off early may lack any of them; what is absent stays None or empty here and is shown as absent, never as zero.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from acquisition.casebook import Casebook, open_casebook
from acquisition.errors import StorageError
from acquisition.plan.density import CellFigures, cell_figures
from acquisition.records import (
    CandidateRecord,
    CaptureRecord,
    DecisionRecord,
    FieldRecord,
    KaryotypeRecord,
    RunEvent,
    RunSummary,
)
from acquisition.review import decided
from acquisition.storage.run_folder import CASEBOOK_NAME, RUN_JSON_NAME

TRUTH_NAME = "truth.json"
_FIGURE_KEYS: Final = {"detected": "found"}
"""Keys of run.json that differ from the names here."""


@dataclass(frozen=True, slots=True)
class ReportArea:
    """A rectangle of the slide, in um."""

    x_min_um: float
    y_min_um: float
    x_max_um: float
    y_max_um: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of a run; None where they weren't recorded."""

    planted: int | None = None
    detected: int | None = None
    captured: int | None = None
    karyotyped: int | None = None
    false_finds: int | None = None
    chromosomes_true: int | None = None
    chromosomes_right: int | None = None


@dataclass(frozen=True, slots=True)
class ReportedTrueCell:
    """A metaphase that lies on the slide by its truth."""

    uid: str
    slide_x_um: float
    slide_y_um: float
    radius_um: float
    iscn: str | None


@dataclass(frozen=True, slots=True)
class Truth:
    """What was planted, and which find was which cell (candidate uid to cell uid)."""

    cells: tuple[ReportedTrueCell, ...]
    cell_of: Mapping[str, str]

    def missed(self) -> tuple[ReportedTrueCell, ...]:
        """Cells no find belongs to."""
        matched = set(self.cell_of.values())
        return tuple(cell for cell in self.cells if cell.uid not in matched)

    def cell(self, candidate_uid: str) -> ReportedTrueCell | None:
        """The cell a find belongs to; None for a false find."""
        uid = self.cell_of.get(candidate_uid)
        return next((cell for cell in self.cells if cell.uid == uid), None)


@dataclass(frozen=True, slots=True)
class ReportedSession:
    """One session of the run.

    Attributes
    ----------
    software_version
        Version of the software that carried it out.
    elapsed_s
        How long it took, by a clock that nobody sets.
    """

    software_version: str
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Who, what, when and how it ended; None where it is not known."""

    run_uid: str | None
    slide: str | None
    accession: str | None
    specimen: str | None
    seed: int | None
    rig: str | None
    protocol: str | None
    software_version: str | None
    status: str
    error: str | None
    started_at: datetime | None
    finished_at: datetime | None
    sessions: tuple[ReportedSession, ...] = ()

    @property
    def software_versions(self) -> tuple[str, ...]:
        """Versions of the software in the order of the sessions, each once."""
        versions = [session.software_version for session in self.sessions]
        return tuple(dict.fromkeys(versions)) or tuple(filter(None, (self.software_version,)))

    @property
    def elapsed_s(self) -> float | None:
        """Duration of all sessions together; None where an earlier version didn't measure it."""
        if not self.sessions:
            return None
        return sum(session.elapsed_s for session in self.sessions)


@dataclass(frozen=True, slots=True)
class RunOnDisk:
    """Everything the report shows."""

    folder: Path
    circumstances: Circumstances
    figures: Figures
    seconds: Mapping[str, float]
    area: ReportArea | None
    field_um: tuple[float, float] | None
    truth: Truth | None
    fields: tuple[FieldRecord, ...] = ()
    candidates: tuple[CandidateRecord, ...] = ()
    captures: tuple[CaptureRecord, ...] = ()
    karyotypes: tuple[KaryotypeRecord, ...] = ()
    events: tuple[RunEvent, ...] = ()
    decisions: Mapping[str, DecisionRecord] = field(default_factory=dict)

    @property
    def cells(self) -> CellFigures | None:
        """Analysable cells, without those that were rejected; None where nothing was scanned."""
        if not self.fields:
            return None
        return cell_figures(self.fields, self.wanted)

    @property
    def wanted(self) -> tuple[CandidateRecord, ...]:
        """Candidates that no reviewer rejected."""
        return tuple(item for item in self.candidates if not self.is_rejected(item.uid))

    def is_rejected(self, candidate_uid: str) -> bool:
        """Whether the last word of the reviewers on a candidate is no."""
        decision = self.decisions.get(candidate_uid)
        return decision is not None and not decision.accepted


def read_run(folder: Path) -> RunOnDisk:
    """Read the record of the run in `folder`.

    Raises
    ------
    StorageError
        There is no record of a run, or one of its JSON files is damaged.
    CasebookError
        The casebook is damaged or newer than this software.
    """
    values = _read_json(folder / RUN_JSON_NAME)
    casebook_path = folder / CASEBOOK_NAME
    if casebook_path.exists():
        with open_casebook(casebook_path, create=False) as casebook:
            summary = _choose_run(casebook, values)
            if summary is not None:
                return _with_records(casebook, summary, folder, values or {})
    if values is None:
        raise StorageError("holds no record of a run", path=folder)
    return _run(folder, values, None)


def _choose_run(casebook: Casebook, record: dict[str, object] | None) -> RunSummary | None:
    uid = None if record is None else _text(record.get("run_uid"))
    runs = casebook.runs()
    if uid is None:
        return runs[-1] if runs else None
    return next((run for run in runs if run.record.uid == uid), None)


def _with_records(casebook: Casebook, summary: RunSummary, folder: Path, record: dict[str, object]) -> RunOnDisk:
    uid = summary.record.uid
    candidates = casebook.candidates(uid)
    return _run(
        folder,
        record,
        summary,
        fields=casebook.fields(uid),
        candidates=candidates,
        captures=casebook.captures(uid),
        karyotypes=casebook.karyotypes(uid),
        events=casebook.events(uid),
        decisions=decided(candidates, casebook.decisions(uid)),
    )


def _run(
    folder: Path,
    record: dict[str, object],
    summary: RunSummary | None,
    *,
    fields: tuple[FieldRecord, ...] = (),
    candidates: tuple[CandidateRecord, ...] = (),
    captures: tuple[CaptureRecord, ...] = (),
    karyotypes: tuple[KaryotypeRecord, ...] = (),
    events: tuple[RunEvent, ...] = (),
    decisions: Mapping[str, DecisionRecord] | None = None,
) -> RunOnDisk:
    area = _numbers(record.get("area_um"), 4)
    field_um = _numbers(record.get("field_um"), 2)
    seconds = record.get("seconds")
    return RunOnDisk(
        folder=folder,
        circumstances=_circumstances(record, summary),
        figures=Figures(
            **{name: _count(record.get(_FIGURE_KEYS.get(name, name))) for name in Figures.__dataclass_fields__}
        ),
        seconds=_seconds(seconds) if isinstance(seconds, dict) else {},
        area=None if area is None else ReportArea(*area),
        field_um=None if field_um is None else (field_um[0], field_um[1]),
        truth=_read_truth(folder / TRUTH_NAME),
        fields=fields,
        candidates=candidates,
        captures=captures,
        karyotypes=karyotypes,
        events=events,
        decisions=decisions or {},
    )


def _circumstances(values: dict[str, object], summary: RunSummary | None) -> Circumstances:
    # The casebook wins where both speak: it is written while the run goes on, run.json at its end only.
    record = None if summary is None else summary.record

    def known(name: str) -> str | None:
        return _text(values.get(name)) if record is None else _text(getattr(record, name))

    status = _text(values.get("status")) if summary is None else summary.status.value
    return Circumstances(
        run_uid=_text(values.get("run_uid")) if record is None else record.uid,
        slide=known("slide"),
        accession=_text(values.get("accession")),
        specimen=_text(values.get("specimen")),
        seed=_count(values.get("seed")),
        rig=known("rig"),
        protocol=known("protocol"),
        software_version=known("software_version"),
        status=status or "unknown",
        error=_text(values.get("error")) if summary is None else summary.error,
        started_at=None if record is None else record.started_at,
        finished_at=None if summary is None else summary.finished_at,
        sessions=_sessions(values.get("sessions")),
    )


def _sessions(values: object) -> tuple[ReportedSession, ...]:
    entries = values if isinstance(values, list) else []
    sessions = []
    for entry in entries:
        version = _text(entry.get("software_version")) if isinstance(entry, dict) else None
        elapsed_s = _number(entry.get("elapsed_s")) if isinstance(entry, dict) else None
        if version is not None and elapsed_s is not None:
            sessions.append(ReportedSession(version, elapsed_s))
    return tuple(sessions)


def _read_truth(path: Path) -> Truth | None:
    values = _read_json(path)
    if values is None:
        return None
    try:
        cells = tuple(
            ReportedTrueCell(
                str(cell["uid"]),
                float(cell["slide_x_um"]),
                float(cell["slide_y_um"]),
                float(cell["radius_um"]),
                _text(cell.get("iscn")),
            )
            for cell in values["cells"]  # type: ignore[attr-defined]
        )
        cell_of = {
            str(match["candidate_uid"]): str(match["cell_uid"])
            for match in values["matches"]  # type: ignore[attr-defined]
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StorageError(f"is not of the expected form: {error!r}", path=path) from error
    return Truth(cells, cell_of)


def _read_json(path: Path) -> dict[str, object] | None:
    try:
        values = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise StorageError(f"can't be read: {error}", path=path) from error
    if not isinstance(values, dict):
        raise StorageError("is not a JSON object", path=path)
    return values


def _text(value: object) -> str | None:
    return None if value is None or value == "" else str(value)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _count(value: object) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _seconds(record: dict[str, object]) -> dict[str, float]:
    numbers = {str(name): _number(value) for name, value in record.items()}
    return {name: number for name, number in numbers.items() if number is not None}


def _numbers(value: object, count: int) -> list[float] | None:
    if not isinstance(value, list | tuple) or len(value) != count:
        return None
    numbers = [number for number in map(_number, value) if number is not None]
    return numbers if len(numbers) == count else None

"""What a run writes into its journal, and what can be read from it after the run was cut off."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from acquisition.errors import JournalError
from acquisition.journal import Journal, JournalRecord
from acquisition.plan.candidates import CandidateScore, Sighting
from acquisition.plan.tiling import PlannedField
from acquisition.records import CaptureRecord, FieldRecord, FieldStatus, KaryotypeStatus, RunStatus
from analysis.finder.drift import FieldSummary, current_names
from scanner.coordinates import SlidePoint
from scanner.focus.surface import FocusPoint
from scanner.portable.process import boot_id

FORMAT = 2
"""Written into the first record. Format 1 named neither slide, protocol, rig nor software, and no proposals."""
_READABLE = (1, FORMAT)
_FIELD_NAMES = tuple(item.name for item in fields(FieldRecord))


class LogKind(StrEnum):
    """Kinds of journal records; the values are part of the file format and don't change."""

    SESSION = "session"
    STARTED = "begun"
    RESUMED = "resumed"
    STATE = "state"
    FIELD = "field"
    FIELD_FAILED = "field_failed"
    SYNCED = "secured"
    SURFACE = "surface"
    SEARCHED = "found"
    SCANNED = "scanned"
    RANKED = "ranked"
    CAPTURED = "captured"
    CAPTURE_FAILED = "capture_failed"
    KARYOTYPED = "karyotyped"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RecordedFind:
    """A sighting with the picture that a person will want to see.

    Attributes
    ----------
    sighting
        Where and how sure.
    thumbnail
        Its picture, relative to the run folder.
    crop
        What the finder judged, relative to the run folder; None where it was not kept.
    noise_od
        Noise of its field as the finder measured it; None where that is not known.
    """

    sighting: Sighting
    thumbnail: str
    crop: str | None = None
    noise_od: float | None = None


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """A merged candidate with its name and its place in the order; rank 1 is the best."""

    uid: str
    rank: int
    sighting: Sighting


@dataclass(frozen=True, slots=True)
class WaitingField:
    """A photographed field that had not been searched when the run was cut off; its frame is in the spool.

    Attributes
    ----------
    record
        What was measured so far.
    objective, exposure_ms
        Through what and how long it was exposed.
    slot
        Where in the spool the frame is.
    checksum
        Of the frame, see `frame_checksum`; None in journals of earlier versions.
    """

    record: FieldRecord
    objective: str
    exposure_ms: float
    slot: int
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class RunStart:
    """With what a run began; journals of format 1 tell only plan and barcode.

    Attributes
    ----------
    plan
        Digest of the planned fields, see `plan_digest`.
    barcode
        What the label said; None where there is no label camera.
    slide
        Name of the slide in the record.
    protocol_sha256, rig_sha256
        SHA-256 of the texts of protocol and rig, hexadecimal.
    software_version
        Version of the software that began the run.
    accession
        The case to which the slide belongs; empty where nobody said.
    """

    plan: str
    barcode: str | None
    slide: str | None = None
    protocol_sha256: str | None = None
    rig_sha256: str | None = None
    software_version: str | None = None
    accession: str | None = None


@dataclass(frozen=True, slots=True)
class RecordedProposal:
    """A karyotype proposal as the journal names it.

    Attributes
    ----------
    status
        What became of it.
    sha256
        SHA-256 of each of its files by path relative to the run folder, hexadecimal.
    """

    status: KaryotypeStatus
    sha256: Mapping[str, str]


@dataclass(slots=True)
class Progress:
    """How far a run came.

    Attributes
    ----------
    start
        With what it began; None where it was cut off before.
    searched
        Fields that are through, by index, failed ones too.
    waiting
        Fields photographed but not searched.
    lost
        Fields whose frame did not survive; they are photographed again.
    finds
        All finds.
    landmarks
        Field index to the reduced copy, relative to the run folder.
    readings
        What each field says about the slide, by its index.
    surface
        Focus of the scan objective as it was measured last.
    scan_is_through
        Whether the scan had ended, by its area or by the stop rule.
    ranked
        Candidates; None where they were not ranked yet.
    captures
        Pictures by candidate uid.
    failed_captures
        Reason by candidate uid.
    proposals
        Karyotype proposals by capture uid.
    ended
        How the last session ended, where its end is recorded; the last record then.
    """

    start: RunStart | None = None
    searched: dict[int, FieldRecord] = field(default_factory=dict)
    waiting: dict[int, WaitingField] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    finds: list[RecordedFind] = field(default_factory=list)
    landmarks: dict[int, str] = field(default_factory=dict)
    readings: dict[int, FieldSummary] = field(default_factory=dict)
    surface: tuple[FocusPoint, ...] = ()
    scan_is_through: bool = False
    ranked: tuple[RankedCandidate, ...] | None = None
    captures: dict[str, CaptureRecord] = field(default_factory=dict)
    failed_captures: dict[str, str] = field(default_factory=dict)
    proposals: dict[str, RecordedProposal] = field(default_factory=dict)
    ended: RunStatus | None = None

    @property
    def photographed(self) -> dict[int, FieldRecord]:
        """Fields that need not be photographed again."""
        return {**self.searched, **{index: waiting.record for index, waiting in self.waiting.items()}}


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One of the sessions in which a run was carried out, from its begin or a resume to its end.

    Attributes
    ----------
    software_version
        Version of the software that carried it out.
    started_at
        When it began, ISO 8601.
    elapsed_s
        From its begin to its last record, by a clock that nobody sets.
    status
        How it ended; None where it was cut off or goes on.
    """

    software_version: str
    started_at: str
    elapsed_s: float
    status: RunStatus | None

    def to_json(self) -> dict[str, Any]:
        """As it stands in ``run.json``."""
        return asdict(self) | {"status": None if self.status is None else self.status.value}


class RunLog:
    """Writes the steps of one session of a run into its journal.

    Parameters
    ----------
    journal
        Where to.
    now_s
        Time source of the durations.
    """

    def __init__(self, journal: Journal, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._boot = boot_id()
        self._now_s = now_s
        self._start_s = now_s()

    def session(self, software_version: str) -> None:
        """A session begins: the first record that it writes."""
        self._append(LogKind.SESSION, software_version=software_version)

    def started(self, start: RunStart) -> None:
        """The plan is made, and nothing has moved."""
        self._append(LogKind.STARTED, format=FORMAT, boot=self._boot, **asdict(start))

    def resumed(self, shifts_um: Mapping[int, tuple[float, float]]) -> None:
        """The slide was recognised; `shifts_um` is how far each landmark lay off."""
        shifts = {str(index): list(shift) for index, shift in shifts_um.items()}
        self._append(LogKind.RESUMED, boot=self._boot, shifts_um=shifts)

    def state(self, before: str, step: str, after: str) -> None:
        """The run went from one state to another.

        Parameters
        ----------
        before, after
            The states.
        step
            What brought it there.
        """
        self._append(LogKind.STATE, before=before, step=step, after=after)

    def field(self, field: WaitingField) -> None:
        """A field was photographed; on the disk with the next `synced`."""
        self._append(
            LogKind.FIELD,
            sync=False,
            record=_field_json(field.record),
            objective=field.objective,
            exposure_ms=field.exposure_ms,
            slot=field.slot,
            checksum=field.checksum,
            boot=self._boot,
        )

    def field_failed(self, record: FieldRecord) -> None:
        """A field could not be photographed and is left out."""
        self._append(LogKind.FIELD_FAILED, record=_field_json(record))

    def synced(self, fields: Sequence[int]) -> None:
        """The frames of these fields outlive a power cut."""
        self._append(LogKind.SYNCED, fields=list(fields))

    def searched(
        self,
        record: FieldRecord,
        finds: Sequence[RecordedFind],
        landmark: str | None,
        reading: FieldSummary | None = None,
    ) -> None:
        """A field was searched, or given up.

        Parameters
        ----------
        record
            Final.
        finds
            What it showed.
        landmark
            Path of its reduced copy, relative to the run folder; None where none was kept.
        reading
            What it says about its slide; None where the finder doesn't say.
        """
        self._append(
            LogKind.SEARCHED,
            record=_field_json(record),
            finds=[
                {
                    "sighting": _sighting_json(f.sighting),
                    "thumbnail": f.thumbnail,
                    "crop": f.crop,
                    "noise_od": f.noise_od,
                }
                for f in finds
            ],
            landmark=landmark,
            reading=None if reading is None else _reading_json(reading),
        )

    def surface(self, points: Sequence[FocusPoint]) -> None:
        """The focus surface was measured."""
        self._append(LogKind.SURFACE, points=[[p.where.x_um, p.where.y_um, p.z_um] for p in points])

    def scanned(self) -> None:
        """No further field will be photographed."""
        self._append(LogKind.SCANNED)

    def ranked(self, candidates: Sequence[RankedCandidate]) -> None:
        """The candidates have their names and their order."""
        self._append(
            LogKind.RANKED,
            candidates=[
                {"uid": c.uid, "rank": c.rank, "sighting": _sighting_json(c.sighting)} for c in candidates
            ],
        )

    def captured(self, record: CaptureRecord) -> None:
        """A picture is on the disk."""
        self._append(LogKind.CAPTURED, record={**asdict(record), "taken_at": record.taken_at.isoformat()})

    def capture_failed(self, candidate_uid: str, reason: str) -> None:
        """A cell was not photographed.

        Parameters
        ----------
        candidate_uid
            Which cell.
        reason
            Why.
        """
        self._append(LogKind.CAPTURE_FAILED, candidate=candidate_uid, reason=reason)

    def karyotyped(self, capture_uid: str, proposal: RecordedProposal) -> None:
        """The analysis came to its end with a capture.

        Parameters
        ----------
        capture_uid
            Which capture.
        proposal
            What became of it.
        """
        self._append(
            LogKind.KARYOTYPED, capture=capture_uid, status=proposal.status.value, sha256=dict(proposal.sha256)
        )

    def ended(self, status: RunStatus, error: str | None) -> None:
        """The instrument is safe, and all that the run leaves behind is made: the last record of a session.

        Parameters
        ----------
        status
            How the run ended.
        error
            Why, where it did not complete.
        """
        self._append(LogKind.ENDED, status=status.value, error=error)

    def _append(self, kind: LogKind, *, sync: bool = True, **values: object) -> None:
        # The clock of the dates may be set; how long a session took is measured apart.
        elapsed_s = round(self._now_s() - self._start_s, 3)
        self._journal.append(
            kind.value, sync=sync, at=datetime.now(UTC).isoformat(), elapsed_s=elapsed_s, **values
        )


def plan_digest(fields: Sequence[PlannedField]) -> str:
    """SHA-256 of a plan: the same only if each field has the same index and place."""
    text = "".join(f"{f.index} {f.centre.x_um!r} {f.centre.y_um!r}\n" for f in fields)
    return hashlib.sha256(text.encode()).hexdigest()


def read_sessions(records: Sequence[JournalRecord]) -> tuple[SessionRecord, ...]:
    """The sessions of a run as its journal has them; none where an earlier version wrote it.

    Parameters
    ----------
    records
        All records of the journal.
    """
    sessions: list[SessionRecord] = []
    for record in records:
        values = record.values
        if record.kind == LogKind.SESSION:
            sessions.append(SessionRecord(str(values["software_version"]), str(values["at"]), 0.0, None))
        elif sessions and "elapsed_s" in values:
            is_end = record.kind == LogKind.ENDED
            status = RunStatus(values["status"]) if is_end else None
            sessions[-1] = replace(sessions[-1], elapsed_s=float(values["elapsed_s"]), status=status)
    return tuple(sessions)


def read_progress(records: Sequence[JournalRecord], path: Path) -> Progress:
    """How far the run of a journal came.

    A photographed field counts if its frame is sure to be in the spool: recorded since the machine was started, or
    synced before.

    Parameters
    ----------
    records
        All records of the journal.
    path
        The journal, for messages.

    Raises
    ------
    JournalError
        A record is not of the expected form, or of a newer version.
    """
    progress, synced, boots = Progress(), set[int](), dict[int, str]()
    for record in records:
        try:
            _take(record, progress, synced, boots)
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(
                f"record {record.number} ({record.kind}) is not of the expected form: {error!r}", path=path
            ) from error
    here = boot_id()
    for index in [i for i in progress.waiting if i not in synced and not (here and boots[i] == here)]:
        del progress.waiting[index]
        progress.lost.add(index)
    return progress


def _take(record: JournalRecord, progress: Progress, synced: set[int], boots: dict[int, str]) -> None:
    values = record.values
    progress.ended = None
    match LogKind(record.kind):
        case LogKind.SESSION:
            pass
        case LogKind.STARTED:
            if values["format"] not in _READABLE:
                raise ValueError(f"format {values['format']}, this software reads {_READABLE}")
            progress.start = RunStart(
                values["plan"],
                values["barcode"],
                values.get("slide"),
                values.get("protocol_sha256"),
                values.get("rig_sha256"),
                values.get("software_version"),
                values.get("accession"),
            )
        case LogKind.FIELD:
            waiting = WaitingField(
                _field(values["record"]),
                values["objective"],
                values["exposure_ms"],
                int(values["slot"]),
                values.get("checksum"),
            )
            progress.waiting[waiting.record.index] = waiting
            boots[waiting.record.index] = values["boot"]
            synced.discard(waiting.record.index)
        case LogKind.SYNCED:
            synced.update(values["fields"])
        case LogKind.FIELD_FAILED:
            failed = _field(values["record"])
            progress.searched[failed.index] = failed
        case LogKind.SEARCHED:
            _take_searched(values, progress)
        case LogKind.SURFACE:
            progress.surface = tuple(FocusPoint(SlidePoint(x, y), z) for x, y, z in values["points"])
        case LogKind.SCANNED:
            progress.scan_is_through = True
        case LogKind.RANKED:
            progress.ranked = tuple(
                RankedCandidate(c["uid"], c["rank"], _sighting(c["sighting"])) for c in values["candidates"]
            )
        case LogKind.CAPTURED:
            capture = values["record"]
            taken_at = datetime.fromisoformat(capture["taken_at"])
            progress.captures[capture["candidate_uid"]] = CaptureRecord(**{**capture, "taken_at": taken_at})
        case LogKind.CAPTURE_FAILED:
            progress.failed_captures[values["candidate"]] = values["reason"]
        case LogKind.KARYOTYPED:
            proposal = RecordedProposal(KaryotypeStatus(values["status"]), dict(values["sha256"]))
            progress.proposals[values["capture"]] = proposal
        case LogKind.ENDED:
            progress.ended = RunStatus(values["status"])
        case LogKind.RESUMED | LogKind.STATE:
            pass


def _take_searched(values: Mapping[str, Any], progress: Progress) -> None:
    searched = _field(values["record"])
    progress.waiting.pop(searched.index, None)
    if searched.index in progress.searched:
        # Written twice, where the disk failed to confirm the first record: the last one counts.
        progress.finds = [find for find in progress.finds if find.sighting.field_index != searched.index]
    progress.searched[searched.index] = searched
    # Runs of earlier versions have no crops.
    progress.finds.extend(
        RecordedFind(_sighting(f["sighting"]), f["thumbnail"], f.get("crop"), f.get("noise_od"))
        for f in values["finds"]
    )
    if values["landmark"] is not None:
        progress.landmarks[searched.index] = values["landmark"]
    if values.get("reading") is not None:
        progress.readings[searched.index] = _reading(values["reading"])


def _reading_json(reading: FieldSummary) -> dict[str, object]:
    return {"statistics": dict(reading.statistics), "scores": [round(score, 4) for score in reading.scores]}


def _reading(values: Mapping[str, Any]) -> FieldSummary:
    statistics = {str(name): float(value) for name, value in values["statistics"].items()}
    return FieldSummary(current_names(statistics), tuple(float(score) for score in values["scores"]))


def _field_json(record: FieldRecord) -> dict[str, object]:
    # A record is flat; `asdict` copies deeply, and takes a millisecond that the stage would wait for.
    values = {name: getattr(record, name) for name in _FIELD_NAMES}
    return {**values, "status": record.status.value, "taken_at": record.taken_at.isoformat()}


def _field(values: Mapping[str, Any]) -> FieldRecord:
    return FieldRecord(
        **{
            **values,
            "status": FieldStatus(values["status"]),
            "taken_at": datetime.fromisoformat(values["taken_at"]),
        }
    )


def _sighting_json(sighting: Sighting) -> dict[str, object]:
    return asdict(sighting)


def _sighting(values: Mapping[str, Any]) -> Sighting:
    # Journals of version 0.1 name the assessment "judgement".
    values = dict(values)
    where, assessment = values["where"], values.get("assessment", values.pop("judgement", None))
    return Sighting(
        **{
            **values,
            "where": SlidePoint(where["x_um"], where["y_um"]),
            "assessment": None if assessment is None else CandidateScore(**assessment),
        }
    )

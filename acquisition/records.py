"""What a run leaves behind, as frozen records; the casebook stores them, the report reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class RunStatus(StrEnum):
    """How a run stands or ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    STOPPED = "stopped"
    ABORTED = "aborted"
    PARKED = "parked"
    FAILED = "failed"


class FieldStatus(StrEnum):
    """What became of a field."""

    DONE = "done"
    FAILED = "failed"


class CandidateStatus(StrEnum):
    """What became of a candidate."""

    SELECTED = "found"
    """To be photographed; the stored value is that of the first casebooks."""
    CAPTURED = "captured"
    NOT_SELECTED = "not_selected"
    FAILED = "failed"


class KaryotypeStatus(StrEnum):
    """What became of a karyotype proposal."""

    PROPOSED = "proposed"
    REFUSED = "refused"
    FAILED = "failed"


class EventLevel(StrEnum):
    """How much an event of the run matters."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Identity and circumstances of a run; positions are in slide um, times are UTC.

    `protocol_yaml` and `rig_yaml` hold the text that was used, so that the record stays readable when files
    change.
    """

    uid: str
    slide: str
    rig: str
    rig_yaml: str
    protocol: str
    protocol_yaml: str
    software_version: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class FieldRecord:
    """One field of the low-magnification scan.

    Times are those of the attempt that succeeded, or of all together where none did. The stage travels and settles
    while the frame before is read out: `move_ms` (without `settle_ms`) and `read_ms` therefore overlap and don't
    add up to the time of a field. `write_ms` holds the frame's way to the disk and, where the finder was behind,
    the wait for room. `attempts` counts from 1. `picture` is where the full field is kept, relative to the run
    folder.
    """

    index: int
    row: int
    column: int
    slide_x_um: float
    slide_y_um: float
    stage_x_um: float | None
    stage_y_um: float | None
    z_um: float | None
    status: FieldStatus
    taken_at: datetime
    move_ms: float
    focus_ms: float
    expose_ms: float
    find_ms: float
    candidates: int
    error: str | None = None
    settle_ms: float = 0.0
    read_ms: float = 0.0
    write_ms: float = 0.0
    attempts: int = 1
    picture: str | None = None


@dataclass(frozen=True, slots=True)
class CandidateRecord:
    """A metaphase candidate after de-duplication; `rank` counts from 1, best first.

    `rank_score` is by what the candidates were ordered, `analysable` the probability that the cell can be
    karyotyped, given that it is a metaphase; they and what follows are None where the finder only scores.
    `spread`, `overlap`, `completeness` and `contrast` are in [0, 1], `chromosomes` estimates their number. `crop`
    is the picture that the finder judged (grey values are coded optical density) and `noise_od` the noise of its
    field; None where none was kept.
    """

    uid: str
    field_index: int
    slide_x_um: float
    slide_y_um: float
    radius_um: float
    score: float
    rank: int
    status: CandidateStatus
    thumbnail: str | None = None
    error: str | None = None
    rank_score: float | None = None
    analysable: float | None = None
    spread: float | None = None
    overlap: float | None = None
    completeness: float | None = None
    contrast: float | None = None
    chromosomes: float | None = None
    crop: str | None = None
    noise_od: float | None = None


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """A reviewer's word on a candidate: a metaphase worth a picture, or not.

    None is ever changed or taken back: the last one on a cell counts, the others tell how it came to it. The place
    is recorded with it, since candidates are named anew when a run that was stopped within its scan goes on.
    `crop` and `noise_od` are those of the candidate.
    """

    candidate_uid: str
    accepted: bool
    reviewer: str
    at: datetime
    slide_x_um: float
    slide_y_um: float
    radius_um: float
    reason: str | None = None
    crop: str | None = None
    noise_od: float | None = None


@dataclass(frozen=True, slots=True)
class CaptureRecord:
    """One high-magnification picture.

    `path` is relative to the run folder; the positions are those of the image centre.
    """

    uid: str
    candidate_uid: str
    path: str
    sha256: str
    slide_x_um: float
    slide_y_um: float
    stage_x_um: float
    stage_y_um: float
    z_um: float
    objective: str
    um_per_px: float
    exposure_ms: float
    focus_score: float
    centring_um: float
    taken_at: datetime


@dataclass(frozen=True, slots=True)
class KaryotypeRecord:
    """The analysis' proposal for one capture; paths are relative to the run folder."""

    capture_uid: str
    status: KaryotypeStatus
    seconds: float
    iscn: str | None = None
    chromosomes: int | None = None
    json_path: str | None = None
    picture_path: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunEvent:
    """Something that happened during a run.

    Attributes
    ----------
    at
        When, with a time zone.
    level
        How much it matters.
    kind
        Machine-readable word, such as ``"field_failed"``.
    message
        One line for people.
    context
        Further values that JSON can hold, such as ``{"field": 7, "wanted_um": 10.0}``.
    """

    at: datetime
    level: EventLevel
    kind: str
    message: str
    context: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run and how it stands; `finished_at` is None while `status` is ``running``."""

    record: RunRecord
    status: RunStatus
    finished_at: datetime | None = None
    error: str | None = None

"""Tables of the casebook.

What belongs to a run is keyed by ``(run_id, its own number or uid)``, so that every foreign key also proves
that both ends belong to the same run, and short uids such as ``c0001`` may return in the next run.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Double,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from acquisition.casebook.utc import UtcDateTime
from acquisition.records import CandidateStatus, EventLevel, FieldStatus, KaryotypeStatus, RunStatus

UID_LENGTH = 64
STATUS_LENGTH = 32

# Named constraints: a later migration can only alter what it can name.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def _words(kind: type[StrEnum]) -> Enum:
    """A column type holding the values of an enumeration as text."""
    return Enum(
        kind,
        native_enum=False,
        length=STATUS_LENGTH,
        values_callable=lambda members: [member.value for member in members],
    )


def _one_of(column: str, kind: type[StrEnum]) -> CheckConstraint:
    values = ", ".join(f"'{member.value}'" for member in kind)
    return CheckConstraint(f"{column} IN ({values})", name=f"{column}_known")


def _in_run(*columns: str, table: str, targets: tuple[str, ...]) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["run_id", *columns], [f"{table}.{name}" for name in ("run_id", *targets)])


class Base(DeclarativeBase):
    """Declarative base of the casebook."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Double()}


class RunRow(Base):
    """A run and how it ended."""

    __tablename__ = "run"
    __table_args__ = (
        UniqueConstraint("uid"),
        _one_of("status", RunStatus),
        CheckConstraint("uid <> ''", name="uid_not_empty"),
        CheckConstraint("(status = 'running') = (finished_at IS NULL)", name="finished_when_not_running"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[str] = mapped_column(String(UID_LENGTH))
    slide: Mapped[str] = mapped_column(Text)
    rig: Mapped[str] = mapped_column(Text)
    rig_yaml: Mapped[str] = mapped_column(Text)
    protocol: Mapped[str] = mapped_column(Text)
    protocol_yaml: Mapped[str] = mapped_column(Text)
    software_version: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    status: Mapped[RunStatus] = mapped_column(_words(RunStatus))
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    error: Mapped[str | None] = mapped_column(Text)


class FieldRow(Base):
    """A field of the low-magnification scan."""

    __tablename__ = "field"
    __table_args__ = (
        _one_of("status", FieldStatus),
        CheckConstraint("field_index >= 0 AND grid_row >= 0 AND grid_column >= 0", name="grid_not_negative"),
        CheckConstraint(
            "move_ms >= 0 AND focus_ms >= 0 AND expose_ms >= 0 AND find_ms >= 0", name="times_not_negative"
        ),
        CheckConstraint("candidates >= 0", name="candidates_not_negative"),
        CheckConstraint("settle_ms >= 0 AND read_ms >= 0 AND write_ms >= 0", name="more_times_not_negative"),
        CheckConstraint("attempts >= 1", name="attempts_from_one"),
    )

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    index: Mapped[int] = mapped_column("field_index", primary_key=True, autoincrement=False)
    row: Mapped[int] = mapped_column("grid_row")
    column: Mapped[int] = mapped_column("grid_column")
    slide_x_um: Mapped[float]
    slide_y_um: Mapped[float]
    stage_x_um: Mapped[float | None]
    stage_y_um: Mapped[float | None]
    z_um: Mapped[float | None]
    status: Mapped[FieldStatus] = mapped_column(_words(FieldStatus))
    taken_at: Mapped[datetime] = mapped_column(UtcDateTime)
    move_ms: Mapped[float]
    focus_ms: Mapped[float]
    expose_ms: Mapped[float]
    find_ms: Mapped[float]
    candidates: Mapped[int]
    error: Mapped[str | None] = mapped_column(Text)
    settle_ms: Mapped[float] = mapped_column(server_default="0")
    read_ms: Mapped[float] = mapped_column(server_default="0")
    write_ms: Mapped[float] = mapped_column(server_default="0")
    attempts: Mapped[int] = mapped_column(server_default="1")
    picture: Mapped[str | None] = mapped_column(Text)


class CandidateRow(Base):
    """A metaphase candidate of a run."""

    __tablename__ = "candidate"
    __table_args__ = (
        _in_run("field_index", table="field", targets=("field_index",)),
        Index(None, "run_id", "field_index"),
        _one_of("status", CandidateStatus),
        CheckConstraint("uid <> ''", name="uid_not_empty"),
        CheckConstraint("radius_um > 0", name="radius_positive"),
        CheckConstraint("rank >= 1", name="rank_from_one"),
        CheckConstraint("analysable >= 0 AND analysable <= 1", name="analysable_is_probability"),
    )

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    field_index: Mapped[int]
    slide_x_um: Mapped[float]
    slide_y_um: Mapped[float]
    radius_um: Mapped[float]
    score: Mapped[float]
    rank: Mapped[int]
    status: Mapped[CandidateStatus] = mapped_column(_words(CandidateStatus))
    thumbnail: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    rank_score: Mapped[float | None]
    analysable: Mapped[float | None]
    spread: Mapped[float | None]
    overlap: Mapped[float | None]
    completeness: Mapped[float | None]
    contrast: Mapped[float | None]
    chromosomes: Mapped[float | None]
    crop: Mapped[str | None] = mapped_column(Text)
    noise_od: Mapped[float | None]


class DecisionRow(Base):
    """A reviewer's word on a candidate; triggers of the database keep it as it is.

    There is no foreign key to the candidate: it may be named anew, and the decision stays with its place.
    """

    __tablename__ = "decision"
    __table_args__ = (
        Index(None, "run_id"),
        CheckConstraint("candidate_uid <> ''", name="candidate_uid_not_empty"),
        CheckConstraint("reviewer <> ''", name="reviewer_not_empty"),
        CheckConstraint("accepted IN (0, 1)", name="accepted_yes_or_no"),
        CheckConstraint("radius_um > 0", name="radius_positive"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))
    candidate_uid: Mapped[str] = mapped_column(String(UID_LENGTH))
    accepted: Mapped[bool]
    reviewer: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    slide_x_um: Mapped[float]
    slide_y_um: Mapped[float]
    radius_um: Mapped[float]
    reason: Mapped[str | None] = mapped_column(Text)
    crop: Mapped[str | None] = mapped_column(Text)
    noise_od: Mapped[float | None]


class CaptureRow(Base):
    """A high-magnification picture of a candidate."""

    __tablename__ = "capture"
    __table_args__ = (
        _in_run("candidate_uid", table="candidate", targets=("uid",)),
        UniqueConstraint("run_id", "path"),
        Index(None, "run_id", "candidate_uid"),
        CheckConstraint("uid <> ''", name="uid_not_empty"),
        CheckConstraint("length(sha256) = 64", name="sha256_whole"),
        CheckConstraint("um_per_px > 0", name="um_per_px_positive"),
        CheckConstraint("exposure_ms > 0", name="exposure_positive"),
        CheckConstraint("centring_um >= 0", name="centring_not_negative"),
    )

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    candidate_uid: Mapped[str] = mapped_column(String(UID_LENGTH))
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    slide_x_um: Mapped[float]
    slide_y_um: Mapped[float]
    stage_x_um: Mapped[float]
    stage_y_um: Mapped[float]
    z_um: Mapped[float]
    objective: Mapped[str] = mapped_column(Text)
    um_per_px: Mapped[float]
    exposure_ms: Mapped[float]
    focus_score: Mapped[float]
    centring_um: Mapped[float]
    taken_at: Mapped[datetime] = mapped_column(UtcDateTime)


class KaryotypeRow(Base):
    """The proposal for one capture; there is never more than one."""

    __tablename__ = "karyotype"
    __table_args__ = (
        _in_run("capture_uid", table="capture", targets=("uid",)),
        _one_of("status", KaryotypeStatus),
        CheckConstraint("seconds >= 0", name="seconds_not_negative"),
        CheckConstraint("chromosomes >= 0", name="chromosomes_not_negative"),
    )

    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"), primary_key=True)
    capture_uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    status: Mapped[KaryotypeStatus] = mapped_column(_words(KaryotypeStatus))
    seconds: Mapped[float]
    iscn: Mapped[str | None] = mapped_column(Text)
    chromosomes: Mapped[int | None]
    json_path: Mapped[str | None] = mapped_column(Text)
    picture_path: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)


class RunEventRow(Base):
    """An event of a run; read back in the order in which it was recorded."""

    __tablename__ = "run_event"
    __table_args__ = (
        Index(None, "run_id"),
        _one_of("level", EventLevel),
        CheckConstraint("kind <> ''", name="kind_not_empty"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("run.id"))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    level: Mapped[EventLevel] = mapped_column(_words(EventLevel))
    kind: Mapped[str] = mapped_column(Text)
    message: Mapped[str] = mapped_column(Text)
    context: Mapped[dict[str, Any]] = mapped_column(JSON)

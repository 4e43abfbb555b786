"""Tables of the casebook.

Every row has a uid of its own, so that a case keeps its names when it travels to another laboratory. What several
people can change has a version that counts its changes. Audit entries, proposal versions, edits and signatures are
only ever added: triggers of the database refuse to change or delete them.
"""

from __future__ import annotations

import secrets
import time
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Double,
    Enum,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from acquisition.casebook.models import NAMES
from acquisition.casebook.utc import UtcDateTime
from acquisition.records import KaryotypeStatus, RunStatus
from analysis.case.clones import CaseOrigin
from analysis.structures.review import ReviewLevel
from station.laboratory.permissions import AccountRole
from station.laboratory.records import (
    CaseStatus,
    CellOrigin,
    EditAction,
    FolderState,
    ProposalOrigin,
    ReviewRole,
    SignatureMeaning,
    TokenKind,
)

UID_LENGTH: Final = 64
DIGEST_LENGTH: Final = 64
NAME_LENGTH: Final = 200
WORD_LENGTH: Final = 32
APPEND_ONLY: Final = ("audit_entry", "proposal_version", "cell_edit", "signature")
"""Tables whose rows are never changed nor deleted."""


def new_uid() -> str:
    """A name that is unique everywhere; later ones sort after earlier ones, so that indexes grow at their end."""
    milliseconds = time.time_ns() // 1_000_000
    return f"{milliseconds:012x}{secrets.token_hex(10)}"


def _words(kind: type[StrEnum]) -> Enum:
    return Enum(
        kind,
        native_enum=False,
        create_constraint=False,
        length=WORD_LENGTH,
        values_callable=lambda members: [member.value for member in members],
    )


def _one_of(column: str, kind: type[StrEnum]) -> CheckConstraint:
    values = ", ".join(f"'{member.value}'" for member in kind)
    return CheckConstraint(f"{column} IN ({values})", name=f"{column}_listed")


class LaboratoryBase(DeclarativeBase):
    """Declarative base of the laboratory's casebook."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {float: Double()}


class LaboratoryRow(LaboratoryBase):
    """The laboratory; there is one row."""

    __tablename__ = "laboratory"

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    address: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    version: Mapped[int]


class UserRow(LaboratoryBase):
    """A user; `login_name` is the name as it is compared, in small letters."""

    __tablename__ = "user_account"
    __table_args__ = (
        UniqueConstraint("login_name"),
        CheckConstraint("name <> ''", name="name_not_empty"),
        CheckConstraint("failed_attempts >= 0", name="attempts_not_negative"),
    )

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    login_name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    full_name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str | None] = mapped_column(Text)
    must_change_password: Mapped[bool]
    disabled: Mapped[bool]
    failed_attempts: Mapped[int]
    locked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_login_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    version: Mapped[int]


class UserRoleRow(LaboratoryBase):
    """A role of a user."""

    __tablename__ = "user_role"
    __table_args__ = (_one_of("role", AccountRole),)

    user_uid: Mapped[str] = mapped_column(ForeignKey("user_account.uid"), primary_key=True)
    role: Mapped[AccountRole] = mapped_column(_words(AccountRole), primary_key=True)


class TokenRow(LaboratoryBase):
    """A token; the casebook has its digest only."""

    __tablename__ = "access_token"
    __table_args__ = (_one_of("kind", TokenKind), UniqueConstraint("digest"), Index(None, "user_uid"))

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    digest: Mapped[str] = mapped_column(String(DIGEST_LENGTH))
    user_uid: Mapped[str | None] = mapped_column(ForeignKey("user_account.uid"))
    kind: Mapped[TokenKind] = mapped_column(_words(TokenKind))
    label: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class CaseRow(LaboratoryBase):
    """A case."""

    __tablename__ = "lab_case"
    __table_args__ = (
        UniqueConstraint("accession"),
        _one_of("status", CaseStatus),
        CheckConstraint("accession <> ''", name="accession_not_empty"),
        Index(None, "updated_at"),
    )

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    accession: Mapped[str] = mapped_column(String(NAME_LENGTH))
    status: Mapped[CaseStatus] = mapped_column(_words(CaseStatus))
    origin: Mapped[CaseOrigin | None] = mapped_column(_words(CaseOrigin))
    indication: Mapped[str] = mapped_column(Text)
    remark: Mapped[str] = mapped_column(Text)
    iscn: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    version: Mapped[int]


class SpecimenRow(LaboratoryBase):
    """A specimen of a case."""

    __tablename__ = "specimen"
    __table_args__ = (Index(None, "case_uid"),)

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    case_uid: Mapped[str] = mapped_column(ForeignKey("lab_case.uid"))
    kind: Mapped[str] = mapped_column(Text)
    label: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int]


class LaboratorySlideRow(LaboratoryBase):
    """A slide of a case."""

    __tablename__ = "slide"
    __table_args__ = (
        UniqueConstraint("barcode"),
        Index(None, "case_uid"),
        CheckConstraint("barcode <> ''", name="barcode_not_empty"),
    )

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    case_uid: Mapped[str] = mapped_column(ForeignKey("lab_case.uid"))
    specimen_uid: Mapped[str | None] = mapped_column(ForeignKey("specimen.uid"))
    barcode: Mapped[str] = mapped_column(String(NAME_LENGTH))
    remark: Mapped[str] = mapped_column(Text)
    version: Mapped[int]


class IndexedRunRow(LaboratoryBase):
    """A run, as its folder told it last."""

    __tablename__ = "run"
    __table_args__ = (_one_of("status", RunStatus), Index(None, "case_uid"), Index(None, "started_at"))

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    case_uid: Mapped[str | None] = mapped_column(ForeignKey("lab_case.uid"))
    assigned_by_person: Mapped[bool]
    slide: Mapped[str] = mapped_column(Text)
    accession: Mapped[str] = mapped_column(Text)
    rig: Mapped[str] = mapped_column(Text)
    protocol: Mapped[str] = mapped_column(Text)
    software_version: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    status: Mapped[RunStatus] = mapped_column(_words(RunStatus))
    error: Mapped[str | None] = mapped_column(Text)
    fields_done: Mapped[int]
    fields_failed: Mapped[int]
    candidates: Mapped[int]
    captured: Mapped[int]
    karyotyped: Mapped[int]
    indexed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    version: Mapped[int]


class RunFolderRow(LaboratoryBase):
    """A folder that the indexer visited; `fingerprint` tells whether it has to be read again."""

    __tablename__ = "run_folder"
    __table_args__ = (UniqueConstraint("folder"), _one_of("state", FolderState), Index(None, "run_uid"))

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    folder: Mapped[str] = mapped_column(Text)
    run_uid: Mapped[str | None] = mapped_column(ForeignKey("run.uid"))
    state: Mapped[FolderState] = mapped_column(_words(FolderState))
    message: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(Text)
    checked_at: Mapped[datetime] = mapped_column(UtcDateTime)


class BatchRow(LaboratoryBase):
    """A batch, as its folder told it last."""

    __tablename__ = "batch"
    __table_args__ = (UniqueConstraint("folder"),)

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    folder: Mapped[str] = mapped_column(Text)
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    fingerprint: Mapped[str] = mapped_column(Text)
    indexed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReviewedCellRow(LaboratoryBase):
    """A cell: what the run says of it, what people decided, and its proposal in short."""

    __tablename__ = "cell"
    __table_args__ = (
        UniqueConstraint("run_uid", "name"),
        _one_of("origin", CellOrigin),
        _one_of("role", ReviewRole),
        CheckConstraint("(role = 'excluded') = (exclusion_reason <> '')", name="excluded_with_reason"),
        CheckConstraint("proposal_number >= 0", name="proposal_number_not_negative"),
        Index(None, "case_uid", "rank"),
    )

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    case_uid: Mapped[str | None] = mapped_column(ForeignKey("lab_case.uid"))
    run_uid: Mapped[str | None] = mapped_column(ForeignKey("run.uid"))
    name: Mapped[str] = mapped_column(Text)
    origin: Mapped[CellOrigin] = mapped_column(_words(CellOrigin))
    rank: Mapped[int | None]
    score: Mapped[float | None]
    analysable: Mapped[float | None]
    picture: Mapped[str] = mapped_column(Text)
    picture_sha256: Mapped[str] = mapped_column(String(DIGEST_LENGTH))
    thumbnail: Mapped[str | None] = mapped_column(Text)
    karyogram: Mapped[str | None] = mapped_column(Text)
    um_per_px: Mapped[float | None]
    taken_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    role: Mapped[ReviewRole] = mapped_column(_words(ReviewRole))
    exclusion_reason: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text)
    karyotype_status: Mapped[KaryotypeStatus | None] = mapped_column(_words(KaryotypeStatus))
    karyotype_error: Mapped[str | None] = mapped_column(Text)
    proposal_number: Mapped[int]
    iscn: Mapped[str | None] = mapped_column(Text)
    chromosomes: Mapped[int | None]
    verdict: Mapped[ReviewLevel | None] = mapped_column(_words(ReviewLevel))
    version: Mapped[int]


class ProposalVersionRow(LaboratoryBase):
    """A version of a proposal: where the run keeps it, or its compressed text."""

    __tablename__ = "proposal_version"
    __table_args__ = (
        UniqueConstraint("cell_uid", "number"),
        _one_of("origin", ProposalOrigin),
        CheckConstraint("number >= 1", name="number_from_one"),
        CheckConstraint("(path IS NULL) <> (content IS NULL)", name="path_or_content"),
    )

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    cell_uid: Mapped[str] = mapped_column(ForeignKey("cell.uid"))
    number: Mapped[int]
    origin: Mapped[ProposalOrigin] = mapped_column(_words(ProposalOrigin))
    author: Mapped[str] = mapped_column(Text)
    user_uid: Mapped[str | None] = mapped_column(ForeignKey("user_account.uid"))
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    iscn: Mapped[str | None] = mapped_column(Text)
    chromosomes: Mapped[int | None]
    verdict: Mapped[ReviewLevel | None] = mapped_column(_words(ReviewLevel))
    path: Mapped[str | None] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(DIGEST_LENGTH))
    content: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)


class CellEditRow(LaboratoryBase):
    """An entry of a cell's edits."""

    __tablename__ = "cell_edit"
    __table_args__ = (
        UniqueConstraint("cell_uid", "number"),
        _one_of("action", EditAction),
        CheckConstraint("number >= 1", name="number_from_one"),
    )

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    cell_uid: Mapped[str] = mapped_column(ForeignKey("cell.uid"))
    number: Mapped[int]
    action: Mapped[EditAction] = mapped_column(_words(EditAction))
    operation: Mapped[str] = mapped_column(Text)
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    author: Mapped[str] = mapped_column(Text)
    user_uid: Mapped[str | None] = mapped_column(ForeignKey("user_account.uid"))
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)
    base_number: Mapped[int]
    result_number: Mapped[int]


class SignatureRow(LaboratoryBase):
    """A signature under a case."""

    __tablename__ = "signature"
    __table_args__ = (_one_of("meaning", SignatureMeaning), Index(None, "case_uid"))

    uid: Mapped[str] = mapped_column(String(UID_LENGTH), primary_key=True)
    case_uid: Mapped[str] = mapped_column(ForeignKey("lab_case.uid"))
    user_uid: Mapped[str] = mapped_column(String(UID_LENGTH))
    name: Mapped[str] = mapped_column(Text)
    full_name: Mapped[str] = mapped_column(Text)
    meaning: Mapped[SignatureMeaning] = mapped_column(_words(SignatureMeaning))
    signed_at: Mapped[datetime] = mapped_column(UtcDateTime)
    case_version: Mapped[int]
    content_sha256: Mapped[str] = mapped_column(String(DIGEST_LENGTH))


class AuditEntryRow(LaboratoryBase):
    """An entry of the audit trail; `before` and `after` are JSON texts, as they went into the digest."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index(None, "subject", "subject_uid"), Index(None, "case_uid"), Index(None, "actor"))

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(String(NAME_LENGTH))
    user_uid: Mapped[str | None] = mapped_column(String(UID_LENGTH))
    action: Mapped[str] = mapped_column(String(NAME_LENGTH))
    subject: Mapped[str] = mapped_column(String(WORD_LENGTH))
    subject_uid: Mapped[str] = mapped_column(String(UID_LENGTH))
    case_uid: Mapped[str | None] = mapped_column(String(UID_LENGTH))
    before: Mapped[str] = mapped_column("before_json", Text)
    after: Mapped[str] = mapped_column("after_json", Text)
    previous: Mapped[str] = mapped_column(String(DIGEST_LENGTH))
    digest: Mapped[str] = mapped_column(String(DIGEST_LENGTH))


class AuditHeadRow(LaboratoryBase):
    """The last entry of the audit trail; its one row is what writers of one casebook wait for."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(DIGEST_LENGTH))

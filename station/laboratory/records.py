"""What the casebook hands out: frozen records, without a patient's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from acquisition.batch.report import SlideReport
from acquisition.records import KaryotypeStatus, RunStatus
from analysis.case.clones import CaseOrigin
from analysis.structures.review import ReviewLevel
from station.laboratory.permissions import AccountRole, Actor, permissions_of


class CaseStatus(StrEnum):
    """How far a case is; the values are stored."""

    OPEN = "open"
    IN_REVIEW = "in_review"
    SIGNED = "signed"
    AMENDING = "amending"
    """It was signed, and is changed again; the signatures of before stay."""


class ReviewRole(StrEnum):
    """What a cell is in its case; each role of a cell implies those before it, exclusion apart."""

    NOT_REVIEWED = "not_reviewed"
    COUNTED = "counted"
    ANALYSED = "analysed"
    KARYOTYPED = "karyotyped"
    EXCLUDED = "excluded"


class ProposalOrigin(StrEnum):
    """Who made a version of a proposal."""

    SOFTWARE = "software"
    PERSON = "person"


class EditAction(StrEnum):
    """What an entry of a cell's edits does."""

    APPLY = "apply"
    UNDO = "undo"
    REDO = "redo"


class SignatureMeaning(StrEnum):
    """What a signature says."""

    ANALYSED = "analysed"
    """First reader."""
    REVIEWED = "reviewed"
    """Second reader."""
    APPROVED = "approved"
    """Locks the case."""


class CellOrigin(StrEnum):
    """Where a cell's picture comes from."""

    RUN = "run"
    PICTURE = "picture"


class FolderState(StrEnum):
    """What the indexer makes of a run's folder."""

    INDEXED = "indexed"
    GROWING = "growing"
    """A process works on the run."""
    MISSING = "missing"
    """It was there, and is gone; what was indexed stays."""
    INCOMPLETE = "incomplete"
    """Files that its record names aren't there: it is half copied, or was thinned."""
    NEWER = "newer"
    """A newer version of the software wrote it."""
    DAMAGED = "damaged"
    """Its record can't be read."""
    DUPLICATE = "duplicate"
    """The run lies in another folder, too, which is the one that counts."""


class TokenKind(StrEnum):
    """What a token is good for."""

    BROWSER = "browser"
    API = "api"
    SETUP = "setup"
    """Makes the first administrator, once."""
    RESET = "reset"
    """Sets a new password, once."""


@dataclass(frozen=True, slots=True)
class LaboratoryProfile:
    """The laboratory, as its reports name it.

    Attributes
    ----------
    uid
        Of the casebook: tells it from others when cases travel.
    name, address
        As printed.
    version
        Counts its changes.
    """

    uid: str
    name: str
    address: str
    version: int


@dataclass(frozen=True, slots=True)
class UserAccount:
    """A person, or a program, who can log in.

    Attributes
    ----------
    uid, name, full_name
        The name is what is typed at log-in.
    roles
        What they are.
    disabled
        Whether they can't log in any more.
    created_at, last_login_at
        UTC.
    locked_until
        No try is heard before; None where the account isn't locked.
    must_change_password
        Whether the password was set by somebody else.
    version
        Counts its changes.
    """

    uid: str
    name: str
    full_name: str
    roles: frozenset[AccountRole]
    disabled: bool
    created_at: datetime
    last_login_at: datetime | None
    locked_until: datetime | None
    must_change_password: bool
    version: int

    def actor(self) -> Actor:
        """The user as somebody who does something."""
        return Actor(self.name, self.uid, permissions_of(self.roles))


@dataclass(frozen=True, slots=True)
class LoginSession:
    """A token that was accepted.

    Attributes
    ----------
    token_uid
        Its name in lists; not the token itself.
    user
        Whose it is.
    kind
        Of a browser or a program.
    label
        What it is called, such as the browser's name.
    created_at, last_used_at, expires_at
        UTC.
    """

    token_uid: str
    user: UserAccount
    kind: TokenKind
    label: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """A case: all cells of one person's sample. It has no patient's name.

    Attributes
    ----------
    uid, accession
        The accession is unique in the laboratory.
    status
        How far it is.
    origin
        How its changes are written; None where that is not said.
    indication, remark
        In words.
    iscn
        Of the whole case; empty until somebody writes it.
    created_at, updated_at
        UTC.
    version
        Counts its changes.
    """

    uid: str
    accession: str
    status: CaseStatus
    origin: CaseOrigin | None
    indication: str
    remark: str
    iscn: str
    created_at: datetime
    updated_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class CaseOverview:
    """A case as a list shows it.

    Attributes
    ----------
    case
        The case.
    barcodes
        Of its slides.
    runs, cells
        How many it has.
    by_role
        Cells by their role; roles without a cell are left out.
    """

    case: CaseRecord
    barcodes: tuple[str, ...]
    runs: int
    cells: int
    by_role: Mapping[ReviewRole, int]


@dataclass(frozen=True, slots=True)
class SpecimenRecord:
    """What was taken from the person."""

    uid: str
    case_uid: str
    kind: str
    label: str
    received_at: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class SlideRecord:
    """A slide; its barcode is unique in the laboratory."""

    uid: str
    case_uid: str
    specimen_uid: str | None
    barcode: str
    remark: str
    version: int


@dataclass(frozen=True, slots=True)
class IndexedRun:
    """A run as the casebook has it; its folder remains the truth.

    Attributes
    ----------
    uid
        As the run itself is called.
    case_uid
        None where neither worklist nor a person named one.
    assigned_by_person
        Whether a person chose the case; the indexer leaves it then.
    slide, accession
        As the run's record says.
    folder
        Where it lies; relative to the casebook's folder where it lies in there.
    folder_state, folder_message
        What the indexer makes of the folder, and why.
    status, error
        As in the run's record.
    fields_done, fields_failed, candidates, captured, karyotyped
        Counts.
    """

    uid: str
    case_uid: str | None
    assigned_by_person: bool
    slide: str
    accession: str
    folder: str
    folder_state: FolderState
    folder_message: str
    rig: str
    protocol: str
    software_version: str
    started_at: datetime
    finished_at: datetime | None
    status: RunStatus
    error: str | None
    fields_done: int
    fields_failed: int
    candidates: int
    captured: int
    karyotyped: int
    indexed_at: datetime
    version: int


@dataclass(frozen=True, slots=True)
class IndexedBatch:
    """A batch as the casebook has it.

    Attributes
    ----------
    folder
        As for `IndexedRun`.
    worklist
        Name of its file.
    started_at, finished_at
        As its record says, ISO 8601; None where it says nothing.
    ended
        Why it ended early.
    slides
        What became of each.
    """

    uid: str
    folder: str
    worklist: str
    started_at: str | None
    finished_at: str | None
    ended: str
    slides: tuple[SlideReport, ...]
    indexed_at: datetime


@dataclass(frozen=True, slots=True)
class RunFolderRecord:
    """A folder that the indexer visited.

    Attributes
    ----------
    folder
        As for `IndexedRun`.
    run_uid
        None where its record couldn't be read.
    state, message
        What it makes of it, and why.
    checked_at
        When that was last decided, UTC.
    """

    folder: str
    run_uid: str | None
    state: FolderState
    message: str
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class ReviewedCell:
    """A photographed cell with its proposal and what people decided about it.

    Attributes
    ----------
    name
        Within its run or case.
    origin
        Whether a run or a person brought the picture.
    rank, score, analysable
        Of the finder; None for pictures that people brought.
    picture, thumbnail, karyogram
        Relative to the run's folder, or to the casebook's for pictures that people brought.
    picture_sha256
        Of the picture's file.
    um_per_px
        None where it isn't known.
    role, exclusion_reason, note
        What people decided.
    karyotype_status, karyotype_error
        What the analysis said; None before it did.
    proposal_number
        Version of the proposal that counts; 0 where there is none.
    iscn, chromosomes, verdict
        Of that version.
    version
        Counts the changes by people.
    """

    uid: str
    case_uid: str | None
    run_uid: str | None
    name: str
    origin: CellOrigin
    rank: int | None
    score: float | None
    analysable: float | None
    picture: str
    picture_sha256: str
    thumbnail: str | None
    karyogram: str | None
    um_per_px: float | None
    taken_at: datetime | None
    role: ReviewRole
    exclusion_reason: str
    note: str
    karyotype_status: KaryotypeStatus | None
    karyotype_error: str | None
    proposal_number: int
    iscn: str | None
    chromosomes: int | None
    verdict: ReviewLevel | None
    version: int


@dataclass(frozen=True, slots=True)
class ProposalVersion:
    """One version of a cell's proposal; none is ever changed.

    Attributes
    ----------
    number
        Counts from 1 within the cell.
    origin, author
        Who made it.
    path
        Where the run keeps it; None where the casebook holds it itself.
    sha256
        Of its text.
    """

    uid: str
    cell_uid: str
    number: int
    origin: ProposalOrigin
    author: str
    made_at: datetime
    iscn: str | None
    chromosomes: int | None
    verdict: ReviewLevel | None
    path: str | None
    sha256: str


@dataclass(frozen=True, slots=True)
class ProposalDraft:
    """A version of a proposal that is to be kept.

    Attributes
    ----------
    content
        Its file, as `analysis.karyotyping.proposal_file` writes it.
    iscn, chromosomes, verdict
        What stands in it, for lists.
    """

    content: bytes
    iscn: str | None
    chromosomes: int | None
    verdict: ReviewLevel | None


@dataclass(frozen=True, slots=True)
class CellEditRecord:
    """An entry of a cell's edits; none is ever changed.

    Attributes
    ----------
    number
        Counts from 1 within the cell.
    action
        Whether it makes an edit, takes the last one back, or makes it again.
    operation, content
        The edit as `analysis.structures.cell_edit` has it; of undo and redo empty.
    base_number, result_number
        Versions of the proposal before and after.
    """

    uid: str
    cell_uid: str
    number: int
    action: EditAction
    operation: str
    content: Mapping[str, Any]
    author: str
    made_at: datetime
    base_number: int
    result_number: int


@dataclass(frozen=True, slots=True)
class Signature:
    """Who signed which state of a case, when, and meaning what.

    Attributes
    ----------
    content_sha256
        Of all that was signed: the case, its cells with their roles, and their proposals.
    case_version
        Version of the case that was signed.
    """

    uid: str
    case_uid: str
    user_uid: str
    name: str
    full_name: str
    meaning: SignatureMeaning
    signed_at: datetime
    case_version: int
    content_sha256: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, when; chained to the entry before it.

    Attributes
    ----------
    number
        Counts from 1 without gaps.
    at
        UTC.
    actor, user_uid
        Who; the second is None where it was the program itself.
    action
        What, such as ``case.changed``.
    subject, subject_uid
        Kind and uid of what was changed.
    before, after
        Values before and after, as far as they were changed.
    previous, digest
        SHA-256 of the entry before it, and of this one.
    """

    number: int
    at: datetime
    actor: str
    user_uid: str | None
    action: str
    subject: str
    subject_uid: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    previous: str
    digest: str


@dataclass(frozen=True, slots=True)
class CaseQuery:
    """Which cases are wanted; what is None or empty doesn't matter.

    Attributes
    ----------
    text
        Part of an accession, a barcode, the case's ISCN or that of one of its cells, in any case of letters.
    accession, barcode, iscn
        Part of each.
    user
        Name of a user who changed something of the case.
    status
        One of these.
    since, until
        When the case was last changed, with time zones; `until` is not included.
    offset, limit
        Which part of the result.
    """

    text: str = ""
    accession: str = ""
    barcode: str = ""
    iscn: str = ""
    user: str = ""
    status: frozenset[CaseStatus] = field(default_factory=frozenset)
    since: datetime | None = None
    until: datetime | None = None
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True, slots=True)
class CaseMatches:
    """A part of what a search gives, and how much there is in all."""

    cases: tuple[CaseOverview, ...]
    total: int

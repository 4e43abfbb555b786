"""The audit trail: entries that are only added, each with the digest of the one before it.

A chain alone can't tell that its end was cut off, nor that all of it was written anew by somebody who can compute
SHA-256. Therefore number and digest of the last entry are also kept in an anchor file outside of the database, a
line for each transaction: every line has to fit the chain. The file belongs on another disk, or into the backup
of another machine, for as long as it is wanted to prove something against the administrator of the database.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from scanner.portable.disk import open_descriptor, sync_file
from station.laboratory.errors import AuditTrailError
from station.laboratory.permissions import Actor
from station.laboratory.records import AuditEntry
from station.laboratory.tables import APPEND_ONLY, AuditEntryRow, AuditHeadRow

_log = logging.getLogger(__name__)

NO_ENTRY: Final = "0" * 64
"""What the first entry carries in place of a digest."""
HEAD_ID: Final = 1
_READ_AT_ONCE: Final = 2000
"""Entries that verification holds in memory."""
_BELOW_ALL: Final = -(2**62)
"""Numbers start at 1; entries that somebody put in below have to show, too."""
_MAX_ANCHOR_LINE: Final = 256
_ANCHOR_MODE: Final = 0o644


class AuditAction(StrEnum):
    """What can be done; the values are stored."""

    CASEBOOK_CREATED = "casebook.created"
    CASEBOOK_MIGRATED = "casebook.migrated"
    CASEBOOK_BACKED_UP = "casebook.backed_up"
    CASEBOOK_RESTORED = "casebook.restored"
    LABORATORY_CHANGED = "laboratory.changed"
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    PASSWORD_CHANGED = "user.password_changed"  # noqa: S105 - the name of an action
    LOGGED_IN = "user.logged_in"
    LOGIN_FAILED = "user.login_failed"
    LOCKED_OUT = "user.locked_out"
    LOGGED_OUT = "user.logged_out"
    TOKEN_CREATED = "token.created"  # noqa: S105 - the name of an action
    TOKEN_REVOKED = "token.revoked"  # noqa: S105 - the name of an action
    CASE_CREATED = "case.created"
    CASE_CHANGED = "case.changed"
    CASE_VIEWED = "case.viewed"
    CASE_EXPORTED = "case.exported"
    CASE_IMPORTED = "case.imported"
    CASE_SIGNED = "case.signed"
    CASE_AMENDED = "case.amended"
    SPECIMEN_CREATED = "specimen.created"
    SPECIMEN_CHANGED = "specimen.changed"
    SLIDE_CREATED = "slide.created"
    SLIDE_CHANGED = "slide.changed"
    RUN_INDEXED = "run.indexed"
    RUN_ASSIGNED = "run.assigned"
    BATCH_INDEXED = "batch.indexed"
    PICTURES_IMPORTED = "cell.pictures_imported"
    CELL_CHANGED = "cell.changed"
    PROPOSAL_ADDED = "cell.proposal_added"
    CELL_EDITED = "cell.edited"

    @property
    def subject(self) -> str:
        """Kind of what it is done with."""
        return self.value.partition(".")[0]


class AuditDefectKind(StrEnum):
    """What can be wrong with an audit trail."""

    CHANGED = "changed"
    """An entry isn't what its digest was made of."""
    MISSING = "missing"
    """Numbers are left out."""
    UNCHAINED = "unchained"
    """An entry doesn't follow the one before it: entries were exchanged or written anew."""
    CUT_OFF = "cut_off"
    """The end is missing."""
    ANCHOR_DIFFERS = "anchor_differs"
    """The anchor file recorded another entry under that number."""
    ANCHOR_DAMAGED = "anchor_damaged"
    ANCHOR_MISSING = "anchor_missing"
    UNPROTECTED = "unprotected"
    """A trigger that refuses changes was removed."""


@dataclass(frozen=True, slots=True)
class AuditDefect:
    """Something wrong with the audit trail.

    Attributes
    ----------
    kind
        What.
    number
        Entry concerned; None where it isn't a single one.
    message
        One line for people.
    """

    kind: AuditDefectKind
    number: int | None
    message: str


@dataclass(frozen=True, slots=True)
class AuditVerification:
    """What a verification of the audit trail says.

    Attributes
    ----------
    entries
        How many there are.
    anchors
        Lines of the anchor file that were compared.
    unanchored
        Entries after the last line: none, unless the program ended between writing the two.
    defects
        What is wrong; empty where all is right.
    """

    entries: int
    anchors: int
    unanchored: int
    defects: tuple[AuditDefect, ...]


class AuditTrail:
    """The audit trail as a transaction has it.

    Parameters
    ----------
    session
        Of the transaction.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._head: AuditHeadRow | None = None

    def lock(self) -> None:
        """Wait until no other transaction writes; `append` needs it."""
        statement = select(AuditHeadRow).where(AuditHeadRow.id == HEAD_ID).with_for_update()
        self._head = self._session.scalar(statement.execution_options(populate_existing=True))
        if self._head is None:
            raise AuditTrailError("the audit trail has lost its head: restore a backup")

    @property
    def head(self) -> tuple[int, str]:
        """Number and digest of the last entry."""
        head = self._head or self._session.get(AuditHeadRow, HEAD_ID)
        return (0, NO_ENTRY) if head is None else (head.number, head.digest)

    def append(
        self,
        actor: Actor,
        action: AuditAction,
        subject_uid: str,
        *,
        case_uid: str | None = None,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an entry to the transaction.

        Parameters
        ----------
        actor
            Who.
        action
            Did what.
        subject_uid
            With which record.
        case_uid
            The case that it belongs to.
        before, after
            Values before and after, as far as they changed.
        """
        if self._head is None:
            self.lock()
        head = self._head
        if head is None:
            raise AuditTrailError("the audit trail has lost its head: restore a backup")
        row = AuditEntryRow(
            number=head.number + 1,
            at=datetime.now(UTC),
            actor=actor.name,
            user_uid=actor.user_uid,
            action=action.value,
            subject=action.subject,
            subject_uid=subject_uid,
            case_uid=case_uid,
            before=canonical_json(before or {}),
            after=canonical_json(after or {}),
            previous=head.digest,
            digest="",
        )
        row.digest = entry_digest(row)
        self._session.add(row)
        head.number, head.digest = row.number, row.digest

    def entries(
        self,
        *,
        subject_uid: str | None = None,
        case_uid: str | None = None,
        actor: str | None = None,
        after_number: int = 0,
        limit: int = 200,
        newest_first: bool = False,
    ) -> tuple[AuditEntry, ...]:
        """Entries in their order.

        Parameters
        ----------
        subject_uid, case_uid, actor
            Only those about it, of the case, by that name; None for all.
        after_number
            Only those with a higher number.
        limit
            At most so many.
        newest_first
            Whether the last one comes first.
        """
        statement = select(AuditEntryRow).where(AuditEntryRow.number > after_number).limit(limit)
        if subject_uid is not None:
            statement = statement.where(AuditEntryRow.subject_uid == subject_uid)
        if case_uid is not None:
            statement = statement.where(AuditEntryRow.case_uid == case_uid)
        if actor is not None:
            statement = statement.where(AuditEntryRow.actor == actor)
        order = AuditEntryRow.number.desc() if newest_first else AuditEntryRow.number
        return tuple(_entry(row) for row in self._session.scalars(statement.order_by(order)))


def canonical_json(values: Mapping[str, Any]) -> str:
    """Values as the one text that stands for them; times and other values without JSON form as their texts."""
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=_plain)


def entry_digest(row: AuditEntryRow) -> str:
    """SHA-256 of everything that an entry says, the digest of the entry before it included."""
    values = {
        "number": row.number,
        "at": row.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": row.actor,
        "user_uid": row.user_uid,
        "action": row.action,
        "subject": row.subject,
        "subject_uid": row.subject_uid,
        "case_uid": row.case_uid,
        "before": row.before,
        "after": row.after,
        "previous": row.previous,
    }
    return hashlib.sha256(canonical_json(values).encode()).hexdigest()


class AuditAnchor:
    """The file that keeps number and digest of the last entry outside of the database.

    Parameters
    ----------
    path
        The file; it is made with the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, number: int, digest: str) -> None:
        """Add a line and wait until it is on the disk.

        Parameters
        ----------
        number, digest
            Of the entry.

        Raises
        ------
        AuditTrailError
            It can't be written. The entry itself is in the database.
        """
        line = f"{number} {digest}\n".encode()
        try:
            # One write at the end of the file: lines of several processes don't mix.
            descriptor = open_descriptor(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _ANCHOR_MODE)
            try:
                os.write(descriptor, line)
                sync_file(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise AuditTrailError(
                f"the anchor of the audit trail can't be written ({error.strerror}); what was done is recorded",
                path=self.path,
            ) from error

    def lines(self) -> Iterator[tuple[int, str] | None]:
        """Number and digest of each line, None for one that can't be read; a last line cut short is passed over.

        Raises
        ------
        AuditTrailError
            The file can't be read.
        """
        try:
            with self.path.open("rb") as file:
                while line := file.readline(_MAX_ANCHOR_LINE):
                    if not line.endswith(b"\n") and not file.read(1):
                        return
                    yield _anchor_line(line)
        except OSError as error:
            raise AuditTrailError(f"can't be read: {error.strerror}", path=self.path) from error


def _anchor_line(line: bytes) -> tuple[int, str] | None:
    number, _, digest = line.decode("ascii", errors="replace").strip().partition(" ")
    is_whole = number.isdecimal() and len(digest) == len(NO_ENTRY)
    return (int(number), digest) if is_whole else None


def verify_trail(session: Session, anchor: AuditAnchor) -> AuditVerification:
    """Compare the whole chain with itself, with the head in the database and with the anchor file.

    Parameters
    ----------
    session
        Of a transaction that sees one state of the database.
    anchor
        The anchor file.

    Raises
    ------
    AuditTrailError
        The anchor file can't be read.
    """
    defects: list[AuditDefect] = _trigger_defects(session)
    anchors, last_anchor = _read_anchors(anchor, defects)
    previous, number, compared = NO_ENTRY, 0, 0
    for row in _rows(session):
        number += 1
        if row.number != number:
            defects.append(
                AuditDefect(AuditDefectKind.MISSING, number, f"entries {number} to {row.number - 1} are missing")
            )
            number = row.number
        elif row.previous != previous:
            defects.append(
                AuditDefect(AuditDefectKind.UNCHAINED, number, f"entry {number} doesn't follow the one before it")
            )
        if entry_digest(row) != row.digest:
            defects.append(AuditDefect(AuditDefectKind.CHANGED, number, f"entry {number} was changed"))
        if number in anchors:
            compared += 1
            if anchors[number] != row.digest:
                message = f"entry {number} isn't the one that was recorded outside of the database"
                defects.append(AuditDefect(AuditDefectKind.ANCHOR_DIFFERS, number, message))
        previous = row.digest
    defects += _end_defects(session, number, previous, last_anchor)
    return AuditVerification(number, compared, max(0, number - last_anchor), tuple(defects))


def _read_anchors(anchor: AuditAnchor, defects: list[AuditDefect]) -> tuple[dict[int, str], int]:
    anchors: dict[int, str] = {}
    if not anchor.path.exists():
        message = f"{anchor.path} is missing: whether the end was cut off can't be said"
        defects.append(AuditDefect(AuditDefectKind.ANCHOR_MISSING, None, message))
        return anchors, 0
    for count, line in enumerate(anchor.lines(), start=1):
        if line is None:
            message = f"{anchor.path}: line {count} can't be read"
            defects.append(AuditDefect(AuditDefectKind.ANCHOR_DAMAGED, None, message))
            continue
        number, digest = line
        if anchors.setdefault(number, digest) != digest:
            message = f"{anchor.path}: line {count} names another entry {number} than a line before"
            defects.append(AuditDefect(AuditDefectKind.ANCHOR_DIFFERS, number, message))
    return anchors, max(anchors, default=0)


def _end_defects(session: Session, number: int, digest: str, last_anchor: int) -> list[AuditDefect]:
    defects = []
    head = session.get(AuditHeadRow, HEAD_ID)
    if head is None or head.number > number:
        message = f"the last entry is {number}, the database recorded one more"
        defects.append(AuditDefect(AuditDefectKind.CUT_OFF, number, message))
    elif (head.number, head.digest) != (number, digest):
        message = f"entry {number} isn't the last one that the database recorded"
        defects.append(AuditDefect(AuditDefectKind.UNCHAINED, number, message))
    if last_anchor > number:
        message = f"the last entry is {number}, but entry {last_anchor} was recorded outside of the database"
        defects.append(AuditDefect(AuditDefectKind.CUT_OFF, number, message))
    return defects


def _rows(session: Session) -> Iterator[AuditEntryRow]:
    last = _BELOW_ALL
    while True:
        statement = select(AuditEntryRow).where(AuditEntryRow.number > last).order_by(AuditEntryRow.number)
        rows = session.scalars(statement.limit(_READ_AT_ONCE)).all()
        if not rows:
            return
        yield from rows
        last = rows[-1].number
        session.expunge_all()


def _trigger_defects(session: Session) -> list[AuditDefect]:
    if session.get_bind().dialect.name == "sqlite":
        statement = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    else:
        # "O" and "A": fires in ordinary sessions; a trigger that was disabled is none.
        statement = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled IN ('O', 'A')"
    present = set(session.scalars(text(statement)))
    wanted = [f"{table}_no_{what}" for table in APPEND_ONLY for what in ("update", "delete")]
    return [
        AuditDefect(AuditDefectKind.UNPROTECTED, None, f"the trigger {name}, which refuses changes, was removed")
        for name in wanted
        if name not in present
    ]


def _entry(row: AuditEntryRow) -> AuditEntry:
    return AuditEntry(
        number=row.number,
        at=row.at,
        actor=row.actor,
        user_uid=row.user_uid,
        action=row.action,
        subject=row.subject,
        subject_uid=row.subject_uid,
        before=json.loads(row.before),
        after=json.loads(row.after),
        previous=row.previous,
        digest=row.digest,
    )


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, frozenset | set):
        return sorted(str(each) for each in value)
    return str(value)

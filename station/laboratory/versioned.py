"""Changing a row that others may have changed meanwhile."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from station.laboratory.audit import canonical_json
from station.laboratory.errors import ConflictError, FieldDifference, MissingRecordError
from station.laboratory.tables import AuditEntryRow, LaboratoryBase

VERSION_KEY = "version"
"""Audit entries of a change carry the version that it led to."""


class VersionedRow(Protocol):
    """A row with a uid, whose changes are counted."""

    uid: Any
    version: Any


_Row = TypeVar("_Row", bound=LaboratoryBase)


def row_of(session: Session, table: type[_Row], uid: str, what: str) -> _Row:
    """The row of a uid.

    Parameters
    ----------
    session
        Of the transaction.
    table
        Which table.
    uid
        The uid.
    what
        What it is, for the message.

    Raises
    ------
    MissingRecordError
        There is none.
    """
    row = session.get(table, uid)
    if row is None:
        raise MissingRecordError(f"there is no {what} {uid}")
    return row


def change_row(
    session: Session, row: VersionedRow, wanted: Mapping[str, object], expected_version: int, subject: str
) -> tuple[dict[str, object], dict[str, object]] | None:
    """Change a row of which the writer knows a version, and count the change.

    Parameters
    ----------
    session
        Of a transaction that holds the write lock.
    row
        The row.
    wanted
        Values by column.
    expected_version
        The version that the writer read.
    subject
        What it is, for the message.

    Returns
    -------
    tuple of dict, or None
        Values before and after of what changes, with the version; None where nothing does.

    Raises
    ------
    ConflictError
        The row has another version; with what the others changed.
    """
    if row.version != expected_version:
        raise ConflictError(
            subject,
            expected_version=expected_version,
            present_version=row.version,
            differences=_differences(session, row, wanted, expected_version),
        )
    changed = {name: value for name, value in wanted.items() if getattr(row, name) != value}
    if not changed:
        return None
    before: dict[str, object] = {name: getattr(row, name) for name in changed}
    before[VERSION_KEY] = row.version
    for name, value in changed.items():
        setattr(row, name, value)
    row.version += 1
    return before, {**changed, VERSION_KEY: row.version}


def _differences(
    session: Session, row: VersionedRow, wanted: Mapping[str, object], expected_version: int
) -> tuple[FieldDifference, ...]:
    """What others changed since a version, by the audit trail, and what the writer wanted."""
    first: dict[str, object] = {}
    last: dict[str, tuple[str, datetime]] = {}
    statement = select(AuditEntryRow).where(AuditEntryRow.subject_uid == row.uid).order_by(AuditEntryRow.number)
    for entry in session.scalars(statement):
        after: dict[str, object] = json.loads(entry.after)
        version = after.pop(VERSION_KEY, None)
        if not isinstance(version, int) or version <= expected_version:
            continue
        before: dict[str, object] = json.loads(entry.before)
        for name in after:
            first.setdefault(name, before.get(name))
            last[name] = (entry.actor, entry.at)
    # Values pass through JSON as those of the audit trail did, so that the two can be compared.
    mine: dict[str, object] = json.loads(canonical_json(wanted))
    columns = [name for name in dict.fromkeys([*last, *mine]) if hasattr(row, name)]
    present: dict[str, object] = json.loads(canonical_json({name: getattr(row, name) for name in columns}))
    differences = []
    for name in columns:
        before_value = first.get(name, present[name])
        wanted_value = mine.get(name, before_value)
        if name not in last and wanted_value == present[name]:
            continue
        who, at = last.get(name, ("", None))
        differences.append(FieldDifference(name, before_value, present[name], wanted_value, who, at))
    return tuple(differences)

"""The casebook's errors.

::

    LaboratoryError
    +-- CasebookUnavailableError   the database can't be used as it is; nothing was changed
    |   +-- CasebookLockedError    another program holds it
    |   +-- CasebookFullError      no room on its disk
    |   +-- CasebookDamagedError   it can't be read, or is no casebook
    |   +-- SchemaOlderError       it has to be migrated by a command
    |   +-- SchemaNewerError       a newer version of the software wrote it
    +-- MissingRecordError         the casebook has no such record
    +-- InvalidRecordError         a value isn't allowed
    +-- DuplicateRecordError       there is one of that name already
    +-- ConflictError              somebody else changed the record meanwhile
    +-- CaseSignedError            the case is signed; it has to be amended first
    +-- PermissionDeniedError      the roles of the user don't allow it
    +-- CredentialsError           name, password or token is wrong
    |   +-- LockedOutError         too many wrong tries
    +-- PasswordRefusedError       a new password is too weak
    +-- AuditTrailError            the audit trail can't be continued
    +-- BackupError                a backup can't be written, or isn't what it says
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


class LaboratoryError(Exception):
    """Root of the casebook's errors.

    Parameters
    ----------
    message
        One line for the user.
    path
        File or folder concerned, where there is one.
    """

    def __init__(self, message: str, *, path: Path | None = None) -> None:
        self.path = path
        super().__init__(message if path is None else f"{path}: {message}")


class CasebookUnavailableError(LaboratoryError):
    """The database can't be used as it is; nothing was changed."""


class CasebookLockedError(CasebookUnavailableError):
    """Another program holds the database."""


class CasebookFullError(CasebookUnavailableError):
    """There is no room on the disk of the database."""


class CasebookDamagedError(CasebookUnavailableError):
    """The database can't be read, or is none of ours."""


class SchemaOlderError(CasebookUnavailableError):
    """The database has to be migrated by a command."""


class SchemaNewerError(CasebookUnavailableError):
    """A newer version of the software wrote the database."""


class MissingRecordError(LaboratoryError):
    """The casebook has no such record."""


class InvalidRecordError(LaboratoryError):
    """A value isn't allowed."""


class DuplicateRecordError(LaboratoryError):
    """There is a record of that name already."""


@dataclass(frozen=True, slots=True)
class FieldDifference:
    """A value that two people wanted to change.

    Attributes
    ----------
    field
        Its name.
    before
        What it was in the version that the second person had before them; None also where that is not recorded.
    present
        What it is.
    wanted
        What the second person wanted; equal to `before` where they left it alone.
    changed_by
        Who made it what it is; empty where they wanted to change what nobody else did.
    changed_at
        When that was; None where nobody else changed it.
    """

    field: str
    before: object
    present: object
    wanted: object
    changed_by: str = ""
    changed_at: datetime | None = None


class ConflictError(LaboratoryError):
    """Somebody else changed a record since it was read.

    Parameters
    ----------
    subject
        What it is, such as ``case 24-0117``.
    expected_version, present_version
        Version that the writer had read, and the present one.
    differences
        What the others changed, and what the writer wanted.
    """

    def __init__(
        self,
        subject: str,
        *,
        expected_version: int,
        present_version: int,
        differences: tuple[FieldDifference, ...] = (),
    ) -> None:
        self.subject = subject
        self.expected_version = expected_version
        self.present_version = present_version
        self.differences = differences
        by = sorted({each.changed_by for each in differences if each.changed_by})
        who = f" by {', '.join(by)}" if by else ""
        changed = ", ".join(each.field for each in differences if each.changed_by)
        what = f" ({changed})" if changed else ""
        super().__init__(
            f"{subject} was changed{who} since you opened it{what}: nothing of yours was "
            "written; compare and try again"
        )

    def as_table(self) -> tuple[Mapping[str, object], ...]:
        """The differences as rows that JSON can hold."""
        return tuple(
            {
                "field": each.field,
                "before": each.before,
                "present": each.present,
                "wanted": each.wanted,
                "changed_by": each.changed_by,
                "changed_at": None if each.changed_at is None else each.changed_at.isoformat(),
            }
            for each in self.differences
        )


class CaseSignedError(LaboratoryError):
    """The case is signed; it has to be amended before anything of it changes."""


class PermissionDeniedError(LaboratoryError):
    """The roles of the user don't allow it."""


class CredentialsError(LaboratoryError):
    """Name, password or token is wrong; which of them isn't said."""


class LockedOutError(CredentialsError):
    """Too many wrong tries.

    Parameters
    ----------
    until
        From when on the next try is heard, with its time zone.
    """

    def __init__(self, until: datetime) -> None:
        self.until = until
        super().__init__(f"too many wrong tries: the next one is possible at {until:%Y-%m-%d %H:%M:%S} UTC")


class PasswordRefusedError(LaboratoryError):
    """A new password is too weak."""


class AuditTrailError(LaboratoryError):
    """The audit trail can't be continued."""


class BackupError(LaboratoryError):
    """A backup can't be written, or isn't what it says."""

"""The laboratory itself: its name and address."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from station.laboratory.audit import AuditAction, AuditTrail
from station.laboratory.permissions import Actor, Permission
from station.laboratory.records import LaboratoryProfile
from station.laboratory.tables import LaboratoryRow
from station.laboratory.versioned import change_row


class ProfileRepository:
    """The laboratory, as a transaction sees it.

    Parameters
    ----------
    session
        Of the transaction.
    audit
        Its audit trail.
    actor
        Who acts.
    """

    def __init__(self, session: Session, audit: AuditTrail, actor: Actor) -> None:
        self._session = session
        self._audit = audit
        self._actor = actor

    def read(self) -> LaboratoryProfile:
        """The laboratory as it is."""
        row = self._row()
        return LaboratoryProfile(row.uid, row.name, row.address, row.version)

    def change(
        self, expected_version: int, *, name: str | None = None, address: str | None = None
    ) -> LaboratoryProfile:
        """Change name or address; what is None stays.

        Parameters
        ----------
        expected_version
            The version that was read.
        name, address
            New values.

        Raises
        ------
        PermissionDeniedError
            The actor may not.
        ConflictError
            Somebody else changed it meanwhile.
        """
        self._actor.require(Permission.MANAGE_CASEBOOK)
        row = self._row()
        wanted = {key: value for key, value in (("name", name), ("address", address)) if value is not None}
        outcome = change_row(self._session, row, wanted, expected_version, "the laboratory")
        if outcome is not None:
            self._audit.append(
                self._actor, AuditAction.LABORATORY_CHANGED, row.uid, before=outcome[0], after=outcome[1]
            )
        return self.read()

    def _row(self) -> LaboratoryRow:
        return self._session.scalars(select(LaboratoryRow)).one()

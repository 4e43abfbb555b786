"""Signatures under cases: who, when, meaning what, under which content."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from station.laboratory.audit import AuditAction, AuditTrail, canonical_json
from station.laboratory.cases import case_record, unsigned_case
from station.laboratory.errors import ConflictError, InvalidRecordError
from station.laboratory.permissions import Actor, Permission
from station.laboratory.records import CaseRecord, CaseStatus, ReviewRole, Signature, SignatureMeaning, UserAccount
from station.laboratory.tables import CaseRow, ProposalVersionRow, ReviewedCellRow, SignatureRow, new_uid
from station.laboratory.versioned import VERSION_KEY, row_of


class SignatureRepository:
    """Signatures, as a transaction sees them.

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

    def sign(
        self, case_uid: str, expected_version: int, signer: UserAccount, meaning: SignatureMeaning
    ) -> Signature:
        """Sign a case as it stands; an approval locks it.

        Whoever calls this has asked the signer for the password again (`Accounts.check_password`).

        Parameters
        ----------
        case_uid, expected_version
            The case, and the version of it that was read.
        signer
            Who signs; the actor.
        meaning
            What the signature says.

        Raises
        ------
        PermissionDeniedError
            The signer may not: approvals take the permission to sign, the others that to review.
        InvalidRecordError
            The signer is somebody else than the actor.
        CaseSignedError
            It is signed already.
        ConflictError
            Somebody changed the case meanwhile.
        """
        if signer.uid != self._actor.user_uid:
            raise InvalidRecordError("nobody signs for somebody else")
        is_approval = meaning is SignatureMeaning.APPROVED
        self._actor.require(Permission.SIGN_CASES if is_approval else Permission.REVIEW_CELLS)
        row = unsigned_case(self._session, case_uid)
        _refuse_other_version(row, expected_version)
        content_sha256 = self.content_sha256(case_uid)
        signed = SignatureRow(
            uid=new_uid(),
            case_uid=case_uid,
            user_uid=signer.uid,
            name=signer.name,
            full_name=signer.full_name,
            meaning=meaning,
            signed_at=datetime.now(UTC),
            case_version=row.version,
            content_sha256=content_sha256,
        )
        self._session.add(signed)
        before = {"status": row.status, VERSION_KEY: row.version}
        after: dict[str, Any] = {"meaning": meaning, "content_sha256": content_sha256}
        if is_approval:
            row.status = CaseStatus.SIGNED
            row.version += 1
            after |= {"status": row.status, VERSION_KEY: row.version}
        row.updated_at = signed.signed_at
        self._session.flush()
        self._audit.append(
            self._actor, AuditAction.CASE_SIGNED, row.uid, case_uid=row.uid, before=before, after=after
        )
        return _signature(signed)

    def amend(self, case_uid: str, expected_version: int, reason: str) -> CaseRecord:
        """Take a signed case up again; its signatures stay, and say what they were given to.

        Parameters
        ----------
        case_uid, expected_version
            The case, and the version of it that was read.
        reason
            Why, for the audit trail.

        Raises
        ------
        PermissionDeniedError
            The actor may not.
        InvalidRecordError
            The case isn't signed, or there is no reason.
        ConflictError
            Somebody changed the case meanwhile.
        """
        self._actor.require(Permission.AMEND_CASES)
        row = row_of(self._session, CaseRow, case_uid, "case")
        if row.status is not CaseStatus.SIGNED:
            raise InvalidRecordError(f"case {row.accession} isn't signed")
        if not reason.strip():
            raise InvalidRecordError("a case is amended with a reason")
        _refuse_other_version(row, expected_version)
        before = {"status": row.status, VERSION_KEY: row.version}
        row.status = CaseStatus.AMENDING
        row.version += 1
        row.updated_at = datetime.now(UTC)
        after = {"status": row.status, VERSION_KEY: row.version, "reason": reason.strip()}
        self._audit.append(
            self._actor, AuditAction.CASE_AMENDED, row.uid, case_uid=row.uid, before=before, after=after
        )
        return case_record(row)

    def of_case(self, case_uid: str) -> tuple[Signature, ...]:
        """All signatures of a case, the first one first."""
        statement = select(SignatureRow).where(SignatureRow.case_uid == case_uid)
        rows = self._session.scalars(statement.order_by(SignatureRow.signed_at, SignatureRow.uid))
        return tuple(_signature(row) for row in rows)

    def content_sha256(self, case_uid: str) -> str:
        """SHA-256 of what a signature is given to: the case, its reviewed cells, their proposals' digests.

        Cells that nobody gave a role don't belong to it: the indexer may bring some at any time. Equal to that of
        a signature, it says that nothing changed since.
        """
        case = row_of(self._session, CaseRow, case_uid, "case")
        cells = self._session.execute(
            select(ReviewedCellRow, ProposalVersionRow.sha256)
            .outerjoin(
                ProposalVersionRow,
                (ProposalVersionRow.cell_uid == ReviewedCellRow.uid)
                & (ProposalVersionRow.number == ReviewedCellRow.proposal_number),
            )
            .where(ReviewedCellRow.case_uid == case_uid, ReviewedCellRow.role != ReviewRole.NOT_REVIEWED)
            .order_by(ReviewedCellRow.uid)
        )
        content = {
            "accession": case.accession,
            "origin": case.origin,
            "indication": case.indication,
            "iscn": case.iscn,
            "cells": [
                {
                    "uid": cell.uid,
                    "picture_sha256": cell.picture_sha256,
                    "role": cell.role,
                    "exclusion_reason": cell.exclusion_reason,
                    "iscn": cell.iscn,
                    "proposal_sha256": proposal_sha256,
                }
                for cell, proposal_sha256 in cells
            ],
        }
        return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _refuse_other_version(row: CaseRow, expected_version: int) -> None:
    if row.version != expected_version:
        raise ConflictError(
            f"case {row.accession}", expected_version=expected_version, present_version=row.version
        )


def _signature(row: SignatureRow) -> Signature:
    return Signature(
        uid=row.uid,
        case_uid=row.case_uid,
        user_uid=row.user_uid,
        name=row.name,
        full_name=row.full_name,
        meaning=row.meaning,
        signed_at=row.signed_at,
        case_version=row.case_version,
        content_sha256=row.content_sha256,
    )

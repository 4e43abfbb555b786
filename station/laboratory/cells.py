"""Cells with their roles, their proposals in all versions, and the edits that led to them."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session, undefer

from station.laboratory.audit import AuditAction, AuditTrail
from station.laboratory.cases import unsigned_case
from station.laboratory.errors import InvalidRecordError, MissingRecordError
from station.laboratory.permissions import Actor, Permission
from station.laboratory.records import (
    CellEditRecord,
    EditAction,
    ProposalDraft,
    ProposalOrigin,
    ProposalVersion,
    ReviewedCell,
    ReviewRole,
)
from station.laboratory.tables import CellEditRow, ProposalVersionRow, ReviewedCellRow, new_uid
from station.laboratory.versioned import change_row, row_of

MAX_CELLS: Final = 2000
"""Cells of one query: the largest gallery."""
_COMPRESSION: Final = 6


class CellRepository:
    """Cells, as a transaction sees them.

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

    def get(self, cell_uid: str) -> ReviewedCell:
        """A cell; `MissingRecordError` where there is none."""
        return reviewed_cell(row_of(self._session, ReviewedCellRow, cell_uid, "cell"))

    def of_case(
        self,
        case_uid: str,
        *,
        roles: frozenset[ReviewRole] = frozenset(),
        offset: int = 0,
        limit: int = MAX_CELLS,
    ) -> tuple[ReviewedCell, ...]:
        """Cells of a case by rank; those that people brought come last, by name.

        Parameters
        ----------
        case_uid
            The case.
        roles
            Only those with one of these roles; all where it is empty.
        offset, limit
            Which part.
        """
        statement = select(ReviewedCellRow).where(ReviewedCellRow.case_uid == case_uid)
        if roles:
            statement = statement.where(ReviewedCellRow.role.in_(sorted(roles)))
        order = (ReviewedCellRow.rank.is_(None), ReviewedCellRow.rank, ReviewedCellRow.name, ReviewedCellRow.uid)
        rows = self._session.scalars(
            statement.order_by(*order).offset(max(0, offset)).limit(min(limit, MAX_CELLS))
        )
        return tuple(reviewed_cell(row) for row in rows)

    def of_run(self, run_uid: str) -> tuple[ReviewedCell, ...]:
        """Cells of a run by rank."""
        statement = select(ReviewedCellRow).where(ReviewedCellRow.run_uid == run_uid)
        rows = self._session.scalars(statement.order_by(ReviewedCellRow.rank, ReviewedCellRow.name))
        return tuple(reviewed_cell(row) for row in rows)

    def review(
        self,
        cell_uid: str,
        expected_version: int,
        *,
        role: ReviewRole | None = None,
        exclusion_reason: str | None = None,
        note: str | None = None,
    ) -> ReviewedCell:
        """Give a cell a role, or write a note; what is None stays.

        Parameters
        ----------
        cell_uid, expected_version
            The cell, and the version of it that was read.
        role
            Its role.
        exclusion_reason
            Why it is excluded; wanted with that role, and with no other.
        note
            In words.

        Raises
        ------
        PermissionDeniedError, CaseSignedError
            The actor may not, or the case is signed.
        ConflictError
            Somebody else changed the cell meanwhile.
        InvalidRecordError
            An exclusion has no reason.
        """
        self._actor.require(Permission.REVIEW_CELLS)
        row = self._changeable(cell_uid)
        wanted: dict[str, object] = {}
        if role is not None:
            reason = (exclusion_reason or "").strip()
            if (role is ReviewRole.EXCLUDED) != bool(reason):
                raise InvalidRecordError("a cell is excluded with a reason, and only an excluded cell has one")
            wanted |= {"role": role, "exclusion_reason": reason}
        elif exclusion_reason is not None:
            raise InvalidRecordError("a reason of exclusion comes with the role 'excluded'")
        if note is not None:
            wanted["note"] = note
        outcome = change_row(self._session, row, wanted, expected_version, f"cell {row.name}")
        if outcome is not None:
            self._append(AuditAction.CELL_CHANGED, row, outcome[0], outcome[1])
        return reviewed_cell(row)

    def edit(
        self,
        cell_uid: str,
        expected_version: int,
        draft: ProposalDraft,
        *,
        action: EditAction = EditAction.APPLY,
        operation: str = "",
        content: Mapping[str, Any] | None = None,
    ) -> tuple[ReviewedCell, CellEditRecord]:
        """Keep an edit of a cell, and the version of the proposal that it leads to.

        Parameters
        ----------
        cell_uid, expected_version
            The cell, and the version of it that was read.
        draft
            The proposal after the edit.
        action, operation, content
            What is done; and the edit as `analysis.structures.cell_edit` has it.

        Raises
        ------
        PermissionDeniedError, CaseSignedError
            The actor may not, or the case is signed.
        ConflictError
            Somebody else changed the cell meanwhile.
        """
        self._actor.require(Permission.REVIEW_CELLS)
        row = self._changeable(cell_uid)
        base = row.proposal_number
        summary = {"iscn": draft.iscn, "chromosomes": draft.chromosomes, "verdict": draft.verdict}
        wanted = {"proposal_number": self._last_number(cell_uid) + 1, **summary}
        outcome = change_row(self._session, row, wanted, expected_version, f"cell {row.name}")
        before, after = outcome or ({}, {})  # never None: the number grows
        version = self._version_row(row, draft)
        entry = CellEditRow(
            number=self._last_edit(cell_uid) + 1,
            action=action,
            operation=operation,
            content=dict(content or {}),
            base_number=base,
            result_number=version.number,
            **self._authorship(version),
        )
        self._session.add_all([version, entry])
        self._session.flush()
        done = {"edit": entry.number, "action": action, "operation": operation, "sha256": version.sha256}
        self._append(AuditAction.CELL_EDITED, row, before, {**after, **done})
        return reviewed_cell(row), _edit_record(entry)

    def proposals(self, cell_uid: str) -> tuple[ProposalVersion, ...]:
        """All versions of a cell's proposal, the first one first."""
        statement = select(ProposalVersionRow).where(ProposalVersionRow.cell_uid == cell_uid)
        return tuple(_version(row) for row in self._session.scalars(statement.order_by(ProposalVersionRow.number)))

    def proposal_content(self, cell_uid: str, number: int) -> bytes | None:
        """The text of a version; None where the run keeps it under the version's path.

        Parameters
        ----------
        cell_uid
            The cell.
        number
            Which version.

        Raises
        ------
        MissingRecordError
            There is no such version.
        """
        statement = select(ProposalVersionRow).where(
            ProposalVersionRow.cell_uid == cell_uid, ProposalVersionRow.number == number
        )
        row = self._session.scalar(statement.options(undefer(ProposalVersionRow.content)))
        if row is None:
            raise MissingRecordError(f"cell {cell_uid} has no proposal of version {number}")
        return None if row.content is None else zlib.decompress(row.content)

    def edits(self, cell_uid: str) -> tuple[CellEditRecord, ...]:
        """All edits of a cell, in the order in which they were made."""
        statement = select(CellEditRow).where(CellEditRow.cell_uid == cell_uid).order_by(CellEditRow.number)
        return tuple(_edit_record(row) for row in self._session.scalars(statement))

    def _changeable(self, cell_uid: str) -> ReviewedCellRow:
        row = row_of(self._session, ReviewedCellRow, cell_uid, "cell")
        if row.case_uid is None:
            raise InvalidRecordError(f"cell {row.name} belongs to no case: give its run a case first")
        unsigned_case(self._session, row.case_uid).updated_at = datetime.now(UTC)
        return row

    def _version_row(self, row: ReviewedCellRow, draft: ProposalDraft) -> ProposalVersionRow:
        return ProposalVersionRow(
            uid=new_uid(),
            cell_uid=row.uid,
            number=row.proposal_number,
            origin=ProposalOrigin.PERSON,
            author=self._actor.name,
            user_uid=self._actor.user_uid,
            made_at=datetime.now(UTC),
            iscn=draft.iscn,
            chromosomes=draft.chromosomes,
            verdict=draft.verdict,
            path=None,
            sha256=hashlib.sha256(draft.content).hexdigest(),
            content=zlib.compress(draft.content, _COMPRESSION),
        )

    def _authorship(self, version: ProposalVersionRow) -> dict[str, Any]:
        """What an edit shares with the version that it leads to."""
        return {
            "uid": new_uid(),
            "cell_uid": version.cell_uid,
            "author": version.author,
            "user_uid": version.user_uid,
            "made_at": version.made_at,
        }

    def _last_number(self, cell_uid: str) -> int:
        statement = select(func.max(ProposalVersionRow.number)).where(ProposalVersionRow.cell_uid == cell_uid)
        return self._session.scalar(statement) or 0

    def _last_edit(self, cell_uid: str) -> int:
        return (
            self._session.scalar(select(func.max(CellEditRow.number)).where(CellEditRow.cell_uid == cell_uid)) or 0
        )

    def _append(
        self, action: AuditAction, row: ReviewedCellRow, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        self._audit.append(self._actor, action, row.uid, case_uid=row.case_uid, before=before, after=after)


def reviewed_cell(row: ReviewedCellRow) -> ReviewedCell:
    """A cell as it is handed out."""
    return ReviewedCell(
        uid=row.uid,
        case_uid=row.case_uid,
        run_uid=row.run_uid,
        name=row.name,
        origin=row.origin,
        rank=row.rank,
        score=row.score,
        analysable=row.analysable,
        picture=row.picture,
        picture_sha256=row.picture_sha256,
        thumbnail=row.thumbnail,
        karyogram=row.karyogram,
        um_per_px=row.um_per_px,
        taken_at=row.taken_at,
        role=row.role,
        exclusion_reason=row.exclusion_reason,
        note=row.note,
        karyotype_status=row.karyotype_status,
        karyotype_error=row.karyotype_error,
        proposal_number=row.proposal_number,
        iscn=row.iscn,
        chromosomes=row.chromosomes,
        verdict=row.verdict,
        version=row.version,
    )


def _version(row: ProposalVersionRow) -> ProposalVersion:
    return ProposalVersion(
        uid=row.uid,
        cell_uid=row.cell_uid,
        number=row.number,
        origin=row.origin,
        author=row.author,
        made_at=row.made_at,
        iscn=row.iscn,
        chromosomes=row.chromosomes,
        verdict=row.verdict,
        path=row.path,
        sha256=row.sha256,
    )


def _edit_record(row: CellEditRow) -> CellEditRecord:
    return CellEditRecord(
        uid=row.uid,
        cell_uid=row.cell_uid,
        number=row.number,
        action=row.action,
        operation=row.operation,
        content=row.content,
        author=row.author,
        made_at=row.made_at,
        base_number=row.base_number,
        result_number=row.result_number,
    )

"""Cases with their specimens and slides."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, exists, func, or_, select
from sqlalchemy.orm import Session

from analysis.case.clones import CaseOrigin
from station.laboratory.audit import AuditAction, AuditTrail
from station.laboratory.errors import (
    CaseSignedError,
    DuplicateRecordError,
    InvalidRecordError,
    MissingRecordError,
)
from station.laboratory.permissions import Actor, Permission
from station.laboratory.records import (
    CaseMatches,
    CaseOverview,
    CaseQuery,
    CaseRecord,
    CaseStatus,
    ReviewRole,
    SlideRecord,
    SpecimenRecord,
)
from station.laboratory.tables import (
    NAME_LENGTH,
    AuditEntryRow,
    CaseRow,
    IndexedRunRow,
    LaboratorySlideRow,
    ReviewedCellRow,
    SpecimenRow,
    new_uid,
)
from station.laboratory.versioned import change_row, row_of

MAX_LIMIT: Final = 500
"""Cases of one page: a query can't ask for the whole casebook at once."""


@dataclass(frozen=True, slots=True)
class CaseChanges:
    """What of a case changes; what is None stays.

    Attributes
    ----------
    accession, origin, indication, remark, iscn
        As in `CaseRecord`.
    status
        `OPEN` or `IN_REVIEW`; signing and amending are acts of their own.
    """

    accession: str | None = None
    origin: CaseOrigin | None = None
    indication: str | None = None
    remark: str | None = None
    iscn: str | None = None
    status: CaseStatus | None = None

    def values(self) -> dict[str, object]:
        """Columns that change."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


class CaseRepository:
    """Cases, as a transaction sees them.

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

    def create(
        self, accession: str, *, origin: CaseOrigin | None = None, indication: str = "", remark: str = ""
    ) -> CaseRecord:
        """Make a case.

        Parameters
        ----------
        accession
            Unique in the laboratory.
        origin, indication, remark
            As in `CaseRecord`.

        Raises
        ------
        PermissionDeniedError
            The actor may not.
        DuplicateRecordError
            There is a case of that accession.
        InvalidRecordError
            The accession is no name.
        """
        self._actor.require(Permission.EDIT_CASES)
        accession = checked_name(accession, "accession")
        if self.with_accession(accession) is not None:
            raise DuplicateRecordError(f"there is a case {accession} already")
        now = datetime.now(UTC)
        row = CaseRow(
            uid=new_uid(),
            accession=accession,
            status=CaseStatus.OPEN,
            origin=origin,
            indication=indication,
            remark=remark,
            iscn="",
            created_at=now,
            updated_at=now,
            version=1,
        )
        self._session.add(row)
        self._session.flush()
        after = {
            "accession": accession,
            "origin": origin,
            "indication": indication,
            "remark": remark,
            "version": 1,
        }
        self._audit.append(self._actor, AuditAction.CASE_CREATED, row.uid, case_uid=row.uid, after=after)
        return case_record(row)

    def get(self, case_uid: str) -> CaseRecord:
        """A case; `MissingRecordError` where there is none."""
        return case_record(row_of(self._session, CaseRow, case_uid, "case"))

    def with_accession(self, accession: str) -> CaseRecord | None:
        """The case of an accession; None where there is none."""
        row = self._session.scalar(select(CaseRow).where(CaseRow.accession == accession))
        return None if row is None else case_record(row)

    def named(self, accession: str) -> CaseRecord:
        """The case of an accession; `MissingRecordError` where there is none."""
        case = self.with_accession(accession)
        if case is None:
            raise MissingRecordError(f"there is no case {accession}")
        return case

    def change(self, case_uid: str, expected_version: int, changes: CaseChanges) -> CaseRecord:
        """Change a case.

        Parameters
        ----------
        case_uid, expected_version
            The case, and the version of it that was read.
        changes
            New values.

        Raises
        ------
        PermissionDeniedError
            The actor may not.
        CaseSignedError
            It is signed.
        ConflictError
            Somebody else changed it meanwhile.
        InvalidRecordError, DuplicateRecordError
            A value isn't allowed.
        """
        self._actor.require(Permission.EDIT_CASES)
        row = unsigned_case(self._session, case_uid)
        wanted = changes.values()
        if changes.status is not None and changes.status not in {CaseStatus.OPEN, CaseStatus.IN_REVIEW}:
            raise InvalidRecordError(f"a case becomes {changes.status} by an act of its own, not by a change")
        if changes.accession is not None:
            wanted["accession"] = checked_name(changes.accession, "accession")
            other = self.with_accession(str(wanted["accession"]))
            if other is not None and other.uid != case_uid:
                raise DuplicateRecordError(f"there is a case {other.accession} already")
        outcome = change_row(self._session, row, wanted, expected_version, f"case {row.accession}")
        if outcome is not None:
            row.updated_at = datetime.now(UTC)
            self._audit.append(
                self._actor,
                AuditAction.CASE_CHANGED,
                row.uid,
                case_uid=row.uid,
                before=outcome[0],
                after=outcome[1],
            )
        return case_record(row)

    def record_viewed(self, case_uid: str) -> None:
        """Write into the audit trail that the actor looked at a case."""
        row = row_of(self._session, CaseRow, case_uid, "case")
        self._audit.append(self._actor, AuditAction.CASE_VIEWED, row.uid, case_uid=row.uid)

    def search(self, query: CaseQuery) -> CaseMatches:
        """Cases that fit, the last changed first.

        Parameters
        ----------
        query
            What is wanted.
        """
        wanted = _matching(select(CaseRow), query)
        total = self._session.scalar(select(func.count()).select_from(wanted.order_by(None).subquery())) or 0
        page = wanted.order_by(CaseRow.updated_at.desc(), CaseRow.uid.desc())
        rows = self._session.scalars(page.offset(max(0, query.offset)).limit(min(query.limit, MAX_LIMIT))).all()
        return CaseMatches(self._overviews(rows), total)

    def overview(self, case_uid: str) -> CaseOverview:
        """A case with the counts of a list; `MissingRecordError` where there is none."""
        return self._overviews([row_of(self._session, CaseRow, case_uid, "case")])[0]

    def add_specimen(
        self, case_uid: str, kind: str, label: str = "", received_at: datetime | None = None
    ) -> SpecimenRecord:
        """Add a specimen.

        Parameters
        ----------
        case_uid
            The case.
        kind
            Such as ``peripheral blood``.
        label
            What its tube says.
        received_at
            When it came, with its time zone.

        Raises
        ------
        PermissionDeniedError, CaseSignedError
            The actor may not, or the case is signed.
        """
        self._actor.require(Permission.EDIT_CASES)
        unsigned_case(self._session, case_uid)
        row = SpecimenRow(
            uid=new_uid(), case_uid=case_uid, kind=kind, label=label, received_at=received_at, version=1
        )
        self._session.add(row)
        self._session.flush()
        after = {"kind": kind, "label": label, "received_at": received_at, "version": 1}
        self._audit.append(self._actor, AuditAction.SPECIMEN_CREATED, row.uid, case_uid=case_uid, after=after)
        return specimen_record(row)

    def add_slide(
        self, case_uid: str, barcode: str, *, specimen_uid: str | None = None, remark: str = ""
    ) -> SlideRecord:
        """Add a slide.

        Parameters
        ----------
        case_uid
            The case.
        barcode
            Unique in the laboratory.
        specimen_uid
            What is on it; None where that isn't recorded.
        remark
            In words.

        Raises
        ------
        PermissionDeniedError, CaseSignedError
            The actor may not, or the case is signed.
        DuplicateRecordError
            The barcode belongs to a slide already.
        """
        self._actor.require(Permission.EDIT_CASES)
        case = unsigned_case(self._session, case_uid)
        barcode = checked_name(barcode, "barcode")
        taken = self._session.scalar(select(LaboratorySlideRow).where(LaboratorySlideRow.barcode == barcode))
        if taken is not None:
            other = row_of(self._session, CaseRow, taken.case_uid, "case")
            raise DuplicateRecordError(f"slide {barcode} belongs to case {other.accession} already")
        if (
            specimen_uid is not None
            and row_of(self._session, SpecimenRow, specimen_uid, "specimen").case_uid != case.uid
        ):
            raise InvalidRecordError("the specimen belongs to another case")
        row = LaboratorySlideRow(
            uid=new_uid(), case_uid=case_uid, specimen_uid=specimen_uid, barcode=barcode, remark=remark, version=1
        )
        self._session.add(row)
        self._session.flush()
        after = {"barcode": barcode, "specimen_uid": specimen_uid, "remark": remark, "version": 1}
        self._audit.append(self._actor, AuditAction.SLIDE_CREATED, row.uid, case_uid=case_uid, after=after)
        return slide_record(row)

    def specimens(self, case_uid: str) -> tuple[SpecimenRecord, ...]:
        """The specimens of a case, in the order in which they were added."""
        rows = self._session.scalars(
            select(SpecimenRow).where(SpecimenRow.case_uid == case_uid).order_by(SpecimenRow.uid)
        )
        return tuple(specimen_record(row) for row in rows)

    def slides(self, case_uid: str) -> tuple[SlideRecord, ...]:
        """The slides of a case by barcode."""
        rows = self._session.scalars(
            select(LaboratorySlideRow)
            .where(LaboratorySlideRow.case_uid == case_uid)
            .order_by(LaboratorySlideRow.barcode)
        )
        return tuple(slide_record(row) for row in rows)

    def slide_with_barcode(self, barcode: str) -> SlideRecord | None:
        """The slide of a barcode; None where there is none."""
        row = self._session.scalar(select(LaboratorySlideRow).where(LaboratorySlideRow.barcode == barcode))
        return None if row is None else slide_record(row)

    def _overviews(self, rows: Iterable[CaseRow]) -> tuple[CaseOverview, ...]:
        cases = tuple(rows)
        uids = [row.uid for row in cases]
        barcodes: dict[str, list[str]] = {}
        for case_uid, barcode in self._session.execute(
            select(LaboratorySlideRow.case_uid, LaboratorySlideRow.barcode)
            .where(LaboratorySlideRow.case_uid.in_(uids))
            .order_by(LaboratorySlideRow.barcode)
        ):
            barcodes.setdefault(case_uid, []).append(barcode)
        runs: dict[str, int] = {}
        for case_with_runs, count in self._session.execute(
            select(IndexedRunRow.case_uid, func.count())
            .where(IndexedRunRow.case_uid.in_(uids))
            .group_by(IndexedRunRow.case_uid)
        ):
            runs[str(case_with_runs)] = count
        roles: dict[str, dict[ReviewRole, int]] = {}
        for case_with_cells, role, count in self._session.execute(
            select(ReviewedCellRow.case_uid, ReviewedCellRow.role, func.count())
            .where(ReviewedCellRow.case_uid.in_(uids))
            .group_by(ReviewedCellRow.case_uid, ReviewedCellRow.role)
        ):
            roles.setdefault(str(case_with_cells), {})[role] = count
        return tuple(
            CaseOverview(
                case=case_record(row),
                barcodes=tuple(barcodes.get(row.uid, ())),
                runs=runs.get(row.uid, 0),
                cells=sum(roles.get(row.uid, {}).values()),
                by_role=roles.get(row.uid, {}),
            )
            for row in cases
        )


def unsigned_case(session: Session, case_uid: str) -> CaseRow:
    """The row of a case that may be changed.

    Parameters
    ----------
    session
        Of the transaction.
    case_uid
        The case.

    Raises
    ------
    CaseSignedError
        It is signed.
    MissingRecordError
        There is none.
    """
    row = row_of(session, CaseRow, case_uid, "case")
    if row.status is CaseStatus.SIGNED:
        raise CaseSignedError(f"case {row.accession} is signed: amend it before anything of it is changed")
    return row


def checked_name(text: str, what: str) -> str:
    """An accession or a barcode without blanks around it.

    Parameters
    ----------
    text
        As it was given.
    what
        What it is, for the message.

    Raises
    ------
    InvalidRecordError
        It is empty, too long, or holds control characters.
    """
    name = text.strip()
    if not name or len(name) > NAME_LENGTH or not name.isprintable():
        raise InvalidRecordError(f"{what} {text[:NAME_LENGTH]!r}: wanted 1 to {NAME_LENGTH} printable characters")
    return name


def case_record(row: CaseRow) -> CaseRecord:
    """A case as it is handed out."""
    return CaseRecord(
        uid=row.uid,
        accession=row.accession,
        status=row.status,
        origin=row.origin,
        indication=row.indication,
        remark=row.remark,
        iscn=row.iscn,
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
    )


def specimen_record(row: SpecimenRow) -> SpecimenRecord:
    """A specimen as it is handed out."""
    return SpecimenRecord(row.uid, row.case_uid, row.kind, row.label, row.received_at, row.version)


def slide_record(row: LaboratorySlideRow) -> SlideRecord:
    """A slide as it is handed out."""
    return SlideRecord(row.uid, row.case_uid, row.specimen_uid, row.barcode, row.remark, row.version)


def _matching(statement: Select[Any], query: CaseQuery) -> Select[Any]:
    conditions: list[ColumnElement[bool]] = []
    if query.text:
        conditions.append(
            or_(
                _contains(CaseRow.accession, query.text),
                _contains(CaseRow.iscn, query.text),
                _has_barcode(query.text),
                _has_iscn(query.text),
            )
        )
    if query.accession:
        conditions.append(_contains(CaseRow.accession, query.accession))
    if query.barcode:
        conditions.append(_has_barcode(query.barcode))
    if query.iscn:
        conditions.append(or_(_contains(CaseRow.iscn, query.iscn), _has_iscn(query.iscn)))
    if query.user:
        conditions.append(exists().where(AuditEntryRow.case_uid == CaseRow.uid, AuditEntryRow.actor == query.user))
    if query.status:
        conditions.append(CaseRow.status.in_(sorted(query.status)))
    if query.since is not None:
        conditions.append(CaseRow.updated_at >= query.since)
    if query.until is not None:
        conditions.append(CaseRow.updated_at < query.until)
    return statement.where(*conditions)


def _has_barcode(part: str) -> ColumnElement[bool]:
    return exists().where(LaboratorySlideRow.case_uid == CaseRow.uid, _contains(LaboratorySlideRow.barcode, part))


def _has_iscn(part: str) -> ColumnElement[bool]:
    return exists().where(ReviewedCellRow.case_uid == CaseRow.uid, _contains(ReviewedCellRow.iscn, part))


def _contains(column: Any, part: str) -> ColumnElement[bool]:  # noqa: ANN401 - any column of text
    return func.lower(column).contains(part.lower(), autoescape=True, escape="/")

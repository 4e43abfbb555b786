"""A run as it was read, brought into the rows of the casebook; what people decided is never touched."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from station.laboratory.audit import AuditAction
from station.laboratory.casebook import UnitOfWork
from station.laboratory.errors import InvalidRecordError
from station.laboratory.records import CaseStatus, CellOrigin, ProposalOrigin, ReviewRole
from station.laboratory.run_reading import CellSnapshot, ProposalSnapshot, RunSnapshot
from station.laboratory.tables import (
    CaseRow,
    IndexedRunRow,
    ProposalVersionRow,
    ReviewedCellRow,
    new_uid,
)


def take_in_run(work: UnitOfWork, snapshot: RunSnapshot) -> str:
    """Bring a run's rows to what its folder says.

    Parameters
    ----------
    work
        The transaction.
    snapshot
        The run as it was read.

    Returns
    -------
    str
        What a person should know; empty where there is nothing.
    """
    record = snapshot.summary.record
    row = work.session.get(IndexedRunRow, record.uid)
    is_new = row is None
    if row is None:
        row = IndexedRunRow(uid=record.uid, case_uid=None, assigned_by_person=False, version=1)
    before = None if is_new else row.status
    for name, value in _facts(snapshot).items():
        setattr(row, name, value)
    message = ""
    if not row.assigned_by_person and row.case_uid is None:
        row.case_uid, message = _case_of(work, snapshot)
    row.indexed_at = datetime.now(UTC)
    work.session.add(row)
    work.session.flush()
    if is_new or before != row.status:
        work.audit.append(
            work.actor,
            AuditAction.RUN_INDEXED,
            row.uid,
            case_uid=row.case_uid,
            before={} if before is None else {"status": before},
            after={"status": row.status, "captured": row.captured, "karyotyped": row.karyotyped},
        )
    _take_in_cells(work, row, snapshot)
    return message


def _facts(snapshot: RunSnapshot) -> dict[str, object]:
    record, summary = snapshot.summary.record, snapshot.summary
    return {
        "slide": record.slide,
        "accession": snapshot.accession,
        "rig": record.rig,
        "protocol": record.protocol,
        "software_version": record.software_version,
        "started_at": record.started_at,
        "finished_at": summary.finished_at,
        "status": summary.status,
        "error": summary.error,
        "fields_done": snapshot.fields_done,
        "fields_failed": snapshot.fields_failed,
        "candidates": snapshot.candidates,
        "captured": len(snapshot.cells),
        "karyotyped": snapshot.karyotyped,
    }


def _case_of(work: UnitOfWork, snapshot: RunSnapshot) -> tuple[str | None, str]:
    """The case of a run by its accession, which is made where it isn't there; else by its slide's barcode."""
    barcode = snapshot.summary.record.slide
    slide = work.cases.slide_with_barcode(barcode)
    if not snapshot.accession:
        return (None, "") if slide is None else (slide.case_uid, "")
    try:
        case = work.cases.with_accession(snapshot.accession) or work.cases.create(snapshot.accession)
        if slide is None and case.status is not CaseStatus.SIGNED:
            work.cases.add_slide(case.uid, barcode)
    except InvalidRecordError as error:
        return None, f"it was given to no case: {error}"
    if slide is not None and slide.case_uid != case.uid:
        return case.uid, f"its slide {barcode} belongs to another case than its accession {snapshot.accession}"
    return case.uid, ""


def _take_in_cells(work: UnitOfWork, run: IndexedRunRow, snapshot: RunSnapshot) -> None:
    session = work.session
    present = {
        cell.name: cell
        for cell in session.scalars(select(ReviewedCellRow).where(ReviewedCellRow.run_uid == run.uid))
    }
    digests = _software_digests(session, run.uid)
    case = None if run.case_uid is None else session.get(CaseRow, run.case_uid)
    is_signed = case is not None and case.status is CaseStatus.SIGNED
    changed = False
    for cell in snapshot.cells:
        row = present.get(cell.candidate.uid)
        if row is None:
            row = _new_cell(run, cell)
            session.add(row)
            changed = True
        for name, value in _cell_facts(cell).items():
            if getattr(row, name) != value:
                setattr(row, name, value)
                changed = True
        session.flush()
        if cell.proposal is not None and cell.proposal.sha256 not in digests.get(row.uid, ()):
            _add_proposal(session, row, cell, cell.proposal, counts=not is_signed)
            changed = True
    if changed and case is not None:
        case.updated_at = datetime.now(UTC)


def _new_cell(run: IndexedRunRow, cell: CellSnapshot) -> ReviewedCellRow:
    return ReviewedCellRow(
        uid=new_uid(),
        case_uid=run.case_uid,
        run_uid=run.uid,
        name=cell.candidate.uid,
        origin=CellOrigin.RUN,
        role=ReviewRole.NOT_REVIEWED,
        exclusion_reason="",
        note="",
        proposal_number=0,
        version=1,
    )


def _cell_facts(cell: CellSnapshot) -> dict[str, Any]:
    candidate, capture, karyotype = cell.candidate, cell.capture, cell.karyotype
    return {
        "rank": candidate.rank,
        "score": candidate.score,
        "analysable": candidate.analysable,
        "thumbnail": candidate.thumbnail,
        "picture": capture.path,
        "picture_sha256": capture.sha256,
        "um_per_px": capture.um_per_px,
        "taken_at": capture.taken_at,
        "karyogram": None if karyotype is None else karyotype.picture_path,
        "karyotype_status": None if karyotype is None else karyotype.status,
        "karyotype_error": None if karyotype is None else karyotype.error,
    }


def _software_digests(session: Session, run_uid: str) -> dict[str, set[str]]:
    statement = (
        select(ProposalVersionRow.cell_uid, ProposalVersionRow.sha256)
        .join(ReviewedCellRow, ReviewedCellRow.uid == ProposalVersionRow.cell_uid)
        .where(ReviewedCellRow.run_uid == run_uid, ProposalVersionRow.origin == ProposalOrigin.SOFTWARE)
    )
    digests: dict[str, set[str]] = {}
    for cell_uid, sha256 in session.execute(statement):
        digests.setdefault(cell_uid, set()).add(sha256)
    return digests


def _add_proposal(
    session: Session, row: ReviewedCellRow, cell: CellSnapshot, proposal: ProposalSnapshot, *, counts: bool
) -> None:
    """Add a version; it counts unless a person made one, or the case is signed."""
    last, by_person = session.execute(
        select(
            func.max(ProposalVersionRow.number),
            func.count().filter(ProposalVersionRow.origin == ProposalOrigin.PERSON),
        ).where(ProposalVersionRow.cell_uid == row.uid)
    ).one()
    karyotype = cell.karyotype
    iscn = None if karyotype is None else karyotype.iscn
    chromosomes = None if karyotype is None else karyotype.chromosomes
    number = (last or 0) + 1
    session.add(
        ProposalVersionRow(
            uid=new_uid(),
            cell_uid=row.uid,
            number=number,
            origin=ProposalOrigin.SOFTWARE,
            author="",
            user_uid=None,
            made_at=datetime.now(UTC),
            iscn=iscn,
            chromosomes=chromosomes,
            verdict=proposal.verdict,
            path=proposal.path,
            sha256=proposal.sha256,
            content=None,
        )
    )
    if by_person == 0 and counts:
        row.proposal_number, row.iscn, row.chromosomes, row.verdict = number, iscn, chromosomes, proposal.verdict
        if last is not None:
            # Who had the version before opened it would edit what isn't there any more.
            row.version += 1

"""Runs and their folders, as the indexer left them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Row, Select, func, select, update
from sqlalchemy.orm import Session

from acquisition.batch.report import SlideReport, SlideStatus
from acquisition.records import RunStatus
from station.laboratory.audit import AuditAction, AuditTrail
from station.laboratory.cases import unsigned_case
from station.laboratory.errors import MissingRecordError
from station.laboratory.permissions import Actor, Permission
from station.laboratory.records import FolderState, IndexedBatch, IndexedRun, RunFolderRecord
from station.laboratory.tables import BatchRow, IndexedRunRow, ReviewedCellRow, RunFolderRow
from station.laboratory.versioned import change_row, row_of


class RunRepository:
    """Runs, as a transaction sees them.

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

    def get(self, run_uid: str) -> IndexedRun:
        """A run; `MissingRecordError` where there is none."""
        row = self._session.execute(_runs().where(IndexedRunRow.uid == run_uid)).first()
        if row is None:
            raise MissingRecordError(f"there is no run {run_uid}")
        return _indexed_run(row)

    def of_case(self, case_uid: str) -> tuple[IndexedRun, ...]:
        """Runs of a case, the first one first."""
        statement = _runs().where(IndexedRunRow.case_uid == case_uid)
        return _indexed_runs(self._session.execute(statement.order_by(IndexedRunRow.started_at)))

    def recent(
        self, *, status: frozenset[RunStatus] = frozenset(), offset: int = 0, limit: int = 50
    ) -> tuple[IndexedRun, ...]:
        """Runs, the one that began last first.

        Parameters
        ----------
        status
            Only those with one of these; all where it is empty.
        offset, limit
            Which part.
        """
        statement = _runs()
        if status:
            statement = statement.where(IndexedRunRow.status.in_(sorted(status)))
        order = (IndexedRunRow.started_at.desc(), IndexedRunRow.uid)
        return _indexed_runs(self._session.execute(statement.order_by(*order).offset(offset).limit(limit)))

    def count(self) -> int:
        """How many runs there are."""
        return self._session.scalar(select(func.count()).select_from(IndexedRunRow)) or 0

    def folders(self, *, with_problems: bool = False) -> tuple[RunFolderRecord, ...]:
        """Folders that the indexer visited, by name.

        Parameters
        ----------
        with_problems
            Only those that are missing, incomplete, damaged, newer, or there twice.
        """
        statement = select(RunFolderRow).order_by(RunFolderRow.folder)
        if with_problems:
            statement = statement.where(RunFolderRow.state.not_in([FolderState.INDEXED, FolderState.GROWING]))
        return tuple(
            RunFolderRecord(row.folder, row.run_uid, row.state, row.message, row.checked_at)
            for row in self._session.scalars(statement)
        )

    def batches(self, *, limit: int = 50) -> tuple[IndexedBatch, ...]:
        """Batches, the one that was taken in last first.

        Parameters
        ----------
        limit
            At most so many.
        """
        rows = self._session.scalars(select(BatchRow).order_by(BatchRow.uid.desc()).limit(limit))
        return tuple(_indexed_batch(row) for row in rows)

    def assign_case(self, run_uid: str, expected_version: int, case_uid: str | None) -> IndexedRun:
        """Give a run with its cells to a case; the indexer leaves it there.

        Parameters
        ----------
        run_uid, expected_version
            The run, and the version of it that was read.
        case_uid
            The case; None takes the run out of its case.

        Raises
        ------
        PermissionDeniedError, CaseSignedError
            The actor may not, or one of the two cases is signed.
        ConflictError
            Somebody else changed the run meanwhile.
        """
        self._actor.require(Permission.EDIT_CASES)
        row = row_of(self._session, IndexedRunRow, run_uid, "run")
        for each in (row.case_uid, case_uid):
            if each is not None:
                unsigned_case(self._session, each)
        wanted = {"case_uid": case_uid, "assigned_by_person": True}
        outcome = change_row(self._session, row, wanted, expected_version, f"run {run_uid}")
        if outcome is not None:
            self._session.execute(
                update(ReviewedCellRow).where(ReviewedCellRow.run_uid == run_uid).values(case_uid=case_uid)
            )
            self._audit.append(
                self._actor,
                AuditAction.RUN_ASSIGNED,
                run_uid,
                case_uid=case_uid,
                before=outcome[0],
                after=outcome[1],
            )
            self._session.flush()
        return self.get(run_uid)


def _runs() -> Select[IndexedRunRow, RunFolderRow]:
    """Runs with the folder that counts: a duplicate's isn't."""
    is_own = (RunFolderRow.run_uid == IndexedRunRow.uid) & (RunFolderRow.state != FolderState.DUPLICATE)
    return select(IndexedRunRow, RunFolderRow).outerjoin(RunFolderRow, is_own)


def _indexed_runs(rows: Iterable[Row[IndexedRunRow, RunFolderRow]]) -> tuple[IndexedRun, ...]:
    return tuple(_indexed_run(row) for row in rows)


def _indexed_run(pair: Row[IndexedRunRow, RunFolderRow]) -> IndexedRun:
    row: IndexedRunRow = pair[0]
    folder: RunFolderRow | None = pair[1]
    return IndexedRun(
        uid=row.uid,
        case_uid=row.case_uid,
        assigned_by_person=row.assigned_by_person,
        slide=row.slide,
        accession=row.accession,
        folder="" if folder is None else folder.folder,
        folder_state=FolderState.MISSING if folder is None else folder.state,
        folder_message="it came without its folder" if folder is None else folder.message,
        rig=row.rig,
        protocol=row.protocol,
        software_version=row.software_version,
        started_at=row.started_at,
        finished_at=row.finished_at,
        status=row.status,
        error=row.error,
        fields_done=row.fields_done,
        fields_failed=row.fields_failed,
        candidates=row.candidates,
        captured=row.captured,
        karyotyped=row.karyotyped,
        indexed_at=row.indexed_at,
        version=row.version,
    )


def _indexed_batch(row: BatchRow) -> IndexedBatch:
    report = row.report
    return IndexedBatch(
        uid=row.uid,
        folder=row.folder,
        worklist=report["worklist"],
        started_at=report["started_at"],
        finished_at=report["finished_at"],
        ended=report["ended"],
        slides=tuple(
            SlideReport(**{**slide, "status": SlideStatus(slide["status"])}) for slide in report["slides"]
        ),
        indexed_at=row.indexed_at,
    )

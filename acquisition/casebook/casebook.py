"""The casebook itself: frozen records in, frozen records out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import datetime
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import ColumnElement, Engine, delete, select
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from acquisition.casebook.engine import sqlite_engine, writer
from acquisition.casebook.models import (
    Base,
    CandidateRow,
    CaptureRow,
    DecisionRow,
    FieldRow,
    KaryotypeRow,
    RunEventRow,
    RunRow,
)
from acquisition.casebook.schema import check_is_casebook, upgrade
from acquisition.deadline import disk_calls
from acquisition.errors import CasebookError, DeadlineError
from acquisition.records import (
    CandidateRecord,
    CandidateStatus,
    CaptureRecord,
    DecisionRecord,
    FieldRecord,
    KaryotypeRecord,
    RunEvent,
    RunRecord,
    RunStatus,
    RunSummary,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_log = logging.getLogger(__name__)

_Parameters = ParamSpec("_Parameters")
_Answer = TypeVar("_Answer")
_Record = TypeVar("_Record", bound="DataclassInstance")


def open_casebook(path: Path, *, create: bool = True) -> Casebook:
    """Open the casebook at `path` and bring it to the newest schema.

    Parameters
    ----------
    path
        Database file; its folder has to exist.
    create
        Whether an absent or empty file becomes a new casebook; otherwise it is an error.

    Raises
    ------
    CasebookError
        The file is not a casebook, is newer than this software, or can't be opened, created or migrated.
    """
    if not check_is_casebook(path) and not create:
        raise CasebookError("there is no casebook", path=path)
    upgrade(path)
    return Casebook(sqlite_engine(path), path)


def _answered(
    method: Callable[Concatenate[Casebook, _Parameters], _Answer],
) -> Callable[Concatenate[Casebook, _Parameters], _Answer]:
    """Let a method of the casebook wait for its disk only so long: a share whose server is gone never answers."""

    @wraps(method)
    def bounded(self: Casebook, /, *arguments: _Parameters.args, **keywords: _Parameters.kwargs) -> _Answer:
        return self._within_deadline(lambda: method(self, *arguments, **keywords), method.__name__)

    return bounded


class Casebook:
    """Runs with their fields, candidates, captures, karyotypes and events.

    Each write is one durable transaction: when the method returns, the record is on the disk. Several threads
    may use one casebook, and several processes one file. Obtain one from `open_casebook`; close it, or use it
    as a context manager. All methods raise `CasebookError` where the database refuses, or where its disk gives no
    answer for `DISK_DEADLINE_S`; what was to be written may then be there all the same.

    Parameters
    ----------
    engine
        Engine of a database with the newest schema; the casebook disposes of it.
    path
        File for messages.
    """

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._disk = disk_calls("casebook")
        self._writer = writer(engine)
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections; a disk that gives no answer is left to itself."""
        try:
            self._disk.call(self._engine.dispose, "closing")
        except DeadlineError as error:
            _log.warning("%s: %s", self.path, error)
        finally:
            self._disk.close()

    @_answered
    def begin_run(self, run: RunRecord) -> None:
        """Record a new run as running."""
        with self._write(f"run {run.uid}") as session:
            session.add(RunRow(**_values(run), status=RunStatus.RUNNING))

    @_answered
    def record_field(self, run_uid: str, record: FieldRecord) -> None:
        """Record what became of a field; an index can be recorded once in a run.

        Parameters
        ----------
        run_uid
            The run.
        record
            The field.
        """
        with self._write(f"field {record.index} of run {run_uid}") as session:
            session.add(FieldRow(run_id=self._run_id(session, run_uid), **_values(record)))

    @_answered
    def record_candidates(self, run_uid: str, records: Sequence[CandidateRecord]) -> None:
        """Record candidates, all or none; their fields have to be recorded already.

        Parameters
        ----------
        run_uid
            The run.
        records
            The candidates, in their order.
        """
        with self._write(f"candidates of run {run_uid}") as session:
            run_id = self._run_id(session, run_uid)
            session.add_all(CandidateRow(run_id=run_id, **_values(record)) for record in records)

    @_answered
    def remove_candidates(self, run_uid: str) -> None:
        """Take out candidates that a run ranked before its scan was through; refused once one was photographed."""
        with self._write(f"candidates of run {run_uid}") as session:
            session.execute(delete(CandidateRow).where(CandidateRow.run_id == self._run_id(session, run_uid)))

    @_answered
    def set_candidate_status(
        self, run_uid: str, candidate_uid: str, status: CandidateStatus, error: str | None = None
    ) -> None:
        """Say what became of a candidate; `error` replaces the former one.

        Parameters
        ----------
        run_uid
            The run.
        candidate_uid
            The candidate; unique within its run.
        status
            What became of it.
        error
            Why; None where nothing went wrong.

        Raises
        ------
        CasebookError
            There is no such candidate, or the casebook can't be written.
        """
        with self._write(f"candidate {candidate_uid} of run {run_uid}") as session:
            row = session.get(CandidateRow, (self._run_id(session, run_uid), candidate_uid))
            if row is None:
                raise CasebookError(f"no candidate {candidate_uid} in run {run_uid}", path=self.path)
            row.status = status
            row.error = error

    @_answered
    def decide(
        self,
        run_uid: str,
        candidate_uid: str,
        *,
        accepted: bool,
        reviewer: str,
        at: datetime,
        reason: str | None = None,
    ) -> DecisionRecord:
        """Add a reviewer's word on a candidate; earlier ones stay, and the last one counts.

        Parameters
        ----------
        run_uid
            The run.
        candidate_uid
            The candidate.
        accepted
            Whether it is to be photographed and karyotyped.
        reviewer
            Who decided.
        at
            When, with its time zone.
        reason
            Why, in the reviewer's words.

        Raises
        ------
        CasebookError
            There is no such candidate, or the casebook can't be written.
        """
        with self._write(f"decision on candidate {candidate_uid} of run {run_uid}") as session:
            run_id = self._run_id(session, run_uid)
            row = session.get(CandidateRow, (run_id, candidate_uid))
            if row is None:
                raise CasebookError(f"no candidate {candidate_uid} in run {run_uid}", path=self.path)
            decision = DecisionRecord(
                candidate_uid=candidate_uid,
                accepted=accepted,
                reviewer=reviewer,
                at=at,
                slide_x_um=row.slide_x_um,
                slide_y_um=row.slide_y_um,
                radius_um=row.radius_um,
                reason=reason,
                crop=row.crop,
                noise_od=row.noise_od,
            )
            session.add(DecisionRow(run_id=run_id, **_values(decision)))
        return decision

    @_answered
    def record_capture(self, run_uid: str, record: CaptureRecord) -> None:
        """Record a picture; its candidate has to be recorded already.

        Parameters
        ----------
        run_uid
            The run.
        record
            The picture.
        """
        with self._write(f"capture {record.uid} of run {run_uid}") as session:
            session.add(CaptureRow(run_id=self._run_id(session, run_uid), **_values(record)))

    @_answered
    def record_karyotype(self, run_uid: str, record: KaryotypeRecord) -> None:
        """Record the proposal for a capture; a second one for the same capture replaces the first.

        Parameters
        ----------
        run_uid
            The run.
        record
            The proposal, or why there is none.
        """
        with self._write(f"karyotype of capture {record.capture_uid} of run {run_uid}") as session:
            session.merge(KaryotypeRow(run_id=self._run_id(session, run_uid), **_values(record)))

    @_answered
    def record_event(self, run_uid: str, record: RunEvent) -> None:
        """Add an event to the run.

        Parameters
        ----------
        run_uid
            The run.
        record
            The event.
        """
        with self._write(f"event {record.kind} of run {run_uid}") as session:
            values = {**_values(record), "context": dict(record.context)}
            session.add(RunEventRow(run_id=self._run_id(session, run_uid), **values))

    @_answered
    def finish_run(self, run_uid: str, status: RunStatus, finished_at: datetime, error: str | None = None) -> None:
        """Close a running run; how a run ended is said once and never rewritten.

        Parameters
        ----------
        run_uid
            The run.
        status
            How it ended; not ``RUNNING``.
        finished_at
            When, with its time zone.
        error
            Why it ended early; None where it did not.

        Raises
        ------
        CasebookError
            The run has ended already, or the casebook can't be written.
        """
        if status is RunStatus.RUNNING:
            raise CasebookError(f"run {run_uid} can't be finished as running", path=self.path)
        with self._write(f"end of run {run_uid}") as session:
            row = session.get_one(RunRow, self._run_id(session, run_uid))
            if row.status is not RunStatus.RUNNING:
                raise CasebookError(f"run {run_uid} is already finished: {row.status}", path=self.path)
            row.status, row.finished_at, row.error = status, finished_at, error

    @_answered
    def reopen_run(self, run_uid: str, event: RunEvent) -> None:
        """Let an ended run go on; the event, recorded in the same transaction, keeps how it had ended.

        Parameters
        ----------
        run_uid
            The run.
        event
            Why it goes on.
        """
        with self._write(f"resumption of run {run_uid}") as session:
            row = session.get_one(RunRow, self._run_id(session, run_uid))
            former = {
                "status": row.status.value,
                "error": row.error,
                "finished_at": None if row.finished_at is None else row.finished_at.isoformat(),
            }
            row.status, row.finished_at, row.error = RunStatus.RUNNING, None, None
            values = {**_values(event), "context": {**event.context, "before": former}}
            session.add(RunEventRow(run_id=row.id, **values))

    @_answered
    def runs(self) -> tuple[RunSummary, ...]:
        """All runs, in the order in which they began."""
        with self._read() as session:
            rows = session.scalars(select(RunRow).order_by(RunRow.started_at, RunRow.id))
            return tuple(_summary(row) for row in rows)

    @_answered
    def run(self, uid: str) -> RunSummary:
        """One run; `CasebookError` where there is none of that uid."""
        with self._read() as session:
            return _summary(session.get_one(RunRow, self._run_id(session, uid)))

    @_answered
    def fields(self, run_uid: str) -> tuple[FieldRecord, ...]:
        """Fields by index."""
        return self._children(run_uid, FieldRow, FieldRecord, FieldRow.index)

    @_answered
    def candidates(self, run_uid: str) -> tuple[CandidateRecord, ...]:
        """Candidates by rank."""
        return self._children(run_uid, CandidateRow, CandidateRecord, CandidateRow.rank, CandidateRow.uid)

    @_answered
    def decisions(self, run_uid: str) -> tuple[DecisionRecord, ...]:
        """Everything reviewers said, in the order in which they said it."""
        return self._children(run_uid, DecisionRow, DecisionRecord, DecisionRow.id)

    @_answered
    def captures(self, run_uid: str) -> tuple[CaptureRecord, ...]:
        """Captures in the order in which they were taken."""
        return self._children(run_uid, CaptureRow, CaptureRecord, CaptureRow.taken_at, CaptureRow.uid)

    @_answered
    def karyotypes(self, run_uid: str) -> tuple[KaryotypeRecord, ...]:
        """Karyotype proposals by capture uid."""
        return self._children(run_uid, KaryotypeRow, KaryotypeRecord, KaryotypeRow.capture_uid)

    @_answered
    def events(self, run_uid: str) -> tuple[RunEvent, ...]:
        """Events in the order in which they were recorded."""
        return self._children(run_uid, RunEventRow, RunEvent, RunEventRow.id)

    def _children(
        self,
        run_uid: str,
        table: type[Base],
        kind: type[_Record],
        *order: Any,  # noqa: ANN401
    ) -> tuple[_Record, ...]:
        with self._read() as session:
            own: ColumnElement[bool] = table.__table__.c.run_id == self._run_id(session, run_uid)
            return tuple(_record(kind, row) for row in session.scalars(select(table).where(own).order_by(*order)))

    def _run_id(self, session: Session, uid: str) -> int:
        found = session.scalar(select(RunRow.id).where(RunRow.uid == uid))
        if found is None:
            raise CasebookError(f"no run {uid}", path=self.path)
        return found

    def _within_deadline(self, call: Callable[[], _Answer], what: str) -> _Answer:
        try:
            return self._disk.call(call, what)
        except DeadlineError as error:
            raise CasebookError(str(error), path=self.path) from error

    @contextmanager
    def _write(self, what: str) -> Iterator[Session]:
        with self._errors(f"{what} can't be recorded"), Session(self._writer) as session, session.begin():
            yield session

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with self._errors("can't be read"), Session(self._engine) as session:
            yield session

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except IntegrityError as error:
            raise CasebookError(f"{what}: {error.orig}", path=self.path) from error
        except SQLAlchemyError as error:
            # The driver's word where there is one; the text of SQLAlchemy runs over several lines.
            reason = str(getattr(error, "orig", None) or error).splitlines()[0]
            raise CasebookError(f"{what}: {reason}", path=self.path) from error


def _values(record: DataclassInstance) -> dict[str, Any]:
    return {item.name: getattr(record, item.name) for item in fields(record)}


def _record(kind: type[_Record], row: Base) -> _Record:
    return kind(**{item.name: getattr(row, item.name) for item in fields(kind)})


def _summary(row: RunRow) -> RunSummary:
    return RunSummary(_record(RunRecord, row), row.status, row.finished_at, row.error)

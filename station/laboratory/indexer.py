"""Takes run folders into the casebook: each in a transaction of its own, as often as one likes."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from acquisition.batch.report import BATCH_NAME, read_report
from acquisition.errors import AcquisitionError, NewerCasebookError
from acquisition.storage.run_folder import CASEBOOK_NAME, is_in_use
from station.laboratory.audit import AuditAction
from station.laboratory.casebook import RUNS_NAME, LaboratoryCasebook
from station.laboratory.errors import CasebookUnavailableError, LaboratoryError
from station.laboratory.permissions import Actor
from station.laboratory.records import FolderState
from station.laboratory.run_reading import RunSnapshot, is_run_folder, read_run_snapshot, run_fingerprint
from station.laboratory.run_rows import take_in_run
from station.laboratory.tables import (
    BatchRow,
    ProposalVersionRow,
    ReviewedCellRow,
    RunFolderRow,
    new_uid,
)

_log = logging.getLogger(__name__)

INDEXER: Final = "indexer"
MAX_DEPTH: Final = 4
"""Folders below a root in which runs are looked for: a night in a month of a year of a rig."""


@dataclass(frozen=True, slots=True)
class IndexedFolder:
    """What became of one folder.

    Attributes
    ----------
    folder
        Of the run.
    state, message
        What the casebook says of it.
    changed
        Whether it was read; one that is as it was is passed over.
    """

    folder: Path
    state: FolderState
    message: str
    changed: bool


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What became of all folders.

    Attributes
    ----------
    folders
        Each with its state.
    failed
        Folders that the casebook itself couldn't take, with the reason.
    batches
        Records of batches that were read.
    """

    folders: tuple[IndexedFolder, ...]
    failed: tuple[tuple[Path, str], ...]
    batches: int

    def counts(self) -> Counter[FolderState]:
        """How many folders have which state."""
        return Counter(each.state for each in self.folders)

    @property
    def changed(self) -> int:
        """How many were read."""
        return sum(each.changed for each in self.folders)


@dataclass(frozen=True)
class Indexer:
    """Takes runs into a casebook.

    Attributes
    ----------
    casebook
        Where they are taken.
    roots
        Folders below which runs lie; the casebook's own where none is named.
    actor
        Whom the audit trail names.
    """

    casebook: LaboratoryCasebook
    roots: Sequence[Path] = ()
    actor: Actor = field(default_factory=lambda: Actor.program(INDEXER))

    def index(self) -> IndexReport:
        """Visit all roots; a folder that can't be taken keeps no other from being taken.

        Raises
        ------
        CasebookUnavailableError
            The casebook itself can't be used.
        """
        folders, failed, batches = [], [], 0
        for folder in self._discovered():
            try:
                if (folder / BATCH_NAME).is_file():
                    batches += self._index_batch(folder)
                if is_run_folder(folder):
                    folders.append(self.index_folder(folder))
            except CasebookUnavailableError:
                raise
            except (LaboratoryError, AcquisitionError, OSError) as error:
                _log.exception("indexing %s", folder)
                failed.append((folder, str(error)))
        folders += self._missing()
        return IndexReport(tuple(folders), tuple(failed), batches)

    def index_folder(self, folder: Path) -> IndexedFolder:
        """Take in the run of one folder, unless it is as it was.

        Raises
        ------
        CasebookUnavailableError
            The casebook itself can't be used.
        """
        name = self._recorded_name(folder)
        fingerprint = run_fingerprint(folder)
        with self.casebook.read(self.actor) as work:
            before = work.session.scalar(select(RunFolderRow).where(RunFolderRow.folder == name))
            if before is not None and before.fingerprint == fingerprint and before.state in _SETTLED:
                return IndexedFolder(folder, before.state, before.message, changed=False)
            run_uid = None if before is None else before.run_uid
            recorded = _recorded_digests(work.session, run_uid) if run_uid else frozenset()
        try:
            snapshot = read_run_snapshot(folder, recorded)
        except NewerCasebookError as error:
            return self._note(folder, name, fingerprint, FolderState.NEWER, f"{error}: install that version")
        except AcquisitionError as error:
            has_record = (folder / CASEBOOK_NAME).is_file()
            state = FolderState.DAMAGED if has_record else FolderState.INCOMPLETE
            return self._note(folder, name, fingerprint, state, str(error))
        return self._take(folder, name, fingerprint, snapshot)

    def _take(self, folder: Path, name: str, fingerprint: str, snapshot: RunSnapshot) -> IndexedFolder:
        run_uid = snapshot.summary.record.uid
        with self.casebook.write(self.actor) as work:
            others = work.session.scalars(
                select(RunFolderRow).where(
                    RunFolderRow.run_uid == run_uid,
                    RunFolderRow.folder != name,
                    RunFolderRow.state != FolderState.DUPLICATE,
                )
            ).all()
            there = [other.folder for other in others if self.casebook.absolute(other.folder).is_dir()]
            if there:
                message = f"a copy of the run in {there[0]}, which is the one that counts"
                _set_folder(work.session, name, run_uid, FolderState.DUPLICATE, message, fingerprint)
                return IndexedFolder(folder, FolderState.DUPLICATE, message, changed=True)
            for moved in others:
                work.session.delete(moved)
            work.session.flush()
            message = take_in_run(work, snapshot)
            state = FolderState.GROWING if is_in_use(folder) else FolderState.INDEXED
            if snapshot.missing and state is FolderState.INDEXED:
                state, message = FolderState.INCOMPLETE, snapshot.missing_in_words()
            _set_folder(work.session, name, run_uid, state, message, fingerprint)
        return IndexedFolder(folder, state, message, changed=True)

    def _note(self, folder: Path, name: str, fingerprint: str, state: FolderState, message: str) -> IndexedFolder:
        """Record that a folder can't be read; what was taken in before stays."""
        with self.casebook.write(self.actor) as work:
            _set_folder(work.session, name, None, state, message, fingerprint)
        return IndexedFolder(folder, state, message, changed=True)

    def _index_batch(self, folder: Path) -> int:
        name = self._recorded_name(folder)
        status = (folder / BATCH_NAME).stat()
        fingerprint = f"{status.st_size}:{status.st_mtime_ns}"
        with self.casebook.read(self.actor) as work:
            before = work.session.scalar(select(BatchRow.fingerprint).where(BatchRow.folder == name))
        if before == fingerprint:
            return 0
        report = read_report(folder)
        if report is None:
            return 0
        with self.casebook.write(self.actor) as work:
            row = work.session.scalar(select(BatchRow).where(BatchRow.folder == name))
            if row is None:
                row = BatchRow(uid=new_uid(), folder=name)
                work.session.add(row)
                work.audit.append(self.actor, AuditAction.BATCH_INDEXED, row.uid, after={"folder": name})
            row.report, row.fingerprint, row.indexed_at = report.to_json(), fingerprint, datetime.now(UTC)
        return 1

    def _missing(self) -> list[IndexedFolder]:
        """Folders below the roots that were there, and are gone."""
        with self.casebook.read(self.actor) as work:
            rows = work.session.execute(
                select(RunFolderRow.folder).where(RunFolderRow.state != FolderState.MISSING)
            ).scalars()
            gone = [name for name in rows if self._is_gone(self.casebook.absolute(name))]
        if gone:
            message = f"the folder isn't there any more (noticed {datetime.now(UTC):%Y-%m-%d %H:%M} UTC)"
            with self.casebook.write(self.actor) as work:
                for row in work.session.scalars(select(RunFolderRow).where(RunFolderRow.folder.in_(gone))):
                    if row.state is FolderState.DUPLICATE:
                        work.session.delete(row)
                        continue
                    row.state, row.message, row.fingerprint = FolderState.MISSING, message, ""
                    row.checked_at = datetime.now(UTC)
            return [
                IndexedFolder(self.casebook.absolute(name), FolderState.MISSING, message, changed=True)
                for name in gone
            ]
        return []

    def _is_gone(self, folder: Path) -> bool:
        resolved = folder.resolve()
        return not folder.is_dir() and any(resolved.is_relative_to(root.resolve()) for root in self._roots())

    def _roots(self) -> tuple[Path, ...]:
        return tuple(self.roots) or (self.casebook.folder / RUNS_NAME,)

    def _discovered(self) -> Iterator[Path]:
        for root in self._roots():
            if root.is_dir():
                yield from _walk(root, MAX_DEPTH)

    def _recorded_name(self, folder: Path) -> str:
        """A folder as records name it: relative to the casebook's where it lies there, since both may be moved."""
        resolved, home = folder.resolve(), self.casebook.folder.resolve()
        return resolved.relative_to(home).as_posix() if resolved.is_relative_to(home) else str(resolved)


_SETTLED: Final = frozenset({FolderState.INDEXED, FolderState.GROWING, FolderState.NEWER})
"""States in which a folder that is as it was needn't be read again; what the others lack may come unnoticed."""


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Runs and batches below a folder, by name; links aren't followed, runs aren't entered."""
    yield folder
    if depth == 0 or is_run_folder(folder):
        return
    try:
        parts = sorted(each.path for each in os.scandir(folder) if each.is_dir(follow_symlinks=False))
    except OSError:
        _log.warning("%s can't be read", folder, exc_info=True)
        return
    for part in parts:
        if not Path(part).name.startswith("."):
            yield from _walk(Path(part), depth - 1)


def _recorded_digests(session: Session, run_uid: str) -> frozenset[str]:
    statement = (
        select(ProposalVersionRow.sha256)
        .join(ReviewedCellRow, ReviewedCellRow.uid == ProposalVersionRow.cell_uid)
        .where(ReviewedCellRow.run_uid == run_uid, ProposalVersionRow.path.is_not(None))
    )
    return frozenset(session.scalars(statement))


def _set_folder(
    session: Session, name: str, run_uid: str | None, state: FolderState, message: str, fingerprint: str
) -> None:
    row = session.scalar(select(RunFolderRow).where(RunFolderRow.folder == name))
    if row is None:
        row = RunFolderRow(uid=new_uid(), folder=name, run_uid=None)
        session.add(row)
    row.run_uid = run_uid or row.run_uid
    row.state, row.message, row.fingerprint = state, message, fingerprint
    row.checked_at = datetime.now(UTC)
    session.flush()

"""The laboratory's casebook: opening it, and transactions with it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sqlalchemy import Engine, select
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from station.laboratory.accounts import Accounts, AccountSettings
from station.laboratory.audit import (
    HEAD_ID,
    NO_ENTRY,
    AuditAction,
    AuditAnchor,
    AuditTrail,
    AuditVerification,
    verify_trail,
)
from station.laboratory.cases import CaseRepository
from station.laboratory.cells import CellRepository
from station.laboratory.database import (
    casebook_engine,
    check_database_file,
    database_errors,
    database_url,
    for_writing,
)
from station.laboratory.errors import (
    CasebookUnavailableError,
    LaboratoryError,
    SchemaNewerError,
    SchemaOlderError,
)
from station.laboratory.passwords import Passwords
from station.laboratory.permissions import Actor
from station.laboratory.profile import ProfileRepository
from station.laboratory.runs import RunRepository
from station.laboratory.schema import SchemaState, SchemaVersion, read_schema, upgrade_schema
from station.laboratory.signatures import SignatureRepository
from station.laboratory.tables import AuditHeadRow, LaboratoryRow, new_uid

_log = logging.getLogger(__name__)

DATABASE_NAME: Final = "laboratory.sqlite"
ANCHOR_NAME: Final = "audit.anchor"
PICTURES_NAME: Final = "pictures"
RUNS_NAME: Final = "runs"
MIGRATE_COMMAND: Final = "karyoscan casebook migrate"


@dataclass(frozen=True, slots=True)
class UnitOfWork:
    """What a transaction can read and do; all of it is committed, or none.

    Attributes
    ----------
    session
        Of the database.
    actor
        Who acts.
    audit
        The audit trail.
    """

    session: Session
    actor: Actor
    audit: AuditTrail

    @property
    def profile(self) -> ProfileRepository:
        """The laboratory itself."""
        return ProfileRepository(self.session, self.audit, self.actor)

    @property
    def cases(self) -> CaseRepository:
        """Cases, specimens, slides."""
        return CaseRepository(self.session, self.audit, self.actor)

    @property
    def runs(self) -> RunRepository:
        """Runs and their folders."""
        return RunRepository(self.session, self.audit, self.actor)

    @property
    def cells(self) -> CellRepository:
        """Cells with their proposals and edits."""
        return CellRepository(self.session, self.audit, self.actor)

    @property
    def signatures(self) -> SignatureRepository:
        """Signatures under cases."""
        return SignatureRepository(self.session, self.audit, self.actor)


@dataclass(frozen=True)
class CasebookPlace:
    """Where a casebook is: a folder, and a database in it or on a server.

    Attributes
    ----------
    folder
        Everything that isn't in the database: anchor of the audit trail, pictures, runs.
    server_url
        Of a PostgreSQL database; None for a file in the folder.
    """

    folder: Path
    server_url: str | None = None

    @property
    def database(self) -> Path:
        """File of the database, where it is one."""
        return self.folder / DATABASE_NAME

    @property
    def anchor(self) -> AuditAnchor:
        """What keeps the end of the audit trail outside of the database."""
        return AuditAnchor(self.folder / ANCHOR_NAME)

    @cached_property
    def url(self) -> URL:
        """URL of the database, with its password where it has one: not for messages."""
        if self.server_url is None:
            return URL.create("sqlite", database=str(self.database))
        return database_url(self.server_url)


class LaboratoryCasebook:
    """Cases, people and reviews of a laboratory.

    Several threads may use one, and several processes one database. Obtain it from `open_laboratory_casebook`;
    close it, or use it as a context manager.

    Parameters
    ----------
    place
        Where it is.
    engine
        Engine of a database with the present schema; the casebook disposes of it.
    account_settings, passwords
        How long log-ins last, what passwords are accepted.
    """

    def __init__(
        self, place: CasebookPlace, engine: Engine, account_settings: AccountSettings, passwords: Passwords
    ) -> None:
        self.place = place
        self._engine = engine
        self._writer = for_writing(engine)
        self.accounts = Accounts(self._account_writing, self._account_reading, passwords, account_settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @property
    def folder(self) -> Path:
        """Everything that isn't in the database."""
        return self.place.folder

    def absolute(self, folder: str) -> Path:
        """A folder as records name it, relative to that of the casebook or absolute, on this machine."""
        return self.folder / folder

    @contextmanager
    def read(self, actor: Actor) -> Iterator[UnitOfWork]:
        """Read one state of the casebook; nothing that is changed is kept.

        Parameters
        ----------
        actor
            Who reads.

        Raises
        ------
        CasebookUnavailableError
            The database doesn't answer.
        """
        with database_errors("the casebook can't be read"), Session(self._engine) as session:
            yield UnitOfWork(session, actor, AuditTrail(session))

    @contextmanager
    def write(self, actor: Actor) -> Iterator[UnitOfWork]:
        """Change the casebook: when the block ends, all of it is on the disk; where it raises, nothing is.

        Writers wait for each other. What takes long (reading files, hashing, analysis) is done before.

        Parameters
        ----------
        actor
            Who changes it.

        Raises
        ------
        CasebookUnavailableError
            It is locked, its disk is full, or it doesn't answer; nothing was changed.
        """
        with database_errors("the casebook can't be written"), Session(self._writer) as session:
            audit = AuditTrail(session)
            audit.lock()
            before = audit.head
            yield UnitOfWork(session, actor, audit)
            head = audit.head
            session.commit()
        if head != before:
            self._anchor(*head)

    def verify_audit(self) -> AuditVerification:
        """Compare the audit trail with itself and with its anchor."""
        with database_errors("the audit trail can't be read"), Session(self._engine) as session:
            return verify_trail(session, self.place.anchor)

    @property
    def engine(self) -> Engine:
        """Of the database, for what goes over all tables."""
        return self._engine

    def _anchor(self, number: int, digest: str) -> None:
        try:
            self.place.anchor.append(number, digest)
        except LaboratoryError:
            # What was done is committed: to answer that it failed would be wrong. The next line covers this entry.
            _log.exception("the audit trail's anchor lags behind")

    @contextmanager
    def _account_writing(self) -> Iterator[tuple[Session, AuditTrail]]:
        with self.write(Actor.program("accounts")) as work:
            yield work.session, work.audit

    @contextmanager
    def _account_reading(self) -> Iterator[Session]:
        with self.read(Actor.program("accounts")) as work:
            yield work.session


def open_laboratory_casebook(
    folder: Path,
    server_url: str | None = None,
    *,
    create: bool = False,
    account_settings: AccountSettings | None = None,
    passwords: Passwords | None = None,
) -> LaboratoryCasebook:
    """Open a laboratory's casebook.

    Parameters
    ----------
    folder
        Everything that isn't in the database.
    server_url
        Of a PostgreSQL database (``postgresql://user@host/name``); None for a file in the folder.
    create
        Whether a casebook is made where there is none.
    account_settings, passwords
        How long log-ins last, what passwords are accepted; None for the defaults.

    Raises
    ------
    SchemaOlderError
        It has to be migrated first, by a command.
    SchemaNewerError
        A newer version of the software wrote it.
    CasebookUnavailableError
        There is none, it is damaged, locked or of another program, or its server doesn't answer. In all these
        cases nothing was changed.
    """
    place = CasebookPlace(folder, server_url)
    if create:
        _make_folder(place.folder)
    engine = checked_engine(place, create=create)
    try:
        schema = read_schema(engine)
        if schema.state is SchemaState.EMPTY and create:
            _create(place, engine)
        else:
            _require_current(schema, place)
    except BaseException:
        engine.dispose()
        raise
    return LaboratoryCasebook(place, engine, account_settings or AccountSettings(), passwords or Passwords())


def checked_engine(place: CasebookPlace, *, create: bool = False) -> Engine:
    """An engine for the database of a place; a file that can't be one is refused and left alone.

    Parameters
    ----------
    place
        Where the casebook is.
    create
        Whether the file may be absent.

    Raises
    ------
    CasebookUnavailableError
        There is no such file, or it is none of a casebook.
    """
    if place.server_url is None:
        if not place.folder.is_dir():
            raise CasebookUnavailableError("there is no such folder", path=place.folder)
        path = place.database
        if not create and not path.exists():
            raise CasebookUnavailableError(
                f"there is no casebook ({DATABASE_NAME}); karyoscan casebook create makes one", path=place.folder
            )
        check_database_file(path)
    return casebook_engine(place.url)


def _make_folder(folder: Path) -> None:
    try:
        for path in (folder, folder / PICTURES_NAME, folder / RUNS_NAME):
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CasebookUnavailableError(f"can't be made: {error.strerror}", path=folder) from error


def _require_current(schema: SchemaVersion, place: CasebookPlace) -> None:
    if schema.state is SchemaState.OLDER:
        raise SchemaOlderError(
            f"was written by an older version of the software (schema {schema.present}, this one has "
            f"{schema.wanted}); '{MIGRATE_COMMAND}' makes a backup and brings it up to date. Nothing was changed",
            path=place.folder,
        )
    if schema.state is SchemaState.NEWER:
        raise SchemaNewerError(
            f"was written by a newer version of the software (schema {schema.present}, this one has "
            f"{schema.wanted}): install that version. Nothing was changed",
            path=place.folder,
        )
    if schema.state is SchemaState.EMPTY:
        raise CasebookUnavailableError(
            "the database has no casebook; karyoscan casebook create makes one", path=place.folder
        )


def _create(place: CasebookPlace, engine: Engine) -> None:
    upgrade_schema(engine)
    with database_errors("the casebook can't be created"), Session(for_writing(engine)) as session:
        # Two programs may create it at the same time: the second finds what the first made.
        if session.scalar(select(AuditHeadRow.id)) is not None:
            return
        session.add(AuditHeadRow(id=HEAD_ID, number=0, digest=NO_ENTRY))
        laboratory = LaboratoryRow(uid=new_uid(), name="", address="", created_at=datetime.now(UTC), version=1)
        session.add(laboratory)
        session.flush()
        audit = AuditTrail(session)
        audit.append(Actor.program("casebook"), AuditAction.CASEBOOK_CREATED, laboratory.uid)
        head = audit.head
        session.commit()
    place.anchor.append(*head)

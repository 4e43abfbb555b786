"""How the casebook talks to its database: SQLite in a file, or a PostgreSQL server."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from acquisition.casebook.engine import sqlite_engine, writer
from station.laboratory.errors import (
    CasebookDamagedError,
    CasebookFullError,
    CasebookLockedError,
    CasebookUnavailableError,
    DuplicateRecordError,
    InvalidRecordError,
    LaboratoryError,
)

LABORATORY_ID: Final = 0x4B4C4142
"""``KLAB`` as a big-endian integer: tells the casebook from other SQLite files."""
_SQLITE_MAGIC: Final = b"SQLite format 3\x00"
POSTGRESQL: Final = "postgresql"
_LOCK_TIMEOUT_MS: Final = 10_000
"""As long as SQLite's: a writer that waits longer is told that the casebook is locked."""
_LOCKED_STATES: Final = frozenset({"55P03", "40P01", "40001"})
_FULL_STATES: Final = frozenset({"53100", "53200"})
_UNIQUE_STATE: Final = "23505"


def database_url(text: str) -> URL:
    """Read a database's URL; ``postgresql://`` goes through psycopg.

    Raises
    ------
    CasebookUnavailableError
        It is no URL, or of a database that isn't supported.
    """
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise CasebookUnavailableError(
            "the database's URL can't be read; wanted postgresql://user@host/name"
        ) from error
    if url.get_backend_name() != POSTGRESQL:
        raise CasebookUnavailableError(
            f"databases of the kind {url.get_backend_name()!r} aren't supported; wanted "
            "postgresql://user@host/name, or no URL for a file in the casebook's folder"
        )
    return url.set(drivername="postgresql+psycopg")


def casebook_engine(url: URL) -> Engine:
    """Make an engine; nothing is opened yet. `for_writing` gives the one whose transactions take locks at once.

    Raises
    ------
    CasebookUnavailableError
        The driver of the database isn't installed.
    """
    if url.get_backend_name() == "sqlite":
        return sqlite_engine(Path(str(url.database)))
    try:
        return create_engine(
            url,
            isolation_level="REPEATABLE READ",
            pool_pre_ping=True,
            connect_args={"options": f"-c lock_timeout={_LOCK_TIMEOUT_MS}"},
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise CasebookUnavailableError(
            "PostgreSQL needs the driver psycopg: pip install 'karyoscan[postgresql]'"
        ) from error


def for_writing(engine: Engine) -> Engine:
    """The same engine for transactions that write.

    SQLite takes the write lock when the transaction begins. On PostgreSQL each statement sees what was committed
    before it: writers wait for the audit trail's head first, and then have to see what the others wrote.
    """
    if engine.dialect.name == "sqlite":
        return writer(engine)
    return engine.execution_options(isolation_level="READ COMMITTED")


@contextmanager
def database_errors(what: str) -> Iterator[None]:
    """Turn errors of the database into those of this room.

    Parameters
    ----------
    what
        What can't be done, for the message: ``the casebook can't be read``.
    """
    try:
        yield
    except LaboratoryError:
        raise
    except PoolTimeoutError as error:
        raise CasebookLockedError(f"{what}: all its connections are in use; try again") from error
    except SQLAlchemyError as error:
        raise _translated(error, what) from error


def _translated(error: SQLAlchemyError, what: str) -> LaboratoryError:
    original = error.orig if isinstance(error, DBAPIError) else None
    reason = str(original or error).splitlines()[0]
    state = str(getattr(original, "sqlstate", None) or "")
    name = str(getattr(original, "sqlite_errorname", None) or "")
    if isinstance(error, IntegrityError):
        if state == _UNIQUE_STATE or name in {"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}:
            return DuplicateRecordError(f"{what}: there is such a record already ({reason})")
        return InvalidRecordError(f"{what}: {reason}")
    if state in _LOCKED_STATES or name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return CasebookLockedError(
            f"{what}: another program has locked the casebook; nothing was changed, try again when it is done"
        )
    if state in _FULL_STATES or name == "SQLITE_FULL":
        return CasebookFullError(f"{what}: no room on the disk; nothing was changed, make room and try again")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return CasebookDamagedError(f"{what}: its file is damaged ({reason}); restore a backup")
    if isinstance(original, sqlite3.Error) or state:
        return CasebookUnavailableError(f"{what}: {reason}")
    return CasebookUnavailableError(f"{what}: {reason}; is the server running, and does the URL name it?")


def check_database_file(path: Path) -> None:
    """Look at a file without changing it: whether it can be a casebook's database, or is absent.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    CasebookDamagedError
        It is something else.
    CasebookUnavailableError
        It can't be read.
    """
    try:
        if not path.exists() or path.stat().st_size == 0:
            return
        with path.open("rb") as file:
            magic = file.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise CasebookUnavailableError(f"can't be read: {error.strerror}", path=path) from error
    if magic != _SQLITE_MAGIC:
        raise CasebookDamagedError("is no casebook (not an SQLite file); it was left alone", path=path)

"""Bring a database file to the newest schema, or say why it can't be used."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from acquisition.casebook.engine import APPLICATION_ID, sqlite_engine, writer
from acquisition.errors import CasebookError, NewerCasebookError

_MIGRATIONS = Path(__file__).with_name("migrations")
_SQLITE_MAGIC = b"SQLite format 3\x00"


def migration_config(connection: Connection) -> Config:
    """Alembic's configuration for the migrations of this package, without any ini file.

    Parameters
    ----------
    connection
        Connection the migrations are to use; its transaction stays the caller's.
    """
    config = Config()
    # Alembic reads the value through configparser, to which a lone per cent sign is an error.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def check_is_casebook(path: Path) -> bool:
    """Look at a file without changing it: True where it is a casebook, False where it is absent or empty.

    Raises
    ------
    CasebookError
        The file is something else, or can't be read.
    """
    try:
        if not path.exists() or path.stat().st_size == 0:
            return False
        with path.open("rb") as file:
            magic = file.read(len(_SQLITE_MAGIC))
    except OSError as error:
        raise CasebookError(f"can't be read: {error.strerror}", path=path) from error
    if magic != _SQLITE_MAGIC:
        raise CasebookError("is not a casebook (not an SQLite file)", path=path)
    try:
        with closing(sqlite3.connect(path)) as connection:
            (found,) = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.Error as error:
        raise CasebookError(f"can't be opened: {error}", path=path) from error
    if found != APPLICATION_ID:
        raise CasebookError("is not a casebook (a database of another program)", path=path)
    return True


def upgrade(path: Path) -> None:
    """Create or migrate the database at `path` up to the newest schema, wholly or not at all.

    Raises
    ------
    CasebookError
        The database is newer than this software, or the migration failed.
    """
    # Off for the time of the migration: rebuilding a table under enforced keys would orphan its children.
    engine = sqlite_engine(path, foreign_keys=False)
    try:
        with writer(engine).connect() as connection, connection.begin():
            config = migration_config(connection)
            if _is_current(connection, ScriptDirectory.from_config(config), path):
                return
            command.upgrade(config, "head")
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
            if broken is not None:
                raise CasebookError(f"migration leaves table {broken[0]} with broken references", path=path)
    except (SQLAlchemyError, CommandError) as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise CasebookError(f"can't be brought to the present schema: {reason}", path=path) from error
    finally:
        engine.dispose()


def _is_current(connection: Connection, scripts: ScriptDirectory, path: Path) -> bool:
    present = set(MigrationContext.configure(connection).get_current_heads())
    unknown = present - {script.revision for script in scripts.walk_revisions()}
    if unknown:
        raise NewerCasebookError(
            f"was written by a newer version of the software (schema {', '.join(sorted(unknown))})", path=path
        )
    return present == set(scripts.get_heads())

"""The schema of the casebook's database: whether it fits, creating it, migrating it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, event, inspect
from sqlalchemy.engine.interfaces import DBAPIConnection

from station.laboratory.database import LABORATORY_ID, database_errors, for_writing
from station.laboratory.errors import CasebookDamagedError, CasebookUnavailableError

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
HEAD: Final = "head"


class SchemaState(StrEnum):
    """How the schema of a database fits this software."""

    EMPTY = "empty"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"


@dataclass(frozen=True, slots=True)
class SchemaVersion:
    """The schema of a database.

    Attributes
    ----------
    state
        How it fits.
    present, wanted
        Its revision, and that of this software; the first is empty where there is none.
    """

    state: SchemaState
    present: str
    wanted: str


def migration_settings(connection: Connection) -> Config:
    """Alembic's configuration for the migrations of this package, without any ini file.

    Parameters
    ----------
    connection
        Connection that the migrations use; its transaction stays the caller's.
    """
    config = Config()
    # Alembic reads the value through configparser, to which a lone per cent sign is an error.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def read_schema(engine: Engine) -> SchemaVersion:
    """How the schema of a database fits; nothing is changed.

    Raises
    ------
    CasebookUnavailableError
        It can't be read, or belongs to another program.
    """
    with database_errors("the casebook can't be opened"), engine.connect() as connection:
        return _schema_of(connection)


def _schema_of(connection: Connection) -> SchemaVersion:
    scripts = ScriptDirectory.from_config(migration_settings(connection))
    wanted = scripts.get_current_head() or ""
    present = MigrationContext.configure(connection).get_current_revision()
    tables = [name for name in inspect(connection).get_table_names() if name != "alembic_version"]
    if present is None:
        if tables:
            raise CasebookDamagedError("this is the database of another program; it was left alone")
        return SchemaVersion(SchemaState.EMPTY, "", wanted)
    if connection.dialect.name == "sqlite":
        (mark,) = connection.exec_driver_sql("PRAGMA application_id").one()
        if mark != LABORATORY_ID:
            raise CasebookDamagedError("this is the database of another program; it was left alone")
    if present == wanted:
        return SchemaVersion(SchemaState.CURRENT, present, wanted)
    listed = {script.revision for script in scripts.walk_revisions()}
    state = SchemaState.OLDER if present in listed else SchemaState.NEWER
    return SchemaVersion(state, present, wanted)


def upgrade_schema(engine: Engine, revision: str = HEAD) -> None:
    """Create the tables, or bring them to a revision: wholly or not at all.

    Parameters
    ----------
    engine
        Of the database.
    revision
        Which one.

    Raises
    ------
    CasebookUnavailableError
        The migration failed; the database is as before.
    """
    with database_errors("the casebook can't be migrated"):
        try:
            with _without_foreign_keys(engine), for_writing(engine).connect() as connection, connection.begin():
                command.upgrade(migration_settings(connection), revision)
                if connection.dialect.name == "sqlite":
                    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
                    if broken is not None:
                        raise CasebookUnavailableError(
                            f"the casebook can't be migrated: table {broken[0]} would have broken references"
                        )
        except CommandError as error:
            raise CasebookUnavailableError(f"the casebook can't be migrated: {error}") from error


class _without_foreign_keys:  # noqa: N801 - a context manager
    """SQLite rebuilds tables to change them, which would orphan the rows that refer to them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> None:
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _turn_off)
            self._engine.dispose()

    def __exit__(self, *_: object) -> None:
        if self._engine.dialect.name == "sqlite":
            event.remove(self._engine, "connect", _turn_off)
            self._engine.dispose()


def _turn_off(connection: DBAPIConnection, _record: object) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA foreign_keys=OFF")
    finally:
        cursor.close()

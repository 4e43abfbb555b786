"""How the casebook talks to SQLite."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

BUSY_TIMEOUT_S = 10.0
# "KARY" as a big-endian integer: lets a casebook be told from any other SQLite file.
APPLICATION_ID = 0x4B415259

_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    # In WAL mode NORMAL may lose the last commits at a power cut; a capture must not outlive its record.
    "PRAGMA synchronous=FULL",
)


def sqlite_engine(path: Path, *, foreign_keys: bool = True) -> Engine:
    """Make an engine for the SQLite file `path`; nothing is opened yet.

    Parameters
    ----------
    path
        Database file.
    foreign_keys
        Off only while a migration rebuilds tables.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        cursor = connection.cursor()
        try:
            for pragma in (*_PRAGMAS, f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}"):
                cursor.execute(pragma)
        finally:
            cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # The driver's own BEGIN comes too late (not before DDL or SELECT). A writer takes the lock at once: one
        # that starts as a reader is turned away when another writer was faster, whatever the busy time-out.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def writer(engine: Engine) -> Engine:
    """The same engine, whose transactions take the write lock when they begin."""
    return engine.execution_options(writes=True)

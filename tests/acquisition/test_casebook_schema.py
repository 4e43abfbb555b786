"""The schema: migrations equal the models, go up and down, and refuse foreign files."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect
from sqlalchemy.exc import OperationalError

from acquisition.casebook import open_casebook
from acquisition.casebook.engine import APPLICATION_ID, sqlite_engine, writer
from acquisition.casebook.models import Base
from acquisition.casebook.schema import migration_config
from acquisition.errors import CasebookError
from acquisition.records import RunRecord

RUN = RunRecord("r", "slide", "rig", "", "protocol", "", "0.1.0", datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    # A per cent sign and a space are what configuration parsers and URLs stumble over.
    folder = tmp_path / "50% done"
    folder.mkdir()
    return folder / "casebook.sqlite"


def test_models_equal_migration(path: Path) -> None:
    open_casebook(path).close()
    engine = sqlite_engine(path)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_checks_equal_migration(path: Path, tmp_path: Path) -> None:
    open_casebook(path).close()
    by_migration = sqlite_engine(path)
    by_models = sqlite_engine(tmp_path / "models.sqlite")
    Base.metadata.create_all(by_models)
    with by_migration.connect() as one, by_models.connect() as other:
        assert _checks(one) == _checks(other)
    by_migration.dispose()
    by_models.dispose()


def _checks(connection: Connection) -> dict[tuple[str, str], str]:
    inspector = inspect(connection)
    return {
        (table, str(check["name"])): re.sub(r"\s+", " ", check["sqltext"])
        for table in Base.metadata.tables
        for check in inspector.get_check_constraints(table)
    }


def test_migration_goes_down_and_up_with_rows(path: Path) -> None:
    with open_casebook(path) as book:
        book.begin_run(RUN)
    engine = sqlite_engine(path, foreign_keys=False)
    with writer(engine).connect() as connection, connection.begin():
        command.downgrade(migration_config(connection), "base")
    with engine.connect() as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()
    with open_casebook(path) as book:
        assert book.runs() == ()
        book.begin_run(RUN)
        assert book.run("r").record == RUN


def test_a_failed_migration_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = command.upgrade

    def break_after(*args: object) -> None:
        real(*args)
        raise OperationalError("ALTER", {}, sqlite3.OperationalError("disk I/O error"))

    monkeypatch.setattr(command, "upgrade", break_after)
    with pytest.raises(CasebookError, match="disk I/O error"):
        open_casebook(path)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        assert connection.execute("PRAGMA application_id").fetchone() == (0,)


def test_a_casebook_is_marked_as_one(path: Path) -> None:
    open_casebook(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_an_empty_file_becomes_a_casebook(path: Path) -> None:
    path.touch()
    with open_casebook(path) as book:
        assert book.runs() == ()


def test_a_newer_casebook_is_refused_and_left_alone(path: Path) -> None:
    open_casebook(path).close()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(CasebookError, match=r"newer version of the software \(schema 9999\)") as caught:
        open_casebook(path)
    assert "\n" not in str(caught.value)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


@pytest.mark.parametrize("content", [b"run,field\n1,2\n", b"\x00" * 40, b"SQLite format 3\x00" + b"x" * 200])
def test_a_file_that_is_no_database_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(CasebookError, match=re.escape(str(path))) as caught:
        open_casebook(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE run (id INTEGER PRIMARY KEY)")
    with pytest.raises(CasebookError, match="another program"):
        open_casebook(path)


def test_an_absent_casebook_is_not_made_where_one_is_expected(path: Path) -> None:
    with pytest.raises(CasebookError, match="there is no casebook"):
        open_casebook(path, create=False)
    assert not path.exists()


def test_an_absent_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CasebookError, match="unable to open database file"):
        open_casebook(tmp_path / "absent" / "casebook.sqlite")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CasebookError, match="can't be read"):
        open_casebook(tmp_path)

"""Opening a casebook: what can't be used is refused in clear words, and left as it was."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from acquisition.casebook import open_casebook
from station.laboratory.casebook import DATABASE_NAME, CasebookPlace, LaboratoryCasebook, open_laboratory_casebook
from station.laboratory.errors import (
    CasebookDamagedError,
    CasebookLockedError,
    CasebookUnavailableError,
    SchemaNewerError,
)
from station.laboratory.tables import LaboratoryBase
from tests.station.laboratory.conftest import CHEAP, PROGRAM, Opener


def test_the_models_equal_the_migrations(casebook: LaboratoryCasebook) -> None:
    with casebook.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, LaboratoryBase.metadata) == []


def test_it_is_opened_again_with_what_was_written(opener: Opener) -> None:
    with opener() as casebook, casebook.write(PROGRAM) as work:
        case = work.cases.create("24-0117")
    with opener() as casebook, casebook.read(PROGRAM) as work:
        assert work.cases.get(case.uid) == case


def test_a_folder_without_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CasebookUnavailableError, match="karyoscan casebook create makes one"):
        open_laboratory_casebook(tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(CasebookUnavailableError, match="no such folder"):
        open_laboratory_casebook(tmp_path / "absent")


def test_a_newer_one_is_refused_and_left_alone(casebook: LaboratoryCasebook, opener: Opener) -> None:
    with casebook.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaNewerError, match=re.escape("newer version of the software (schema 9999")):
        opener()
    with casebook.engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "9999"


@pytest.mark.parametrize("content", [b"run,field\n1,2\n", b"\x00" * 40, b"SQLite format 3\x00" + b"x" * 200])
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(content)
    for create in (False, True):
        with pytest.raises(CasebookUnavailableError):
            open_laboratory_casebook(tmp_path, create=create)
        assert (tmp_path / DATABASE_NAME).read_bytes() == content


def test_the_casebook_of_a_run_is_none_of_a_laboratory(tmp_path: Path) -> None:
    open_casebook(tmp_path / DATABASE_NAME).close()
    with pytest.raises(CasebookDamagedError, match="another program"):
        open_laboratory_casebook(tmp_path, create=True)


def test_a_locked_one_says_so_and_changes_nothing(
    sqlite_casebook: LaboratoryCasebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acquisition.casebook.engine.BUSY_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(sqlite_casebook.place.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        with open_laboratory_casebook(sqlite_casebook.folder, passwords=CHEAP) as casebook:
            with pytest.raises(CasebookLockedError, match="another program"), casebook.write(PROGRAM) as work:
                work.cases.create("24-0117")
            with casebook.read(PROGRAM) as work:
                assert work.cases.with_accession("24-0117") is None
        other.rollback()


def test_a_server_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="no driver for PostgreSQL")
    with pytest.raises(CasebookUnavailableError) as refused:
        open_laboratory_casebook(tmp_path, "postgresql://me:secret@127.0.0.1:9/none", create=True)
    assert "secret" not in str(refused.value)
    assert "secret" not in str(CasebookPlace(tmp_path, "postgresql://me:secret@host/x").url)


@pytest.mark.parametrize("url", ["mysql://host/x", "nonsense", "sqlite:///other.sqlite"])
def test_other_databases_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(CasebookUnavailableError, match=r"postgresql://user@host/name"):
        open_laboratory_casebook(tmp_path, url, create=True)

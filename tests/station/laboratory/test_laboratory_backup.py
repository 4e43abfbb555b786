"""Backups: what is restored is what was there, on either database; what is damaged is refused."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import text

from station.laboratory.backup import back_up, migrate, restore, verify_backup
from station.laboratory.casebook import CasebookPlace, LaboratoryCasebook, open_laboratory_casebook
from station.laboratory.database import for_writing
from station.laboratory.errors import BackupError, SchemaNewerError, SchemaOlderError
from station.laboratory.indexer import Indexer
from station.laboratory.records import CaseQuery
from station.laboratory.schema import migration_settings
from tests.station.laboratory.conftest import CHEAP, PASSWORD, PROGRAM, Opener
from tests.station.laboratory.run_folders import finished_run

Fill = Callable[[LaboratoryCasebook], None]


@pytest.fixture
def filled(casebook: LaboratoryCasebook, full_tables: Fill) -> LaboratoryCasebook:
    full_tables(casebook)
    finished_run(casebook.folder / "runs" / "one", "run-1", accession="24-0200")
    Indexer(casebook).index()
    (casebook.folder / "pictures" / "sub").mkdir()
    (casebook.folder / "pictures" / "sub" / "a.png").write_bytes(b"pixels")
    return casebook


def content(casebook: LaboratoryCasebook) -> list[object]:
    with casebook.read(PROGRAM) as work:
        cases = work.cases.search(CaseQuery()).cases
        cells = [cell for each in cases for cell in work.cells.of_case(each.case.uid)]
        return [
            cases,
            cells,
            [work.cells.proposals(cell.uid) for cell in cells],
            [work.cells.proposal_content(cell.uid, cell.proposal_number) for cell in cells],
            [work.cells.edits(cell.uid) for cell in cells],
            [work.signatures.of_case(each.case.uid) for each in cases],
            work.runs.recent(),
            work.audit.entries(limit=1000),
        ]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_what_is_restored_is_what_was_there(
    filled: LaboratoryCasebook, tmp_path: Path, kind: str, new_server_url: Callable[[], str]
) -> None:
    summary = back_up(filled.place, tmp_path / "backup.zip")
    assert verify_backup(summary.path) == summary
    target = CasebookPlace(tmp_path / "restored", None if kind == "sqlite" else new_server_url())
    restore(summary.path, target)
    before = content(filled)
    with open_laboratory_casebook(target.folder, target.server_url, passwords=CHEAP) as restored:
        after = content(restored)
        assert after[:-1] == before[:-1]
        assert after[-1][:-1] == before[-1], "and one more entry, which says that it was restored"
        assert restored.verify_audit().defects == ()
        restored.accounts.log_in("signer", PASSWORD)
        with restored.write(PROGRAM) as work:
            work.cases.create("24-9999")
    assert (target.folder / "pictures/sub/a.png").read_bytes() == b"pixels"


def test_a_backup_replaces_nothing(sqlite_casebook: LaboratoryCasebook, tmp_path: Path) -> None:
    path = tmp_path / "backup.zip"
    back_up(sqlite_casebook.place, path)
    kept = path.read_bytes()
    with pytest.raises(BackupError, match="there already"):
        back_up(sqlite_casebook.place, path)
    with pytest.raises(BackupError, match="there is a casebook already"):
        restore(path, sqlite_casebook.place)
    assert path.read_bytes() == kept


@pytest.mark.parametrize("at", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_backup_that_is_damaged_or_cut_is_refused_and_leaves_nothing(
    sqlite_casebook: LaboratoryCasebook, tmp_path: Path, at: float
) -> None:
    path = tmp_path / "backup.zip"
    back_up(sqlite_casebook.place, path)
    whole = path.read_bytes()
    place = int(at * len(whole))
    target = CasebookPlace(tmp_path / "restored")
    path.write_bytes(whole[:place])
    with pytest.raises(BackupError):
        restore(path, target)
    assert not target.folder.exists()


def test_a_backup_that_was_changed_is_refused(sqlite_casebook: LaboratoryCasebook, tmp_path: Path) -> None:
    path, changed = tmp_path / "backup.zip", tmp_path / "changed.zip"
    with sqlite_casebook.write(PROGRAM) as work:
        work.cases.create("24-0117")
    back_up(sqlite_casebook.place, path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name).replace(b"24-0117", b"24-0118"))
    with pytest.raises(BackupError, match="is damaged"):
        restore(changed, CasebookPlace(tmp_path / "restored"))


def test_no_room_is_noticed_before_anything_is_written(
    sqlite_casebook: LaboratoryCasebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    with pytest.raises(BackupError, match="0 are free"):
        back_up(sqlite_casebook.place, tmp_path / "backup.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["laboratory"]


def test_an_older_casebook_is_named_and_migrated_by_command_after_a_backup(
    casebook: LaboratoryCasebook, opener: Opener
) -> None:
    with casebook.write(PROGRAM) as work:
        case = work.cases.create("24-0117")
    with for_writing(casebook.engine).begin() as connection:
        command.downgrade(migration_settings(connection), "0001")
    with pytest.raises(SchemaOlderError, match="karyoscan casebook migrate"):
        opener()
    with casebook.engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0001"
    before, after, path = migrate(casebook.place, PROGRAM)
    assert (before, after) == ("0001", "0002")
    assert path is not None
    assert verify_backup(path).schema == "0001"
    with opener() as migrated:
        with migrated.read(PROGRAM) as work:
            assert work.cases.get(case.uid) == case
        assert migrated.verify_audit().defects == ()
    assert migrate(casebook.place, PROGRAM)[2] is None


def test_a_backup_of_an_older_schema_is_restored_as_it_was(
    sqlite_casebook: LaboratoryCasebook, tmp_path: Path
) -> None:
    with for_writing(sqlite_casebook.engine).begin() as connection:
        command.downgrade(migration_settings(connection), "0001")
    back_up(sqlite_casebook.place, tmp_path / "old.zip")
    target = CasebookPlace(tmp_path / "restored")
    restore(tmp_path / "old.zip", target)
    with pytest.raises(SchemaOlderError):
        open_laboratory_casebook(target.folder)
    migrate(target, PROGRAM)
    open_laboratory_casebook(target.folder).close()


def test_a_newer_casebook_is_not_migrated(sqlite_casebook: LaboratoryCasebook) -> None:
    with sqlite_casebook.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaNewerError):
        migrate(sqlite_casebook.place, PROGRAM)
    assert not (sqlite_casebook.folder / "backups").exists()

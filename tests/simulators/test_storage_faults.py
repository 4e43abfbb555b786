"""Disks that are full or slow, processes that are killed: as data, and where they bite."""

import signal
import sqlite3
import sqlite3.dbapi2
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from acquisition.casebook.engine import sqlite_engine
from acquisition.errors import DiskFullError
from acquisition.journal import Journal, read_journal
from acquisition.storage import write_json_atomic
from simulators.storage_faults import (
    SLOW_S,
    FaultyDisk,
    StorageFault,
    StorageFaultKind,
    StorageFaultPlan,
    faulty_disk,
    parse_storage_faults,
)


def test_a_full_disk_leaves_the_file_before_whole(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    with faulty_disk(folder, parse_storage_faults("disk_full@*.json:2")):
        write_json_atomic(folder / "run.json", 1)
        with pytest.raises(DiskFullError, match="no room on the disk"):
            write_json_atomic(folder / "run.json", 2)
        assert (folder / "run.json").read_text() == "1\n"
        write_json_atomic(folder / "run.json", 3)
    assert sorted(path.name for path in folder.iterdir()) == ["run.json"]


def test_only_the_files_that_are_meant_go_wrong(tmp_path):
    folder = tmp_path / "run"
    (folder / "captures").mkdir(parents=True)
    with faulty_disk(folder, parse_storage_faults("disk_full@captures/* x*")):
        write_json_atomic(tmp_path / "elsewhere.json", 1)
        write_json_atomic(folder / "run.json", 1)
        for _ in range(2):
            with pytest.raises(DiskFullError):
                write_json_atomic(folder / "captures" / "c1.json", 1)
        # Reading needs no room.
        assert (folder / "run.json").read_text() == "1\n"
    write_json_atomic(folder / "captures" / "c1.json", 1)


def test_a_pattern_reaches_the_run_folders_within_the_folder_of_a_batch(tmp_path):
    slides = [tmp_path / f"slot-{number}" for number in (1, 2)]
    for slide in slides:
        (slide / "captures").mkdir(parents=True)
    faults = parse_storage_faults("disk_full@journal.log:4; disk_full@captures/*.tiff")
    with faulty_disk(tmp_path, faults):
        # Making a journal and each of its records counts; the fault counts on over the slides.
        for slide, kinds in zip(slides, (["written"], []), strict=True):
            with Journal.create(slide / "journal.log") as log:
                for kind in kinds:
                    log.append(kind)
                if slide is slides[1]:
                    with pytest.raises(DiskFullError):
                        log.append("refused")
        with pytest.raises(DiskFullError):
            write_json_atomic(slides[1] / "captures" / "c1.tiff", 1)
        write_json_atomic(slides[1] / "captures.json", 1)
    assert [[r.kind for r in read_journal(slide / "journal.log")] for slide in slides] == [["written"], []]


def test_a_full_disk_stops_the_journal_at_a_whole_record(tmp_path):
    faults = parse_storage_faults("disk_full@journal:3")
    with faulty_disk(tmp_path, faults), Journal.create(tmp_path / "journal") as log:
        log.append("first")
        with pytest.raises(DiskFullError):
            log.append("second")
        log.append("third")
    assert [record.kind for record in read_journal(tmp_path / "journal")] == ["first", "third"]


def test_a_full_disk_refuses_the_rows_of_a_database_and_keeps_those_before(tmp_path):
    with faulty_disk(tmp_path, parse_storage_faults("disk_full@book.sqlite:2")):
        engine = sqlite_engine(tmp_path / "book.sqlite")
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE cell (number INTEGER)")

        def insert(number):
            with engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO cell VALUES (?)", (number,))

        def rows():
            with engine.connect() as connection:
                return [row[0] for row in connection.exec_driver_sql("SELECT number FROM cell ORDER BY number")]

        insert(1)
        assert rows() == [1]
        with pytest.raises(OperationalError, match="database or disk is full"):
            insert(2)
        assert rows() == [1]
        insert(3)
        assert rows() == [1, 3]
        engine.dispose()
    assert sqlite3.dbapi2.connect is sqlite3.connect


def test_a_slow_disk_keeps_the_writer_waiting(tmp_path):
    waited = []
    plan = StorageFaultPlan((StorageFault(StorageFaultKind.DISK_SLOW, "*.tiff", 2),))
    disk = FaultyDisk(tmp_path, plan, sleep=waited.append)
    for name in ("a.tiff", "b.json", "b.tiff", "c.tiff"):
        disk.begin(str(tmp_path / name))
    assert waited == [SLOW_S]


def test_a_kill_comes_with_the_second_file_and_not_before(tmp_path):
    killed = []
    disk = FaultyDisk(
        tmp_path, StorageFaultPlan(parse_storage_faults("process_killed@*.json:2")), kill=lambda: killed.append(1)
    )
    for name in ("a.json", "b.json"):
        disk.hear("os.rename", (f"{tmp_path}/.{name}.x.part", str(tmp_path / name), -1, -1))
        assert not killed
    disk.settle()
    assert killed
    disk.close()
    disk.passed("c.json")
    assert killed == [1]


KILLED = """
import sys
from pathlib import Path
from acquisition.journal import Journal
from acquisition.storage import write_json_atomic
from simulators.storage_faults import faulty_disk, parse_storage_faults
folder = Path(sys.argv[1])
with faulty_disk(folder, parse_storage_faults(sys.argv[2])), Journal.create(folder / "journal") as journal:
    for number in range(5):
        write_json_atomic(folder / f"{number}.json", number)
        journal.append("written", number=number)
"""


@pytest.mark.parametrize(
    ("faults", "files", "records"),
    [("process_killed@?.json:3", 3, 2), ("process_killed@journal/written:2", 2, 2), ("", 5, 5)],
)
def test_a_killed_process_leaves_whole_files_and_whole_records(tmp_path, faults, files, records):
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, str(tmp_path), faults]
    done = subprocess.run(command, cwd=root, timeout=120, check=False)
    assert done.returncode == (-signal.SIGKILL if faults else 0)
    found = sorted(path.name for path in tmp_path.glob("*.json"))
    assert found == [f"{number}.json" for number in range(files)]
    assert [record.values["number"] for record in read_journal(tmp_path / "journal")] == list(range(records))
    assert not list(tmp_path.glob(".*.part"))

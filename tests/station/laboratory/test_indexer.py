"""The indexer: runs come in as often as one likes, and what is wrong with a folder keeps no other out."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acquisition.batch.report import BatchReport, SlideReport, SlideStatus, write_report
from acquisition.records import KaryotypeStatus, RunStatus
from acquisition.storage.run_folder import locked_folder
from analysis.structures.review import ReviewLevel
from station.laboratory.casebook import LaboratoryCasebook
from station.laboratory.indexer import Indexer
from station.laboratory.permissions import AccountRole
from station.laboratory.records import (
    CaseQuery,
    FolderState,
    IndexedRun,
    ProposalDraft,
    ProposalOrigin,
    ReviewRole,
    SignatureMeaning,
)
from tests.station.laboratory.conftest import PROGRAM, add_user
from tests.station.laboratory.run_folders import RunOfTest, finished_run


def the_run(casebook: LaboratoryCasebook) -> IndexedRun:
    with casebook.read(PROGRAM) as work:
        (run,) = work.runs.recent()
    return run


def runs_of(casebook: LaboratoryCasebook) -> Path:
    return casebook.folder / "runs"


def content_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def test_a_finished_run_is_taken_in_once(casebook: LaboratoryCasebook) -> None:
    finished_run(runs_of(casebook) / "night" / "slot-1")
    before = content_of(runs_of(casebook))
    report = Indexer(casebook).index()
    assert [(each.state, each.message) for each in report.folders] == [(FolderState.INDEXED, "")]
    run = the_run(casebook)
    assert (run.folder, run.status, run.slide) == ("runs/night/slot-1", RunStatus.COMPLETED, "B1")
    assert (run.fields_done, run.candidates, run.captured, run.karyotyped) == (1, 5, 3, 3)
    with casebook.read(PROGRAM) as work:
        case = work.cases.named("24-0117")
        cells = work.cells.of_case(case.uid)
        assert work.cases.overview(case.uid).barcodes == ("B1",)
        (version,) = work.cells.proposals(cells[0].uid)
    assert [(cell.rank, cell.name, cell.iscn, cell.verdict) for cell in cells] == [
        (rank, f"c{rank:04d}", "46,XX", ReviewLevel.MUST_REVIEW) for rank in (1, 2, 3)
    ]
    assert cells[0].karyotype_status is KaryotypeStatus.PROPOSED
    assert (casebook.absolute(run.folder) / cells[0].picture).read_bytes() == b"picture c0001"
    assert (version.origin, version.path, version.number) == (ProposalOrigin.SOFTWARE, "karyograms/c0001.json", 1)
    entries = casebook.verify_audit().entries
    again = Indexer(casebook).index()
    assert (again.changed, [each.state for each in again.folders]) == (0, [FolderState.INDEXED])
    assert casebook.verify_audit().entries == entries
    assert content_of(runs_of(casebook)) == before, "nothing was written into the run's folder"


def test_a_growing_run_is_followed(sqlite_casebook: LaboratoryCasebook) -> None:
    run = RunOfTest(runs_of(sqlite_casebook) / "slot-1")
    indexer = Indexer(sqlite_casebook)
    run.begin()
    with locked_folder(run.folder):
        assert indexer.index().folders[0].state is FolderState.GROWING
        assert the_run(sqlite_casebook).status is RunStatus.RUNNING
        run.find(6)
        run.capture(1, 2)
        indexer.index_folder(run.folder)
        assert the_run(sqlite_casebook).captured == 2
        run.karyotype(1, 1)
        run.capture(3, 4)
        indexer.index_folder(run.folder)
    run.finish()
    assert indexer.index().folders[0].state is FolderState.INDEXED
    indexed = the_run(sqlite_casebook)
    assert (indexed.status, indexed.captured, indexed.karyotyped) == (RunStatus.COMPLETED, 4, 1)
    with sqlite_casebook.read(PROGRAM) as work:
        assert [cell.name for cell in work.cells.of_run("run-1")] == ["c0001", "c0002", "c0003", "c0004"]


def test_reviews_stay_when_the_run_is_karyotyped_anew(casebook: LaboratoryCasebook) -> None:
    reader = add_user(casebook, "reader", AccountRole.CYTOGENETICIST)
    run = finished_run(runs_of(casebook) / "slot-1")
    Indexer(casebook).index()
    with casebook.write(reader.actor()) as work:
        edited, untouched, _ = work.cells.of_run(run.uid)
        work.cells.review(edited.uid, 1, role=ReviewRole.KARYOTYPED)
        work.cells.edit(edited.uid, 2, ProposalDraft(b"{}", "45,X", 45, ReviewLevel.AUTO), operation="delete")
    run.karyotype(1, 3, "47,XX,+21", seconds=2.0)
    Indexer(casebook).index()
    with casebook.read(PROGRAM) as work:
        one, other, _ = work.cells.of_run(run.uid)
        assert (one.iscn, one.role, one.proposal_number, one.version) == ("45,X", ReviewRole.KARYOTYPED, 2, 3)
        assert [each.origin for each in work.cells.proposals(one.uid)] == [
            ProposalOrigin.SOFTWARE,
            ProposalOrigin.PERSON,
            ProposalOrigin.SOFTWARE,
        ]
        assert (other.iscn, other.proposal_number, other.version) == ("47,XX,+21", 2, untouched.version + 1)


def test_a_signed_case_keeps_what_was_signed(sqlite_casebook: LaboratoryCasebook) -> None:
    casebook = sqlite_casebook
    chief = add_user(casebook, "chief", AccountRole.SUPERVISOR)
    run = finished_run(runs_of(casebook) / "slot-1")
    Indexer(casebook).index()
    with casebook.write(chief.actor()) as work:
        case = work.cases.named("24-0117")
        work.cells.review(work.cells.of_run(run.uid)[0].uid, 1, role=ReviewRole.KARYOTYPED)
        signature = work.signatures.sign(case.uid, case.version, chief, SignatureMeaning.APPROVED)
    run.karyotype(1, 3, "47,XX,+21", seconds=2.0)
    finished_run(runs_of(casebook) / "slot-2", "run-2", slide="B2")
    Indexer(casebook).index()
    with casebook.read(PROGRAM) as work:
        assert work.signatures.content_sha256(case.uid) == signature.content_sha256
        assert work.cells.of_run(run.uid)[0].iscn == "46,XX"
        assert len(work.cells.of_case(case.uid)) == 6


def test_a_run_that_a_person_gave_to_a_case_stays_there(sqlite_casebook: LaboratoryCasebook) -> None:
    run = finished_run(runs_of(sqlite_casebook) / "slot-1", accession="")
    Indexer(sqlite_casebook).index()
    indexed = the_run(sqlite_casebook)
    assert indexed.case_uid is None
    with sqlite_casebook.write(PROGRAM) as work:
        case = work.cases.create("24-0999")
        work.runs.assign_case(run.uid, indexed.version, case.uid)
    run.karyotype(1, 1, "45,X", seconds=3.0)
    Indexer(sqlite_casebook).index()
    assert the_run(sqlite_casebook).case_uid == case.uid
    with sqlite_casebook.read(PROGRAM) as work:
        assert len(work.cells.of_case(case.uid)) == 3


def test_a_slide_that_is_on_record_gives_its_run_to_its_case(sqlite_casebook: LaboratoryCasebook) -> None:
    with sqlite_casebook.write(PROGRAM) as work:
        case = work.cases.create("24-0500")
        work.cases.add_slide(case.uid, "B1")
    finished_run(runs_of(sqlite_casebook) / "slot-1", accession="")
    Indexer(sqlite_casebook).index()
    assert the_run(sqlite_casebook).case_uid == case.uid


def newer(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "casebook.sqlite")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")


def cut(folder: Path) -> None:
    path = folder / "casebook.sqlite"
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("damage", "state", "word"),
    [
        (lambda folder: shutil.rmtree(folder), FolderState.MISSING, "isn't there any more"),
        (lambda folder: (folder / "captures/c0002.ome.tiff").unlink(), FolderState.INCOMPLETE, "c0002.ome.tiff"),
        (lambda folder: (folder / "karyograms/c0001.json").unlink(), FolderState.INCOMPLETE, "c0001.json"),
        (lambda folder: (folder / "casebook.sqlite").unlink(), FolderState.INCOMPLETE, "casebook.sqlite"),
        (newer, FolderState.NEWER, "install that version"),
        (cut, FolderState.DAMAGED, "can't be read"),
        (lambda folder: (folder / "casebook.sqlite").write_bytes(b"x" * 9000), FolderState.DAMAGED, "database"),
    ],
    ids=["deleted", "no picture", "no proposal", "no record", "newer", "cut", "other file"],
)
def test_a_folder_that_went_wrong_keeps_its_run_and_no_other_out(
    sqlite_casebook: LaboratoryCasebook, damage, state: FolderState, word: str
) -> None:
    bad = finished_run(runs_of(sqlite_casebook) / "a-bad", "run-bad")
    Indexer(sqlite_casebook).index()
    damage(bad.folder)
    finished_run(runs_of(sqlite_casebook) / "b-good", "run-good", slide="B2")
    report = Indexer(sqlite_casebook).index()
    assert report.failed == ()
    assert report.counts() == {state: 1, FolderState.INDEXED: 1}
    with sqlite_casebook.read(PROGRAM) as work:
        run = work.runs.get("run-bad")
        assert (run.folder_state, word in run.folder_message) == (state, True), run.folder_message
        assert len(work.cells.of_run("run-bad")) == 3
        assert [each.folder for each in work.runs.folders(with_problems=True)] == ["runs/a-bad"]


@pytest.mark.parametrize("damage", [newer, cut], ids=["newer", "cut"])
def test_a_folder_that_is_wrong_from_the_start_is_recorded(sqlite_casebook: LaboratoryCasebook, damage) -> None:
    damage(finished_run(runs_of(sqlite_casebook) / "a-bad").folder)
    Indexer(sqlite_casebook).index()
    with sqlite_casebook.read(PROGRAM) as work:
        assert work.runs.recent() == ()
        assert len(work.runs.folders(with_problems=True)) == 1


def test_a_half_copied_run_is_taken_in_when_it_is_whole(
    sqlite_casebook: LaboratoryCasebook, tmp_path: Path
) -> None:
    source = finished_run(tmp_path / "elsewhere").folder
    target = runs_of(sqlite_casebook) / "copied"
    indexer = Indexer(sqlite_casebook)
    states = []
    for path in sorted(source.rglob("*"), reverse=True):
        if path.is_file():
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / path.relative_to(source))
            states += [each.state for each in indexer.index().folders]
    assert states[-1] is FolderState.INDEXED
    assert set(states) == {FolderState.INCOMPLETE, FolderState.INDEXED}
    assert the_run(sqlite_casebook).captured == 3


def test_a_run_of_an_older_schema_is_read_and_left_as_it_is(sqlite_casebook: LaboratoryCasebook) -> None:
    from alembic import command

    from acquisition.casebook.engine import sqlite_engine, writer
    from acquisition.casebook.schema import migration_config

    run = finished_run(runs_of(sqlite_casebook) / "old")
    engine = sqlite_engine(run.folder / "casebook.sqlite", foreign_keys=False)
    with writer(engine).connect() as connection, connection.begin():
        command.downgrade(migration_config(connection), "0002")
    engine.dispose()
    before = content_of(run.folder)
    assert Indexer(sqlite_casebook).index().folders[0].state is FolderState.INDEXED
    assert content_of(run.folder) == before


def test_copies_and_moved_runs(sqlite_casebook: LaboratoryCasebook) -> None:
    runs = runs_of(sqlite_casebook)
    first = finished_run(runs / "one").folder
    Indexer(sqlite_casebook).index()
    shutil.copytree(first, runs / "two")
    assert Indexer(sqlite_casebook).index().counts() == {FolderState.INDEXED: 1, FolderState.DUPLICATE: 1}
    assert the_run(sqlite_casebook).folder == "runs/one"
    shutil.rmtree(runs / "two")
    first.rename(runs / "moved")
    Indexer(sqlite_casebook).index()
    run = the_run(sqlite_casebook)
    assert (run.folder, run.folder_state) == ("runs/moved", FolderState.INDEXED)
    shutil.copytree(runs / "moved", runs / "copy")
    Indexer(sqlite_casebook).index()
    shutil.rmtree(runs / "moved")
    Indexer(sqlite_casebook).index()
    assert the_run(sqlite_casebook).folder == "runs/copy"


def test_folders_elsewhere_are_named_whole(sqlite_casebook: LaboratoryCasebook, tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "archive" / "one").folder
    Indexer(sqlite_casebook, [tmp_path / "archive"]).index()
    assert the_run(sqlite_casebook).folder == str(folder.resolve())


def test_batches_come_with_the_slides_that_were_not_scanned(casebook: LaboratoryCasebook) -> None:
    night = runs_of(casebook) / "night"
    finished_run(night / "slot-1-B1")
    slides = (
        SlideReport("1", "B1", "24-0117", SlideStatus.FINISHED, folder="slot-1-B1", cells=5),
        SlideReport("2", None, None, SlideStatus.PARKED, "its label can't be read"),
    )
    write_report(night, BatchReport(slides, worklist="night.csv"))
    assert Indexer(casebook).index().batches == 1
    assert Indexer(casebook).index().batches == 0
    with casebook.read(PROGRAM) as work:
        (batch,) = work.runs.batches()
    assert (batch.folder, batch.worklist, batch.slides) == ("runs/night", "night.csv", slides)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["capture", "karyotype", "index", "index twice"]), max_size=8))
def test_however_often_it_is_indexed_the_end_is_the_same(
    sqlite_casebook: LaboratoryCasebook, tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("runs") / "run"
    uid = folder.parent.name
    run = RunOfTest(folder, uid, slide=uid, accession=uid)
    indexer = Indexer(sqlite_casebook, [folder.parent])
    run.begin()
    run.find(20)
    captured = karyotyped = 0
    for step in steps:
        if step == "capture":
            captured += 1
            run.capture(captured, captured)
        elif step == "karyotype" and karyotyped < captured:
            karyotyped += 1
            run.karyotype(karyotyped, karyotyped)
        else:
            for _ in range(2 if step == "index twice" else 1):
                indexer.index_folder(folder)
    run.finish()
    indexer.index_folder(folder)
    with sqlite_casebook.read(PROGRAM) as work:
        indexed = work.runs.get(uid)
        cells = work.cells.of_run(uid)
        assert work.cases.search(CaseQuery(accession=uid)).total == 1
        versions = [len(work.cells.proposals(cell.uid)) for cell in cells]
    assert (indexed.captured, indexed.karyotyped, len(cells)) == (captured, karyotyped, captured)
    assert versions == [1] * karyotyped + [0] * (captured - karyotyped)

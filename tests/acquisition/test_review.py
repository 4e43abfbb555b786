"""Decisions of reviewers: all are kept, the last one counts, and a finder can learn from them."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from alembic import command

from acquisition.casebook import open_casebook
from acquisition.casebook.engine import sqlite_engine, writer
from acquisition.casebook.schema import migration_config
from acquisition.errors import CasebookError, StorageError
from acquisition.records import CandidateRecord, CandidateStatus, FieldRecord, FieldStatus, RunRecord
from acquisition.review import decided, latest_decisions, leave_out_rejected, rejected_cells, reviewed_finds
from acquisition.storage import write_png_atomic

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
FIELD = FieldRecord(0, 0, 0, 500.0, 500.0, 500.0, 500.0, 3.0, FieldStatus.DONE, NOON, 35.0, 1.0, 10.0, 60.0, 2)
FIRST = CandidateRecord(
    "cell-0001", 0, 100.0, 100.0, 20.0, 0.95, 1, CandidateStatus.SELECTED, "finds/a.png",
    rank_score=0.8, analysable=0.7, spread=0.9, overlap=0.1, completeness=1.0, contrast=0.5, chromosomes=45.6,
    crop="finds/a.crop.png", noise_od=0.012,
)  # fmt: skip
SECOND = CandidateRecord("cell-0002", 0, 300.0, 100.0, 20.0, 0.6, 2, CandidateStatus.NOT_SELECTED, "finds/b.png")


@pytest.fixture
def casebook(tmp_path):
    with open_casebook(tmp_path / "casebook.sqlite") as book:
        book.begin_run(RunRecord("r", "s", "rig", "", "p", "", "0", NOON))
        book.record_field("r", FIELD)
        book.record_candidates("r", [FIRST, SECOND])
        yield book


def decide(book, uid, accepted, minute=0, reviewer="kim", reason=None):
    at = NOON + timedelta(minutes=minute)
    return book.decide("r", uid, accepted=accepted, reviewer=reviewer, at=at, reason=reason)


def test_what_the_finder_thinks_comes_back_as_it_went_in(casebook):
    assert casebook.candidates("r") == (FIRST, SECOND)


def test_all_decisions_are_kept_and_the_last_one_counts(casebook):
    first = decide(casebook, "cell-0001", True)
    second = decide(casebook, "cell-0001", False, 1, reviewer="lee", reason="burst")
    other = decide(casebook, "cell-0002", True, 2)
    assert casebook.decisions("r") == (first, second, other)
    assert (second.slide_x_um, second.crop, second.reason) == (100.0, "finds/a.crop.png", "burst")
    assert decided(casebook.candidates("r"), casebook.decisions("r")) == {"cell-0001": second, "cell-0002": other}


@pytest.mark.parametrize(
    "statement", ["UPDATE decision SET accepted = 1", "DELETE FROM decision", "UPDATE decision SET reviewer = 'x'"]
)
def test_the_database_itself_refuses_to_change_a_decision(casebook, statement):
    decide(casebook, "cell-0001", False)
    with (
        closing(sqlite3.connect(casebook.path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="kept"),
    ):
        connection.execute(statement)


@pytest.mark.parametrize(("uid", "reviewer"), [("cell-9", "kim"), ("cell-0001", "")])
def test_a_decision_without_candidate_or_reviewer_is_refused_in_one_line(casebook, uid, reviewer):
    with pytest.raises(CasebookError) as caught:
        decide(casebook, uid, True, reviewer=reviewer)
    assert "\n" not in str(caught.value)
    assert casebook.decisions("r") == ()


def test_a_probability_beyond_one_is_refused(casebook):
    with pytest.raises(CasebookError, match="analysable"):
        casebook.record_candidates("r", [replace(FIRST, uid="n", analysable=1.2)])


def test_a_decision_stays_with_its_cell_when_the_candidates_are_named_anew(casebook):
    decide(casebook, "cell-0001", False)
    casebook.remove_candidates("r")
    # The scan went on: another cell is the best one now, and the rejected one lies a little elsewhere.
    renamed = replace(FIRST, uid="cell-0002", rank=2, slide_x_um=108.0)
    new = replace(FIRST, uid="cell-0001", slide_x_um=900.0)
    casebook.record_candidates("r", [new, renamed])
    assert list(decided(casebook.candidates("r"), casebook.decisions("r"))) == ["cell-0002"]


def test_a_rejected_cell_is_left_out_with_the_reason_until_somebody_accepts_it(casebook):
    assert rejected_cells(casebook, "r") == {}
    decide(casebook, "cell-0001", False, reason="burst")
    assert list(rejected_cells(casebook, "r")) == ["cell-0001"]
    leave_out_rejected(casebook, "r")
    first = casebook.candidates("r")[0]
    assert (first.status, first.error) == (CandidateStatus.NOT_SELECTED, "rejected by kim: burst")
    decide(casebook, "cell-0001", True)
    assert rejected_cells(casebook, "r") == {}


def test_neighbouring_cells_keep_their_own_decisions(casebook):
    decide(casebook, "cell-0001", False)
    near = replace(FIRST, uid="cell-0003", rank=3, slide_x_um=130.0)
    casebook.record_candidates("r", [near])
    decide(casebook, "cell-0003", True)
    words = {uid: d.accepted for uid, d in decided(casebook.candidates("r"), casebook.decisions("r")).items()}
    assert words == {"cell-0001": False, "cell-0003": True}
    assert len(latest_decisions(casebook.decisions("r"))) == 2


def test_a_finder_learns_from_the_last_word_and_the_crop(casebook, tmp_path):
    crop = np.arange(128 * 128, dtype=np.uint8).reshape(128, 128)
    (tmp_path / "finds").mkdir()
    write_png_atomic(tmp_path / "finds/a.crop.png", crop)
    decide(casebook, "cell-0001", True)
    decide(casebook, "cell-0001", False)
    # Of this one the run kept no crop: there is nothing to learn from.
    decide(casebook, "cell-0002", True)
    (find,) = reviewed_finds(tmp_path)
    assert (find.candidate_uid, find.accepted, find.radius_um, find.noise_od) == ("cell-0001", False, 20.0, 0.012)
    assert np.array_equal(find.crop, crop)


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_a_crop_that_is_gone_or_damaged_is_named(casebook, tmp_path, content):
    decide(casebook, "cell-0001", True)
    (tmp_path / "finds").mkdir()
    if content is not None:
        (tmp_path / "finds/a.crop.png").write_bytes(content)
    with pytest.raises(StorageError, match=r"a\.crop\.png"):
        reviewed_finds(tmp_path)


def test_a_casebook_of_before_is_read_with_nothing_judged_and_nothing_decided(casebook):
    casebook.close()
    engine = sqlite_engine(casebook.path, foreign_keys=False)
    with writer(engine).connect() as connection, connection.begin():
        command.downgrade(migration_config(connection), "0002")
    engine.dispose()
    with open_casebook(casebook.path, create=False) as book:
        first, second = book.candidates("r")
        assert (first.uid, first.score, first.analysable, first.crop) == ("cell-0001", 0.95, None, None)
        assert second == SECOND
        assert book.decisions("r") == ()
        decide(book, "cell-0001", True)

"""Records survive the casebook; the database refuses what can't be true."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acquisition.casebook import Casebook, open_casebook
from acquisition.errors import CasebookError
from acquisition.records import (
    CandidateRecord,
    CandidateStatus,
    CaptureRecord,
    EventLevel,
    FieldRecord,
    FieldStatus,
    KaryotypeRecord,
    KaryotypeStatus,
    RunEvent,
    RunRecord,
    RunStatus,
    RunSummary,
)

NOON = datetime(2026, 3, 4, 12, 0, 0, 123456, tzinfo=UTC)
RUN = RunRecord("run-1", "S 26/017 <b>", "simulated", "version: 1\n", "demo", "version: 1\n", "0.1.0", NOON)
FIELD = FieldRecord(
    0, 0, 0, 100.5, 200.25, 1100.5, 1200.25, 3.5, FieldStatus.DONE, NOON, 35.0, 12.0, 10.0, 60.0, 1
)
CANDIDATE = CandidateRecord("c0001", 0, 110.0, 190.0, 22.5, 0.93, 1, CandidateStatus.SELECTED, "finds/c0001.png")
CAPTURE = CaptureRecord(
    "p0001", "c0001", "captures/p0001.ome.tiff", "ab" * 32, 110.2, 189.7, 1110.2, 1189.7, 4.25,
    "63x/1.4 oil", 0.1024, 15.0, 123.4, 0.4, NOON,
)  # fmt: skip
KARYOTYPE = KaryotypeRecord(
    "p0001", KaryotypeStatus.PROPOSED, 4.2, "47,XY,+21", 47, "karyograms/p0001.json", "karyograms/p0001.png"
)
EVENT = RunEvent(
    NOON, EventLevel.WARNING, "field_failed", "not reached", {"field": 3, "wanted_um": 1.5, "axes": ["x"]}
)


@pytest.fixture
def casebook(tmp_path: Path) -> Iterator[Casebook]:
    with open_casebook(tmp_path / "casebook.sqlite") as book:
        yield book


@pytest.fixture
def filled(casebook: Casebook) -> Casebook:
    fill(casebook, RUN.uid)
    return casebook


def fill(casebook: Casebook, run_uid: str) -> None:
    casebook.begin_run(replace(RUN, uid=run_uid))
    casebook.record_field(run_uid, FIELD)
    casebook.record_candidates(run_uid, [CANDIDATE])
    casebook.record_capture(run_uid, CAPTURE)
    casebook.record_karyotype(run_uid, KARYOTYPE)
    casebook.record_event(run_uid, EVENT)


def test_every_record_comes_back_as_it_went_in(filled: Casebook) -> None:
    assert filled.runs() == (RunSummary(RUN, RunStatus.RUNNING),)
    assert filled.run(RUN.uid) == RunSummary(RUN, RunStatus.RUNNING)
    assert filled.fields(RUN.uid) == (FIELD,)
    assert filled.candidates(RUN.uid) == (CANDIDATE,)
    assert filled.captures(RUN.uid) == (CAPTURE,)
    assert filled.karyotypes(RUN.uid) == (KARYOTYPE,)
    assert filled.events(RUN.uid) == (EVENT,)


def test_records_are_there_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "casebook.sqlite"
    with open_casebook(path) as book:
        fill(book, RUN.uid)
    with open_casebook(path, create=False) as book:
        assert book.karyotypes(RUN.uid) == (KARYOTYPE,)
    assert not list(tmp_path.glob("*-wal"))


def test_two_runs_may_use_the_same_uids(filled: Casebook) -> None:
    fill(filled, "run-2")
    filled.set_candidate_status("run-2", "c0001", CandidateStatus.CAPTURED)
    assert filled.candidates("run-1")[0].status is CandidateStatus.SELECTED
    assert filled.candidates("run-2")[0].status is CandidateStatus.CAPTURED


def test_times_come_back_in_utc(casebook: Casebook) -> None:
    berlin = timezone(timedelta(hours=2))
    casebook.begin_run(replace(RUN, started_at=NOON.astimezone(berlin)))
    started_at = casebook.run(RUN.uid).record.started_at
    assert started_at == NOON
    assert started_at.utcoffset() == timedelta(0)


def test_a_naive_time_is_refused(casebook: Casebook) -> None:
    with pytest.raises(CasebookError, match="without a time zone"):
        casebook.begin_run(replace(RUN, started_at=NOON.replace(tzinfo=None)))


def test_candidate_status_changes(filled: Casebook) -> None:
    filled.set_candidate_status(RUN.uid, "c0001", CandidateStatus.FAILED, "no focus")
    assert filled.candidates(RUN.uid) == (replace(CANDIDATE, status=CandidateStatus.FAILED, error="no focus"),)


def test_status_of_an_unknown_candidate_is_refused(filled: Casebook) -> None:
    with pytest.raises(CasebookError, match="no candidate c9"):
        filled.set_candidate_status(RUN.uid, "c9", CandidateStatus.CAPTURED)


def test_the_same_karyotype_twice_is_one(filled: Casebook) -> None:
    filled.record_karyotype(RUN.uid, KARYOTYPE)
    assert filled.karyotypes(RUN.uid) == (KARYOTYPE,)


def test_a_later_karyotype_replaces_the_former(filled: Casebook) -> None:
    later = KaryotypeRecord("p0001", KaryotypeStatus.REFUSED, 1.0, error="no metaphase")
    filled.record_karyotype(RUN.uid, later)
    assert filled.karyotypes(RUN.uid) == (later,)


def test_candidates_are_recorded_all_or_none(filled: Casebook) -> None:
    second = replace(CANDIDATE, uid="c0002", rank=2)
    with pytest.raises(CasebookError):
        filled.record_candidates(RUN.uid, [second, replace(second, uid="c0003", field_index=99)])
    assert filled.candidates(RUN.uid) == (CANDIDATE,)


def test_candidates_are_read_by_rank(filled: Casebook) -> None:
    best = replace(CANDIDATE, uid="c0002", rank=1)
    filled.record_candidates(RUN.uid, [replace(best, uid="c0003", rank=3), replace(best, uid="c0004", rank=2)])
    assert [item.rank for item in filled.candidates(RUN.uid)] == [1, 2, 3]


def test_finishing_a_run(filled: Casebook) -> None:
    end = NOON + timedelta(minutes=5)
    filled.finish_run(RUN.uid, RunStatus.COMPLETED_WITH_ERRORS, end, "1 field failed")
    assert filled.run(RUN.uid) == RunSummary(RUN, RunStatus.COMPLETED_WITH_ERRORS, end, "1 field failed")


def test_a_run_ends_once(filled: Casebook) -> None:
    filled.finish_run(RUN.uid, RunStatus.COMPLETED, NOON)
    with pytest.raises(CasebookError, match="already finished: completed"):
        filled.finish_run(RUN.uid, RunStatus.FAILED, NOON, "late")
    assert filled.run(RUN.uid).status is RunStatus.COMPLETED


def test_a_run_does_not_end_as_running(filled: Casebook) -> None:
    with pytest.raises(CasebookError, match="finished as running"):
        filled.finish_run(RUN.uid, RunStatus.RUNNING, NOON)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(lambda book: book.begin_run(RUN), id="run-uid-twice"),
        pytest.param(lambda book: book.begin_run(replace(RUN, uid="")), id="run-uid-empty"),
        pytest.param(lambda book: book.record_field(RUN.uid, FIELD), id="field-index-twice"),
        pytest.param(lambda book: book.record_field(RUN.uid, replace(FIELD, index=-1)), id="field-negative"),
        pytest.param(
            lambda book: book.record_field(RUN.uid, replace(FIELD, index=1, move_ms=-1.0)), id="time-negative"
        ),
        pytest.param(
            lambda book: book.record_field(RUN.uid, replace(FIELD, index=1, slide_x_um=float("nan"))), id="nan"
        ),
        pytest.param(lambda book: book.record_candidates(RUN.uid, [CANDIDATE]), id="candidate-uid-twice"),
        pytest.param(
            lambda book: book.record_candidates(RUN.uid, [replace(CANDIDATE, uid="n", field_index=7)]),
            id="candidate-without-field",
        ),
        pytest.param(
            lambda book: book.record_candidates(RUN.uid, [replace(CANDIDATE, uid="n", rank=0)]), id="rank-zero"
        ),
        pytest.param(
            lambda book: book.record_capture(
                RUN.uid, replace(CAPTURE, uid="n", path="n.tiff", candidate_uid="c9")
            ),
            id="capture-without-candidate",
        ),
        pytest.param(lambda book: book.record_capture(RUN.uid, replace(CAPTURE, uid="n")), id="path-twice"),
        pytest.param(
            lambda book: book.record_capture(RUN.uid, replace(CAPTURE, uid="n", path="n", sha256="ab")),
            id="hash-short",
        ),
        pytest.param(
            lambda book: book.record_karyotype(RUN.uid, replace(KARYOTYPE, capture_uid="p9")),
            id="karyotype-without-capture",
        ),
        pytest.param(
            lambda book: book.record_karyotype(RUN.uid, replace(KARYOTYPE, chromosomes=-1)),
            id="chromosomes-negative",
        ),
        pytest.param(lambda book: book.record_field("run-9", FIELD), id="unknown-run"),
        pytest.param(
            lambda book: book.record_event(RUN.uid, replace(EVENT, context={"x": object()})), id="not-json"
        ),
    ],
)
def test_what_cannot_be_true_is_refused_in_one_line(filled: Casebook, wrong: object) -> None:
    before = snapshot(filled)
    with pytest.raises(CasebookError) as caught:
        wrong(filled)
    assert "\n" not in str(caught.value)
    assert str(filled.path) in str(caught.value)
    assert snapshot(filled) == before


def snapshot(book: Casebook) -> object:
    uid = RUN.uid
    return (
        book.runs(), book.fields(uid), book.candidates(uid), book.captures(uid), book.karyotypes(uid),
        book.events(uid),
    )  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE run SET status = 'fine'",
        "UPDATE run SET status = 'completed'",
        "UPDATE run SET finished_at = '2026-01-01'",
        "UPDATE field SET status = 'found'",
        "UPDATE candidate SET status = 'done'",
        "UPDATE karyotype SET status = 'done'",
        "UPDATE run_event SET level = 'loud'",
        "DELETE FROM candidate",
        "DELETE FROM field",
        "DELETE FROM run",
    ],
)
def test_the_database_itself_keeps_the_rules(filled: Casebook, statement: str) -> None:
    with closing(sqlite3.connect(filled.path)) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)


def test_connections_are_durable_and_check_keys(casebook: Casebook) -> None:
    with casebook._engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10000}


def test_threads_write_side_by_side(filled: Casebook) -> None:
    def write(number: int) -> None:
        filled.record_field(RUN.uid, replace(FIELD, index=number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(1, 41)))
    assert [item.index for item in filled.fields(RUN.uid)] == list(range(41))


finite = st.floats(-1e6, 1e6, allow_nan=False)
millis = st.floats(0, 1e5, allow_nan=False)
# SQLite keeps text as UTF-8: no surrogates, and no NUL, at which C strings end.
text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=30)
times = st.integers(0, 10**15).map(lambda us: NOON + timedelta(microseconds=us))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | finite | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=5,
)
fields = st.builds(
    FieldRecord,
    index=st.integers(0, 2**31), row=st.integers(0, 9999), column=st.integers(0, 9999),
    slide_x_um=finite, slide_y_um=finite, stage_x_um=st.none() | finite, stage_y_um=st.none() | finite,
    z_um=st.none() | finite, status=st.sampled_from(FieldStatus), taken_at=times,
    move_ms=millis, focus_ms=millis, expose_ms=millis, find_ms=millis,
    candidates=st.integers(0, 500), error=st.none() | text,
)  # fmt: skip
events = st.builds(
    RunEvent, at=times, level=st.sampled_from(EventLevel), kind=text.filter(bool), message=text,
    context=st.dictionaries(text, json_values, max_size=3),
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.lists(fields, max_size=4, unique_by=lambda item: item.index), events=st.lists(events, max_size=3))
def test_any_record_survives(casebook: Casebook, fields: list[FieldRecord], events: list[RunEvent]) -> None:
    uid = f"run-{len(casebook.runs())}"
    casebook.begin_run(replace(RUN, uid=uid))
    for field in fields:
        casebook.record_field(uid, field)
    for event in events:
        casebook.record_event(uid, event)
    assert casebook.fields(uid) == tuple(sorted(fields, key=lambda item: item.index))
    assert casebook.events(uid) == tuple(events)

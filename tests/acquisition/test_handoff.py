"""The hand-over with real worker processes for what only they can show, and with threads for the rest."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from acquisition.handoff import Handoff, KaryotypeTask, karyotype_capture, process_pool
from acquisition.records import KaryotypeRecord, KaryotypeStatus, RunStatus


def answer(task: KaryotypeTask) -> KaryotypeRecord:
    return KaryotypeRecord(task.capture_uid, KaryotypeStatus.PROPOSED, 0.1, iscn="46,XX", chromosomes=46)


def die_on_the_marked_one(task: KaryotypeTask) -> KaryotypeRecord:
    # A mark on disk, since a worker that dies keeps nothing: the cell "b" kills its first worker only.
    mark = Path(task.run_dir) / f"{task.capture_uid}.tried"
    if task.capture_uid.startswith("b") and not mark.exists():
        mark.touch()
        os._exit(1)
    if task.capture_uid.startswith("always"):
        os._exit(1)
    return answer(task)


def drain(handoff: Handoff) -> dict[str, KaryotypeRecord]:
    records = {}
    while handoff.waiting:
        for record in handoff.collect():
            assert record.capture_uid not in records
            records[record.capture_uid] = record
    return records


@pytest.mark.parametrize("workers", [1, 3])
def test_every_capture_is_answered_once(workers):
    handoff = Handoff(lambda: ThreadPoolExecutor(workers), workers=workers, work=answer)
    for number in range(10):
        handoff.submit(KaryotypeTask(f"c{number}", "", ""))
    assert handoff.waiting == 10
    assert sorted(drain(handoff)) == sorted(f"c{n}" for n in range(10))
    handoff.close()


def test_the_accession_stands_on_the_karyogram(tmp_path, monkeypatch):
    captions = []
    drawn = SimpleNamespace(iscn=SimpleNamespace(text="46,XX"), chromosomes=[])
    karyotyper = SimpleNamespace(karyotype=lambda _image, *, banding: drawn)
    monkeypatch.setattr("acquisition.handoff._karyotyper", lambda: karyotyper)
    monkeypatch.setattr(
        "analysis.karyogram.karyotype_picture.write_karyotype", lambda *arguments: captions.append(arguments[3])
    )
    cv2.imwrite(str(tmp_path / "c.png"), np.random.default_rng(1).integers(0, 255, (400, 400), np.uint8))
    record = karyotype_capture(KaryotypeTask("c", str(tmp_path), "c.png", accession="17-0042"))
    assert record.status is KaryotypeStatus.PROPOSED
    assert [options.accession for options in captions] == ["17-0042"]


def test_nothing_submitted_needs_no_worker():
    def no_workers():
        raise AssertionError("a pool was made for nothing")

    handoff = Handoff(no_workers)
    assert handoff.collect() == []
    handoff.close()


def test_a_worker_that_dies_is_replaced_and_its_capture_tried_once_more(tmp_path):
    handoff = Handoff(lambda: process_pool(1), workers=1, work=die_on_the_marked_one, retries=1)
    for uid in ("a", "b", "c"):
        handoff.submit(KaryotypeTask(uid, str(tmp_path), ""))
    records = drain(handoff)
    handoff.close()
    assert {uid: record.status for uid, record in records.items()} == dict.fromkeys(
        "abc", KaryotypeStatus.PROPOSED
    )


def test_a_capture_that_kills_every_worker_is_marked_and_the_others_are_not(tmp_path):
    handoff = Handoff(lambda: process_pool(1), workers=1, work=die_on_the_marked_one, retries=1)
    for uid in ("a", "always", "c", "d"):
        handoff.submit(KaryotypeTask(uid, str(tmp_path), ""))
    records = drain(handoff)
    handoff.close()
    assert records["always"].status is KaryotypeStatus.FAILED
    assert "died" in (records["always"].error or "")
    assert [records[uid].status for uid in "acd"] == [KaryotypeStatus.PROPOSED] * 3


def count_and_die(task: KaryotypeTask) -> KaryotypeRecord:
    with (Path(task.run_dir) / "tried").open("a") as tried:
        tried.write(f"{task.capture_uid}\n")
    os._exit(1)


@pytest.mark.parametrize("retries", [0, 2])
def test_a_capture_on_which_workers_die_is_tried_as_often_as_the_protocol_says(run_in, tmp_path, retries):
    protocol = run_in.protocol(errors={"karyotype": {"retries": retries, "then": "skip_and_mark"}})
    session = run_in("run", protocol=protocol, handoff=Handoff(lambda: process_pool(1), work=count_and_die))
    assert session.outcome.status is RunStatus.COMPLETED_WITH_ERRORS
    assert (tmp_path / "run" / "tried").read_text().split() == ["cell-0001"] * (1 + retries)
    (failed,) = session.karyotypes
    assert (failed.status, failed.error[:16]) == (KaryotypeStatus.FAILED, "the analysis die")


def test_of_several_captures_under_way_only_the_one_that_kills_is_given_up(tmp_path):
    handoff = Handoff(lambda: process_pool(2), workers=2, work=die_on_the_marked_one)
    for uid in ("a", "always", "c"):
        handoff.submit(KaryotypeTask(uid, str(tmp_path), ""))
    records = drain(handoff)
    handoff.close()
    assert [records[uid].status for uid in "ac"] == [KaryotypeStatus.PROPOSED] * 2
    assert records["always"].status is KaryotypeStatus.FAILED

"""A task gets one answer, whatever becomes of the workers."""

import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from acquisition.errors import StorageError, WorkerError
from acquisition.workers import Workers, spawned

DEADLINE_S = 6.0


def lost(task, error):
    return (task, str(error))


def stop_on_the_first_try(task):
    """Stops its own process, as SIGSTOP from elsewhere would; a mark says that it was here."""
    mark = Path(task)
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGSTOP)
    return (task, "done")


def stop_always(task):
    os.kill(os.getpid(), signal.SIGSTOP)


def collect_all(workers):
    answers = []
    while workers.waiting:
        answers += workers.collect(timeout_s=1.0)
    return answers


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
def test_a_worker_that_was_stopped_is_killed_after_the_deadline_and_its_task_done_by_another(tmp_path):
    workers = Workers(lambda: spawned(1), stop_on_the_first_try, lost=lost, deadline_s=DEADLINE_S)
    task = str(tmp_path / "mark")
    workers.submit(task)
    assert collect_all(workers) == [(task, "done")]
    workers.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGSTOP")
def test_a_worker_that_stands_still_does_not_keep_the_end_waiting():
    workers = Workers(lambda: spawned(1), stop_always, lost=lost)
    workers.submit("a")
    workers.collect(timeout_s=2.0)
    start_s = time.monotonic()
    workers.close(patience_s=0.5)
    assert time.monotonic() - start_s < 10.0
    assert workers.waiting == 0


def test_a_task_that_no_worker_answers_is_lost_after_its_retries_and_the_others_are_not():
    clock, release = [0.0], threading.Event()
    tried = []

    def work(task):
        tried.append(task)
        if task == "hangs":
            release.wait(60)
        return (task, "done")

    workers = Workers(
        lambda: ThreadPoolExecutor(1), work, lost=lost, retries=1, deadline_s=5.0, now_s=lambda: clock[0]
    )
    for task in ("hangs", "b", "c"):
        workers.submit(task)
    answers = []
    while workers.waiting:
        answers += workers.collect(timeout_s=0.05)
        clock[0] += 1.0
    release.set()
    workers.close()
    assert tried.count("hangs") == 2
    assert sorted(task for task, _ in answers) == ["b", "c", "hangs"]
    assert "no answer for 5 s" in dict(answers)["hangs"]
    assert (dict(answers)["b"], dict(answers)["c"]) == ("done", "done")


def test_what_the_work_raises_is_the_answer_of_its_task():
    def work(task):
        if task == "b":
            raise StorageError("no room")
        return (task, "done")

    workers = Workers(lambda: ThreadPoolExecutor(1), work, lost=lost)
    for task in ("a", "b", "c"):
        workers.submit(task)
    assert sorted(collect_all(workers)) == [("a", "done"), ("b", "no room"), ("c", "done")]
    workers.close()


def test_a_system_that_starts_no_processes_is_an_error_with_its_reason_and_the_task_waits():
    def none_left():
        raise OSError(11, "Resource temporarily unavailable")

    makers = [none_left]
    workers = Workers(lambda: makers[-1](), lambda task: (task, "done"), lost=lost)
    with pytest.raises(WorkerError, match="Resource temporarily unavailable"):
        workers.submit("a")
    makers.append(lambda: ThreadPoolExecutor(1))
    assert collect_all(workers) == [("a", "done")]
    workers.close()

"""Captures go to the analysis as path and id, and come back as files and a short answer."""

from __future__ import annotations

import json
import logging
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from acquisition.records import KaryotypeRecord, KaryotypeStatus
from analysis.errors import AnalysisError, ImageError
from analysis.image import read_image
from analysis.karyotype import Karyotyper, load_karyotyper, write_karyotype

_log = logging.getLogger(__name__)

# A capture whose worker died is given to a new one this many times.
RETRIES = 1


@dataclass(frozen=True, slots=True)
class KaryotypeTask:
    """One capture to karyotype.

    Attributes
    ----------
    capture_uid
        Identity; the results carry it.
    run_dir
        Folder of the run.
    capture
        Path of the picture, relative to `run_dir`.
    """

    capture_uid: str
    run_dir: str
    capture: str


Work = Callable[[KaryotypeTask], KaryotypeRecord]


@lru_cache(maxsize=1)
def _karyotyper() -> Karyotyper:
    # One load of the weights a worker process, not one a cell; nothing else lives in a worker.
    return load_karyotyper()


def prepare_worker() -> None:
    """Prepare a worker process: one torch thread, since workers share the cores, and deaf to Ctrl-C.

    Ctrl-C reaches every process of a terminal; when the workers end is for the run to decide.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def karyotype_capture(task: KaryotypeTask) -> KaryotypeRecord:
    """Karyotype one capture and write ``karyograms/<uid>.json`` and ``.png``.

    Doing it twice gives the same files, each written whole.

    Returns
    -------
    KaryotypeRecord
        ``REFUSED`` with the reason where the picture shows no usable metaphase, ``FAILED`` where the analysis
        broke.
    """
    start_s = time.perf_counter()
    run_dir = Path(task.run_dir)
    json_path = run_dir / "karyograms" / f"{task.capture_uid}.json"
    picture_path = json_path.with_suffix(".png")
    try:
        karyotype = _karyotyper().karyotype(read_image(run_dir / task.capture))
        write_karyotype(karyotype, json_path, picture_path)
    except ImageError as error:
        return _without_result(task, KaryotypeStatus.REFUSED, error, start_s)
    except (AnalysisError, OSError) as error:
        return _without_result(task, KaryotypeStatus.FAILED, error, start_s)
    except Exception as error:  # noqa: BLE001 - one cell's failure is recorded and never ends the run
        _log.exception("karyotyping %s", task.capture_uid)
        return _without_result(task, KaryotypeStatus.FAILED, error, start_s)
    answer = json.loads(json_path.read_text(encoding="utf-8"))
    return KaryotypeRecord(
        capture_uid=task.capture_uid,
        status=KaryotypeStatus.PROPOSED,
        seconds=time.perf_counter() - start_s,
        iscn=answer["iscn"],
        chromosomes=len(answer["chromosomes"]),
        json_path=str(json_path.relative_to(run_dir)),
        picture_path=str(picture_path.relative_to(run_dir)),
    )


def _without_result(
    task: KaryotypeTask, status: KaryotypeStatus, error: Exception, start_s: float
) -> KaryotypeRecord:
    text = str(error).strip().splitlines()
    reason = text[0] if text else type(error).__name__
    return KaryotypeRecord(task.capture_uid, status, time.perf_counter() - start_s, error=reason)


def process_pool(workers: int) -> Executor:
    """Worker processes on this machine; started afresh, since a fork would copy the instrument's threads."""
    return ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=prepare_worker
    )


@dataclass(frozen=True, slots=True)
class _Running:
    task: KaryotypeTask
    attempt: int
    executor: Executor


class Handoff:
    """Gives captures to workers while the scan goes on, and collects their answers.

    Parameters
    ----------
    make_executor
        Makes the workers; called again when they died.
    workers
        Captures given to the executor at a time; the others wait here, so that the death of a worker touches only
        captures that were really being worked on.
    work
        What a worker does with a task; has to be importable by name.

    Notes
    -----
    Used from one thread. A worker that dies breaks its pool: a new pool is made, and every capture that was under
    way is given to it once more, then recorded as failed.
    """

    def __init__(
        self, make_executor: Callable[[], Executor], *, workers: int = 1, work: Work = karyotype_capture
    ) -> None:
        self._make_executor = make_executor
        self._workers = workers
        self._work = work
        self._executor: Executor | None = None
        self._queue: deque[tuple[KaryotypeTask, int]] = deque()
        self._running: dict[Future[KaryotypeRecord], _Running] = {}

    def submit(self, task: KaryotypeTask) -> None:
        """Queue a capture and return at once."""
        self._queue.append((task, 0))
        self._feed()

    @property
    def waiting(self) -> int:
        """Captures whose answer has not been collected."""
        return len(self._queue) + len(self._running)

    def collect(self, *, timeout_s: float | None = None) -> list[KaryotypeRecord]:
        """Answers that have come in since the last call.

        Parameters
        ----------
        timeout_s
            0 takes what is there; None waits for the next one.
        """
        self._feed()
        if not self._running:
            return []
        done, _ = wait(self._running, timeout=timeout_s, return_when=FIRST_COMPLETED)
        records = [record for future in done if (record := self._answer(future)) is not None]
        self._feed()
        return records

    def close(self) -> None:
        """Drop what has not begun and let the workers end."""
        self._queue.clear()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None
        self._running.clear()

    def _feed(self) -> None:
        while self._queue and len(self._running) < self._workers:
            task, attempt = self._queue.popleft()
            if self._executor is None:
                self._executor = self._make_executor()
            try:
                future = self._executor.submit(self._work, task)
            except BrokenProcessPool:
                self._discard(self._executor)
                self._queue.appendleft((task, attempt))
                continue
            self._running[future] = _Running(task, attempt, self._executor)

    def _answer(self, future: Future[KaryotypeRecord]) -> KaryotypeRecord | None:
        running = self._running.pop(future)
        try:
            return future.result()
        except BrokenProcessPool as error:
            self._discard(running.executor)
            task = running.task
            if running.attempt < RETRIES:
                _log.warning("worker died on %s; given to a new one", task.capture_uid)
                self._queue.appendleft((task, running.attempt + 1))
                return None
            return KaryotypeRecord(
                task.capture_uid, KaryotypeStatus.FAILED, 0.0, error=f"the analysis died on it twice: {error}"
            )

    def _discard(self, executor: Executor) -> None:
        executor.shutdown(wait=False, cancel_futures=True)
        if self._executor is executor:
            self._executor = None

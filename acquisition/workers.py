"""Work given to other processes a few pieces at a time; a worker that dies costs only the piece that killed it."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)

# A piece of work whose worker died is given to a new one this many times.
RETRIES = 1

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def prepare_process() -> None:
    """Make a worker process deaf to Ctrl-C, and let it end when the run is killed.

    Ctrl-C reaches every process of a terminal; when the workers end is for the run to decide. A run that is killed
    decides nothing any more, and its workers would wait for work for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), name="orphaned", daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def spawned(workers: int, prepare: Callable[[], None] = prepare_process) -> Executor:
    """Worker processes on this machine; started afresh, since a fork would copy the instrument's threads."""
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=prepare)


@dataclass(frozen=True, slots=True)
class _Running(Generic[Task]):
    task: Task
    attempt: int
    executor: Executor


class Workers(Generic[Task, Answer]):
    """Gives tasks to workers and collects their answers.

    Parameters
    ----------
    make_executor
        Makes the workers; called again when they died.
    work
        What a worker does with a task; has to be importable by name where workers are processes.
    at_a_time
        Tasks given to the executor at a time; the others wait here, so that the death of a worker touches only
        those that were really being worked on.
    lost
        Makes the answer for a task on which workers died again and again.

    Notes
    -----
    Used from one thread. A worker that dies breaks its pool: a new pool is made, and what was under way is tried
    once more, one task at a time, so that the one that kills is told from those that were only near.
    """

    def __init__(
        self,
        make_executor: Callable[[], Executor],
        work: Callable[[Task], Answer],
        *,
        at_a_time: int = 1,
        lost: Callable[[Task, BaseException], Answer],
    ) -> None:
        self._make_executor = make_executor
        self._work = work
        self._at_a_time = at_a_time
        self._lost = lost
        self._executor: Executor | None = None
        self._queue: deque[tuple[Task, int]] = deque()
        self._running: dict[Future[Answer], _Running[Task]] = {}

    def warm_up(self, nothing: Callable[[], object]) -> None:
        """Start all workers now: starting one takes a moment that a running instrument should not wait for.

        Parameters
        ----------
        nothing
            What each does first; what it imports is then there when the first task comes.
        """
        if self._executor is None:
            self._executor = self._make_executor()
        for _ in range(self._at_a_time):
            self._executor.submit(nothing)

    def submit(self, task: Task) -> None:
        """Queue a task and return at once."""
        self._queue.append((task, 0))
        self._feed()

    @property
    def waiting(self) -> int:
        """Tasks whose answer has not been collected."""
        return len(self._queue) + len(self._running)

    def collect(self, *, timeout_s: float | None = None) -> list[Answer]:
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
        answers = [answer for future in done for answer in self._answers(future)]
        self._feed()
        return answers

    def close(self) -> None:
        """Drop what has not begun and let the workers end."""
        self._queue.clear()
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None
        self._running.clear()

    def _feed(self) -> None:
        while self._queue and len(self._running) < self._room():
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

    def _room(self) -> int:
        # What was under way when a worker died goes alone: dying again then accuses the right task.
        suspects = any(running.attempt for running in self._running.values()) or self._queue[0][1] > 0
        return 1 if suspects else self._at_a_time

    def _answers(self, future: Future[Answer]) -> list[Answer]:
        running = self._running.pop(future)
        try:
            return [future.result()]
        except BrokenProcessPool as error:
            self._discard(running.executor)
            if running.attempt < RETRIES:
                _log.warning("a worker died; %s is given to a new one", running.task)
                self._queue.appendleft((running.task, running.attempt + 1))
                return []
            return [self._lost(running.task, error)]

    def _discard(self, executor: Executor) -> None:
        executor.shutdown(wait=False, cancel_futures=True)
        if self._executor is executor:
            self._executor = None

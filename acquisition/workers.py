"""Tasks for worker processes, a few at a time; a worker that dies or hangs costs only its own task."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import Final, Generic, TypeVar

from acquisition.errors import WorkerError

_log = logging.getLogger(__name__)

RETRIES: Final = 1
"""A task whose worker died or hung is given to a new one so often."""
DEADLINE_S: Final = 300.0
"""A cell is karyotyped in some seconds, and a worker may load the nets first, on a machine that is busy."""
CLOSE_PATIENCE_S: Final = 20.0
"""What is under way at the end may still come to its own end, so that its files are whole sooner."""
_POLL_S: Final = 0.1
"""How soon an abort is heard while the end of the workers is waited for."""
_KILL_PATIENCE_S: Final = 5.0
"""A killed process is gone at once, unless the system itself waits for a disk."""

_GROUP_SIGNALS: Final = ("SIGINT", "SIGHUP", "SIGQUIT", "SIGBREAK", "SIGUSR1", "SIGUSR2")
"""A terminal sends these to all of its processes."""

Task = TypeVar("Task")
Answer = TypeVar("Answer")


def prepare_process() -> None:
    """Make a worker process deaf to what a terminal sends, and let it end when the run is killed.

    Ctrl-C and a closed terminal reach every process of the terminal; when the workers end is for the run to
    decide. A run that is killed decides nothing any more, and its workers would wait for tasks for ever.
    """
    for name in _GROUP_SIGNALS:
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), name="orphaned", daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def spawned(workers: int, prepare: Callable[[], None] = prepare_process) -> Executor:
    """Start worker processes on this machine; started afresh, since a fork would copy the instrument's threads.

    Parameters
    ----------
    workers
        How many.
    prepare
        What each does first; has to be importable by name.
    """
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=prepare)


@dataclass(frozen=True, slots=True)
class _Queued(Generic[Task]):
    """A task that waits.

    Attributes
    ----------
    task
        What is to be done.
    attempt
        How often a worker died or hung on it.
    is_suspect
        Whether it goes alone: a worker died while it was under way, maybe because of it.
    """

    task: Task
    attempt: int = 0
    is_suspect: bool = False


@dataclass(frozen=True, slots=True)
class _Running(Generic[Task]):
    task: Task
    attempt: int
    is_suspect: bool
    is_alone: bool
    executor: Executor
    since_s: float


class Workers(Generic[Task, Answer]):
    """Gives tasks to workers and collects their answers.

    Every task that is submitted gets exactly one answer: the worker's, or the one that `lost` makes where workers
    raised, died or hung on it too often.

    Parameters
    ----------
    make_executor
        Makes the workers; called again when they died or were killed.
    work
        What a worker does with a task; has to be importable by name where workers are processes.
    at_a_time
        Tasks given to the executor at a time; the others wait here, so that the death of a worker touches only
        those that were really being worked on.
    lost
        Makes the answer for a task that no worker came through with.
    retries
        How often a task whose worker died or hung is given to a new one.
    deadline_s
        A worker that has not answered after this time is killed, since it may never answer.
    now_s
        Time source of the deadline.

    Notes
    -----
    Used from one thread. A worker that dies breaks its pool: a new pool is made, and what was under way is tried
    again, one task at a time, so that the one that kills is told from those that were only near. A worker that
    dies counts against a task only where it was under way alone.
    """

    def __init__(
        self,
        make_executor: Callable[[], Executor],
        work: Callable[[Task], Answer],
        *,
        at_a_time: int = 1,
        lost: Callable[[Task, BaseException], Answer],
        retries: int = RETRIES,
        deadline_s: float = DEADLINE_S,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._make_executor = make_executor
        self._work = work
        self._at_a_time = at_a_time
        self._lost = lost
        self._retries = retries
        self._deadline_s = deadline_s
        self._now_s = now_s
        self._executor: Executor | None = None
        self._queue: deque[_Queued[Task]] = deque()
        self._running: dict[Future[Answer], _Running[Task]] = {}

    def warm_up(self, prepare: Callable[[], object]) -> None:
        """Start all workers now: starting one takes a moment that a running instrument should not wait for.

        Parameters
        ----------
        prepare
            What each does first; what it imports is then there when the first task comes.

        Raises
        ------
        WorkerError
            The system starts no processes.
        """
        executor = self._ready_executor()
        try:
            for _ in range(self._at_a_time):
                executor.submit(prepare)
        except BrokenExecutor:
            self._discard(executor)
        except OSError as error:
            raise _not_started(error) from error

    def submit(self, task: Task) -> None:
        """Queue a task and return at once.

        Raises
        ------
        WorkerError
            The system starts no processes; the task stays queued.
        """
        self._queue.append(_Queued(task))
        self._feed()

    @property
    def waiting(self) -> int:
        """Tasks whose answer has not been collected."""
        return len(self._queue) + len(self._running)

    def collect(self, *, timeout_s: float | None = None) -> list[Answer]:
        """Give the answers that have come in since the last call.

        Parameters
        ----------
        timeout_s
            0 takes what is there; None waits for the next one, until its deadline.

        Raises
        ------
        WorkerError
            The system starts no processes; the tasks stay queued.
        """
        self._feed()
        if not self._running:
            return []
        left_s = max(
            0.0, min(running.since_s for running in self._running.values()) + self._deadline_s - self._now_s()
        )
        wait_s = left_s if timeout_s is None else min(timeout_s, left_s)
        done, _ = wait(self._running, timeout=wait_s, return_when=FIRST_COMPLETED)
        answers = [answer for future in done for answer in self._answers(future)]
        answers += self._overdue_answers()
        self._feed()
        return answers

    def close(
        self, *, patience_s: float = CLOSE_PATIENCE_S, is_aborted: Callable[[], bool] = lambda: False
    ) -> None:
        """Drop what has not begun, let what has begun come to its end, and kill what does not.

        Parameters
        ----------
        patience_s
            How long what has begun may take.
        is_aborted
            Asked again and again: whether it is killed now.
        """
        self._queue.clear()
        executor, self._executor = self._executor, None
        running, self._running = list(self._running), {}
        if executor is not None:
            _end_executor(executor, running, patience_s, is_aborted)

    def _ready_executor(self) -> Executor:
        if self._executor is None:
            try:
                self._executor = self._make_executor()
            except OSError as error:
                raise _not_started(error) from error
        return self._executor

    def _feed(self) -> None:
        while self._queue and len(self._running) < self._room():
            executor = self._ready_executor()
            queued = self._queue[0]
            try:
                future = executor.submit(self._work, queued.task)
            except BrokenExecutor:
                self._discard(executor)
                continue
            except OSError as error:
                raise _not_started(error) from error
            self._queue.popleft()
            self._running[future] = _Running(
                queued.task, queued.attempt, queued.is_suspect, True, executor, self._now_s()
            )

    def _room(self) -> int:
        # What was under way when a worker died goes alone: dying again then accuses the right task.
        suspects = any(running.is_suspect for running in self._running.values()) or self._queue[0].is_suspect
        return 1 if suspects else self._at_a_time

    def _answers(self, future: Future[Answer]) -> list[Answer]:
        running = self._running.pop(future)
        error = None if future.cancelled() else future.exception()
        if future.cancelled():
            self._queue.appendleft(_Queued(running.task, running.attempt, running.is_suspect))
            return []
        if error is None:
            return [future.result()]
        if not isinstance(error, BrokenExecutor):
            # What the work itself raises would raise again.
            return [self._lost(running.task, error)]
        self._discard(running.executor)
        near = [f for f, other in self._running.items() if other.executor is running.executor]
        for other in near:
            self._running[other] = replace(self._running[other], is_alone=False)
        return self._again(replace(running, is_alone=False) if near else running, error)

    def _again(self, running: _Running[Task], error: BaseException) -> list[Answer]:
        if running.is_alone and running.attempt >= self._retries:
            return [self._lost(running.task, error)]
        _log.warning("%s; %s is given to a new worker", error, running.task)
        # Of several, nobody can tell who killed the worker: that counts for none of them.
        attempt = running.attempt + running.is_alone
        self._queue.appendleft(_Queued(running.task, attempt, is_suspect=True))
        return []

    def _overdue_answers(self) -> list[Answer]:
        """Kill the workers of tasks that are past their deadline, and try these again."""
        now_s = self._now_s()
        overdue = [
            future
            for future, running in self._running.items()
            if now_s - running.since_s >= self._deadline_s and not future.done()
        ]
        answers: list[Answer] = []
        for executor in {id(self._running[f].executor): self._running[f].executor for f in overdue}.values():
            self._discard(executor)
            others = [
                future
                for future, running in self._running.items()
                if running.executor is executor and future not in overdue
            ]
            for future in others:
                if future.done() and not future.cancelled() and future.exception() is None:
                    answers += self._answers(future)
                else:
                    # Only near: it is no suspect.
                    running = self._running.pop(future)
                    self._queue.appendleft(_Queued(running.task, running.attempt, running.is_suspect))
        for future in overdue:
            error = WorkerError(f"a worker gave no answer for {self._deadline_s:g} s and was killed")
            answers += self._again(self._running.pop(future), error)
        return answers

    def _discard(self, executor: Executor) -> None:
        processes = _processes(executor)
        executor.shutdown(wait=False, cancel_futures=True)
        _kill(processes)
        if self._executor is executor:
            self._executor = None


def _not_started(error: OSError) -> WorkerError:
    return WorkerError(f"no worker processes can be started: {error.strerror or error}")


def _processes(executor: Executor) -> list[BaseProcess]:
    """The processes of a pool; the library has no public way to end one that hangs before Python 3.14."""
    processes = getattr(executor, "_processes", None)
    return list(processes.values()) if processes else []


def _kill(processes: Iterable[BaseProcess]) -> None:
    # Not "terminate": a stopped process hears that only when it is continued.
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.kill()
    _wait_for_ends(alive, _KILL_PATIENCE_S)


def _end_executor(
    executor: Executor, running: Iterable[Future[Answer]], patience_s: float, is_aborted: Callable[[], bool]
) -> None:
    processes = _processes(executor)
    executor.shutdown(wait=False, cancel_futures=True)
    end_s = time.monotonic() + patience_s
    left = set(running)
    while left and time.monotonic() < end_s and not is_aborted():
        left = wait(left, timeout=min(_POLL_S, max(0.0, end_s - time.monotonic()))).not_done
    if not left:
        _wait_for_ends(processes, max(0.0, end_s - time.monotonic()))
    _kill(processes)


def _wait_for_ends(processes: Iterable[BaseProcess], timeout_s: float) -> None:
    # By their sentinels: the pool's own thread joins them meanwhile, and only one of two may.
    waiting = {process.sentinel for process in processes if process.is_alive()}
    end_s = time.monotonic() + timeout_s
    while waiting:
        left_s = end_s - time.monotonic()
        ended = connection.wait(list(waiting), timeout=left_s) if left_s > 0 else []
        if not ended:
            return
        waiting.difference_update(ended)

"""Calls that may hang: waited for only so long."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Final, TypeVar

from acquisition.errors import DeadlineError

DISK_DEADLINE_S: Final = 30.0
"""Three times what a casebook waits for another program; a disk that takes longer has failed, or is a share whose
server is gone."""
_POLL_S: Final = 0.1
"""How soon it is heard that nobody waits any more."""

Answer = TypeVar("Answer")


def call_within(
    timeout_s: float, call: Callable[[], Answer], what: str, *, is_aborted: Callable[[], bool] = lambda: False
) -> Answer:
    """Make a call in a thread of its own, and wait for its answer only so long.

    Nobody can end a call into a disk whose server is gone, nor a computation that never ends: the thread is left
    behind, and ends with the process.

    Parameters
    ----------
    timeout_s
        How long to wait.
    call
        What may hang. What it raises is raised here.
    what
        What is waited for, for the message.
    is_aborted
        Asked again and again: whether nobody waits any more.

    Raises
    ------
    DeadlineError
        There was no answer in time, or the wait was aborted.
    """
    answers: list[Answer] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def answer() -> None:
        try:
            answers.append(call())
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            errors.append(error)
        finally:
            done.set()

    start_s = time.monotonic()
    threading.Thread(target=answer, name=what, daemon=True).start()
    while not done.wait(min(_POLL_S, max(0.0, start_s + timeout_s - time.monotonic()))):
        if is_aborted():
            raise DeadlineError(f"{what}: aborted after {time.monotonic() - start_s:.1f} s without an answer")
        if time.monotonic() - start_s >= timeout_s:
            raise DeadlineError(f"{what}: no answer for {timeout_s:g} s; nobody waits any more")
    if errors:
        raise errors[0]
    return answers[0]


class BoundedCalls:
    """Makes calls that may hang, one after the other in a thread of its own; whoever asks waits only so long.

    A call that gave no answer in time is still under way. Until it comes back, further ones are refused at once:
    what ends because of it doesn't wait for each of its last words anew, and no more than one thread is left
    behind.

    Parameters
    ----------
    name
        Name of the thread.
    timeout_s
        How long a call is waited for.
    """

    def __init__(self, name: str, timeout_s: float) -> None:
        self._name = name
        self._timeout_s = timeout_s
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._start = threading.Lock()
        self._overdue: _Call | None = None
        # The thread knows the queue alone: it ends with whoever owns this object.
        weakref.finalize(self, self._calls.put, None)

    def call(
        self, call: Callable[[], Answer], what: str, *, is_aborted: Callable[[], bool] = lambda: False
    ) -> Answer:
        """Make a call and wait for its answer.

        Parameters
        ----------
        call
            What may hang. What it raises is raised here.
        what
            What is waited for, for the message.
        is_aborted
            As for `call_within`.

        Raises
        ------
        DeadlineError
            There was no answer in time, an earlier call still has none, or the wait was aborted.
        """
        if threading.current_thread() is self._thread:
            return call()
        overdue = self._overdue
        if overdue is not None and not overdue.is_over.is_set():
            raise DeadlineError(f"{what}: not tried, since {overdue.what} still has no answer")
        answers: list[Answer] = []
        asked = _Call(lambda: answers.append(call()), what)
        self._ensure_thread()
        self._calls.put(asked)
        start_s = time.monotonic()
        while not asked.is_over.wait(min(_POLL_S, max(0.0, start_s + self._timeout_s - time.monotonic()))):
            waited_s = time.monotonic() - start_s
            if not is_aborted() and waited_s < self._timeout_s:
                continue
            asked.is_abandoned = True
            self._overdue = asked
            if is_aborted():
                raise DeadlineError(f"{what}: aborted after {waited_s:.1f} s without an answer")
            raise DeadlineError(f"{what}: no answer for {self._timeout_s:g} s; nobody waits any more")
        if asked.error is not None:
            raise asked.error
        return answers[0]

    def close(self) -> None:
        """Let the thread end once it has made the calls that were asked for; doesn't wait for it."""
        with self._start:
            if self._thread is not None:
                self._thread = None
                self._calls.put(None)

    def _ensure_thread(self) -> None:
        with self._start:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=_make_calls, args=(self._calls,), name=self._name, daemon=True
                )
                self._thread.start()


def disk_calls(name: str) -> BoundedCalls:
    """Calls to a disk, waited for for `DISK_DEADLINE_S`.

    Parameters
    ----------
    name
        Name of the thread.
    """
    return BoundedCalls(name, DISK_DEADLINE_S)


def call_disk(call: Callable[[], Answer], what: str) -> Answer:
    """Make a single call to a disk, and wait for it for `DISK_DEADLINE_S`; see `call_within`.

    Parameters
    ----------
    call
        What may hang.
    what
        What is waited for, for the message.

    Raises
    ------
    DeadlineError
        There was no answer in time.
    """
    return call_within(DISK_DEADLINE_S, call, what)


@dataclass(slots=True, eq=False)
class _Call:
    make: Callable[[], object]
    what: str
    is_over: threading.Event = field(default_factory=threading.Event)
    is_abandoned: bool = False
    error: BaseException | None = None


def _make_calls(calls: SimpleQueue[_Call | None]) -> None:
    while (asked := calls.get()) is not None:
        try:
            # Whoever asked has gone: done later, it would come as a surprise.
            if not asked.is_abandoned:
                asked.make()
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits
            asked.error = error
        finally:
            asked.is_over.set()
        del asked

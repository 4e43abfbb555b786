"""Calls that may hang: waited for only so long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from acquisition.errors import DeadlineError

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

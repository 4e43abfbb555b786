"""The end of a run whose instrument hangs: what still can be done, from outside, and then the process ends.

The thread that drives the instrument is stuck in a call that never returns. Micro-Manager has one lock for each
adapter library: devices of other libraries still obey, those of the same one don't. Which is which only an attempt
tells.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from acquisition.deadline import call_within
from acquisition.errors import DeadlineError
from acquisition.records import EventLevel, RunEvent, RunStatus
from acquisition.run.context import RunContext
from acquisition.run.run_log import RunLog
from scanner.watchdog import HungCall

_log = logging.getLogger(__name__)

STEP_PATIENCE_S: Final = 15.0
"""The slowest focus drive is down after some seconds; what shares the lock of the hung call never answers."""
RECORD_PATIENCE_S: Final = 30.0
"""A report takes some seconds; the thread that hangs may hold what is needed for it."""


class HangResponse:
    """Makes an instrument safe whose device hangs, records it, and ends the process.

    Parameters
    ----------
    context
        The run.
    log
        Its journal.
    conclude
        Called once the run is recorded as failed, with the reason: makes figures and report, and gives notice.
    """

    def __init__(self, context: RunContext, log: RunLog, conclude: Callable[[str], object]) -> None:
        self._context = context
        self._log = log
        self._conclude = conclude

    def __call__(self, hung: HungCall) -> None:
        """Be told by the watchdog; doesn't return where the process ends."""
        context = self._context
        not_done = self._make_safe()
        state = "light off, stage halted, focus down" if not not_done else "NOT SAFE: " + "; ".join(not_done)
        reason = (
            f"{hung}: the device hangs, and no command reaches it any more; {state}. Switch the light off and "
            "lower the focus by hand where that is not done, restart the device, and resume the run"
        )
        self._attempt("message", RECORD_PATIENCE_S, lambda: context.listener.message(reason))
        event = RunEvent(
            datetime.now(UTC),
            EventLevel.ERROR,
            "device_hangs",
            reason,
            {
                "device": hung.device,
                "action": hung.action,
                "waited_s": round(hung.waited_s, 1),
                "not_done": "; ".join(not_done),
            },
        )
        self._attempt("event", RECORD_PATIENCE_S, lambda: context.casebook.record_event(context.run_uid, event))
        self._attempt(
            "end in the casebook",
            RECORD_PATIENCE_S,
            lambda: context.casebook.finish_run(context.run_uid, RunStatus.FAILED, datetime.now(UTC), reason),
        )
        self._attempt("report and notices", RECORD_PATIENCE_S, lambda: self._conclude(reason))
        self._attempt("end in the journal", RECORD_PATIENCE_S, lambda: self._log.ended(RunStatus.FAILED, reason))
        context.end_process()

    def _make_safe(self) -> list[str]:
        """What could not be done, one line each."""
        not_done = []
        for name, step in self._context.microscope.safe_steps():
            fault = self._attempt(name, STEP_PATIENCE_S, step)
            if fault is not None:
                not_done.append(f"{name}: {fault}")
        return not_done

    def _attempt(self, name: str, patience_s: float, step: Callable[[], object]) -> str | None:
        """Take a step in a thread of its own; what was wrong, None where nothing was."""
        try:
            call_within(patience_s, step, name)
        except DeadlineError:
            _log.error("the instrument hangs: %s did not return within %g s", name, patience_s)
            return f"no answer for {patience_s:g} s"
        except Exception as error:  # noqa: BLE001 - told and recorded; every other step is taken all the same
            _log.exception("the instrument hangs: %s", name)
            return str(error) or type(error).__name__
        return None

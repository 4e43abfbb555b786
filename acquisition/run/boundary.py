"""The one place where a run waits, stops or is aborted: between two fields or captures, and for what it needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from acquisition.errors import RunAbortedError
from acquisition.records import EventLevel
from acquisition.run.context import RunContext
from acquisition.run.states import RunMachine, RunStep
from scanner.errors import MoveStoppedError

POLL_S: Final = 0.05
"""How soon a run that waits hears a command."""
PATIENCE_S: Final = 10.0
"""Some ten times what a field takes: longer waits are spent with the light off and the focus down."""


class Boundary:
    """Carries out what the run's control was asked for.

    Parameters
    ----------
    context
        The run.
    machine
        Its state.
    pause
        Waiting, in s; replaced in tests.
    now_s
        Time source.

    Attributes
    ----------
    rests
        How often the run has put the instrument to rest: it is then not where it was left.
    """

    def __init__(
        self,
        context: RunContext,
        machine: RunMachine,
        *,
        pause: Callable[[float], None] = time.sleep,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._context = context
        self._machine = machine
        self._pause = pause
        self._now_s = now_s
        self.rests = 0

    def cross(self, idle: Callable[[], object] = lambda: None) -> bool:
        """Go on, wait or stop.

        Parameters
        ----------
        idle
            Called again and again while the run is paused.

        Returns
        -------
        bool
            False where the run should end here.

        Raises
        ------
        RunAbortedError
            The run was aborted.
        DeviceError
            The instrument could not be put to rest, or woken again.
        """
        control = self._context.control
        control.poll()
        if control.pause_requested:
            self._rest_while_paused(idle)
        self._require_not_aborted()
        return not control.stop_requested

    def wait_for(self, is_ready: Callable[[], bool], what: str) -> None:
        """Wait for something that the next step needs; light on.

        Where it takes longer than `PATIENCE_S`, or a pause is asked for, the light goes off and the focus down
        until it is there; `rests` then counts on.

        Parameters
        ----------
        is_ready
            Whether it is there; may itself wait for a moment.
        what
            What is waited for, for the record.

        Raises
        ------
        MoveStoppedError
            The run was asked to stop meanwhile.
        RunAbortedError
            The run was aborted meanwhile.
        DeviceError
            The instrument could not be put to rest, or woken again.
        """
        context, control = self._context, self._context.control
        start_s, is_dark = self._now_s(), False
        while not is_ready() or control.pause_requested:
            if control.pause_requested:
                self._pause(POLL_S)
            control.poll()
            self._require_not_aborted()
            if control.stop_requested:
                raise MoveStoppedError(f"stopped while waiting for {what}", device=context.microscope.rig.name)
            if not is_dark and (self._now_s() - start_s > PATIENCE_S or control.pause_requested):
                is_dark = True
                self._rest()
                context.note(
                    EventLevel.WARNING, "waiting", f"waiting for {what}: light off, focus down", waits_for=what
                )
        if is_dark:
            context.microscope.light(on=True)
            context.note(EventLevel.INFO, "continued", f"continued after waiting for {what}", waits_for=what)

    def _rest_while_paused(self, idle: Callable[[], object]) -> None:
        """Light off and focus down: somebody may want to reach under the objective."""
        context, control = self._context, self._context.control
        self._machine.take(RunStep.PAUSE)
        self._rest()
        context.note(EventLevel.INFO, "paused", "paused: light off, focus down")
        context.listener.message("paused: light off, focus down")
        while control.pause_requested:
            idle()
            self._pause(POLL_S)
            control.poll()
        if control.stop_requested:
            return
        context.microscope.light(on=True)
        self._machine.take(RunStep.CONTINUE)
        context.note(EventLevel.INFO, "continued", "continued")

    def _rest(self) -> None:
        self.rests += 1
        self._context.microscope.light(on=False)
        self._context.microscope.lower_focus()

    def _require_not_aborted(self) -> None:
        if self._context.control.abort_requested:
            raise RunAbortedError("the run was aborted by request")

"""Between two fields or two captures: the one place where a run waits, stops or is given up."""

from __future__ import annotations

import time
from collections.abc import Callable

from acquisition.errors import RunAbortedError
from acquisition.records import EventLevel
from acquisition.run.context import RunContext
from acquisition.run.states import RunMachine, RunStep

# How soon a paused run hears that it may go on.
LISTEN_S = 0.05


class Boundary:
    """Grants the wishes that the run's control carries.

    Parameters
    ----------
    context
        The run.
    machine
        Its state.
    pause
        Waiting, in s; replaced in tests.

    Attributes
    ----------
    rests
        How often the run has waited: the instrument is then not where it was left.
    """

    def __init__(
        self, context: RunContext, machine: RunMachine, *, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._context = context
        self._machine = machine
        self._pause = pause
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
            The run was given up.
        DeviceError
            The instrument could not be put to rest, or woken again.
        """
        control = self._context.control
        control.poll()
        if control.pause_requested:
            self._rest(idle)
        if control.abort_requested:
            raise RunAbortedError("the run was given up by request")
        return not control.stop_requested

    def _rest(self, idle: Callable[[], object]) -> None:
        """Light off and focus down: somebody may want to reach under the objective."""
        context = self._context
        microscope, control = context.microscope, context.control
        self.rests += 1
        self._machine.take(RunStep.PAUSE)
        microscope.light(on=False)
        microscope.lower_focus()
        context.note(EventLevel.INFO, "paused", "paused: light off, focus down")
        context.listener.message("paused: light off, focus down")
        while control.pause_requested:
            idle()
            self._pause(LISTEN_S)
            control.poll()
        if control.stop_requested:
            return
        microscope.light(on=True)
        self._machine.take(RunStep.CONTINUE)
        context.note(EventLevel.INFO, "continued", "going on")

"""Steps of a run that concern the whole slide: tried again as the protocol says, and never left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from acquisition.records import EventLevel
from acquisition.run.context import RunContext
from acquisition.run.faults import FaultCounter
from scanner.errors import DeviceError

Result = TypeVar("Result")


def retry_step(context: RunContext, name: str, step: Callable[[], Result]) -> Result:
    """Make a step, again where the instrument fails and the protocol allows for it.

    Parameters
    ----------
    context
        The run.
    name
        What the step is called in the record.
    step
        Safe to be made again after it failed half-way.

    Raises
    ------
    DeviceError
        It failed more often than the protocol allows, or may not be tried again: a stop, a limit, an interlock.
    SlideParkedError
        The protocol gives the slide up for this fault.
    """
    counter = FaultCounter(context.protocol.errors, context.microscope.rig)
    while True:
        try:
            return step()
        except DeviceError as error:
            if counter.retry(error) is None:
                # A field can be left out, a whole slide's step can't.
                raise
            context.note(EventLevel.WARNING, "step_retried", f"{name} tried again: {error}")

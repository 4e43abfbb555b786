"""Light for a part of a run, of a lamp that is ready."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from acquisition.records import EventLevel
from acquisition.run.context import RunContext
from acquisition.run.retry import retry_step
from scanner.errors import MoveStoppedError, ScannerError
from scanner.rig_equipment import LightPath

_log = logging.getLogger(__name__)


@contextmanager
def lit(context: RunContext) -> Iterator[None]:
    """Light on within, off after; a lamp that fails to go off never hides why the block was left.

    A lamp that has to warm up is waited for first. The end of a run tries again to switch it off, and reports it
    where that fails too.

    Parameters
    ----------
    context
        The run.

    Raises
    ------
    DeviceError
        The light did not switch, and nothing else went wrong; or the lamp never got ready.
    SlideParkedError
        The protocol gives the slide up for that.
    MoveStoppedError
        The run was asked to stop while the lamp warmed up.
    """
    microscope = context.microscope
    microscope.light(on=True)
    try:
        await_lamp(context)
        yield
    except BaseException as first:
        try:
            microscope.light(on=False)
        except ScannerError as error:
            _log.exception("the light did not go off")
            first.add_note(f"the light did not go off either: {error}")
        raise
    microscope.light(on=False)


def await_lamp(context: RunContext) -> None:
    """Wait until the lamp is ready, and say that it is waited for.

    Parameters
    ----------
    context
        The run; light on.

    Raises
    ------
    DeviceError, SlideParkedError, MoveStoppedError
        As `lit`.
    """
    microscope, control = context.microscope, context.control
    wait_s = microscope.lamp_wait_s
    if wait_s <= 0.0:
        return

    def check() -> None:
        control.poll()
        if control.stop_requested or control.abort_requested:
            raise MoveStoppedError("stopped while the lamp warmed up", device=microscope.rig.devices.lamp)

    text = f"waiting for the lamp, {wait_s:.0f} s at most"
    context.note(EventLevel.INFO, "lamp_warms_up", text, wait_s=round(wait_s, 1))
    context.listener.message(text)
    retry_step(context, "lamp", lambda: microscope.await_lamp(check))
    context.note(EventLevel.INFO, "lamp_ready", "the lamp is ready")


def select_filters(context: RunContext) -> None:
    """Bring the filters for the protocol's stain into the light path, where the rig has a turret for them.

    Parameters
    ----------
    context
        The run.

    Raises
    ------
    DeviceError, SlideParkedError
        Other filters are in the light path, more often than the protocol allows.
    """
    path = LightPath.FLUORESCENCE if context.protocol.is_fluorescence else LightPath.BRIGHT_FIELD
    retry_step(context, f"filters for {path.value}", lambda: context.microscope.select_light_path(path))

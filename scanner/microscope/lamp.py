"""The transmitted light."""

from __future__ import annotations

from scanner.device_calls import DeviceCalls
from scanner.errors import DeviceNotReadyError
from scanner.microscope.settings import MOTION, MotionSettings


class Lamp:
    """The shutter of the transmitted light.

    Parameters
    ----------
    calls
        Access to the devices.
    label
        Label of the shutter.
    settings
        Deadlines.
    """

    def __init__(self, calls: DeviceCalls, label: str, *, settings: MotionSettings = MOTION) -> None:
        self.label = label
        self._calls = calls
        self._settings = settings

    def switch(self, *, on: bool) -> None:
        """Open or close it and prove it.

        Parameters
        ----------
        on
            Whether there shall be light.

        Raises
        ------
        DeviceNotReadyError
            It says something else than asked for.
        MoveTimeoutError, DeviceError
            It did not end, or did not answer.
        """
        core = self._calls.core
        with self._calls.device_errors(self.label, "shutter", wanted="open" if on else "closed"):
            core.setShutterOpen(self.label, on)
            # Switching off is part of making safe: a stop doesn't end it.
            self._calls.wait_idle(self.label, self._settings.deadline_margin_s, stoppable=False)
            is_on = bool(core.getShutterOpen(self.label))
        if is_on != on:
            raise DeviceNotReadyError(
                "light did not switch",
                device=self.label,
                wanted="on" if on else "off",
                actual="on" if is_on else "off",
            )

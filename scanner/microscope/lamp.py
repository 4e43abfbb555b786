"""The transmitted light, and whether it is steady yet."""

from __future__ import annotations

import logging
from collections.abc import Callable

from scanner.device_calls import DeviceCalls
from scanner.errors import DeviceNotReadyError
from scanner.microscope.settings import LAMP, MOTION, LampSettings, MotionSettings
from scanner.rig_equipment import LampConfig

_log = logging.getLogger(__name__)


class Lamp:
    """The shutter of the transmitted light, and the lamp behind it.

    Parameters
    ----------
    calls
        Access to the devices.
    label
        Label of the shutter.
    config
        How long the lamp takes to be ready; None where it is at once.
    settings, waiting
        Deadlines.

    Notes
    -----
    A lamp that has been ready once is so for as long as this object lives: it goes on burning behind its shutter.
    """

    def __init__(
        self,
        calls: DeviceCalls,
        label: str,
        config: LampConfig | None = None,
        *,
        settings: MotionSettings = MOTION,
        waiting: LampSettings = LAMP,
    ) -> None:
        self.label = label
        self._calls = calls
        self._config = config
        self._settings = settings
        self._waiting = waiting
        self._first_on_s: float | None = None
        self._was_ready = config is None

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
        if on and self._first_on_s is None:
            self._first_on_s = self._calls.now()

    @property
    def wait_s(self) -> float:
        """How long it is waited for at most, light on, before it counts as ready; 0 once it was."""
        if self._was_ready or self._config is None:
            return 0.0
        since_s = 0.0 if self._first_on_s is None else self._calls.now() - self._first_on_s
        longest_s = self._config.warm_up_s
        if self._config.ready_property is not None:
            longest_s = max(longest_s, self._config.deadline_s)
        return max(0.0, longest_s - since_s)

    def await_ready(self, check: Callable[[], None] = lambda: None) -> None:
        """Wait until it gives the light that it will give; light on.

        Parameters
        ----------
        check
            Called again and again; what it raises ends the wait.

        Raises
        ------
        DeviceNotReadyError
            It did not get ready within its deadline.
        MoveStoppedError
            The instrument was stopped meanwhile.
        DeviceError
            No answer.
        """
        config = self._config
        if self._was_ready or config is None:
            return
        begun_s = self._first_on_s if self._first_on_s is not None else self._calls.now()
        while self._calls.now() < begun_s + config.warm_up_s:
            self._pause(check)
        while config.ready_property is not None and not self._says_ready(config, config.ready_property):
            if self._calls.now() >= begun_s + config.deadline_s:
                raise DeviceNotReadyError(
                    "the lamp did not get ready",
                    device=self.label,
                    wanted=f"{config.ready_property} {config.ready_value} within {config.deadline_s:g} s",
                )
            self._pause(check)
        self._was_ready = True
        _log.info("lamp ready after %.1f s", self._calls.now() - begun_s)

    def _pause(self, check: Callable[[], None]) -> None:
        check()
        self._calls.wait_until(self.label, self._calls.now() + self._waiting.poll_s)

    def _says_ready(self, config: LampConfig, name: str) -> bool:
        device = config.ready_device or self.label
        with self._calls.device_errors(device, name):
            return str(self._calls.core.getProperty(device, name)) == config.ready_value

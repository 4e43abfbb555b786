"""One drop of oil, counted by the dispenser's own sensor."""

from __future__ import annotations

import logging

from scanner.device_calls import DeviceCalls
from scanner.errors import OilError
from scanner.peripherals import Oiler
from scanner.rig import OilerConfig

_log = logging.getLogger(__name__)

# A drop may take this many times its duration in the rig, plus a fixed time for the controller's answers.
_DEADLINE_FACTOR = 2.0
_DEADLINE_MARGIN_S = 2.0


class OilDispenser:
    """The oiler, made strict. The microscope's interlocks are asked before any of its methods is called.

    Parameters
    ----------
    calls
        Access to the devices.
    label
        Label of the oiler.
    oiler
        The oiler.
    config
        What the rig says of it.
    """

    def __init__(self, calls: DeviceCalls, label: str, oiler: Oiler, config: OilerConfig) -> None:
        self._calls = calls
        self._label = label
        self._oiler = oiler
        self.config = config

    def check_not_empty(self) -> None:
        """Refuse to go anywhere for a drop that can't be had.

        Raises
        ------
        OilError
            The reservoir is empty.
        """
        with self._calls.device_errors(self._label, "level"):
            if self._oiler.is_empty():
                raise OilError("the reservoir is empty", device=self._label)

    def drop(self) -> bool:
        """Give one drop.

        Returns
        -------
        bool
            Whether the sensor counted it. False: no drop fell.

        Raises
        ------
        OilError
            It counted something else than none or one: nobody knows what lies on the slide.
        MoveTimeoutError, MoveStoppedError, DeviceError
            Nobody knows whether a drop fell.
        """
        before = self._count()
        with self._calls.device_errors(self._label, "drop"):
            self._oiler.start_drop()
        allowance_s = _DEADLINE_FACTOR * self.config.drop_s + _DEADLINE_MARGIN_S
        self._calls.wait_idle(self._label, allowance_s, halt=self._oiler.stop)
        after = self._count()
        if after - before not in (0, 1):
            raise OilError(
                "the drop counter jumped", device=self._label, wanted=str(before + 1), actual=str(after)
            )
        _log.info("oil: drop %d", after)
        return after == before + 1

    def stop(self) -> None:
        """Stop now; any thread."""
        with self._calls.device_errors(self._label, "stop"):
            self._oiler.stop()

    def _count(self) -> int:
        with self._calls.device_errors(self._label, "drop counter"):
            return self._oiler.drops_given()

"""The reflector or filter turret: which light reaches the camera, and whether that is certain."""

from __future__ import annotations

import logging

from scanner.device_calls import DeviceCalls
from scanner.errors import DeviceNotReadyError
from scanner.microscope.settings import MOTION, MotionSettings
from scanner.rig_equipment import LightPath, ReflectorConfig

_log = logging.getLogger(__name__)


class FilterTurret:
    """The reflector turret, or a filter wheel in its place.

    Parameters
    ----------
    calls
        Access to the devices.
    label
        Label of the turret.
    config
        Which of its positions serves which kind of light.
    settings
        Deadlines.
    """

    def __init__(
        self, calls: DeviceCalls, label: str, config: ReflectorConfig, *, settings: MotionSettings = MOTION
    ) -> None:
        self.label = label
        self._calls = calls
        self._config = config
        self._settings = settings
        self._path: LightPath | None = None

    def turn_to(self, path: LightPath) -> None:
        """Bring the filters for a kind of light into the light path, and prove it.

        Parameters
        ----------
        path
            Kind of light.

        Raises
        ------
        DeviceNotReadyError
            The rig has no position for it, or another one is in the light path afterwards.
        MoveTimeoutError, MoveStoppedError, DeviceError
            It isn't certain which filters are in the light path.
        """
        wanted = self._config.position(path)
        if wanted is None:
            raise DeviceNotReadyError(
                "the rig has no filters for this light", device=self.label, wanted=path.value
            )
        self._calls.check_not_stopped(self.label)
        self._path = None
        if self._position() != wanted:
            with self._calls.device_errors(self.label, "change", wanted=wanted):
                self._calls.core.setStateLabel(self.label, wanted)
            self._calls.wait_idle(self.label, self._settings.turret_deadline_s)
        self._path = path
        self.check_holds()
        _log.info("filters for %s: %s", path.value, wanted)

    def check_holds(self) -> None:
        """Prove that the filters are those that were chosen; nothing is asked before any were.

        Raises
        ------
        DeviceNotReadyError
            Others are in the light path: somebody turned it by hand, or it got stuck.
        """
        if self._path is None:
            return
        wanted, actual = self._config.position(self._path), self._position()
        if actual != wanted:
            raise DeviceNotReadyError(
                f"wrong filters for {self._path.value} in the light path",
                device=self.label,
                wanted=wanted,
                actual=actual,
            )

    def _position(self) -> str:
        with self._calls.device_errors(self.label, "position"):
            return str(self._calls.core.getStateLabel(self.label))

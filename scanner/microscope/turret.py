"""The objective turret: which objective is in the light path, and whether that is certain."""

from __future__ import annotations

import logging

from scanner.device_calls import DeviceCalls
from scanner.errors import DeviceNotReadyError
from scanner.microscope.settings import MOTION, MotionSettings
from scanner.rig import Objective

_log = logging.getLogger(__name__)


class Turret:
    """The objective turret.

    Parameters
    ----------
    calls
        Access to the devices.
    label
        Label of the turret.
    objectives
        What the rig has in it.
    settings
        Deadlines.

    Raises
    ------
    DeviceNotReadyError
        It stands where the rig has no objective.
    """

    def __init__(
        self,
        calls: DeviceCalls,
        label: str,
        objectives: tuple[Objective, ...],
        *,
        settings: MotionSettings = MOTION,
    ) -> None:
        self.label = label
        self._calls = calls
        self._objectives = objectives
        self._settings = settings
        self._is_sure = True
        self._objective = self._read_objective()

    @property
    def objective(self) -> Objective:
        """The objective in the light path."""
        return self._objective

    def check_is_sure(self) -> None:
        """Refuse to go on after a change that failed.

        Raises
        ------
        DeviceNotReadyError
            Which objective is in the light path isn't certain.
        """
        if not self._is_sure:
            raise DeviceNotReadyError(
                "it isn't certain which objective is in the light path: select one", device=self.label
            )

    def stands_at(self, objective: Objective) -> bool:
        """Whether the controller says that an objective is in the light path."""
        return self._state_label() == objective.label

    def turn_to(self, objective: Objective) -> None:
        """Bring an objective into the light path; whoever calls has checked that nothing can touch.

        Parameters
        ----------
        objective
            The objective.

        Raises
        ------
        MoveTimeoutError, MoveStoppedError, DeviceError
            Until another change succeeds, it isn't certain which objective is in the light path.
        """
        self._is_sure = False
        with self._calls.device_errors(self.label, "change", wanted=objective.label):
            self._calls.core.setStateLabel(self.label, objective.label)
        self._calls.wait_idle(self.label, self._settings.turret_deadline_s)

    def confirm(self, objective: Objective) -> Objective:
        """Read back which objective is in the light path.

        Parameters
        ----------
        objective
            The one that has to be.

        Raises
        ------
        DeviceNotReadyError
            Another one is, or one that the rig doesn't have.
        """
        self._objective = self._read_objective()
        self._is_sure = True
        if self._objective.name != objective.name:
            raise DeviceNotReadyError(
                "turret is in another position",
                device=self.label,
                wanted=objective.name,
                actual=self._objective.name,
            )
        _log.info("objective %s", objective.name)
        return self._objective

    def _state_label(self) -> str:
        with self._calls.device_errors(self.label, "position"):
            return str(self._calls.core.getStateLabel(self.label))

    def _read_objective(self) -> Objective:
        state_label = self._state_label()
        for objective in self._objectives:
            if objective.label == state_label:
                return objective
        raise DeviceNotReadyError(
            "turret position unknown to the rig",
            device=self.label,
            actual=state_label,
            allowed=", ".join(objective.label for objective in self._objectives),
        )

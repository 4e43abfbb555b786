"""The twin's reflector turret: an empty position for transmitted light, and filters for DAPI."""

from __future__ import annotations

from typing import Final

from pymmcore_plus import Keyword
from pymmcore_plus.experimental.unicore import StateDevice

from simulators.devices import OnTwin
from simulators.faults import TwinFaultKind

EMPTY_LABEL: Final = "1-empty"
DAPI_LABEL: Final = "2-DAPI"
_TURN_S: Final = 0.3


class TwinReflector(OnTwin, StateDevice):
    """Reflector turret with an empty position and one for DAPI; the other's light doesn't reach the camera."""

    def __init__(self) -> None:
        super().__init__({0: EMPTY_LABEL, 1: DAPI_LABEL})
        self._true_position = 0
        self._reported_position = 0
        self._end_s = 0.0
        # Where it was sent, while state and label follow one another: they would turn it again where it got stuck.
        self._sent: int | None = None

    def initialize(self) -> None:
        """Stand in the light path."""
        super().initialize()
        self.twin.passes_emission = False

    def get_state(self) -> int:
        """Position that it reports."""
        return self._reported_position if self._sent is None else self._sent

    def set_state(self, position: int) -> None:
        """Turn."""
        twin, label, position = self.twin, self.get_label(), int(position)
        if self._sent is not None:
            return
        self._sent = position
        if position == self._reported_position:
            return
        is_stuck = twin.faults.strikes(TwinFaultKind.FILTERS_STUCK, label)
        lies = twin.faults.strikes(TwinFaultKind.FILTERS_LIE, label)
        if is_stuck or lies:
            twin.note("fault", f"{label}: filters {'stuck' if is_stuck else 'lie'}")
        if not is_stuck:
            self._reported_position = position
        if not is_stuck and not lies:
            self._true_position = position
        twin.passes_emission = self._true_position == 1
        self._end_s = twin.clock.now_s() + _TURN_S
        twin.pass_time(_TURN_S)

    def _set_state(self, state: int) -> None:
        try:
            super()._set_state(state)
        finally:
            self._sent = None

    def set_position_or_label(self, pos_or_label: int | str) -> None:
        """Turn; the label follows the state."""
        if isinstance(pos_or_label, str):
            pos_or_label = self.get_position_for_label(pos_or_label)
        self.set_property_value(Keyword.State, int(pos_or_label))

    def busy(self) -> bool:
        """Whether it turns."""
        return self.twin.clock.now_s() < self._end_s

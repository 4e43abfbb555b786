"""A lamp of the twin that takes its time, as arc lamps and some LED drivers do."""

from __future__ import annotations

from enum import StrEnum

from simulators.devices import TwinLamp
from simulators.faults import TwinFaultKind


class LampState(StrEnum):
    """What the lamp says of itself."""

    OFF = "Off"
    WARMING = "Warming"
    READY = "Ready"


class TwinWarmingLamp(TwinLamp):
    """Lamp that is ready ``WarmUp_s`` after its shutter was opened first, and says so in ``State``."""

    def __init__(self) -> None:
        super().__init__()
        self._warm_up_s = 30.0
        self._first_on_s: float | None = None
        self._never_ready = False
        self.register_property(
            "WarmUp_s",
            property_type=float,
            getter=lambda _lamp: self._warm_up_s,
            setter=TwinWarmingLamp._set_warm_up,
            limits=(0.0, 3_600.0),
        )
        self.register_property("State", property_type=str, getter=lambda _lamp: self._state().value)

    def set_open(self, open: bool) -> None:
        """Open or close the shutter; the lamp burns from the first time on."""
        super().set_open(open)
        if open and self._first_on_s is None:
            self._first_on_s = self.twin.clock.now_s()
            self._never_ready = self.twin.faults.strikes(TwinFaultKind.LAMP_NEVER_READY, self.get_label())
            if self._never_ready:
                self.twin.note("fault", f"{self.get_label()}: never ready")

    def _state(self) -> LampState:
        if self._first_on_s is None:
            return LampState.OFF
        is_warm = self.twin.clock.now_s() - self._first_on_s >= self._warm_up_s
        return LampState.READY if is_warm and not self._never_ready else LampState.WARMING

    def _set_warm_up(self, seconds: float) -> None:
        self._warm_up_s = float(seconds)

"""A stage of the twin that counts steps, as stepper motors without encoders do."""

from __future__ import annotations

from simulators.devices import TwinXYStage


class TwinSteppingStage(TwinXYStage):
    """Motorised stage that goes to whole steps of ``UmPerStep`` only, and reports whole steps."""

    def __init__(self) -> None:
        super().__init__()
        self._um_per_step = 0.5
        self.register_property(
            "UmPerStep",
            property_type=float,
            getter=lambda _stage: self._um_per_step,
            setter=TwinSteppingStage._set_um_per_step,
            limits=(0.001, 100.0),
        )

    def set_position_um(self, x: float, y: float) -> None:
        """Start a move to the nearest whole steps.

        Parameters
        ----------
        x, y
            Target, um.
        """
        super().set_position_um(self._on_step(x), self._on_step(y))

    def get_position_um(self) -> tuple[float, float]:
        """Position in whole steps."""
        x_um, y_um = super().get_position_um()
        return self._on_step(x_um), self._on_step(y_um)

    def _on_step(self, position_um: float) -> float:
        return round(float(position_um) / self._um_per_step) * self._um_per_step

    def _set_um_per_step(self, um_per_step: float) -> None:
        self._um_per_step = float(um_per_step)

"""XY stage and focus drive of any motion controller, as Micro-Manager devices."""

from __future__ import annotations

from pymmcore_plus import FocusDirection
from pymmcore_plus.experimental.unicore import StageDevice, XYStageDevice
from pymmcore_plus.experimental.unicore.devices._device_base import Device

from scanner.devices.controller import MotionController
from scanner.devices.hub import ControllerHub
from scanner.errors import DeviceNotReadyError, InterlockError


class _OnController:
    """What hangs on a controller: it is handed the hub by its ``Parent`` line."""

    _hub: ControllerHub | None = None

    def connect_hub(self, hub: Device) -> None:
        """Take the hub."""
        if not isinstance(hub, ControllerHub):
            raise DeviceNotReadyError(
                "hangs on the wrong hub",
                device=type(self).__name__,
                wanted="a hub of scanner.devices",
                actual=type(hub).__name__,
            )
        self._hub = hub

    @property
    def controller(self) -> MotionController:
        """The controller, contacted."""
        if self._hub is None:
            raise DeviceNotReadyError("has no hub", device=type(self).__name__, wanted="a line '#py Parent,...'")
        return self._hub.controller()


class SerialXYStage(_OnController, XYStageDevice):
    """XY stage; positions in um, in the controller's own coordinates."""

    def initialize(self) -> None:
        """Refuse to start without both axes."""
        self.controller.require("x", "y")

    def set_position_um(self, x: float, y: float) -> None:
        """Start a move.

        Parameters
        ----------
        x, y
            Target, um.
        """
        self.controller.start_move({"x": float(x), "y": float(y)}, self.get_label())

    def get_position_um(self) -> tuple[float, float]:
        """Position, under way too."""
        x_um, y_um = self.controller.position_um("x", "y")
        return x_um, y_um

    def busy(self) -> bool:
        """Whether it moves or is being homed; raises what the controller says at the end of a move."""
        return self.controller.is_busy("x", "y")

    def stop(self) -> None:
        """Halt."""
        self.controller.stop("x", "y")

    def home(self) -> None:
        """Start to find the reference; crosses the whole travel, so the focus has to be down."""
        self.controller.home("x", "y")

    def set_origin_x(self) -> None:
        """Refuse: limits and coordinates belong together."""
        raise InterlockError("the origin is fixed", device=self.get_label(), axis="x")

    def set_origin_y(self) -> None:
        """Refuse: limits and coordinates belong together."""
        raise InterlockError("the origin is fixed", device=self.get_label(), axis="y")


class SerialFocus(_OnController, StageDevice):
    """Focus drive; a higher z has to be nearer to the specimen."""

    def initialize(self) -> None:
        """Refuse to start without the axis."""
        self.controller.require("z")

    def set_position_um(self, val: float) -> None:
        """Start a move."""
        self.controller.start_move({"z": float(val)}, self.get_label())

    def get_position_um(self) -> float:
        """Position, under way too."""
        return self.controller.position_um("z")[0]

    def busy(self) -> bool:
        """Whether it moves or is being homed; raises what the controller says at the end of a move."""
        return self.controller.is_busy("z")

    def stop(self) -> None:
        """Halt."""
        self.controller.stop("z")

    def home(self) -> None:
        """Start to find the reference, downwards."""
        self.controller.home("z")

    def set_origin(self) -> None:
        """Refuse: limits and coordinates belong together."""
        raise InterlockError("the origin is fixed", device=self.get_label(), axis="z")

    def get_focus_direction(self) -> FocusDirection:
        """Higher is nearer to the specimen."""
        return FocusDirection.TowardSample

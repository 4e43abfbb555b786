"""The twin's loader, oiler and label camera behind serial lines, as a Micro-Manager configuration loads them.

Each is the real driver with a simulated device at the other end of its line, which moves a machine of
`simulators.peripherals`, its parent: what brings a slide is, byte for byte, what would bring glass.
"""

from __future__ import annotations

from pymmcore_plus.experimental.unicore.devices._device_base import Device

from scanner.devices.label_camera import SerialLabelCamera
from scanner.devices.loader import SerialLoader
from scanner.devices.oiler import SerialOiler
from simulators.peripherals import TwinLabelCamera, TwinLoader, TwinOiler
from simulators.serial.controller import SimulatedController
from simulators.serial.label_camera import LabelCameraController
from simulators.serial.loader import LoaderController
from simulators.serial.oiler import OilerController
from simulators.serial.on_line import OnALine


class TwinSerialLoader(OnALine, SerialLoader):
    """Slide loader behind a line; its parent is a `simulators.peripherals.TwinLoader`."""

    def _electronics(self, hub: Device) -> SimulatedController:
        if not isinstance(hub, TwinLoader):
            raise self._wrong(hub, TwinLoader)
        return LoaderController(hub.feeder, self._faults)


class TwinSerialOiler(OnALine, SerialOiler):
    """Oil dispenser behind a line; its parent is a `simulators.peripherals.TwinOiler`."""

    def _electronics(self, hub: Device) -> SimulatedController:
        if not isinstance(hub, TwinOiler):
            raise self._wrong(hub, TwinOiler)
        return OilerController(hub.dispenser, self._faults)


class TwinSerialLabelCamera(OnALine, SerialLabelCamera):
    """Label camera behind a line; its parent is a `simulators.peripherals.TwinLabelCamera`."""

    def _electronics(self, hub: Device) -> SimulatedController:
        if not isinstance(hub, TwinLabelCamera):
            raise self._wrong(hub, TwinLabelCamera)
        return LabelCameraController(hub.twin, self._faults, take=hub.picture)

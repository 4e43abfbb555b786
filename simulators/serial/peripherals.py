"""The twin's loader, oiler and label camera behind serial lines, as a Micro-Manager configuration loads them.

Each is the real driver with a simulated device at the other end of its line, which moves a machine of
`simulators.peripherals`, its parent: what brings a slide is, byte for byte, what would bring glass.
"""

from __future__ import annotations

from pymmcore_plus.experimental.unicore.devices._device_base import Device

from scanner.devices.label_camera import SerialLabelCamera
from scanner.devices.loader import SerialLoader
from scanner.devices.oiler import SerialOiler
from scanner.devices.peripheral import SerialPeripheral
from scanner.errors import DeviceNotReadyError
from simulators.peripherals import TwinLabelCamera, TwinLoader, TwinOiler
from simulators.serial.controller import SimulatedController
from simulators.serial.faults import SerialFaultPlan, parse_serial_faults
from simulators.serial.label_camera import LabelCameraController
from simulators.serial.line import PtyLine, TcpLine
from simulators.serial.loader import LoaderController
from simulators.serial.oiler import OilerController
from simulators.serial.simulator import SerialSimulator


class _OnALine(SerialPeripheral):
    """A driver whose line ends in a machine of the twin; ``#py Parent,<label>,<machine>`` connects it.

    Properties, besides those of the driver: ``Line`` (``pty`` or ``tcp``), ``EmulatedBaudRate`` (0: no delay) and
    ``SerialFaults`` (see `simulators.serial.faults.parse_serial_faults`).
    """

    def __init__(self) -> None:
        super().__init__()
        self._simulator: SerialSimulator | None = None
        self._faults = SerialFaultPlan()
        self._faults_text = ""
        self.register_property("Line", default_value="pty", allowed_values=("pty", "tcp"), is_pre_init=True)
        self.register_property("EmulatedBaudRate", default_value=0, is_pre_init=True)
        self.register_property(
            "SerialFaults",
            property_type=str,
            getter=lambda _device: self._faults_text,
            setter=_OnALine._set_faults,
        )

    @property
    def simulator(self) -> SerialSimulator:
        """What answers at the other end of the line."""
        if self._simulator is None:
            raise DeviceNotReadyError(
                "has no machine", device=self.get_label() or type(self).__name__, wanted="a line '#py Parent,...'"
            )
        return self._simulator

    def connect_hub(self, hub: Device) -> None:
        """Take the machine, plug in the line and set the driver's port."""
        line = TcpLine() if self.get_property_value("Line") == "tcp" else PtyLine()
        baud_rate = int(self.get_property_value("EmulatedBaudRate"))
        self._simulator = SerialSimulator(self._electronics(hub), line, baud_rate=baud_rate or None)
        self._simulator.start()
        self.set_property_value("Port", self._simulator.address)

    def shutdown(self) -> None:
        """Let the driver go first, then the device at the other end."""
        super().shutdown()
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None

    def _electronics(self, machine: Device) -> SimulatedController:
        """What answers for the machine."""
        raise NotImplementedError

    def _wrong(self, machine: Device, wanted: type[Device]) -> DeviceNotReadyError:
        return DeviceNotReadyError(
            "hangs on the wrong machine",
            device=self.get_label(),
            wanted=wanted.__name__,
            actual=type(machine).__name__,
        )

    def _set_faults(self, text: str) -> None:
        faults = parse_serial_faults(str(text))
        self._faults.clear()
        self._faults.add(*faults)
        self._faults_text = str(text)


class TwinSerialLoader(_OnALine, SerialLoader):
    """Slide loader behind a line; its parent is a `simulators.peripherals.TwinLoader`."""

    def _electronics(self, machine: Device) -> SimulatedController:
        if not isinstance(machine, TwinLoader):
            raise self._wrong(machine, TwinLoader)
        return LoaderController(machine.feeder, self._faults)


class TwinSerialOiler(_OnALine, SerialOiler):
    """Oil dispenser behind a line; its parent is a `simulators.peripherals.TwinOiler`."""

    def _electronics(self, machine: Device) -> SimulatedController:
        if not isinstance(machine, TwinOiler):
            raise self._wrong(machine, TwinOiler)
        return OilerController(machine.dispenser, self._faults)


class TwinSerialLabelCamera(_OnALine, SerialLabelCamera):
    """Label camera behind a line; its parent is a `simulators.peripherals.TwinLabelCamera`."""

    def _electronics(self, machine: Device) -> SimulatedController:
        if not isinstance(machine, TwinLabelCamera):
            raise self._wrong(machine, TwinLabelCamera)
        return LabelCameraController(machine.twin, self._faults, take=machine.picture)

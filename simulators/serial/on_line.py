"""What the twin's serial devices have in common: a line with a simulated controller at its other end."""

from __future__ import annotations

from typing import Any

from pymmcore_plus.experimental.unicore.devices._device_base import Device

from scanner.errors import DeviceNotReadyError
from simulators.serial.controller import SimulatedController
from simulators.serial.faults import SerialFaultPlan, parse_serial_faults
from simulators.serial.line import HAS_PTY, PtyLine, TcpLine
from simulators.serial.simulator import SerialSimulator


class OnALine(Device):
    """A real driver whose line ends in the twin; ``#py Parent,<label>,<part of the twin>`` connects it.

    Stands before the driver among a class's bases. Properties, besides those of the driver: ``Line`` (``pty`` or
    ``tcp``), ``EmulatedBaudRate`` (0: no delay) and ``SerialFaults`` (see
    `simulators.serial.faults.parse_serial_faults`).
    """

    def __init__(self) -> None:
        super().__init__()
        self._simulator: SerialSimulator | None = None
        self._faults = SerialFaultPlan()
        self._faults_text = ""
        kinds = ("pty", "tcp") if HAS_PTY else ("tcp",)
        self.register_property("Line", default_value=kinds[0], allowed_values=kinds, is_pre_init=True)
        self.register_property("EmulatedBaudRate", default_value=0, is_pre_init=True)
        self.register_property(
            "SerialFaults",
            property_type=str,
            getter=lambda _device: self._faults_text,
            setter=OnALine._set_faults,
        )

    @property
    def simulator(self) -> SerialSimulator:
        """What answers at the other end of the line."""
        if self._simulator is None:
            raise DeviceNotReadyError(
                "has no twin", device=self.get_label() or type(self).__name__, wanted="a line '#py Parent,...'"
            )
        return self._simulator

    def connect_hub(self, hub: Device) -> None:
        """Take the part of the twin, plug in the line and set the driver's port."""
        line = TcpLine() if self.get_property_value("Line") == "tcp" else PtyLine()
        baud_rate = int(self.get_property_value("EmulatedBaudRate"))
        self._simulator = SerialSimulator(self._electronics(hub), line, baud_rate=baud_rate or None)
        self._simulator.start()
        self.set_property_value("Port", self._simulator.address)

    def shutdown(self) -> None:
        """Let the driver go first, then what answers it."""
        super().shutdown()
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None

    def _electronics(self, hub: Device) -> SimulatedController:
        """What answers for the part of the twin."""
        raise NotImplementedError

    def _wrong(self, hub: Device, wanted: type[Any]) -> DeviceNotReadyError:
        return DeviceNotReadyError(
            "hangs on the wrong hub",
            device=self.get_label(),
            wanted=wanted.__name__,
            actual=type(hub).__name__,
        )

    def _set_faults(self, text: str) -> None:
        faults = parse_serial_faults(str(text))
        self._faults.clear()
        self._faults.add(*faults)
        self._faults_text = str(text)

"""The twin's serial controllers, as a Micro-Manager configuration loads them.

Each is the real driver's hub with a simulated controller at the other end of its line, which moves the twin's
axes: what drives the stage is, byte for byte, what would drive glass.
"""

from __future__ import annotations

from pymmcore_plus.experimental.unicore.devices._device_base import Device

from scanner.devices.hub import ControllerHub
from scanner.devices.prior import ProScanHub
from scanner.devices.tango import TangoHub
from scanner.errors import DeviceNotReadyError
from simulators.devices import TwinHub
from simulators.serial.controller import SimulatedController
from simulators.serial.faults import SerialFaultPlan, parse_serial_faults
from simulators.serial.line import PtyLine, TcpLine
from simulators.serial.mechanics import Mechanics, TwinMechanics
from simulators.serial.prior import ProScanController
from simulators.serial.simulator import SerialSimulator
from simulators.serial.tango import TangoController


class SerialHubOnTwin(ControllerHub):
    """A driver's hub whose line ends in the twin; a line ``#py Parent,<label>,<twin hub>`` connects it.

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
            getter=lambda _hub: self._faults_text,
            setter=SerialHubOnTwin._set_faults,
        )

    @property
    def simulator(self) -> SerialSimulator:
        """The controller at the other end of the line."""
        if self._simulator is None:
            raise DeviceNotReadyError(
                "has no twin", device=self.get_label() or type(self).__name__, wanted="a line '#py Parent,...'"
            )
        return self._simulator

    def make_simulated(self, mechanics: Mechanics, faults: SerialFaultPlan) -> SimulatedController:
        """The controller that answers."""
        raise NotImplementedError

    def connect_hub(self, hub: Device) -> None:
        """Take the twin, plug in the line and set the driver's port."""
        if not isinstance(hub, TwinHub):
            raise DeviceNotReadyError(
                "hangs on the wrong hub", device=self.get_label(), wanted="TwinHub", actual=type(hub).__name__
            )
        controller = self.make_simulated(TwinMechanics(hub.twin), self._faults)
        line = TcpLine() if self.get_property_value("Line") == "tcp" else PtyLine()
        baud_rate = int(self.get_property_value("EmulatedBaudRate"))
        self._simulator = SerialSimulator(controller, line, baud_rate=baud_rate or None)
        self._simulator.start()
        self.set_property_value("Port", self._simulator.address)

    def shutdown(self) -> None:
        """Let the driver go first, then the controller."""
        super().shutdown()
        if self._simulator is not None:
            self._simulator.close()
            self._simulator = None

    def _set_faults(self, text: str) -> None:
        faults = parse_serial_faults(str(text))
        self._faults.clear()
        self._faults.add(*faults)
        self._faults_text = str(text)


class TwinTango(SerialHubOnTwin, TangoHub):
    """Maerzhaeuser TANGO that moves the twin."""

    def make_simulated(self, mechanics: Mechanics, faults: SerialFaultPlan) -> SimulatedController:
        """A TANGO with encoders."""
        return TangoController(mechanics, faults)


class TwinProScan(SerialHubOnTwin, ProScanHub):
    """Prior ProScan III that moves the twin.

    Property, besides those of the driver: ``AnswersAtEnd`` (1: firmware that answers a move when it has ended).
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_property("AnswersAtEnd", default_value=0, limits=(0, 1), is_pre_init=True)

    def make_simulated(self, mechanics: Mechanics, faults: SerialFaultPlan) -> SimulatedController:
        """A ProScan."""
        return ProScanController(mechanics, faults, answers_at_end=bool(self.get_property_value("AnswersAtEnd")))

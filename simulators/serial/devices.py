"""The twin's serial controllers, as a Micro-Manager configuration loads them.

Each is the real driver's hub with a simulated controller at the other end of its line, which moves the twin's
axes: what drives the stage is, byte for byte, what would drive glass.
"""

from __future__ import annotations

from pymmcore_plus.experimental.unicore.devices._device_base import Device

from scanner.devices.hub import ControllerHub
from scanner.devices.prior import ProScanHub
from scanner.devices.tango import TangoHub
from simulators.devices import TwinHub
from simulators.serial.controller import SimulatedController
from simulators.serial.faults import SerialFaultPlan
from simulators.serial.mechanics import Mechanics, TwinMechanics
from simulators.serial.on_line import OnALine
from simulators.serial.prior import ProScanController
from simulators.serial.tango import TangoController


class SerialHubOnTwin(OnALine, ControllerHub):
    """A driver's hub whose line ends in the twin; its parent is a `simulators.devices.TwinHub`."""

    def make_simulated(self, mechanics: Mechanics, faults: SerialFaultPlan) -> SimulatedController:
        """The controller that answers.

        Parameters
        ----------
        mechanics
            What it moves.
        faults
            What goes wrong on the line.
        """
        raise NotImplementedError

    def _electronics(self, hub: Device) -> SimulatedController:
        if not isinstance(hub, TwinHub):
            raise self._wrong(hub, TwinHub)
        return self.make_simulated(TwinMechanics(hub.twin), self._faults)


class TwinTango(SerialHubOnTwin, TangoHub):
    """Maerzhaeuser TANGO that moves the twin."""

    def make_simulated(self, mechanics: Mechanics, faults: SerialFaultPlan) -> SimulatedController:
        """A TANGO with encoders.

        Parameters
        ----------
        mechanics
            What it moves.
        faults
            What goes wrong on the line.
        """
        return TangoController(mechanics, faults)


class TwinProScan(SerialHubOnTwin, ProScanHub):
    """Prior ProScan III that moves the twin.

    Property, besides those of the driver: ``AnswersAtEnd`` (1: firmware that answers a move when it has ended).
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_property("AnswersAtEnd", default_value=0, limits=(0, 1), is_pre_init=True)

    def make_simulated(self, mechanics: Mechanics, faults: SerialFaultPlan) -> SimulatedController:
        """A ProScan.

        Parameters
        ----------
        mechanics
            What it moves.
        faults
            What goes wrong on the line.
        """
        return ProScanController(mechanics, faults, answers_at_end=bool(self.get_property_value("AnswersAtEnd")))

"""Simulated oil dispenser at the end of a serial line; ``docs/reference/serial/oiler.md``."""

from __future__ import annotations

from scanner.devices.oiler import KIND, OilerCode
from simulators.oil import Dispenser
from simulators.serial.faults import SerialFaultPlan
from simulators.serial.framed import FramedController, SimulatedRefusalError, no_arguments, number_of


class OilerController(FramedController):
    """Electronics of a dispenser.

    Parameters
    ----------
    dispenser
        Nozzle, pump and sensors; that the reservoir runs dry is a fault of the twin.
    faults
        What will go wrong on the line.
    """

    def __init__(
        self, dispenser: Dispenser, faults: SerialFaultPlan | None = None, serial_number: str = "0007"
    ) -> None:
        super().__init__(dispenser.twin.clock, f"{KIND} {serial_number} 1.0", faults)
        self.dispenser = dispenser
        self._counted_before = 0
        self._code = OilerCode.OK
        self._awaited: int | None = None

    @property
    def _drops(self) -> int:
        return self.dispenser.drops_given - self._counted_before

    def abort(self) -> None:
        """Stop the pump at once."""
        with self._lock:
            self._follow()
            if self._awaited is not None:
                self.dispenser.stop()
                self._awaited, self._code = None, OilerCode.HALTED

    def power_cycle(self) -> None:
        """Off and on again: it counts from 0."""
        with self._lock:
            super().power_cycle()
            self.dispenser.stop()
            self._counted_before = self.dispenser.drops_given
            self._awaited, self._code = None, OilerCode.OK

    def obey(self, command: str, arguments: list[str]) -> str:
        """Obey a command.

        Parameters
        ----------
        command
            Name of the command.
        arguments
            Its arguments.
        """
        self._follow()
        if command == "DROP":
            self._drop(number_of(arguments, 1))
            return ""
        if command not in ("STATE", "STOP"):
            raise SimulatedRefusalError(OilerCode.COMMAND)
        no_arguments(arguments)
        if command == "STOP":
            self.abort()
            return ""
        phase = "BUSY" if self.dispenser.is_busy else "IDLE"
        return f"{phase} {int(self._code)} {self._drops} {int(self.dispenser.is_empty)}"

    def _drop(self, number: int) -> None:
        if self.dispenser.is_busy:
            raise SimulatedRefusalError(OilerCode.BUSY)
        if number != self._drops + 1:
            raise SimulatedRefusalError(OilerCode.ARGUMENT)
        if not self.dispenser.start_drop():
            raise SimulatedRefusalError(OilerCode.EMPTY)
        self._awaited, self._code = number, OilerCode.OK

    def _follow(self) -> None:
        """Note how a drop has ended."""
        if self._awaited is None or self.dispenser.is_busy:
            return
        if self._drops != self._awaited:
            self._code = OilerCode.NO_DROP
        self._awaited = None

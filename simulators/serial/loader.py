"""Simulated slide loader at the end of a serial line; ``docs/reference/serial/loader.md``."""

from __future__ import annotations

from scanner.devices.loader import KIND, LoaderCode, LoaderPhase
from simulators.feeder import Feeder, FeederError
from simulators.serial.faults import SerialFaultPlan
from simulators.serial.framed import FramedController, SimulatedRefusalError, no_arguments, number_of

# Homing after power-on, which precedes the first load or unload.
HOMING_S = 4.0


class LoaderController(FramedController):
    """Electronics of a loader.

    Parameters
    ----------
    feeder
        What it moves; its own faults (jam, no slide, wrong slide) are the twin's.
    faults
        What will go wrong on the line.

    Attributes
    ----------
    is_homed
        Whether it knows where its gripper is.
    """

    def __init__(self, feeder: Feeder, faults: SerialFaultPlan | None = None, serial_number: str = "0042") -> None:
        super().__init__(feeder.twin.clock, f"{KIND} {serial_number} 1.0", faults)
        self.feeder = feeder
        self.is_homed = False
        self._has_forgotten = False

    def abort(self) -> None:
        """Halt the gripper at once."""
        self.feeder.stop()

    def power_cycle(self) -> None:
        """Off and on again: the gripper stays where it was; whence the slide on the stage came is forgotten."""
        with self._lock:
            super().power_cycle()
            self.feeder.stop()
            self.is_homed = False
            self._has_forgotten = True

    def obey(self, command: str, arguments: list[str]) -> str:
        """Obey a command.

        Parameters
        ----------
        command
            Name of the command.
        arguments
            Its arguments.
        """
        feeder = self.feeder
        try:
            if command == "LOAD":
                slot = number_of(arguments, 1)
                feeder.load(slot, self._extra_s())
                self.is_homed, self._has_forgotten = True, False
            elif command in ("STATE", "SLOTS", "UNLOAD", "HOME", "STOP"):
                no_arguments(arguments)
                return self._plain(command)
            else:
                raise SimulatedRefusalError(LoaderCode.COMMAND)
        except FeederError as error:
            raise SimulatedRefusalError(error.code) from error
        return ""

    def _plain(self, command: str) -> str:
        feeder = self.feeder
        if command == "STATE":
            return self._state()
        if command == "SLOTS":
            return str(feeder.slots)
        if command == "UNLOAD":
            if self._has_forgotten and feeder.sensors().on_stage and not feeder.is_busy:
                raise SimulatedRefusalError(LoaderCode.SLOT_OCCUPIED)
            feeder.unload(self._extra_s())
            self.is_homed = True
        elif command == "HOME":
            feeder.home()
            self.is_homed = True
        else:
            feeder.stop()
        return ""

    def _extra_s(self) -> float:
        return 0.0 if self.is_homed else HOMING_S

    def _state(self) -> str:
        feeder = self.feeder
        sensors = feeder.sensors()
        slot = 0 if self._has_forgotten else sensors.taken_from or 0
        bits = sum(1 << (slot - 1) for slot in sensors.occupied)
        digits = (feeder.slots + 3) // 4
        return (
            f"{self._phase()} {int(feeder.error)} {int(sensors.on_stage)} {int(feeder.is_gripper_occupied)} "
            f"{slot} {bits:0{digits}X}"
        )

    def _phase(self) -> LoaderPhase:
        if self.feeder.is_busy:
            return LoaderPhase.BUSY
        if self.feeder.error is LoaderCode.JAMMED:
            return LoaderPhase.JAMMED
        if self.feeder.error is LoaderCode.HALTED:
            return LoaderPhase.HALTED
        return LoaderPhase.IDLE if self.is_homed else LoaderPhase.UNHOMED

"""What the simulated loader, oiler and label camera share: numbered lines with a checksum."""

from __future__ import annotations

from abc import abstractmethod

from scanner.devices.framing import DamagedLineError, frame, unframe
from scanner.devices.peripheral import CODE_ARGUMENT, CODE_CHECKSUM, CODE_COMMAND
from simulators.clock import Clock
from simulators.serial.controller import SimulatedController
from simulators.serial.faults import SerialFaultPlan
from simulators.serial.mechanics import FreeMechanics


class SimulatedRefusalError(Exception):
    """The device refuses.

    Parameters
    ----------
    code
        Why.
    """

    def __init__(self, code: int) -> None:
        self.code = int(code)
        super().__init__(str(code))


class FramedController(SimulatedController):
    """A device without axes at the end of a line.

    Parameters
    ----------
    clock
        Time.
    identity
        Answer to ``ID``.
    faults
        What will go wrong on the line.
    """

    def __init__(self, clock: Clock, identity: str, faults: SerialFaultPlan | None = None) -> None:
        super().__init__(FreeMechanics(clock, {}), faults)
        self.identity = identity

    @abstractmethod
    def obey(self, command: str, arguments: list[str]) -> str:
        """Obey a command and tell the values of the answer.

        Parameters
        ----------
        command
            Name of the command.
        arguments
            Its arguments.

        Raises
        ------
        SimulatedRefusalError
            Refused, with a code.
        """

    def answer(self, command: str) -> str | None:
        """Obey what arrived undamaged."""
        try:
            body, number = unframe(command)
        except DamagedLineError:
            self.refusals.append(CODE_CHECKSUM)
            return frame(f"ERR ? {CODE_CHECKSUM}", 0)
        word, *arguments = body.split() or [""]
        try:
            values = self.identity if word == "ID" and not arguments else self.obey(word, arguments)
        except SimulatedRefusalError as refused:
            self.refusals.append(refused.code)
            return frame(f"ERR {word if refused.code != CODE_COMMAND else '?'} {refused.code}", number)
        return frame(f"OK {word} {values}".rstrip(), number)

    def due(self) -> list[str]:
        """Nothing is ever said unasked."""
        return []

    @property
    def owes(self) -> bool:
        """Nothing is ever said unasked."""
        return False


def number_of(arguments: list[str], count: int, index: int = 0) -> int:
    """A whole number among the arguments of a command.

    Parameters
    ----------
    arguments
        Arguments of the command.
    count
        How many it has to have.
    index
        Which of them is the number.

    Raises
    ------
    SimulatedRefusalError
        There is another number of arguments, or it is no number.
    """
    if len(arguments) != count or not arguments[index].isdigit():
        raise SimulatedRefusalError(CODE_ARGUMENT)
    return int(arguments[index])


def no_arguments(arguments: list[str]) -> None:
    """Refuse arguments.

    Raises
    ------
    SimulatedRefusalError
        There are some.
    """
    if arguments:
        raise SimulatedRefusalError(CODE_ARGUMENT)

"""Oil dispenser on a serial line; the command set stands in ``docs/reference/serial/oiler.md``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from scanner.devices.framing import CommandRefusedError
from scanner.devices.peripheral import SerialPeripheral
from scanner.errors import DeviceError, DeviceNotReadyError, OilError

KIND = "KS-OILER"


class OilerCode(IntEnum):
    """Why an oiler refuses a command, or how its last drop ended."""

    OK = 0
    """Nothing went wrong."""
    COMMAND = 1
    """Unknown command."""
    CHECKSUM = 2
    """The command arrived damaged, and was not obeyed."""
    ARGUMENT = 3
    """The drop that is asked for is not the next one: it has been given already, or the count began anew."""
    BUSY = 4
    """A drop is under way."""
    EMPTY = 10
    """The reservoir's sensor says that there is no oil."""
    NO_DROP = 11
    """The pump ran, and the drop sensor saw nothing."""
    HALTED = 12
    """Stopped before the drop fell."""


REASONS = {
    OilerCode.COMMAND: "the oiler does not support the command",
    OilerCode.CHECKSUM: "the command arrived damaged and was not obeyed",
    OilerCode.ARGUMENT: "the requested drop is not the next one",
    OilerCode.BUSY: "a drop is under way",
    OilerCode.EMPTY: "the reservoir is empty",
    OilerCode.NO_DROP: "the pump ran and no drop fell",
    OilerCode.HALTED: "stopped before the drop fell",
}


@dataclass(frozen=True, slots=True)
class OilerReport:
    """Answer to ``STATE``.

    Attributes
    ----------
    is_busy
        A drop is under way.
    code
        How the last one ended.
    drops_given
        Drops since the dispenser was switched on.
    is_empty
        There is no oil for another drop.
    """

    is_busy: bool
    code: int
    drops_given: int
    is_empty: bool


class SerialOiler(SerialPeripheral):
    """Oil dispenser, `scanner.peripherals.Oiler`.

    A drop is asked for by its number, so that a command can't give two. When it should have fallen, `busy` reads
    the drop sensor's count, and raises unless it went on by exactly one. Properties: see `SerialPeripheral`.
    """

    KIND = KIND

    def __init__(self) -> None:
        super().__init__()
        self._awaited: int | None = None
        self._last_count = 0

    def start_drop(self) -> None:
        """Begin to give one drop.

        Raises
        ------
        OilError
            Refused: empty, or a drop is under way; nothing falls.
        DeviceError
            No answer, or none that makes sense: a drop may fall.
        """
        number = self.report().drops_given + 1
        # From here on, whatever goes wrong, a drop may fall.
        self._awaited = number
        try:
            self.line.ask("DROP", number)
        except CommandRefusedError as refused:
            self._awaited = None
            raise self._refusal(refused) from refused

    def busy(self) -> bool:
        """Whether a drop is under way.

        Raises
        ------
        OilError
            It should have fallen, and the drop sensor has not seen exactly one.
        DeviceError
            No answer, or none that makes sense.
        """
        if self._line is None:
            return False
        report = self.report()
        if report.is_busy:
            return True
        awaited, self._awaited = self._awaited, None
        if awaited is None:
            return False
        if report.code != OilerCode.OK or report.drops_given != awaited:
            reason = (
                _reason(report.code) if report.code != OilerCode.OK else "the drop sensor counted another number"
            )
            raise OilError(
                reason,
                device=self.get_label(),
                wanted=f"{awaited} drops counted",
                actual=f"{report.drops_given} drops counted",
            )
        return False

    def drops_given(self) -> int:
        """Drops since the dispenser was switched on.

        Raises
        ------
        OilError
            The count has gone back: it was switched off meanwhile.
        DeviceError
            No answer, or none that makes sense.
        """
        return self.report().drops_given

    def is_empty(self) -> bool:
        """Whether the reservoir's sensor says that there is no oil for another drop.

        Raises
        ------
        DeviceError
            No answer, or none that makes sense.
        """
        return self.report().is_empty

    def stop(self) -> None:
        """Stop the pump now.

        Raises
        ------
        DeviceError
            The oiler does not answer: nobody can tell whether a drop falls.
        """
        self.line.interrupt()
        self._awaited = None
        self._ask("STOP")

    def report(self) -> OilerReport:
        """All that the oiler tells about itself.

        Raises
        ------
        OilError
            The count has gone back: it was switched off meanwhile.
        DeviceError
            No answer, or none that makes sense.
        """
        words = self._ask("STATE")
        if len(words) != 4 or words[0] not in ("IDLE", "BUSY") or not all(word.isdigit() for word in words[1:]):
            raise self.line.nonsense("STATE", " ".join(words), "phase code drops empty")
        report = OilerReport(words[0] == "BUSY", int(words[1]), int(words[2]), words[3] == "1")
        last, self._last_count = self._last_count, report.drops_given
        if report.drops_given < last:
            self._awaited = None
            raise OilError(
                "the count of drops went back: it was switched off meanwhile",
                device=self.get_label(),
                wanted=f"at least {last} drops",
                actual=f"{report.drops_given} drops",
            )
        return report

    # -- inside --------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        self._last_count = 0
        self.report()

    def _leave(self) -> None:
        if self.report().is_busy:
            self.stop()

    def _ask(self, command: str) -> tuple[str, ...]:
        try:
            return self.line.ask(command)
        except CommandRefusedError as refused:
            raise self._refusal(refused) from refused

    def _refusal(self, refused: CommandRefusedError) -> DeviceError:
        reason = _reason(refused.code)
        if refused.code in (OilerCode.COMMAND, OilerCode.CHECKSUM):
            return DeviceNotReadyError(
                f"{reason} (code {refused.code})", device=self.get_label(), wanted=refused.command
            )
        return OilError(reason, device=self.get_label())


def _reason(code: int) -> str:
    known = code in OilerCode.__members__.values()
    return REASONS.get(OilerCode(code), "refused") if known else f"oiler error {code}"

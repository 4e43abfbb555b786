"""Slide loader on a serial line; the command set stands in ``docs/reference/serial/loader.md``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Literal

from scanner.devices.framing import CommandRefusedError
from scanner.devices.peripheral import SerialPeripheral
from scanner.errors import DeviceError, DeviceNotReadyError, LimitError, LoaderError
from scanner.peripherals import LoaderState

KIND = "KS-LOADER"
_MOST_SLOTS = 400


class LoaderCode(IntEnum):
    """Why a loader refuses a command, or how its last motion ended."""

    OK = 0
    """Nothing went wrong."""
    COMMAND = 1
    """Unknown command."""
    CHECKSUM = 2
    """The command arrived damaged, and was not obeyed."""
    ARGUMENT = 3
    """No such slot."""
    BUSY = 4
    """The gripper is under way."""
    SLOT_EMPTY = 10
    """No slide is sensed in the slot."""
    STAGE_OCCUPIED = 11
    """A slide is sensed on the stage already."""
    STAGE_EMPTY = 12
    """No slide is sensed on the stage."""
    SLOT_OCCUPIED = 13
    """The slot to which the slide on the stage belongs is occupied, or nobody knows which it is."""
    JAMMED = 14
    """The gripper met resistance and stopped; somebody has to clear it by hand, then it has to be homed."""
    HALTED = 15
    """The gripper was stopped on its way and has to be homed."""
    SLIDE_LOST = 16
    """The gripper sensed a slide when it set out, and none when it arrived."""


REASONS = {
    LoaderCode.COMMAND: "the loader does not support the command",
    LoaderCode.CHECKSUM: "the command arrived damaged and was not obeyed",
    LoaderCode.ARGUMENT: "the loader has no such slot",
    LoaderCode.BUSY: "the gripper is under way",
    LoaderCode.SLOT_EMPTY: "no slide in the slot",
    LoaderCode.STAGE_OCCUPIED: "a slide lies on the stage already",
    LoaderCode.STAGE_EMPTY: "no slide on the stage",
    LoaderCode.SLOT_OCCUPIED: "the slot of the slide on the stage is occupied or unknown",
    LoaderCode.JAMMED: "the gripper has jammed: clear it by hand, then home it",
    LoaderCode.HALTED: "the gripper was halted on its way: home it",
    LoaderCode.SLIDE_LOST: "the slide was lost during the transfer",
}


class LoaderPhase(StrEnum):
    """What the gripper does."""

    UNHOMED = "UNHOMED"
    """Switched on and not homed yet: the next load or unload homes first."""
    IDLE = "IDLE"
    """At rest inside the magazine."""
    BUSY = "BUSY"
    """Under way."""
    HALTED = "HALTED"
    """Stopped on its way."""
    JAMMED = "JAMMED"
    """Stopped by resistance."""


@dataclass(frozen=True, slots=True)
class LoaderReport:
    """Answer to ``STATE``.

    Attributes
    ----------
    phase
        What the gripper does.
    code
        How its last motion ended.
    gripper_holds
        A slide is sensed in the gripper.
    sensors
        Slots and stage.
    """

    phase: LoaderPhase
    code: int
    gripper_holds: bool
    sensors: LoaderState


@dataclass(frozen=True, slots=True)
class _Motion:
    """What was asked for and has to be proven at the end; slot 0 where it is none or unknown."""

    command: Literal["LOAD", "UNLOAD", "HOME"]
    slot: int = 0

    @property
    def wanted(self) -> str:
        slide = f"slide of slot {self.slot}" if self.slot else "slide"
        ends = {
            "LOAD": f"{slide} on the stage",
            "UNLOAD": f"{slide} back in its slot",
            "HOME": "gripper in the magazine",
        }
        return ends[self.command]

    def is_done(self, report: LoaderReport) -> bool:
        sensors = report.sensors
        if report.gripper_holds:
            return False
        if self.command == "LOAD":
            return sensors.on_stage and sensors.taken_from == self.slot and self.slot not in sensors.occupied
        if self.command == "UNLOAD":
            return not sensors.on_stage and (not self.slot or self.slot in sensors.occupied)
        return report.phase is LoaderPhase.IDLE


class SerialLoader(SerialPeripheral):
    """Slide feeder, `scanner.peripherals.SlideLoader`.

    When a motion ends, `busy` compares what the sensors say with what was asked for, and raises where they differ.
    Properties: see `SerialPeripheral`.
    """

    KIND = KIND

    def __init__(self) -> None:
        super().__init__()
        self._slots = 0
        self._motion: _Motion | None = None

    def slots(self) -> int:
        """Slots of the magazine."""
        _ = self.line
        return self._slots

    def state(self) -> LoaderState:
        """What the sensors say.

        Raises
        ------
        DeviceError
            No answer, or none that makes sense.
        """
        return self.report().sensors

    def report(self) -> LoaderReport:
        """All that the loader tells about itself.

        Raises
        ------
        DeviceError
            No answer, or none that makes sense.
        """
        words = self._ask("STATE")
        try:
            return self._read_state(words)
        except ValueError as error:
            raise self.line.nonsense("STATE", " ".join(words), "phase code stage gripper slot map") from error

    def start_load(self, slot: int) -> None:
        """Begin to lay the slide of a slot on the stage.

        Raises
        ------
        LimitError
            No such slot; nothing was sent.
        LoaderError
            Refused: empty slot, slide on the stage, jammed, halted or under way; nothing has moved.
        DeviceError
            No answer, or none that makes sense: the gripper may be under way.
        """
        if isinstance(slot, bool) or not isinstance(slot, int) or not 1 <= slot <= self.slots():
            raise LimitError(
                "refused before moving",
                device=self.get_label(),
                axis="slot",
                wanted=str(slot),
                allowed=f"1 .. {self._slots}",
            )
        self._start(_Motion("LOAD", slot), slot)

    def start_unload(self) -> None:
        """Begin to bring the slide on the stage back.

        Raises
        ------
        LoaderError
            Refused: no slide, its slot occupied or unknown, jammed, halted or under way; nothing has moved.
        DeviceError
            No answer, or none that makes sense: the gripper may be under way.
        """
        slot = self.state().taken_from
        self._start(_Motion("UNLOAD", slot or 0))

    def home(self) -> None:
        """Begin to withdraw the gripper; a slide that it holds goes back to its slot.

        Raises
        ------
        LoaderError
            Jammed and not cleared by hand, or under way.
        DeviceError
            No answer, or none that makes sense: the gripper may be under way.
        """
        self._start(_Motion("HOME"))

    def busy(self) -> bool:
        """Whether the gripper is under way.

        Raises
        ------
        LoaderError
            The motion ended, and the slide is not where it was to be brought.
        DeviceError
            No answer, or none that makes sense.
        """
        if self._line is None:
            return False
        report = self.report()
        if report.phase is LoaderPhase.BUSY:
            return True
        motion, self._motion = self._motion, None
        if motion is not None:
            self._check_ended(motion, report)
        return False

    def stop(self) -> None:
        """Halt the gripper now.

        Raises
        ------
        DeviceError
            The loader does not answer: nobody can tell whether the gripper rests.
        """
        self.line.interrupt()
        self._motion = None
        self._ask("STOP")

    # -- inside --------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        words = self._ask("SLOTS")
        if len(words) != 1 or not words[0].isdigit() or not 1 <= int(words[0]) <= _MOST_SLOTS:
            raise self.line.nonsense("SLOTS", " ".join(words), f"1 .. {_MOST_SLOTS}")
        self._slots = int(words[0])
        self.report()

    def _leave(self) -> None:
        if self.report().phase is LoaderPhase.BUSY:
            self.stop()

    def _start(self, motion: _Motion, *arguments: int) -> None:
        # From here on, whatever goes wrong, the gripper may be moving.
        self._motion = motion
        try:
            self.line.ask(motion.command, *arguments)
        except CommandRefusedError as refused:
            self._motion = None
            raise self._refusal(refused, motion) from refused

    def _ask(self, command: str) -> tuple[str, ...]:
        try:
            return self.line.ask(command)
        except CommandRefusedError as refused:
            raise self._refusal(refused, None) from refused

    def _read_state(self, words: tuple[str, ...]) -> LoaderReport:
        phase, code, stage, gripper, slot, occupied = words
        if stage not in ("0", "1") or gripper not in ("0", "1") or len(occupied) != (self._slots + 3) // 4:
            raise ValueError(words)
        bits, taken_from = int(occupied, 16), int(slot)
        if bits >> self._slots or not 0 <= taken_from <= self._slots:
            raise ValueError(words)
        slots = frozenset(index for index in range(1, self._slots + 1) if bits >> (index - 1) & 1)
        on_stage = stage == "1"
        sensors = LoaderState(slots, on_stage, taken_from or None if on_stage else None)
        return LoaderReport(LoaderPhase(phase), int(code), gripper == "1", sensors)

    def _check_ended(self, motion: _Motion, report: LoaderReport) -> None:
        if report.code != LoaderCode.OK or report.phase in (LoaderPhase.HALTED, LoaderPhase.JAMMED):
            raise self._failure(report.code or LoaderCode.HALTED, motion.wanted)
        if not motion.is_done(report):
            raise LoaderError(
                "the sensors do not show the state that was commanded",
                device=self.get_label(),
                axis="gripper",
                wanted=motion.wanted,
                actual=_told(motion, report),
            )

    def _failure(self, code: int, wanted: str | None) -> LoaderError:
        return LoaderError(_reason(code), device=self.get_label(), axis="gripper", wanted=wanted)

    def _refusal(self, refused: CommandRefusedError, motion: _Motion | None) -> DeviceError:
        if refused.code in (LoaderCode.COMMAND, LoaderCode.CHECKSUM):
            return DeviceNotReadyError(
                f"{_reason(refused.code)} (code {refused.code})", device=self.get_label(), wanted=refused.command
            )
        wanted = None if motion is None or not motion.slot else f"slot {motion.slot}"
        return self._failure(refused.code, wanted)


def _reason(code: int) -> str:
    known = code in LoaderCode.__members__.values()
    return REASONS.get(LoaderCode(code), "refused") if known else f"loader error {code}"


def _told(motion: _Motion, report: LoaderReport) -> str:
    sensors = report.sensors
    stage = f"slide of slot {sensors.taken_from or 'unknown'} on the stage" if sensors.on_stage else "stage empty"
    slot = (
        f", slot {motion.slot} {'occupied' if motion.slot in sensors.occupied else 'empty'}" if motion.slot else ""
    )
    return f"{stage}{slot}, gripper {'holds a slide' if report.gripper_holds else 'empty'}, {report.phase}"

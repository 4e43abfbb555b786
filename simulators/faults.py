"""Faults of the twin, as data: which device fails how, and when."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class FaultKind(StrEnum):
    """What can go wrong."""

    MOVE_FAILS = "move_fails"
    """The device refuses the move with an error."""
    MOVE_SHORT = "move_short"
    """The move ends early, and the device calls it done."""
    NEVER_IDLE = "never_idle"
    """The move ends, but the device stays busy until it is stopped."""
    MOVE_STALLS = "move_stalls"
    """The axis stops on the way and the device stays busy until it is stopped."""
    LOST_STEPS = "lost_steps"
    """The drive counts to its target, the table stays behind: position reports are off from then on."""
    LIES_ABOUT_ARRIVAL = "lies_about_arrival"
    """The device reports idle and the target's position while it is still under way."""
    TURRET_BETWEEN = "turret_between"
    """The turret stops between two objectives."""
    FOCUS_DRIFTS = "focus_drifts"
    """The specimen creeps away from the focus after the operation; the drive reports no move."""
    CAMERA_RAISES = "camera_raises"
    """No frame: the camera raises."""
    FRAME_DROPPED = "frame_dropped"
    """The camera hands over the frame before this one again."""
    CAMERA_HANGS = "camera_hangs"
    """The frame never comes: the camera stays busy."""
    GARBAGE_FRAME = "garbage_frame"
    """The frame is noise or torn: a part of it is from another exposure."""
    BLACK_FRAME = "black_frame"
    """The camera hands over a frame without light."""
    LAMP_DEAD = "lamp_dead"
    """The lamp is on as far as anybody can tell, and gives no light."""
    LOADER_JAMS = "loader_jams"
    """The gripper stops on the way: nobody knows where the slide is."""
    NO_SLIDE = "no_slide"
    """The loader reports a slide laid down where none is."""
    WRONG_SLIDE = "wrong_slide"
    """The loader brings the slide of the neighbouring slot."""
    LABEL_UNREADABLE = "label_unreadable"
    """The label is smeared, torn off or out of the picture."""
    LABEL_DUPLICATE = "label_duplicate"
    """The label carries the barcode of another slide of the tray."""
    OIL_EMPTY = "oil_empty"
    """The dispenser goes through its motions, and no oil falls."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes
    ----------
    kind
        What goes wrong.
    device
        Label of the device.
    nth
        First operation that fails, counted from 1 over all operations this kind concerns (moves, exposures).
    times
        How many operations in a row fail; None for ever.
    probability
        Where given, every operation from `nth` on fails with this probability instead (`times` at most).
    """

    kind: FaultKind
    device: str
    nth: int = 1
    times: int | None = 1
    probability: float | None = None

    def __post_init__(self) -> None:
        """Refuse what can't happen."""
        if self.nth < 1 or (self.times is not None and self.times < 1):
            raise ValueError(f"a fault starts at operation 1 or later and happens at least once, got {self}")
        if self.probability is not None and not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"a probability lies in 0 .. 1, got {self}")


class FaultPlan:
    """Faults still to come, decided by counters and one seeded stream.

    Parameters
    ----------
    faults
        What will go wrong.
    seed
        Seed of faults with a probability.
    """

    def __init__(self, faults: tuple[Fault, ...] = (), seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._faults = list(faults)
        self._rng = np.random.default_rng([seed, 991])
        self._operations: Counter[tuple[FaultKind, str]] = Counter()
        self._strikes: Counter[Fault] = Counter()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """All faults of the plan, past ones too."""
        return tuple(self._faults)

    def add(self, fault: Fault) -> None:
        """Add a fault; its operations are counted from now on."""
        with self._lock:
            self._operations[(fault.kind, fault.device)] = 0
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def strikes(self, kind: FaultKind, device: str) -> bool:
        """Count one operation and say whether it fails."""
        with self._lock:
            self._operations[(kind, device)] += 1
            number = self._operations[(kind, device)]
            return any(
                self._strikes_now(fault, number)
                for fault in self._faults
                if fault.kind is kind and fault.device == device
            )

    def _strikes_now(self, fault: Fault, number: int) -> bool:
        if number < fault.nth or (fault.times is not None and self._strikes[fault] >= fault.times):
            return False
        if fault.probability is not None and self._rng.random() >= fault.probability:
            return False
        self._strikes[fault] += 1
        return True


def parse_faults(text: str) -> tuple[Fault, ...]:
    """Read faults from text: ``kind@device:nth``, then ``xtimes`` (``x*``: for ever) and ``~probability``.

    Faults are parted by ``;``; the first operation is meant where ``:nth`` is left out.

    For instance ``move_fails@XY:3; black_frame@Camera:2x4; move_short@XYx*~0.05``.

    Raises
    ------
    ValueError
        With the part that can't be read.
    """
    return tuple(_parse_fault(part.strip()) for part in text.split(";") if part.strip())


def _parse_fault(part: str) -> Fault:
    head, _, probability = part.partition("~")
    kind, at, rest = head.partition("@")
    try:
        if not at:
            raise ValueError("no '@'")
        device, _, nth = rest.partition(":")
        if nth:
            nth, cross, times = nth.partition("x")
        else:
            device, cross, times = _split_times(device)
        return Fault(
            FaultKind(kind.strip()),
            device.strip(),
            int(nth or 1),
            None if times == "*" else int(times or 1) if cross else 1,
            float(probability) if probability else None,
        )
    except ValueError as error:
        kinds = ", ".join(FaultKind)
        message = (
            f"fault {part!r} ({error}): wanted kind@device:nth, optional xtimes and ~probability; kinds: {kinds}"
        )
        raise ValueError(message) from error


def _split_times(text: str) -> tuple[str, str, str]:
    head, cross, times = text.rpartition("x")
    if cross and (times == "*" or times.isdigit()):
        return head, cross, times
    return text, "", ""

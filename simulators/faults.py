"""Faults of the twin, as data: which device fails how, and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from simulators.fault_plan import CountingPlan, check_counts, parse_plan


class TwinFaultKind(StrEnum):
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
    TRIGGER_IGNORED = "trigger_ignored"
    """A camera that overlaps doesn't expose when it is triggered, and says nothing."""
    CAMERA_SNAP_HANGS = "camera_snap_hangs"
    """The call that exposes never returns; the camera's lock stays held."""
    LIBRARY_HANGS = "library_hangs"
    """The call that exposes never returns, and holds the lock of all devices of its adapter library."""
    GARBAGE_FRAME = "garbage_frame"
    """The frame is noise or torn: a part of it is from another exposure."""
    BLACK_FRAME = "black_frame"
    """The camera hands over a frame without light."""
    LAMP_DEAD = "lamp_dead"
    """The lamp is on as far as anybody can tell, and gives no light."""
    LAMP_NEVER_READY = "lamp_never_ready"
    """The lamp warms up and never says that it is ready."""
    FILTERS_STUCK = "filters_stuck"
    """The reflector turret stays where it is, and says so."""
    FILTERS_LIE = "filters_lie"
    """The reflector turret stays where it is, and reports the position it was sent to."""
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
    AUTOFOCUS_OUT_OF_RANGE = "autofocus_out_of_range"
    """The hardware autofocus refuses: its reflection is out of range."""
    AUTOFOCUS_NEVER_LOCKS = "autofocus_never_locks"
    """The hardware autofocus searches and never reports its lock."""
    AUTOFOCUS_LOSES_LOCK = "autofocus_loses_lock"
    """The hardware autofocus reports its lock, and has lost it when asked again."""
    AUTOFOCUS_WRONG_SURFACE = "autofocus_wrong_surface"
    """The hardware autofocus locks on the coverslip's upper side."""
    AUTOFOCUS_OFFSET_DRIFTS = "autofocus_offset_drifts"
    """The hardware autofocus creeps away from its offset with every lock, and reports the offset that was set."""
    AUTOFOCUS_RUNS_AWAY = "autofocus_runs_away"
    """The hardware autofocus drives the objective towards the glass in search of its reflection."""


@dataclass(frozen=True, slots=True)
class TwinFault:
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

    kind: TwinFaultKind
    device: str
    nth: int = 1
    times: int | None = 1
    probability: float | None = None

    def __post_init__(self) -> None:
        """Refuse what can't happen."""
        if not self.device:
            raise ValueError(f"{self.kind} needs a device")
        check_counts(self)

    def concerns(self, target: str) -> bool:
        """Whether it is about the device of this label."""
        return target == self.device


class TwinFaultPlan(CountingPlan[TwinFault]):
    """Faults of the twin's devices that are still to come."""


def parse_faults(text: str) -> tuple[TwinFault, ...]:
    """Read faults from text: ``kind@device:nth xtimes ~probability``; see `simulators.fault_plan.parse_plan`.

    Raises
    ------
    ValueError
        With the part that can't be read.
    """
    return parse_plan(text, TwinFaultKind, TwinFault)


# Names under which other people's tests import these.
Fault = TwinFault
FaultKind = TwinFaultKind
FaultPlan = TwinFaultPlan

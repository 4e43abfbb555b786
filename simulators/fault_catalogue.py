"""Every fault there is, with what the instrument does about it, as ``docs/explanation/faults.md`` shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from simulators.faults import TwinFaultKind
from simulators.serial.faults import SerialFaultKind
from simulators.storage_faults import StorageFaultKind


@dataclass(frozen=True, slots=True)
class FaultEntry:
    """One line of the catalogue.

    Attributes
    ----------
    kind
        The fault.
    target
        What stands behind the ``@``.
    what
        What goes wrong.
    answer
        What the instrument does about it.
    error
        Name of the error that is raised; empty where none is.
    """

    kind: StrEnum
    target: str
    what: str
    answer: str
    error: str = ""


_STAGE_OR_FOCUS = "XY or Z"
_AUTOFOCUS = "Autofocus"
_SOFTWARE_FOCUS = "the field is focused by software, or counts as failed, as scan.focus.fallback says"
_NO_PICTURE = "nothing is photographed until a move is proven"

DEVICE_FAULTS: tuple[FaultEntry, ...] = (
    FaultEntry(
        TwinFaultKind.MOVE_FAILS,
        _STAGE_OR_FOCUS,
        "the device refuses the move with an error",
        f"reported with the controller's message; {_NO_PICTURE}",
        "DeviceError",
    ),
    FaultEntry(
        TwinFaultKind.MOVE_SHORT,
        _STAGE_OR_FOCUS,
        "the move ends early, and the device calls it done",
        f"the position read back is out of tolerance; {_NO_PICTURE}",
        "PositionError",
    ),
    FaultEntry(
        TwinFaultKind.NEVER_IDLE,
        _STAGE_OR_FOCUS,
        "the move ends, but the device stays busy until it is stopped",
        "stopped at the deadline computed from distance, speed and acceleration",
        "MoveTimeoutError",
    ),
    FaultEntry(
        TwinFaultKind.MOVE_STALLS,
        _STAGE_OR_FOCUS,
        "the axis stops on the way and the device stays busy until it is stopped",
        "stopped at the deadline computed from distance, speed and acceleration",
        "MoveTimeoutError",
    ),
    FaultEntry(
        TwinFaultKind.LOST_STEPS,
        _STAGE_OR_FOCUS,
        "the drive counts to its target, the table stays behind: position reports are off from then on",
        "the next visit to a landmark finds it elsewhere; positions of what was photographed since the last one "
        "are uncertain, and homing gives the count its zero back",
        "PositionError",
    ),
    FaultEntry(
        TwinFaultKind.LIES_ABOUT_ARRIVAL,
        _STAGE_OR_FOCUS,
        "the device reports idle and the target's position while it is still under way",
        "not believed before the computed time of the move is over; a slower lie shows in the proof of stillness",
    ),
    FaultEntry(
        TwinFaultKind.TURRET_BETWEEN,
        "Objective",
        "the turret stops between two objectives",
        "neither focus nor picture until an objective has been selected and read back",
        "DeviceNotReadyError",
    ),
    FaultEntry(
        TwinFaultKind.FOCUS_DRIFTS,
        "Z",
        "the specimen creeps away from the focus after the operation; the drive reports no move",
        "the next visit to a landmark finds it blurred; the focus is searched anew",
        "FocusError",
    ),
    FaultEntry(
        TwinFaultKind.CAMERA_RAISES,
        "Camera",
        "no frame: the camera raises",
        "reported with the camera's message; no picture",
        "DeviceError",
    ),
    FaultEntry(
        TwinFaultKind.FRAME_DROPPED,
        "Camera",
        "the camera hands over the frame before this one again",
        "recognised by its noise, which no two exposures have in common; no picture",
        "FrameError",
    ),
    FaultEntry(
        TwinFaultKind.CAMERA_HANGS,
        "Camera",
        "the frame never comes: the camera stays busy",
        "given up at the deadline computed from exposure and read-out; no picture",
        "FrameError",
    ),
    FaultEntry(
        TwinFaultKind.TRIGGER_IGNORED,
        "Camera",
        "a camera that exposes while it reads out ignores a trigger: all frames after it come one too early",
        "a frame counts only where it can't be of a later exposure; else all are discarded, the fields repeated",
        "FrameError",
    ),
    FaultEntry(
        TwinFaultKind.CAMERA_SNAP_HANGS,
        "Camera",
        "the call that exposes never returns, as in a C++ adapter whose camera died",
        "noticed from outside after camera.hang_s: light off, focus down, recorded; the process ends with code 5",
    ),
    FaultEntry(
        TwinFaultKind.LIBRARY_HANGS,
        "Camera",
        "the same, and all other devices of the library are blocked with it",
        "noticed from outside; told and recorded that light and focus don't answer; the process ends with code 5",
    ),
    FaultEntry(
        TwinFaultKind.GARBAGE_FRAME,
        "Camera",
        "the frame is noise, torn (a part of it is from another exposure) or broken off",
        "rows of an earlier frame, rows without noise or noise without a picture; no picture",
        "FrameError",
    ),
    FaultEntry(
        TwinFaultKind.BLACK_FRAME,
        "Camera",
        "the camera hands over a frame without light",
        "darker than any lit field; no picture",
        "FrameError",
    ),
    FaultEntry(
        TwinFaultKind.LAMP_DEAD,
        "Lamp",
        "the lamp is on as far as anybody can tell, and gives no light",
        "darker than any lit field; no picture",
        "FrameError",
    ),
    FaultEntry(
        TwinFaultKind.LAMP_NEVER_READY,
        "Lamp",
        "the lamp warms up and never says that it is ready",
        "given up at lamp.deadline_s: light off, focus down, and the slide ends as errors.light says",
        "DeviceNotReadyError",
    ),
    FaultEntry(
        TwinFaultKind.FILTERS_STUCK,
        "Reflector",
        "the reflector turret stays where it is, and says so",
        "read back after turning, and before the light is switched on; no picture",
        "DeviceNotReadyError",
    ),
    FaultEntry(
        TwinFaultKind.FILTERS_LIE,
        "Reflector",
        "the reflector turret stays where it is, and reports the position it was sent to",
        "the light that reaches the camera is not the specimen's: darker than any lit field; no picture",
        "FrameError",
    ),
    FaultEntry(
        TwinFaultKind.LOADER_JAMS,
        "Loader",
        "the gripper stops on the way: nobody knows where the slide is",
        "halted; nothing moves until a person has cleared the loader",
        "LoaderError",
    ),
    FaultEntry(
        TwinFaultKind.NO_SLIDE,
        "Loader",
        "the loader reports a slide laid down where none is",
        "the label camera finds no label: the slot is reported and parked, nothing is scanned",
        "LabelError",
    ),
    FaultEntry(
        TwinFaultKind.WRONG_SLIDE,
        "Loader",
        "the loader brings the slide of the neighbouring slot",
        "the slot that the loader names, or the barcode, is another one: parked and reported",
        "LoaderError",
    ),
    FaultEntry(
        TwinFaultKind.LABEL_UNREADABLE,
        "LabelCamera",
        "the label is smeared, torn off or out of the picture",
        "parked and reported, never guessed",
        "LabelError",
    ),
    FaultEntry(
        TwinFaultKind.LABEL_DUPLICATE,
        "LabelCamera",
        "the label carries the barcode of another slide of the tray",
        "both slides that bear the name are parked and reported",
    ),
    FaultEntry(
        TwinFaultKind.OIL_EMPTY,
        "Oiler",
        "the dispenser goes through its motions, and no oil falls",
        "the drop sensor's count stood still: the oil objective is not used at this spot",
        "OilError",
    ),
    FaultEntry(
        TwinFaultKind.AUTOFOCUS_OUT_OF_RANGE,
        _AUTOFOCUS,
        "the hardware autofocus refuses: its reflection is out of range",
        f"told with the device's words; {_SOFTWARE_FOCUS}",
        "AutofocusError",
    ),
    FaultEntry(
        TwinFaultKind.AUTOFOCUS_NEVER_LOCKS,
        _AUTOFOCUS,
        "it searches and never reports its lock",
        f"switched off at its deadline (autofocus.lock_s); {_SOFTWARE_FOCUS}",
        "AutofocusError",
    ),
    FaultEntry(
        TwinFaultKind.AUTOFOCUS_LOSES_LOCK,
        _AUTOFOCUS,
        "it reports its lock, and has lost it when the picture is taken",
        f"asked before and after each exposure; no picture; {_SOFTWARE_FOCUS}",
        "AutofocusError",
    ),
    FaultEntry(
        TwinFaultKind.AUTOFOCUS_WRONG_SURFACE,
        _AUTOFOCUS,
        "it locks on the coverslip's upper side",
        f"further from the focus map than the rig allows, or out of the envelope: no picture; {_SOFTWARE_FOCUS}",
        "AutofocusError",
    ),
    FaultEntry(
        TwinFaultKind.AUTOFOCUS_OFFSET_DRIFTS,
        _AUTOFOCUS,
        "it creeps away from its offset with every lock, and reports the offset that was set",
        f"further from the focus map than the rig allows: no picture; {_SOFTWARE_FOCUS}",
        "AutofocusError",
    ),
    FaultEntry(
        TwinFaultKind.AUTOFOCUS_RUNS_AWAY,
        _AUTOFOCUS,
        "it drives the objective towards the glass in search of its reflection",
        f"switched off and halted when the focus leaves the envelope, long before the glass; {_SOFTWARE_FOCUS}",
        "AutofocusError",
    ),
)

SERIAL_FAULTS: tuple[FaultEntry, ...] = (
    FaultEntry(
        SerialFaultKind.MUTE,
        "command",
        "as if switched off: the command is neither obeyed nor answered",
        "no answer is an error; the controller has to identify itself anew before it is believed",
        "DeviceNotReadyError",
    ),
    FaultEntry(
        SerialFaultKind.GARBLED,
        "command",
        "the answer arrives with noise in it, as from a bad plug",
        "never taken for a value; the line is flushed",
        "DeviceError",
    ),
    FaultEntry(
        SerialFaultKind.LATE,
        "command",
        "the answer comes only after the next command has arrived",
        "never taken for the answer to a later command; the line is flushed",
        "DeviceNotReadyError",
    ),
    FaultEntry(
        SerialFaultKind.HANGS_UP,
        "command",
        "the far end goes: an adapter pulled out, a device server restarted",
        "reported; connected and identified anew, and homed where it forgot its zero",
        "DeviceNotReadyError",
    ),
    FaultEntry(
        SerialFaultKind.WRONG_ECHO,
        "command",
        "the command comes back instead of its answer",
        "never taken for a value; the line is flushed",
        "DeviceError",
    ),
    FaultEntry(
        SerialFaultKind.LIMIT_SWITCH,
        "move command",
        "the move ends early at a limit switch",
        f"reported by the controller or by the position read back; {_NO_PICTURE}",
        "DeviceError",
    ),
    FaultEntry(
        SerialFaultKind.EMERGENCY_STOP,
        "move command",
        "somebody presses the button: the move ends, later ones are refused until it is released",
        f"reported by the controller or by the position read back; {_NO_PICTURE}",
        "DeviceError",
    ),
    FaultEntry(
        SerialFaultKind.JOYSTICK_ON,
        "command",
        "somebody has switched the joystick on",
        "moves are refused until it is locked out again",
        "InterlockError",
    ),
    FaultEntry(
        SerialFaultKind.LOST_STEPS,
        "move command",
        "the motor counts to its target, the axis stays a little behind",
        "encoders show it at once; without them, the next visit to a landmark does",
        "PositionError",
    ),
)

STORAGE_FAULTS: tuple[FaultEntry, ...] = (
    FaultEntry(
        StorageFaultKind.DISK_FULL,
        "file pattern",
        "no room on the disk when a file is begun, or when the casebook commits",
        "the file before stays whole, the run stops in a safe state and says so; it can be resumed",
        "DiskFullError",
    ),
    FaultEntry(
        StorageFaultKind.DISK_SLOW,
        "file pattern",
        "a file waits two seconds for the disk",
        "the stage waits before memory fills; nothing is lost",
    ),
    FaultEntry(
        StorageFaultKind.DISK_HANGS,
        "file pattern",
        "a file, a record or a commit gets no answer, as on a share whose server is gone",
        "waited for 30 s; then light off, focus down, the run ends with the reason and can be resumed",
        "StorageError",
    ),
    FaultEntry(
        StorageFaultKind.PROCESS_KILLED,
        "file pattern",
        "the process is killed (SIGKILL) once a file has got its name",
        "no file is ever half there; the run is resumed from its journal",
    ),
)

CATALOGUE: tuple[FaultEntry, ...] = DEVICE_FAULTS + SERIAL_FAULTS + STORAGE_FAULTS

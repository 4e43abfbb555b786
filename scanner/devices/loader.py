"""Slide loader on a serial line; the command set stands in ``docs/serial/loader.md``."""

from __future__ import annotations

from enum import IntEnum


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

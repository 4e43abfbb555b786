"""What the command ends with; scripts decide by it (``docs/reference/exit-codes.md``)."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of ``karyoscan``."""

    DONE = 0
    """What was asked for was done."""
    FAILED = 1
    """It was refused, or failed; one line on standard error says why."""
    USAGE = 2
    """The command line can't be read: an unknown command, option or value."""
    NOTHING_DONE = 3
    """It came to its end with nothing to show: no cell photographed, no slide of a batch scanned, no answer."""
    PARTLY_DONE = 4
    """A batch came to its end, and slides were parked or are missing."""
    DEVICE_HANGS = 5
    """A call into a device never returned; the record says whether the instrument is safe."""
    STOPPED = 130
    """A person stopped it; it can be resumed."""

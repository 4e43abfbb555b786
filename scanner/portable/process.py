"""Processes: whether one still runs, and which boot of the machine this is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import psutil

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_START_TOLERANCE_S: Final = 5.0
"""Start times derive from the wall clock, and setting it moves them; process ids recur much later."""
_SECONDS_PER_MINUTE: Final = 60


def boot_id() -> str:
    """Name of the machine's present boot: what the system holds of a file in memory is gone in the next one.

    Returns
    -------
    str
        The kernel's own name of the boot; where there is none, the minute in which it began. Two calls within a
        boot may then differ when the clock was set in between, but two boots never have the same name.
    """
    if sys.platform == "linux":
        try:
            return _BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            return ""
    return f"booted-{int(psutil.boot_time() // _SECONDS_PER_MINUTE)}"


def process_start_s(pid: int) -> float | None:
    """When a process was started, in s since 1970; None where it can't be told.

    Parameters
    ----------
    pid
        Process id.
    """
    try:
        return float(psutil.Process(pid).create_time())
    except (psutil.Error, ValueError, OverflowError):
        return None


def is_running(pid: int, started_s: float | None = None) -> bool:
    """Whether a process of this machine still runs.

    Parameters
    ----------
    pid
        Process id.
    started_s
        When it was started, in s since 1970, where that was recorded: another process that was given the same id
        later is told apart by it.

    Returns
    -------
    bool
        False also for one that has ended but whose parent hasn't asked for its end yet.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return started_s is None or abs(process.create_time() - started_s) <= _START_TOLERANCE_S
    except psutil.AccessDenied:
        return True
    except (psutil.NoSuchProcess, ValueError, OverflowError):
        return False


def kill_this_process() -> None:
    """End this process at once: nothing is cleaned up, as in a power cut."""
    psutil.Process().kill()

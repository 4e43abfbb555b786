"""Entry point of the command ``karyoscan``: what has to hold before anything else is imported, and at its end."""

from __future__ import annotations

import io
import os
import sys

from station.exit_codes import ExitCode
from station.output import redirect_to_nothing

PYMMCORE_LOG = "PYMM_LOG_FILE"
"""Variable by which pymmcore-plus is told where its own log goes."""


def main() -> None:
    """Run the command line.

    pymmcore-plus opens a log file in the home folder as soon as it is imported, and can't be imported where that
    folder can't be written. Its records go where all others go, so that it needs no file. On Windows, where the
    null device is no path to it, its own place is kept.
    """
    if sys.platform != "win32":
        os.environ.setdefault(PYMMCORE_LOG, os.devnull)
    from station.cli import main as run_command

    _let_any_name_be_printed()
    try:
        run_command()
    except OSError as error:
        if error.filename is not None:
            raise
        _end_without_output(error)
    finally:
        _flush_output()


def _let_any_name_be_printed() -> None:
    """Print ``?`` for what an output can't write: file names that aren't UTF-8, letters of another encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _flush_output() -> None:
    """Write what is left; the interpreter would end with a traceback where that can't be done."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _end_without_output(error)


def _end_without_output(error: OSError) -> None:
    """Say once that standard output is full or closed, and end; what a run recorded is not touched by that."""
    redirect_to_nothing()
    sys.stderr.write(f"karyoscan: standard output can't be written ({error.strerror or error})\n")
    sys.exit(ExitCode.FAILED)

"""Standard output that is closed or full."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def redirect_to_nothing() -> None:
    """Let all further output go nowhere, so that the interpreter doesn't fail on what is left in its buffer."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextmanager
def optional_output() -> Iterator[None]:
    """Print what is only shown: that it can't be doesn't change what the command ends with.

    A run that was completed stays so where its table can't be printed. Rich ends the program by itself on a closed
    pipe; that is taken back here.
    """
    try:
        yield
        sys.stdout.flush()
    except (OSError, SystemExit):
        redirect_to_nothing()
        sys.stderr.write("karyoscan: the summary can't be shown, standard output is closed or full\n")

"""Light for a part of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from scanner.errors import ScannerError
from scanner.microscope import Microscope

_log = logging.getLogger(__name__)


@contextmanager
def lit(microscope: Microscope) -> Iterator[None]:
    """Light on within, off after; a lamp that fails to go off never hides why the block was left.

    The end of a run tries again to switch it off, and reports it where that fails too.

    Raises
    ------
    DeviceError
        The light did not switch, and nothing else went wrong.
    """
    microscope.light(on=True)
    try:
        yield
    except BaseException as first:
        try:
            microscope.light(on=False)
        except ScannerError as error:
            _log.exception("the light did not go off")
            first.add_note(f"the light did not go off either: {error}")
        raise
    microscope.light(on=False)

"""A magazine of simulated slides, as a table: for trying a night before the glass is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from acquisition.batch.spreadsheet import read_table
from acquisition.errors import WorklistError
from scanner.core import ScanCore
from scanner.errors import DeviceNotReadyError
from simulators.peripherals import feeder_of
from simulators.specimen.slide import SlideSettings
from simulators.tray import Tray, TraySlide
from station.errors import UsageError

COLUMNS = ("slot", "barcode", "cells", "seed")


def fill_feeder(core: ScanCore, path: Path, like: SlideSettings) -> None:
    """Fill the simulated feeder of a core.

    Parameters
    ----------
    core
        Core of a simulated rig with a feeder.
    path
        CSV with the columns slot, barcode, cells and seed; slots that are left out are empty.
    like
        What the slides have in common.

    Raises
    ------
    UsageError
        The table is wrong, with file and line; or the rig has no simulated feeder.
    """
    try:
        feeder = feeder_of(core)
    except DeviceNotReadyError as error:
        raise UsageError(f"--tray: {error}") from error
    feeder.tray = Tray(feeder.slots, read_tray(path, like, slots=feeder.slots))


def read_tray(path: Path, like: SlideSettings, *, slots: int | None = None) -> dict[int, TraySlide]:
    """Slides by slot.

    Parameters
    ----------
    path
        CSV with the columns slot, barcode, cells and seed.
    like
        What the slides have in common.
    slots
        How many slots there are; None checks nothing.

    Raises
    ------
    UsageError
        Unreadable or wrong, with file and line.
    """
    try:
        rows = read_table(path)
    except WorklistError as error:
        raise UsageError(str(error)) from error
    if not rows or rows[0].cells != COLUMNS:
        raise UsageError(f"{path}:1: wanted the heading {','.join(COLUMNS)}")
    slides: dict[int, TraySlide] = {}
    for row in rows[1:]:
        line = row.line
        try:
            slot, barcode, cells, seed = row.cells
            settings = replace(like, cells=int(cells), seed=int(seed))
            number = int(slot)
        except ValueError as error:
            raise UsageError(f"{path}:{line}: {error}; wanted {','.join(COLUMNS)}") from error
        if number in slides:
            raise UsageError(f"{path}:{line}: slot {number} stands there twice")
        if slots is not None and not 1 <= number <= slots:
            raise UsageError(f"{path}:{line}: found slot {slot}; the magazine has slots 1 .. {slots}")
        slides[number] = TraySlide(barcode, settings)
    return slides

"""The page of a calibration: results beside what the rig had before, and the pictures they were measured by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.storage import write_bytes_atomic
from acquisition.storage.atomic import storage_errors, write_png_atomic
from scanner.calibration.pictures import CalibrationPicture
from scanner.calibration.results import FieldImages, Result
from scanner.portable.file_names import file_name_part
from scanner.rig import Rig
from station.instrument.result_text import described, described_before
from station.report.page import page_environment
from station.report.pictures import Picture, array_picture, at_most, stretch

CALIBRATION_PAGE_NAME: Final = "calibration.html"
PICTURES_FOLDER: Final = "pictures"
PICTURE_WIDTH_PX: Final = 480
"""Shifts of a fifth of the field and structures of a cell's size show; forty pictures stay a few megabytes."""


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A result beside what the rig had before.

    Attributes
    ----------
    what
        What was measured.
    before, now
        Values as text, with their units.
    residual_before, residual
        Residuals as text, with their units and the number of measurements.
    """

    what: str
    before: str
    now: str
    residual_before: str
    residual: str


@dataclass(frozen=True, slots=True)
class MeasuredPicture:
    """A small picture of the page, and its file.

    Attributes
    ----------
    procedure
        What was measured by it.
    caption
        Which picture it is, and what black and white stand for.
    pixels
        uint8, shape (height_px, width_px), contrast stretched.
    """

    procedure: str
    caption: str
    pixels: NDArray[np.uint8]

    @property
    def embedded(self) -> Picture:
        """The picture for the page."""
        return array_picture(self.pixels, width_px=PICTURE_WIDTH_PX)


@dataclass(slots=True)
class CalibrationLog:
    """What a calibration measured so far, and by which pictures; those are kept small.

    Attributes
    ----------
    rig
        The rig as it was before.
    rig_folder
        Its folder.
    rows
        A row a result.
    pictures
        In the order in which they came.
    """

    rig: Rig
    rig_folder: Path
    rows: list[ResultRow] = field(default_factory=list)
    pictures: list[MeasuredPicture] = field(default_factory=list)

    def add_picture(self, picture: CalibrationPicture) -> None:
        """Keep a picture that a procedure measured by."""
        levels = f"levels {int(picture.pixels.min())} to {int(picture.pixels.max())}"
        self._keep(picture.procedure, f"{picture.caption}; {levels}", stretch(picture.pixels))

    def add_result(self, result: Result) -> None:
        """Keep a result, and the pictures that are results themselves."""
        what, now, residual = described(result)
        before, residual_before = described_before(self.rig, self.rig_folder, result)
        self.rows.append(ResultRow(what, before, now, residual_before, residual))
        if isinstance(result, FieldImages):
            flat, dark = result.flat, result.dark
            caption = f"flat field, {flat.min():.2f} (black) to {flat.max():.2f} (white) of its mean"
            self._keep(what, caption, stretch(flat))
            low, high = float(dark.min()), float(dark.max())
            self._keep(what, f"dark, {low:.0f} to {high:.0f} levels, mean {dark.mean():.0f}", stretch(dark))

    def _keep(self, procedure: str, caption: str, pixels: NDArray[np.uint8]) -> None:
        self.pictures.append(MeasuredPicture(procedure, caption, at_most(pixels, PICTURE_WIDTH_PX)))


def write_calibration_page(log: CalibrationLog, folder: Path, *, refusal: str | None, written: bool) -> Path:
    """Write ``calibration.html``, which needs no other file, and the pictures as PNGs into a folder.

    Parameters
    ----------
    log
        What was measured.
    folder
        Where to; it exists.
    refusal
        Why the calibration ended early; None where it came to its end.
    written
        Whether the results stand in the rig now.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    StorageError
        They can't be written.
    """
    _write_pictures(log.pictures, folder / PICTURES_FOLDER)
    page = (
        page_environment()
        .get_template("rig_calibration.html.j2")
        .render(
            name=log.rig.name,
            rows=log.rows,
            sections=[
                (procedure, list(pictures))
                for procedure, pictures in groupby(log.pictures, key=lambda one: one.procedure)
            ],
            pictures_folder=PICTURES_FOLDER,
            refusal=refusal,
            written=written,
            made_at=datetime.now(UTC),
        )
    )
    path = folder / CALIBRATION_PAGE_NAME
    write_bytes_atomic(path, page.encode("utf-8", errors="replace"))
    return path


def _write_pictures(pictures: Sequence[MeasuredPicture], folder: Path) -> None:
    with storage_errors(folder):
        folder.mkdir(exist_ok=True)
        # Those of an earlier calibration would be taken for this one's.
        for earlier in folder.glob("[0-9][0-9]-*.png"):
            earlier.unlink()
    for number, picture in enumerate(pictures, start=1):
        name = f"{number:02d}-{file_name_part(picture.procedure.replace(' ', '-'))}.png"
        write_png_atomic(folder / name, picture.pixels)

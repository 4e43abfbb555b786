"""The page of a rig check: what was checked, what was left open, and the picture."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from acquisition.storage import write_bytes_atomic
from acquisition.storage.atomic import storage_errors, write_png_atomic
from station.instrument.rig_check import CheckPicture, RigCheck, RigCheckState
from station.report.page import page_environment
from station.report.pictures import CAPTURE_WIDTH_PX, array_picture, stretch

CHECK_PAGE_NAME: Final = "check.html"
CHECK_PICTURE_NAME: Final = "picture.png"

FULL_RANGE_PERCENT: Final = (0.0, 100.0)
"""Nothing is clipped: whoever checks an instrument has to see its hot and dead pixels."""
_PATCH_FRACTION: Final = 0.1
"""Sides of the patches compared at the corners and in the centre: larger than a cell, smaller than the shading."""

# Colours of report.css by state.
_COLOURS: Final = {
    RigCheckState.OK: "completed",
    RigCheckState.FAULT: "failed",
    RigCheckState.NOT_ASSESSED: "running",
}


def write_check_page(check: RigCheck, folder: Path) -> Path:
    """Write ``check.html``, which needs no other file, and ``picture.png`` into a folder.

    Parameters
    ----------
    check
        Outcome of the check.
    folder
        Where to; it exists.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    StorageError
        They can't be written.
    """
    picture = None
    if check.picture is None:
        # One of an earlier check would be taken for this one's.
        with storage_errors(folder):
            (folder / CHECK_PICTURE_NAME).unlink(missing_ok=True)
    else:
        stretched = stretch(check.picture.pixels, FULL_RANGE_PERCENT)
        write_png_atomic(folder / CHECK_PICTURE_NAME, stretched)
        picture = array_picture(stretched, width_px=CAPTURE_WIDTH_PX)
    states = [step.state for step in check.steps] + [RigCheckState.NOT_ASSESSED] * len(check.unproven)
    counts = [(state, states.count(state)) for state in RigCheckState]
    page = (
        page_environment()
        .get_template("rig_check.html.j2")
        .render(
            check=check,
            faults=[step for step in check.steps if step.state is RigCheckState.FAULT],
            counts=counts,
            colours=_COLOURS,
            not_assessed=RigCheckState.NOT_ASSESSED,
            picture=picture,
            picture_name=CHECK_PICTURE_NAME,
            facts=[] if check.picture is None else picture_facts(check.picture),
            made_at=datetime.now(UTC),
        )
    )
    path = folder / CHECK_PAGE_NAME
    write_bytes_atomic(path, page.encode("utf-8", errors="replace"))
    return path


def picture_facts(picture: CheckPicture) -> list[tuple[str, str]]:
    """Name and value of the numbers that the stretched picture doesn't show."""
    pixels = picture.pixels
    height_px, width_px = pixels.shape
    low, median, high = np.percentile(pixels, (1, 50, 99))
    clipped = float(np.mean(pixels >= picture.full_scale))
    corners, centre = _corners_and_centre(pixels)
    relative = ", ".join(f"{corner / centre:.2f}" for corner in corners) if centre > 0.0 else "centre is black"
    return [
        ("Size", f"{width_px} x {height_px} px"),
        ("Objective", picture.objective),
        ("Exposure", f"{picture.exposure_ms:.2f} ms"),
        ("Black in the picture", f"level {int(pixels.min())}"),
        ("White in the picture", f"level {int(pixels.max())} of {picture.full_scale}"),
        ("1 %, 50 %, 99 %", f"{low:.0f}, {median:.0f}, {high:.0f}"),
        ("Mean", f"{pixels.mean():.0f}"),
        ("At full scale", f"{clipped:.3%} of pixels"),
        ("Corners over centre (upper two, lower two)", relative),
    ]


def _corners_and_centre(pixels: NDArray[np.uint16]) -> tuple[list[float], float]:
    """Median levels: top left, top right, bottom left, bottom right; and the centre."""
    rows, columns = (max(1, round(side * _PATCH_FRACTION)) for side in pixels.shape)
    top, left = ((side - patch) // 2 for side, patch in zip(pixels.shape, (rows, columns), strict=True))
    corners = [
        float(np.median(pixels[vertical, horizontal]))
        for vertical in (slice(None, rows), slice(-rows, None))
        for horizontal in (slice(None, columns), slice(-columns, None))
    ]
    return corners, float(np.median(pixels[top : top + rows, left : left + columns]))

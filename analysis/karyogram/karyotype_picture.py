"""The files of a karyotype: its data, and its karyogram as a picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.karyogram.paint import paint
from analysis.karyogram.sheet import SheetOptions, karyogram_sheet
from analysis.karyogram.sheet_geometry import KaryogramSheet
from analysis.karyotyping.proposal_file import write_proposal
from analysis.structures.karyotype import Karyotype
from scanner.portable.atomic_files import write_atomic


def draw_karyotype(
    karyotype: Karyotype, options: SheetOptions | None = None, sheet: KaryogramSheet | None = None
) -> NDArray[np.uint8]:
    """Draw the karyogram.

    Parameters
    ----------
    karyotype
        The proposal, fresh or edited.
    options
        Ideograms and notes.
    sheet
        The sheet, where it is laid out already; ``options`` don't count then.

    Returns
    -------
    NDArray[np.uint8]
        uint8, shape (height, width, 3), BGR.
    """
    return paint(sheet or karyogram_sheet(karyotype, options))


def write_karyotype(
    karyotype: Karyotype,
    json_path: Path,
    png_path: Path,
    options: SheetOptions | None = None,
    sheet: KaryogramSheet | None = None,
) -> None:
    """Write the karyotype's data and picture, each whole or not at all.

    Parameters
    ----------
    karyotype
        The proposal, fresh or edited.
    json_path, png_path
        The files; their folders are made.
    options
        Ideograms, notes and accession.
    sheet
        The sheet, where it is laid out already, see `draw_karyotype`.

    Raises
    ------
    AnalysisError
        Where a file can't be written.
    """
    done, picture = cv2.imencode(".png", draw_karyotype(karyotype, options, sheet))
    if not done:
        raise AnalysisError("the karyogram can't be encoded", path=png_path)
    try:
        png_path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(png_path, picture.tobytes())
    except OSError as error:
        raise AnalysisError(f"can't be written ({error.strerror})", path=png_path) from error
    write_proposal(karyotype, json_path)

"""The files of one karyotyped cell."""

from __future__ import annotations

from pathlib import Path

import cv2

from acquisition.storage.atomic import write_bytes_atomic
from analysis.errors import AnalysisError
from analysis.karyogram.karyotype_picture import write_karyotype
from analysis.karyogram.metaphase_overlay import draw_metaphase
from analysis.karyogram.sheet import SheetOptions, karyogram_sheet
from analysis.structures.karyotype import Karyotype
from station.karyotype_report import karyotype_pdf

ENDINGS = ("json", "karyogram.png", "metaphase.png", "pdf")


def write_cell(karyotype: Karyotype, folder: Path, stem: str, options: SheetOptions | None = None) -> str:
    """Write a proposal's data, karyogram, outlined metaphase and PDF, each whole or not at all.

    Parameters
    ----------
    karyotype
        The proposal, fresh or edited.
    folder
        Where; it has to be there.
    stem
        Beginning of the files' names.
    options
        Ideograms and notes.

    Returns
    -------
    str
        The files, for people: ``folder/stem.{json,karyogram.png,metaphase.png,pdf}``.

    Raises
    ------
    AnalysisError
        Where data or karyogram can't be written.
    StorageError
        Where another file can't be.
    """
    sheet = karyogram_sheet(karyotype, options)
    write_karyotype(karyotype, folder / f"{stem}.json", folder / f"{stem}.karyogram.png", options, sheet)
    done, picture = cv2.imencode(
        ".png", draw_metaphase(karyotype.image, karyotype.chromosomes, unexplained=karyotype.open_unexplained)
    )
    if not done:
        raise AnalysisError("the metaphase can't be encoded", path=folder / f"{stem}.metaphase.png")
    write_bytes_atomic(folder / f"{stem}.metaphase.png", picture.tobytes())
    write_bytes_atomic(folder / f"{stem}.pdf", karyotype_pdf(karyotype, options, sheet))
    return f"{folder / stem}.{{{','.join(ENDINGS)}}}"

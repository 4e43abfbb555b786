"""Karyotype all pictures of one case, and sum the case up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from acquisition.storage import write_json_atomic
from analysis.case.summary import CaseCell, CasePolicy, CaseSummary, cell_of, refused_cell, summarise
from analysis.errors import AnalysisError
from analysis.imaging.image_file import read_image
from analysis.karyogram.sheet import SheetOptions
from analysis.karyotyping.external_cells import PICTURE_ENDINGS
from analysis.karyotyping.pipeline import Karyotyper
from station.case_report import write_case
from station.cell_files import write_cell
from station.errors import UsageError


def stem_of(path: Path) -> str:
    """Name of a picture without its ending."""
    for ending in (".ome.tiff", ".ome.tif"):
        if path.name.lower().endswith(ending):
            return path.name[: -len(ending)]
    return path.stem


def pictures_of(folder: Path) -> list[Path]:
    """Pictures of a case's folder, by name.

    Raises
    ------
    UsageError
        There is no such folder, no picture in it, or two that only differ in their ending.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    found = sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in PICTURE_ENDINGS and not path.name.startswith(".")
    )
    if not found:
        raise UsageError(f"{folder}: no picture in it ({', '.join(sorted(PICTURE_ENDINGS))})")
    refuse_twins(found)
    return found


def refuse_twins(images: list[Path]) -> None:
    """Refuse pictures whose results would have the same name.

    Raises
    ------
    UsageError
        There are such.
    """
    stems = [stem_of(image) for image in images]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise UsageError(f"several pictures would be written to {twice[0]}.json; karyotype them apart")


def run_case(
    folder: Path,
    out: Path,
    karyotyper: Karyotyper,
    policy: CasePolicy,
    *,
    name: str | None = None,
    tell: Callable[[str], None] = lambda _line: None,
    options: SheetOptions | None = None,
) -> CaseSummary:
    """Karyotype the pictures of a folder as the cells of one case.

    Writes ``<stem>.json``, ``.karyogram.png``, ``.metaphase.png`` and ``.pdf`` for every cell that could be
    karyotyped, then ``case.json``, ``case.html`` and ``case.pdf``. A picture that is refused is a cell
    excluded with its reason.

    Parameters
    ----------
    folder
        The pictures.
    out
        Where the results go; it has to be there.
    karyotyper
        Proposes karyotypes.
    policy
        How many cells are used, and how the case is written.
    name
        Of the case; the folder's where left out.
    tell
        Called with a line a cell.
    options
        Ideograms of the cells' karyograms.

    Raises
    ------
    UsageError
        The folder isn't there or holds nothing to karyotype.
    """
    cells: list[CaseCell] = []
    drawn: dict[str, str] = {}
    for path in pictures_of(folder):
        stem = stem_of(path)
        try:
            result = karyotyper.karyotype(read_image(path))
            write_cell(result, out, stem, options)
        except AnalysisError as error:
            cells.append(refused_cell(stem, str(error)))
        else:
            cells.append(cell_of(stem, result))
            drawn[stem] = f"{stem}.karyogram.png"
        last = cells[-1]
        tell(f"{stem}: {last.iscn or 'no ISCN'}, {last.level}{': ' + last.remark if last.remark else ''}")
    summary = summarise(name or folder.resolve().name, cells, policy)
    write_json_atomic(out / "case.json", summary.to_json())
    write_case(summary, out, drawn)
    return summary

"""Karyotype all cells of one case, and sum the case up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from acquisition.storage import write_json_atomic
from analysis.case.summary import CaseCell, CasePolicy, CaseSummary, cell_of, refused_cell, summarise
from analysis.errors import AnalysisError
from analysis.imaging.image_file import read_image
from analysis.karyogram.sheet import SheetOptions
from analysis.karyogram.text import drawable
from analysis.karyotyping.pipeline import Karyotyper
from analysis.karyotyping.proposal_file import read_proposal
from analysis.structures.karyotype import Karyotype
from station.case_pictures import CellPictures, case_pictures, output_stem, refuse_overwriting, stem_of
from station.case_report import write_case
from station.cell_files import write_cell
from station.edited_proposals import edited_stems

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CaseRun:
    """How a case is made.

    Attributes
    ----------
    folder
        The pictures.
    out
        Where the results go; it has to be there.
    name
        Of the case; the folder's where None. A name that is given is the accession on the karyograms.
    options
        Ideograms and accession of the cells' karyograms.
    discard_edits
        Whether proposals that a person edited are made anew; else they are kept, drawn and counted.
    plane
        Which plane is taken of pictures that have several, counted from 1; the sharpest where it is None.
    """

    folder: Path
    out: Path
    name: str | None = None
    options: SheetOptions | None = None
    discard_edits: bool = False
    plane: int | None = None

    @property
    def sheet_options(self) -> SheetOptions:
        """Options of the cells' karyograms, with the accession."""
        options = self.options or SheetOptions()
        return options if options.accession or self.name is None else replace(options, accession=self.name)


def run_case(
    run: CaseRun, karyotyper: Karyotyper, policy: CasePolicy, progress: Callable[[str], None] = lambda _line: None
) -> CaseSummary:
    """Karyotype the pictures of a folder as the cells of one case.

    Writes ``<stem>.json``, ``.karyogram.png``, ``.metaphase.png`` and ``.pdf`` for every cell that could be
    karyotyped, then ``case.json``, ``case.html`` and ``case.pdf``. Several pictures of one cell count once. A
    picture that is refused is a cell excluded with its reason.

    Parameters
    ----------
    run
        Folders, name and options.
    karyotyper
        Proposes karyotypes.
    policy
        How many cells are used, and how the case is written.
    progress
        Called with a line a cell.

    Raises
    ------
    UsageError
        The folder isn't there, holds nothing to karyotype, or a picture that a result would replace.
    """
    edited = frozenset() if run.discard_edits else edited_stems(run.out)
    pictures = case_pictures(run.folder, edited, plane=run.plane)
    refuse_overwriting([cell.path for cell in pictures.cells], run.out)
    if pictures.own_drawings:
        progress(f"left out, drawn by KaryoScan itself: {', '.join(map(drawable, pictures.own_drawings))}")
    cells: list[CaseCell] = []
    drawn: dict[str, str] = {}
    names = _display_names([stem_of(cell.path) for cell in pictures.cells])
    for name, of_cell in zip(names, pictures.cells, strict=True):
        stem = output_stem(of_cell.path)
        cell, is_drawn = _case_cell(run, karyotyper, of_cell, name, edited=stem in edited)
        if is_drawn:
            drawn[name] = f"{stem}.karyogram.png"
        cells.append(replace(cell, further_pictures=of_cell.further))
        progress(_line(cells[-1]))
    summary = summarise(drawable(run.name or run.folder.resolve().name), cells, policy)
    write_json_atomic(run.out / "case.json", summary.to_json())
    write_case(summary, run.out, drawn)
    return summary


def _case_cell(
    run: CaseRun, karyotyper: Karyotyper, pictures: CellPictures, name: str, *, edited: bool
) -> tuple[CaseCell, bool]:
    """A cell of the case, and whether its files were written."""
    stem = output_stem(pictures.path)
    try:
        result = _karyotype(run, karyotyper, pictures.path, edited=edited)
        write_cell(result, run.out, stem, run.sheet_options)
    except AnalysisError as error:
        reason = _reason(error)
        if edited:
            reason = (
                f"{reason}; {stem}.json was edited and is kept: mend it, or make the case with --discard-edits"
            )
        return refused_cell(name, drawable(reason)), False
    except Exception as error:  # noqa: BLE001 - recorded: one picture never ends the case
        _log.exception("karyotyping %r", pictures.path.name)
        return refused_cell(name, drawable(f"unexpected {type(error).__name__}: {error}")), False
    return cell_of(name, result), True


def _karyotype(run: CaseRun, karyotyper: Karyotyper, path: Path, *, edited: bool) -> Karyotype:
    image = read_image(path, run.plane, single_as_it_is=True)
    if edited:
        return read_proposal(run.out / f"{output_stem(path)}.json", image)
    return karyotyper.karyotype(image)


def _reason(error: AnalysisError) -> str:
    """The message without the folders that the file lies in."""
    return str(error) if error.path is None else str(error).replace(str(error.path), error.path.name)


def _line(case_cell: CaseCell) -> str:
    parts = [
        f"{case_cell.iscn or 'no ISCN'}, {case_cell.level}",
        *([case_cell.remark] if case_cell.remark else []),
    ]
    by = " (edited by a person)" if case_cell.edited else ""
    files = ", ".join(f"{picture.file} ({picture.kind.value})" for picture in case_cell.further_pictures)
    further = f"; the same cell, not counted again: {files}" if files else ""
    return f"{case_cell.name}{by}: {': '.join(parts)}{further}"


def _display_names(stems: Sequence[str]) -> list[str]:
    """Names that can be written anywhere, each once."""
    names: list[str] = []
    for stem in stems:
        name, number = drawable(stem), 2
        while name in names:
            name, number = f"{drawable(stem)} ({number})", number + 1
        names.append(name)
    return names

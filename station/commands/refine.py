"""The command ``karyoscan refine``."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from station.commands.karyotype import Ideograms, IdeogramsOption, StraightenOption, sheet_options
from station.commands.messages import say
from station.commands.options import record_text
from station.errors import UsageError


def refine(
    proposal: Annotated[Path, typer.Argument(help="<stem>.json of a proposal, with its picture beside it")],
    out: Annotated[Path, typer.Option(help="folder for <stem>.json, .karyogram.png, .metaphase.png and .pdf")],
    edits: Annotated[
        Path | None, typer.Option(help="edits to carry out, a JSON file (karyoscan schema edits)")
    ] = None,
    undo: Annotated[int, typer.Option(help="take back so many of the last edits first", min=0)] = 0,
    author: Annotated[str, typer.Option(help="who makes the edits; recorded with each")] = "",
    ideograms: IdeogramsOption = Ideograms.NONE,
    accession: Annotated[str, typer.Option(help="written on karyogram and PDF")] = "",
    straighten: StraightenOption = False,
) -> None:
    """Edit the chromosomes of a proposal: separate, join, add, delete, outline anew, resolve, choose, name."""
    from analysis.karyotyping.proposal_file import read_proposal
    from analysis.karyotyping.refine.application import refine as refine_cell
    from analysis.karyotyping.refine.application import undo as undo_edits
    from analysis.karyotyping.refine.edit_list import read_edits
    from analysis.karyotyping.refine.opening import RefineModels, open_cell
    from station.cell_files import write_cell

    if edits is None and undo == 0:
        raise UsageError("refine takes --edits and a file, or --undo and a number, or both")
    wanted = () if edits is None else read_edits(edits)
    cell = open_cell(read_proposal(proposal), RefineModels.load())
    if undo:
        cell = undo_edits(cell, undo)
    made_at = datetime.now(tz=UTC)
    for number, edit in enumerate(wanted):
        cell = refine_cell(cell, edit, author=record_text(author), made_at=made_at)
        names = {each.id: each.class_name for each in cell.karyotype.chromosomes}
        changed = ", ".join(f"{one}: {names[one]}" for one in cell.changed) or "none"
        removed = f"; removed {', '.join(str(one) for one in cell.removed)}" if cell.removed else ""
        say(f"edit {number}, {edit.operation}: changed {changed}{removed}")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: can't be made: {error.strerror}") from error
    options = sheet_options(ideograms, accession, straighten=straighten)
    files = write_cell(cell.karyotype, out, proposal.stem, options)
    iscn = cell.karyotype.iscn
    say(f"{proposal}: {iscn.text or f'no ISCN: {iscn.reason}'} -> {files}")

"""The command ``karyoscan import-karyograms``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from analysis.karyogram_import.pairs import KARYOGRAM_PATTERN, METAPHASE_PATTERN
from station.commands.messages import say

if TYPE_CHECKING:
    from station.karyogram_archive import ImportedArchive


def import_karyograms(
    folder: Annotated[Path, typer.Argument(help="folder with pictures of metaphases and of their karyograms")],
    out: Annotated[Path, typer.Option(help="folder for records, crops, overviews, coco.json and import.json")],
    metaphase_pattern: Annotated[
        str, typer.Option(help="how metaphases are named, without the ending of the file")
    ] = METAPHASE_PATTERN,
    karyogram_pattern: Annotated[str, typer.Option(help="how karyograms are named")] = KARYOGRAM_PATTERN,
    layout: Annotated[
        Path | None, typer.Option(help="YAML file that says which class stands where on your sheets")
    ] = None,
) -> None:
    """Make labelled crops, boxes and masks of finished karyograms and their metaphases."""
    from analysis.karyogram_import.pairs import pair_pictures
    from analysis.karyogram_import.sheet_layout import BUILT_IN_LAYOUTS
    from station.karyogram_archive import import_archive, read_layout

    layouts = BUILT_IN_LAYOUTS if layout is None else (read_layout(layout),)
    paired = pair_pictures(folder, metaphase_pattern=metaphase_pattern, karyogram_pattern=karyogram_pattern)
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("import", total=len(paired.pairs))
        archive = import_archive(
            paired, out, layouts, progress=lambda done, total: progress.update(task, completed=done, total=total)
        )
    _report(archive, out)
    if archive.refused and not archive.cells:
        raise typer.Exit(1)


def _report(archive: ImportedArchive, out: Path) -> None:
    for cell in archive.cells:
        again = ", as before" if cell.name in archive.unchanged else ""
        say(
            f"{cell.name}: {len(cell.chromosomes)} chromosomes on the sheet, {len(cell.matched)} matched, "
            f"{len(cell.usable)} of them with a class{again}"
        )
        for each in cell.chromosomes:
            if each.unmatched is not None:
                say(
                    f"  {each.number} ({each.class_name}) unmatched: {each.unmatched} (best {each.best_score:.2f})"
                )
            if each.class_defect is not None:
                say(f"  {each.number} without a class: {each.class_defect}")
        for stain in cell.unexplained:
            say(f"  stain at {stain.box_px[0]}, {stain.box_px[1]} px of the metaphase is on no sheet's picture")
    for pair in archive.refused:
        say(f"{pair.name}: not imported: {pair.reason}")
    for path in archive.paired.orphans:
        say(f"{path.name}: its other picture is missing")
    for path in archive.paired.unnamed:
        say(f"{path.name}: its name fits neither pattern")
    total = sum(len(cell.usable) for cell in archive.cells)
    say(
        f"{len(archive.cells)} cells with {total} labelled chromosomes -> {out}; "
        "check the overviews before you use them"
    )

"""``karyoscan evaluate structural|banding|levels``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from acquisition.storage import write_json_atomic

if TYPE_CHECKING:
    from collections.abc import Callable

BAND_STUDIES: Final = frozenset({"structural", "banding", "levels"})
OWN_CUT_CELLS: Final = 48
"""Pictures that are cut, changed and compared, a few seconds each."""
DRAWN_CELLS: Final = 4
"""Drawn cells of each technique in the banding table."""


def evaluate_bands_command(
    console: Console, study: str, data: Path, split: str, *, limit: int | None, json_file: Path | None
) -> None:
    """Measure the comparison of homologues, the recogniser of banding, or the band level.

    ``structural`` takes any split of gband612; ``banding`` takes cells that nothing was learnt from, and
    ``levels`` drawn cells alone, whatever the split.
    """
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(study, total=None)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        if study == "structural":
            figures = _structural(data, split, limit, tell)
        elif study == "banding":
            figures = _banding(data, tell)
        else:
            from analysis.evaluation.banding import evaluate_levels

            figures = {"simulated": True, "drawn": evaluate_levels()}
    _print(console, study, figures)
    if json_file is not None:
        write_json_atomic(json_file, figures)


def _structural(data: Path, split: str, limit: int | None, tell: Callable[[int, int], None]) -> dict[str, Any]:
    from analysis.evaluation.structural import changed_cells, evaluate_structural, own_changed_cells
    from analysis.karyotyping.pipeline import load_karyotyper
    from analysis.training.synthesis.structural_changes import drawn_changed_cells

    real = evaluate_structural(changed_cells(data / "gband612", split, limit=limit), progress=tell)
    own = own_changed_cells(data / "tseng", split, load_karyotyper(), limit=limit or OWN_CUT_CELLS)
    drawn = evaluate_structural(drawn_changed_cells(min(limit or 16, 16)), progress=tell)
    return {
        "cut and pasted": real,
        "cut and pasted, own cuts": evaluate_structural(own, progress=tell),
        "drawn": drawn,
    }


def _banding(data: Path, tell: Callable[[int, int], None]) -> dict[str, Any]:
    from analysis.banding.technique import TECHNIQUES
    from analysis.evaluation.banding import evaluate_banding, held_out_cells
    from analysis.training.fits.banding_templates import drawn_cells, unbanded

    drawn = [cell for kind in TECHNIQUES for cell in drawn_cells(kind, DRAWN_CELLS, seed=7)]
    solid = [unbanded(cell) for cell in drawn if cell.kind == "G"]
    return evaluate_banding(held_out_cells(data, [*drawn, *solid]), progress=tell)


def _print(console: Console, study: str, figures: dict[str, Any]) -> None:
    if study == "structural":
        for name, found in figures.items():
            _print_changes(console, name, found)
    elif study == "banding":
        kinds = sorted({told for line in figures["confusion"].values() for told in line})
        table = Table("cells", *kinds, title=f"banding, {100 * figures['right']:.1f} % right")
        for name, line in figures["confusion"].items():
            table.add_row(name, *(str(line.get(kind, 0)) for kind in kinds))
        console.print(table)
        console.print({"warned falsely": figures["warned_falsely"], "bands (10, 50, 90 %)": figures["level"]})
    else:
        table = Table("table", "median px", "blur px", "counted", "bands", "low", "high", "level")
        for row in figures["drawn"]:
            table.add_row(*(str(row[key]) for key in ("table", "median_px", "blur_px", "counted")),
                          *(str(row[key]) for key in ("bands", "low", "high", "level")))  # fmt: skip
        console.print(table)


def _print_changes(console: Console, name: str, figures: dict[str, Any]) -> None:
    title = (
        f"{name} (simulated): {figures['pairs']} normal pairs of {figures['cells']} cells "
        f"({100 * figures['compared']:.0f} % of all) compared, "
        f"{100 * figures['false_flags']:.1f} % flagged"
    )
    table = Table(
        "change", "Mb", "n", "compared", "flagged", "interval", "AUC", "interval", "off by bands", title=title
    )
    for row in figures["changes"]:
        low, high = row["sensitivity_interval"]
        least, most = row["auc_interval"]
        off = "" if row["off_bands"] is None else f"{row['off_bands']:.1f}"
        table.add_row(row["kind"], str(row["size_mb"]), str(row["n"]), f"{row['compared']:.2f}",
                      f"{row['sensitivity']:.2f}", f"{low:.2f}-{high:.2f}",
                      f"{row['auc']:.3f}", f"{least:.3f}-{most:.3f}", off)  # fmt: skip
    console.print(table)

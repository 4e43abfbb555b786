"""``karyoscan evaluate structural|banding|levels``: homologues, banding technique and band level."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from acquisition.storage import write_json_atomic
from station.commands.options import DataOption, JsonOption, LimitOption, SplitOption, data_root

if TYPE_CHECKING:
    from collections.abc import Callable

OWN_CUT_CELLS: Final = 48
"""Pictures that are cut, changed and compared, a few seconds each."""
DRAWN_CELLS: Final = 4
"""Drawn cells of each technique in the banding table."""


def structural(
    data: DataOption = None,
    split: SplitOption = "test",
    limit: LimitOption = None,
    json_file: JsonOption = None,
) -> None:
    """Simulated rearrangements between homologues: how many are flagged, and how many normal pairs are."""
    root = data_root(data)
    _evaluate("structural", lambda tell: _structural(root, split, limit, tell), _print_structural, json_file)


def banding(data: DataOption = None, json_file: JsonOption = None) -> None:
    """Which banding technique is recognised, on cells that nothing was learnt from."""
    root = data_root(data)
    _evaluate("banding", lambda tell: _banding(root, tell), _print_banding, json_file)


def levels(json_file: JsonOption = None) -> None:
    """The band level, on drawn cells whose level is certain; needs no data."""

    def measure(_tell: Callable[[int, int], None]) -> dict[str, Any]:
        from analysis.evaluation.banding import evaluate_levels

        return {"simulated": True, "drawn": evaluate_levels()}

    _evaluate("levels", measure, _print_levels, json_file)


def _evaluate(
    title: str,
    measure: Callable[[Callable[[int, int], None]], dict[str, Any]],
    show: Callable[[Console, dict[str, Any]], None],
    json_file: Path | None,
) -> None:
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        figures = measure(lambda done, total: progress.update(task, completed=done, total=total))
    show(console, figures)
    if json_file is not None:
        write_json_atomic(json_file, figures)


def _structural(data: Path, split: str, limit: int | None, tell: Callable[[int, int], None]) -> dict[str, Any]:
    from analysis.datasets.structural_changes import changed_cells
    from analysis.evaluation.structural import evaluate_structural, own_changed_cells
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
    from analysis.datasets.banded_cells import held_out_cells
    from analysis.evaluation.banding import evaluate_banding
    from analysis.training.fits.banding_templates import drawn_cells, unbanded

    drawn = [cell for kind in TECHNIQUES for cell in drawn_cells(kind, DRAWN_CELLS, seed=7)]
    solid = [unbanded(cell) for cell in drawn if cell.kind == "G"]
    return evaluate_banding(held_out_cells(data, [*drawn, *solid]), progress=tell)


def _print_structural(console: Console, figures: dict[str, Any]) -> None:
    for name, own in figures.items():
        _print_changes(console, name, own)


def _print_banding(console: Console, figures: dict[str, Any]) -> None:
    kinds = sorted({kind for line in figures["confusion"].values() for kind in line})
    table = Table("cells", *kinds, title=f"banding, {100 * figures['right']:.1f} % right")
    for name, line in figures["confusion"].items():
        table.add_row(name, *(str(line.get(kind, 0)) for kind in kinds))
    console.print(table)
    console.print({"warned falsely": figures["warned_falsely"], "bands (10, 50, 90 %)": figures["level"]})


def _print_levels(console: Console, figures: dict[str, Any]) -> None:
    columns = ("table", "median_px", "blur_px", "counted", "bands", "low", "high", "level")
    table = Table(*(column.removesuffix("_px") + (" px" if column.endswith("_px") else "") for column in columns))
    for row in figures["drawn"]:
        table.add_row(*(str(row[column]) for column in columns))
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

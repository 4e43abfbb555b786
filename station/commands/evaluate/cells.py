"""The commands ``karyoscan evaluate cells``, ``aneuploidy`` and ``risk``: one pass over whole cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from acquisition.storage import write_json_atomic

if TYPE_CHECKING:
    from station.evaluation.cells import CellsEvaluation

_SHOWN: Final[dict[str, tuple[str, ...]]] = {
    "cells": ("summary", "interactions", "aneuploidy", "risk"),
    "aneuploidy": ("aneuploidy",),
    "risk": ("risk",),
}
CELL_STUDIES: Final = frozenset(_SHOWN)


def evaluate_cells_command(
    console: Console,
    what: str,
    data: Path,
    split: str,
    *,
    limit: int | None,
    jobs: int,
    json_file: Path | None,
    report: Path | None,
) -> None:
    """Karyotype the cells of a split once, print figures and write them down.

    Parameters
    ----------
    what
        ``"cells"`` for everything, ``"aneuploidy"`` or ``"risk"`` for that alone.
    """
    from station.evaluation.cells import evaluate_cells, write_cells_report

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what)
        evaluation = evaluate_cells(
            data,
            split,
            limit=limit,
            jobs=jobs,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    for table in _tables(evaluation, _SHOWN[what]):
        console.print(table)
    if json_file is not None:
        write_json_atomic(json_file, evaluation.figures)
    if report is not None:
        console.print(f"Report: {write_cells_report(evaluation, report)}", highlight=False, soft_wrap=True)


def _tables(evaluation: CellsEvaluation, shown: tuple[str, ...]) -> list[Table]:
    made = []
    for part in shown:
        columns = {
            name: _rows({key: value for key, value in own.items() if not isinstance(value, dict)})
            if part == "summary"
            else _rows(own[part])
            for name, own in evaluation.figures.items()
            if part == "summary" or part in own
        }
        table = Table(part, *columns, title=f"{part}, {evaluation.split}")
        for key in dict.fromkeys(key for own in columns.values() for key in own):
            table.add_row(key, *(own.get(key, "-") for own in columns.values()))
        made.append(table)
    return made


def _rows(figures: dict[str, Any]) -> dict[str, str]:
    """Names and values as text; an interval stands beside its figure, a table of kinds becomes a row for each."""
    rows: dict[str, str] = {}
    for key, value in figures.items():
        if key.endswith("_ci95"):
            if None not in value:
                rows[key.removesuffix("_ci95")] += f" ({value[0]:.3f}-{value[1]:.3f})"
        elif isinstance(value, dict):
            rows.update({f"{key}: {name}": _text(own) for name, own in value.items()})
        else:
            rows[key] = _text(value)
    return rows


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(own)}" for name, own in value.items())
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)

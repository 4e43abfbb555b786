"""The commands ``karyoscan evaluate cells``, ``aneuploidy`` and ``risk``: one pass over whole cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from acquisition.storage import write_json_atomic
from station.commands.options import DataOption, JsonOption, LimitOption, ReportOption, TsengSplitOption, data_root

if TYPE_CHECKING:
    from station.evaluation.cells import CellsEvaluation

_PARTS: Final = ("summary", "interactions", "aneuploidy", "risk")
JobsOption = Annotated[int, typer.Option(help="processes", min=1)]


def cells(
    data: DataOption = None,
    split: TsengSplitOption = "test",
    limit: LimitOption = None,
    jobs: JobsOption = 1,
    report: ReportOption = None,
    json_file: JsonOption = None,
) -> None:
    """Whole cells of tseng and gband612 in one pass: classes, interactions by kind, aneuploidy, risk.

    The splits fit and test2 are tseng's alone. By the masks that are drawn: ``karyoscan evaluate drawn``.
    """
    _evaluate(_PARTS, data, split, limit=limit, jobs=jobs, report=report, json_file=json_file)


def aneuploidy(
    data: DataOption = None,
    split: TsengSplitOption = "test",
    limit: LimitOption = None,
    jobs: JobsOption = 1,
    report: ReportOption = None,
    json_file: JsonOption = None,
) -> None:
    """Numbers of chromosomes and their classes in whole cells: sensitivity and specificity."""
    _evaluate(("aneuploidy",), data, split, limit=limit, jobs=jobs, report=report, json_file=json_file)


def risk(
    data: DataOption = None,
    split: TsengSplitOption = "test",
    limit: LimitOption = None,
    jobs: JobsOption = 1,
    report: ReportOption = None,
    json_file: JsonOption = None,
) -> None:
    """What the confidence of chromosomes and cells promises, and what it keeps: risk over coverage."""
    _evaluate(("risk",), data, split, limit=limit, jobs=jobs, report=report, json_file=json_file)


def _evaluate(
    parts: tuple[str, ...],
    data: Path | None,
    split: str,
    *,
    limit: int | None,
    jobs: int,
    report: Path | None,
    json_file: Path | None,
) -> None:
    """Karyotype the cells of a split once, print parts of the figures and write all of them down."""
    from station.evaluation.cells import evaluate_cells, write_cells_report

    root = data_root(data)
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(parts[0])
        evaluation = evaluate_cells(
            root,
            split,
            limit=limit,
            jobs=jobs,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    for table in _tables(evaluation, parts):
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

"""The command ``karyoscan evaluate finder``."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from acquisition.storage import write_json_atomic
from station.commands.options import DataOption, JsonOption, ReportOption, SplitOption, data_root

_FILE_WIDTH: Final = 180


def finder(
    data: DataOption = None,
    split: SplitOption = "test",
    limit: Annotated[int | None, typer.Option("--limit", help="brightfield fields", min=1)] = None,
    subject: Annotated[str, typer.Option("--finder", help="rules, default, or a folder of weights")] = "default",
    report: ReportOption = None,
    json_file: JsonOption = None,
) -> None:
    """The metaphase finder on composed fields of held-out cases, beside the finder by rules."""
    from station.evaluation.finder import evaluate_finder
    from station.evaluation.finder_report import write_finder_report

    root = data_root(data)
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("finder")
        evaluation = evaluate_finder(
            root,
            split,
            subject=subject,
            limit=limit,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    figures = evaluation.figures
    # A file or a pipe has no width of its own, and figures that are cut short are none.
    wide = console if console.is_terminal else Console(width=_FILE_WIDTH)
    wide.print(_table(figures))
    console.print(_ranking(figures["ranking"]), highlight=False, soft_wrap=True)
    console.print(figures["note"], highlight=False, soft_wrap=True)
    console.print(f"{figures['seconds']:.0f} s", highlight=False)
    if json_file is not None:
        write_json_atomic(json_file, figures)
    if report is not None:
        console.print(f"Report: {write_finder_report(evaluation, report)}", highlight=False, soft_wrap=True)


def _table(figures: dict[str, Any]) -> Table:
    """All figures that are one number, every population beside the rules' own."""
    columns = dict(figures["populations"])
    if figures["finder"] != "rules":
        columns |= {f"{name}, rules": own for name, own in figures["rules"].items()}
    table = Table("figure", *columns, title=f"finder {figures['finder']}, {figures['split']}")
    first = next(iter(columns.values()))
    plain = [name for name, value in first.items() if not isinstance(value, dict)]
    for name in plain:
        table.add_row(name, *(_cell(own, name) for own in columns.values()))
    for kind_table in ("found_by_kind", "called_by_kind"):
        for kind in sorted({kind for own in columns.values() for kind in own[kind_table]}):
            counted = (own[kind_table].get(kind) for own in columns.values())
            cells = ("-" if pair is None else f"{pair[0]} of {pair[1]}" for pair in counted)
            table.add_row(f"{kind_table.split('_')[0]}: {kind}", *cells)
    return table


def _cell(figures: dict[str, Any], name: str) -> str:
    value = figures[name]
    shown = "-" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
    interval = figures["intervals"].get(name)
    if interval is None or None in interval:
        return shown
    return f"{shown} ({interval[0]:.3f}-{interval[1]:.3f})"


def _ranking(ranking: dict[str, Any]) -> str:
    if not ranking["slides"]:
        return "Ranking: no slide holds enough cells whose karyotype is known."
    return (
        f"Ranking, {ranking['slides']} slides, 20 best against 20 by chance: interactions a cell "
        f"{ranking['interactions_best']:.2f} against {ranking['interactions_chance']:.2f} (fewer on "
        f"{ranking['slides_better_than_chance']} slides), analysable {ranking['analysable_best']:.3f} against "
        f"{ranking['analysable_chance']:.3f}."
    )

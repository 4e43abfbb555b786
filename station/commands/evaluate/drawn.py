"""The commands ``karyoscan evaluate drawn`` and ``padding``: whole cells by the masks that are drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from acquisition.storage import write_json_atomic
from station.commands.options import DataOption, JsonOption, LimitOption, TsengSplitOption, data_root
from station.errors import UsageError

if TYPE_CHECKING:
    from analysis.evaluation.drawn_cells import Figure

_SIDES = 4
PredictionsOption = Annotated[
    Path | None,
    typer.Option(
        "--predictions", help="file (JSON lines): cells that it holds aren't karyotyped again, others are added"
    ),
]
CorrectedOption = Annotated[
    bool, typer.Option("--corrected/--published", help="labels corrected by our list, or as published")
]


def _padding(value: str | None) -> tuple[float, ...] | None:
    """Read LEFT,TOP,RIGHT,BOTTOM."""
    if value is None:
        return None
    try:
        sides = tuple(float(side) for side in value.split(","))
    except ValueError:
        sides = ()
    if len(sides) != _SIDES:
        raise UsageError(f"a padding is LEFT,TOP,RIGHT,BOTTOM in px, such as 7,8,5,4; found {value!r}")
    return sides


def drawn(
    data: DataOption = None,
    split: TsengSplitOption = "val",
    limit: LimitOption = None,
    predictions: PredictionsOption = None,
    before: Annotated[
        Path | None, typer.Option("--before", help="predictions of another version, compared in the same run")
    ] = None,
    corrected: CorrectedOption = False,
    padding: Annotated[
        str | None, typer.Option("--padding", help="LEFT,TOP,RIGHT,BOTTOM in px from masks to labelled boxes")
    ] = None,
    before_padding: Annotated[
        str | None, typer.Option("--before-padding", help="the same of the version before")
    ] = None,
    json_file: JsonOption = None,
) -> None:
    """Whole cells by what is drawn: masks, stain, classes, corrections by a person, clones of cases."""
    from analysis.datasets.tseng import TSENG_MASK_PADDING_PX, TSENG_PADDING_PX
    from station.evaluation.drawn import evaluate_drawn

    root = data_root(data)
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("cells")
        evaluation = evaluate_drawn(
            root,
            split,
            limit=limit,
            corrected=corrected,
            predictions=predictions,
            before=before,
            mask_padding_px=_padding(padding) or TSENG_MASK_PADDING_PX,
            before_padding_px=_padding(before_padding) or TSENG_PADDING_PX,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    earlier = evaluation.before
    columns = ("figure", "now") if earlier is None else ("figure", "before", "now", "now - before")
    table = Table(*columns, title=evaluation.title)
    for name, figure in evaluation.now.figures.items():
        if earlier is None:
            table.add_row(name, _text(figure))
        else:
            table.add_row(name, _text(earlier.figures[name]), _text(figure), _text(evaluation.differences[name]))
    for name, value in evaluation.now.by_case.items():
        row = (name, f"{value:g}") if earlier is None else (name, f"{earlier.by_case[name]:g}", f"{value:g}", "")
        table.add_row(*row)
    console.print(table)
    if json_file is not None:
        write_json_atomic(json_file, evaluation.to_json())


def _text(figure: Figure) -> str:
    if figure.value != figure.value:
        return "-"
    interval = "" if figure.low != figure.low else f" ({figure.low:.3f} .. {figure.high:.3f})"
    return f"{figure.value:.4f}{interval}"


def padding(
    data: DataOption = None,
    limit: Annotated[int, typer.Option("--limit", help="train cells, spread evenly", min=1)] = 60,
    predictions: PredictionsOption = None,
) -> None:
    """Padding between drawn masks and published boxes, on the train split: to be measured when masks change."""
    from station.evaluation.drawn import measure_padding

    root = data_root(data)
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("cells")
        measured = measure_padding(
            root,
            limit=limit,
            predictions=predictions,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    table = Table(
        "side", "padding px", "interquartile range px", title="from masks to published boxes, tseng train"
    )
    for side, median, spread in zip(
        ("left", "top", "right", "bottom"), measured.sides_px, measured.spread_px, strict=True
    ):
        table.add_row(side, f"{median:.1f}", f"{spread:.1f}")
    console.print(table)
    console.print(f"{measured.chromosomes} free chromosomes of {measured.cells} cells.")


def labels(
    out: Annotated[Path, typer.Option("--out", help="folder for the list and the pictures")],
    data: DataOption = None,
    split: TsengSplitOption = "fit",
    limit: LimitOption = None,
    aneuploid: Annotated[
        bool, typer.Option("--aneuploid", help="only cells labelled with another set than 46,XX or 46,XY")
    ] = False,
    corrected: Annotated[
        bool, typer.Option("--corrected/--published", help="leave out what our list corrects already")
    ] = True,
    predictions: PredictionsOption = None,
) -> None:
    """Labels that the product contradicts with certainty, drawn for a person to decide; splits train, val, fit."""
    from station.evaluation.labels import disputed_cells, write_disputed_cells

    root = data_root(data)
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("cells")

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        disputed = disputed_cells(
            root,
            split,
            limit=limit,
            aneuploid=aneuploid,
            corrected=corrected,
            predictions=predictions,
            progress=show,
        )
        path = write_disputed_cells(disputed, out, show)
    count = sum(len(cell.disagreements) for cell in disputed)
    console.print(f"{count} disagreements in {len(disputed)} cells: {path}", highlight=False, soft_wrap=True)

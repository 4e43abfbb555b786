"""``karyoscan evaluate tseng|gband612|bioimlab|mfish|clusters``: one labelled data set each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from acquisition.storage import write_json_atomic
from station.commands.options import DataOption, JsonOption, LimitOption, SplitOption, TsengSplitOption, data_root

if TYPE_CHECKING:
    from station.evaluation.datasets import ProgressCallback

_Evaluation = Callable[["ProgressCallback"], dict[str, Any]]


def tseng(
    data: DataOption = None,
    split: TsengSplitOption = "test",
    limit: LimitOption = None,
    contours: Annotated[
        bool, typer.Option("--contours", help="segment by contours, without the detector")
    ] = False,
    json_file: JsonOption = None,
) -> None:
    """Whole G-band cells from pixels to classes."""
    from station.evaluation.datasets import evaluate_tseng_cells

    root = data_root(data)
    _evaluate(
        f"tseng, {split}",
        lambda progress: evaluate_tseng_cells(root, split, limit=limit, contours=contours, progress=progress),
        json_file,
    )


def gband612(
    data: DataOption = None, split: SplitOption = "test", limit: LimitOption = None, json_file: JsonOption = None
) -> None:
    """Classes of G-band chromosomes that are given as crops."""
    from station.evaluation.datasets import evaluate_gband612_crops

    root = data_root(data)
    _evaluate(
        f"gband612, {split}",
        lambda progress: evaluate_gband612_crops(root, split, limit=limit, progress=progress),
        json_file,
    )


def bioimlab(
    data: DataOption = None, split: SplitOption = "test", limit: LimitOption = None, json_file: JsonOption = None
) -> None:
    """Classes of Q-band chromosomes that are given as crops."""
    from station.evaluation.datasets import evaluate_bioimlab_crops

    root = data_root(data)
    _evaluate(
        f"bioimlab, {split}",
        lambda progress: evaluate_bioimlab_crops(root, split, limit=limit, progress=progress),
        json_file,
    )


def mfish(
    data: DataOption = None, split: SplitOption = "test", limit: LimitOption = None, json_file: JsonOption = None
) -> None:
    """Segmentation of fluorescence (DAPI) cells."""
    from station.evaluation.datasets import evaluate_mfish_cells

    root = data_root(data)
    _evaluate(
        f"mfish, {split}",
        lambda progress: evaluate_mfish_cells(root, split, limit=limit, progress=progress),
        json_file,
    )


def clusters(data: DataOption = None, limit: LimitOption = None, json_file: JsonOption = None) -> None:
    """Segmentation of overlapping and touching chromosomes."""
    from station.evaluation.datasets import evaluate_cluster_images

    root = data_root(data)
    _evaluate(
        "clusters", lambda progress: evaluate_cluster_images(root, limit=limit, progress=progress), json_file
    )


def _evaluate(title: str, evaluation: _Evaluation, json_file: Path | None) -> None:
    """Run an evaluation behind a bar, print its figures and write them down."""
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title)
        figures = evaluation(lambda done, total: progress.update(task, completed=done, total=total))
    table = Table("figure", "value", title=title)
    for key, value in figures.items():
        table.add_row(key, _shown(value))
    console.print(table)
    if json_file is not None:
        write_json_atomic(json_file, figures)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, (list, tuple)):
        return " .. ".join(_shown(part) for part in value)
    return str(value)

"""``karyoscan train finder-quality``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from station.commands.options import DataOption, data_root


def finder_quality(
    out: Annotated[
        Path, typer.Option(help="folder of the finder's training, to which quality.json is written")
    ] = Path("training/finder"),
    data: DataOption = None,
    images: Annotated[
        int | None, typer.Option(help="pictures a split, spread evenly; all by default", min=1)
    ] = None,
) -> None:
    """Karyotype the labelled cells: which of them the finder shall call analysable; resumable.

    Fields for the finder are composed of these cells, and only what the pipeline gets right is analysable.
    """
    from analysis.karyotyping.pipeline import load_karyotyper
    from analysis.training.synthesis.compose import QUALITY_FILE
    from analysis.training.synthesis.quality import measure_quality

    path = out / QUALITY_FILE
    table = measure_quality(
        data_root(data) / "tseng",
        path,
        load_karyotyper(),
        limits={"train": images, "val": images, "test": images},
        progress=lambda done, total: typer.echo(f"{done} of {total} cells") if done % 10 == 0 else None,
    )
    analysable = sum(entry.is_analysable for entry in table.values())
    typer.echo(f"{path}: {analysable} of {len(table)} cells are analysable")

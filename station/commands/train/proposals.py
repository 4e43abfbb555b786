"""``karyoscan train proposals``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from station.commands.options import DataOption, data_root

_REPORT_EVERY = 20
"""Pictures from one line to the next."""


def proposals(
    out: Annotated[Path, typer.Option(help="folder for the records, a file a picture")] = Path(
        "training/proposals"
    ),
    data: DataOption = None,
    split: Annotated[str, typer.Option(help="fit, or val to measure on")] = "fit",
    limit: Annotated[int | None, typer.Option(help="only as many pictures, spread evenly", min=2)] = None,
    part: Annotated[str, typer.Option(help="K/N: every N-th picture from the K-th on (from 0)")] = "0/1",
) -> None:
    """Gather proposals with the evidence of both nets, for the fit of the selection (resumable, minutes)."""
    import torch

    from analysis.classification.classifier import Classifier
    from analysis.segmentation.segmenter import load_detector_segmenter
    from analysis.training.selection.gather import gather_cells

    torch.set_num_threads(1)
    number, count = (int(each) for each in part.split("/"))
    started_s = time.perf_counter()
    done = without = 0
    for cell in gather_cells(
        data_root(data),
        split,
        out,
        Classifier.load(),
        load_detector_segmenter(),
        part=(number, count),
        limit=limit,
    ):
        done += 1
        if cell.path is None:
            without += 1
            typer.echo(f"{cell.name}: no metaphase, or no choice among proposals")
        if done % _REPORT_EVERY == 0:
            typer.echo(f"{done} pictures, {(time.perf_counter() - started_s) / done:.2f} s each")
    typer.echo(f"{done} pictures of {split} are gathered in {out}, {without} have no record")

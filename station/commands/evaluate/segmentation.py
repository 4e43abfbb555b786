"""``karyoscan evaluate segmentation``: segmentation methods side by side."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from acquisition.storage import write_json_atomic
from station.commands.options import DataOption, JsonOption, LimitOption, TsengSplitOption, data_root

if TYPE_CHECKING:
    from analysis.evaluation.segmentation_methods import SegmentationMethods
    from analysis.segmentation.protocol import Segmenter

_SHOWN = (
    *("box_ap50", "box_map", "box_mar", "aer", "acc", "wcr", "mask_ap50", "mask_map", "mask_mar"),
    *("count_bias", "overlap_recall", "overlap_precision", "accuracy", "single_recall", "cluster_recall"),
    "seconds_median",
)


class SegmentationSet(StrEnum):
    """Sets that say where chromosomes lie."""

    TSENG = "tseng"
    MFISH = "mfish"
    CLUSTERS = "clusters"


def segmentation(
    dataset: Annotated[SegmentationSet, typer.Argument(help="labelled data set")],
    data: DataOption = None,
    split: TsengSplitOption = "val",
    limit: LimitOption = None,
    baselines: Annotated[bool, typer.Option("--baselines", help="classical methods beside ours")] = False,
    mask_net: Annotated[
        Path | None,
        typer.Option(
            "--mask-net", "--stream", help="folder of the mask net's weights: alone, and inside of the detector"
        ),
    ] = None,
    other_detector: Annotated[
        Path | None,
        typer.Option(
            "--weights", "--short-detector", help="folder of another detector's weights, to measure it beside"
        ),
    ] = None,
    peer: Annotated[Path | None, typer.Option(help="folder of the two-stage peer's weights")] = None,
    processes: Annotated[int, typer.Option(help="tseng: at once, one thread each", min=1)] = 1,
    report: Annotated[Path | None, typer.Option(help="tseng: table and pictures of the worst cells")] = None,
    json_file: JsonOption = None,
) -> None:
    """Segmentation methods side by side, in one run."""
    from analysis.evaluation.segmentation_methods import SegmentationMethods, run_segmentation_methods
    from analysis.evaluation.segmenters import write_report

    root = data_root(data)
    methods = SegmentationMethods(
        baselines=baselines,
        stream=mask_net,
        other_detector=other_detector,
        boxes_alone=dataset is SegmentationSet.TSENG,
        peer=peer,
        fluorescence=dataset is SegmentationSet.MFISH,
    )
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(dataset.value)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        figures: dict[str, dict[str, Any]]
        if dataset is SegmentationSet.TSENG:
            outcomes, measured = run_segmentation_methods(
                root / "tseng", split, methods, limit=limit, processes=processes, progress=tell
            )
            figures = {name: dict(row) for name, row in measured.items()}
            if report is not None:
                write_report(report, outcomes, measured)
        else:
            figures = _set_figures(dataset, root, split, methods, limit)
    _print(console, figures)
    if json_file is not None:
        write_json_atomic(json_file, figures)


def _set_figures(
    dataset: SegmentationSet, root: Path, split: str, methods: SegmentationMethods, limit: int | None
) -> dict[str, dict[str, Any]]:
    """Figures of every method on a set whose pictures need no processes of their own."""
    figures = {
        name: _figures(dataset, root, split, segmenter, limit) for name, segmenter in methods.segmenters().items()
    }
    if dataset is SegmentationSet.CLUSTERS and methods.stream is not None:
        figures["stream, by outline"] = _cut_blobs(root, methods.stream)
    return figures


def _figures(
    dataset: SegmentationSet, data: Path, split: str, segmenter: Segmenter, limit: int | None
) -> dict[str, Any]:
    from analysis.evaluation.clusters import evaluate_clusters
    from analysis.evaluation.mfish import evaluate_mfish

    if dataset is SegmentationSet.MFISH:
        return dict(evaluate_mfish(data / "mfish", split, segmenter, limit=limit))
    return dict(evaluate_clusters(data / "clusters", segmenter, limit=limit))


def _cut_blobs(data: Path, weights: Path) -> dict[str, Any]:
    from analysis.evaluation.box_free.blob_classifier import BlobClassifier
    from analysis.evaluation.clusters import evaluate_cut_blobs

    return dict(evaluate_cut_blobs(data / "clusters", BlobClassifier.load(weights)))


def _print(console: Console, figures: dict[str, dict[str, Any]]) -> None:
    keys = [key for key in _SHOWN if any(key in row for row in figures.values())]
    table = Table("method", *keys)
    for name, row in figures.items():
        table.add_row(name, *(f"{row[key]:.3f}" if key in row else "-" for key in keys))
    console.print(table)

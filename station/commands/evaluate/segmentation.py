"""The commands ``karyoscan evaluate-segmentation`` and ``karyoscan train stream``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from acquisition.storage import write_json_atomic

if TYPE_CHECKING:
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


def evaluate_segmentation(
    dataset: Annotated[SegmentationSet, typer.Argument(help="labelled data set")],
    data: Annotated[Path, typer.Option(envvar="KARYOSCAN_DATA", help="root of the data sets")] = Path(
        "../shared/data"
    ),
    split: Annotated[str, typer.Option(help="train, val or test")] = "val",
    limit: Annotated[int | None, typer.Option(help="only as many pictures or cells", min=1)] = None,
    baselines: Annotated[bool, typer.Option("--baselines", help="classical ways beside ours")] = False,
    stream: Annotated[
        Path | None, typer.Option(help="folder of the stream's weights: alone, and inside of the detector")
    ] = None,
    short_detector: Annotated[
        Path | None, typer.Option(help="folder of a detector's weights that were trained for a shorter time")
    ] = None,
    peer: Annotated[Path | None, typer.Option(help="folder of the two-stage peer's weights")] = None,
    processes: Annotated[int, typer.Option(help="tseng: at once, one thread each", min=1)] = 1,
    report: Annotated[Path | None, typer.Option(help="tseng: table and pictures of the worst cells")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="write the figures as well")] = None,
) -> None:
    """Measure ways of cutting metaphases side by side, in one run."""
    from analysis.evaluation.segmentation_methods import SegmentationMethods, run_segmentation_methods

    ways = SegmentationMethods(
        baselines, stream, short_detector, peer, fluorescence=dataset is SegmentationSet.MFISH
    )
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(dataset.value)

        def tell(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        figures: dict[str, dict[str, Any]]
        if dataset is SegmentationSet.TSENG:
            from analysis.evaluation.segmenters import write_report

            outcomes, found = run_segmentation_methods(
                data / "tseng", split, ways, limit=limit, processes=processes, progress=tell
            )
            figures = {name: dict(row) for name, row in found.items()}
            if report is not None:
                write_report(report, outcomes, found)
        else:
            figures = {
                name: _figures(dataset, data, split, segmenter, limit)
                for name, segmenter in ways.segmenters().items()
            }
            if dataset is SegmentationSet.CLUSTERS and stream is not None:
                figures["stream, by outline"] = _cut_blobs(data, stream)
    _print(console, figures)
    if json_file is not None:
        write_json_atomic(json_file, figures)


def train_stream(
    out: Annotated[Path, typer.Option(help="folder for checkpoints, cache and log")] = Path("training/stream"),
    data: Annotated[Path, typer.Option(envvar="KARYOSCAN_DATA", help="root of the data sets")] = Path(
        "../shared/data"
    ),
    steps: Annotated[int, typer.Option(help="steps of the whole training", min=1)] = 9000,
    minutes: Annotated[float, typer.Option(help="end this stint after as many", min=0.1)] = 60.0,
    source: Annotated[
        list[str] | None,
        typer.Option(help="tseng, or a folder of crops; default tseng and gband612"),
    ] = None,
    resume: Annotated[bool, typer.Option(help="go on from the last checkpoint")] = True,
    seed: Annotated[int, typer.Option(help="seed of everything random")] = 33,
    threads: Annotated[int, typer.Option(help="of the nets", min=1)] = 2,
    drawers: Annotated[int, typer.Option(help="processes that draw scenes ahead", min=0)] = 1,
) -> None:
    """Train the stream's nets on simulated piles; resumable, weights come with the last step."""
    from analysis.parameters.weights import WEIGHTS_DIR
    from analysis.training.masks.singles import SOURCES
    from analysis.training.masks.trainer import StreamTrainSettings
    from analysis.training.masks.trainer import train_stream as train

    settings = StreamTrainSettings(
        sources=tuple(source) if source else SOURCES, seed=seed, threads=threads, drawers=drawers
    )
    result = train(data, out, steps=steps, minutes=minutes, resume=resume, settings=settings, progress=typer.echo)
    if result.weights_paths is None:
        typer.echo(f"step {result.steps} of {steps}; the same command goes on")
    else:
        typer.echo(f"weights and manifests are in {out}; copy stream-*.* to {WEIGHTS_DIR} to ship them")


def train_peer(
    out: Annotated[Path, typer.Option(help="folder for weights")] = Path("training/peer"),
    data: Annotated[Path, typer.Option(envvar="KARYOSCAN_DATA", help="root of the data sets")] = Path(
        "../shared/data"
    ),
    minutes: Annotated[float, typer.Option(help="processor time of one thread", min=0.1)] = 20.0,
    cache: Annotated[Path | None, typer.Option(help="folder of prepared pictures")] = None,
) -> None:
    """Train a Faster R-CNN to compare with, on the detector's examples; needs torchvision."""
    from analysis.training.detector.peer import train_peer as train

    path = train(data, out, minutes=minutes, cache_dir=cache, progress=typer.echo)
    typer.echo(f"weights and manifest: {path}")


def _figures(
    dataset: SegmentationSet, data: Path, split: str, segmenter: Segmenter, limit: int | None
) -> dict[str, Any]:
    from analysis.evaluation.clusters import evaluate_clusters
    from analysis.evaluation.mfish import evaluate_mfish

    if dataset is SegmentationSet.MFISH:
        return dict(evaluate_mfish(data / "mfish", split, segmenter, limit=limit))
    return dict(evaluate_clusters(data / "clusters", segmenter, limit=limit))


def _cut_blobs(data: Path, stream: Path) -> dict[str, Any]:
    from analysis.evaluation.box_free.blob_classifier import BlobClassifier
    from analysis.evaluation.clusters import evaluate_cut_blobs

    return dict(evaluate_cut_blobs(data / "clusters", BlobClassifier.load(stream)))


def _print(console: Console, figures: dict[str, dict[str, Any]]) -> None:
    keys = [key for key in _SHOWN if any(key in row for row in figures.values())]
    table = Table("way", *keys)
    for name, row in figures.items():
        table.add_row(name, *(f"{row[key]:.3f}" if key in row else "-" for key in keys))
    console.print(table)

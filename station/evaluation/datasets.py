"""Which evaluation belongs to which data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis.classification.classifier import Classifier
from analysis.evaluation.clusters import evaluate_clusters
from analysis.evaluation.crops import evaluate_bioimlab, evaluate_gband612
from analysis.evaluation.mfish import evaluate_mfish
from analysis.evaluation.tseng import evaluate_tseng
from analysis.karyotyping.pipeline import load_karyotyper
from analysis.segmentation.contours.segmenter import segment_by_contours
from station.errors import UsageError

Progress = Callable[[int, int], None]


def evaluate(
    dataset: str,
    data: Path,
    split: str,
    *,
    limit: int | None = None,
    contours: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Evaluate the shipped analysis.

    Parameters
    ----------
    dataset
        ``tseng``, ``gband612``, ``bioimlab``, ``mfish`` or ``clusters``.
    data
        Root of the data sets.
    split
        ``train``, ``val`` or ``test``.
    limit
        Only the first images or cells.
    contours
        tseng: the image is cut by contours alone, without the detector.
    progress
        Called with (done, total).

    Returns
    -------
    dict
        Figures as fractions of 1, counts and seconds.
    """
    if split not in {"train", "val", "test"}:
        raise UsageError(f"--split: found {split!r}; allowed: train, val, test")
    if dataset == "tseng":
        karyotyper = load_karyotyper(segment_by_contours if contours else None)
        return dict(evaluate_tseng(data / "tseng", split, karyotyper, limit=limit, progress=progress))
    if dataset == "gband612":
        return dict(evaluate_gband612(data, split, Classifier.load(), limit=limit, progress=progress))
    if dataset == "bioimlab":
        return dict(evaluate_bioimlab(data, split, Classifier.load(), limit=limit, progress=progress))
    if dataset == "mfish":
        return dict(evaluate_mfish(data / "mfish", split, limit=limit, progress=progress))
    if dataset == "clusters":
        return dict(evaluate_clusters(data / "clusters", limit=limit, progress=progress))
    raise UsageError(f"unknown data set {dataset!r}")

"""The shipped analysis on one labelled data set each.

Figures are fractions of 1, counts and seconds. All raise `DatasetError` where the data isn't there.
"""

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

ProgressCallback = Callable[[int, int], None]


def evaluate_tseng_cells(
    data: Path,
    split: str,
    *,
    limit: int | None = None,
    contours: bool = False,
    progress: ProgressCallback | None = None,
) -> dict[str, Any]:
    """Whole G-band cells of the Tseng set, from pixels to classes.

    Parameters
    ----------
    data
        Root of the data sets.
    split
        ``train``, ``val`` or ``test``.
    limit
        Only the first images.
    contours
        The image is segmented by contours alone, without the detector.
    progress
        Called with (done, total).
    """
    karyotyper = load_karyotyper(segment_by_contours if contours else None)
    return dict(evaluate_tseng(data / "tseng", split, karyotyper, limit=limit, progress=progress))


def evaluate_gband612_crops(
    data: Path, split: str, *, limit: int | None = None, progress: ProgressCallback | None = None
) -> dict[str, Any]:
    """Classes of the crops of gband612.

    Parameters
    ----------
    data, split, limit, progress
        As for `evaluate_tseng_cells`.
    """
    return dict(evaluate_gband612(data, split, Classifier.load(), limit=limit, progress=progress))


def evaluate_bioimlab_crops(
    data: Path, split: str, *, limit: int | None = None, progress: ProgressCallback | None = None
) -> dict[str, Any]:
    """Classes of the crops of bioimlab.

    Parameters
    ----------
    data, split, limit, progress
        As for `evaluate_tseng_cells`.
    """
    return dict(evaluate_bioimlab(data, split, Classifier.load(), limit=limit, progress=progress))


def evaluate_mfish_cells(
    data: Path, split: str, *, limit: int | None = None, progress: ProgressCallback | None = None
) -> dict[str, Any]:
    """Segmentation of the fluorescence cells of mfish.

    Parameters
    ----------
    data, split, limit, progress
        As for `evaluate_tseng_cells`.
    """
    return dict(evaluate_mfish(data / "mfish", split, limit=limit, progress=progress))


def evaluate_cluster_images(
    data: Path, *, limit: int | None = None, progress: ProgressCallback | None = None
) -> dict[str, Any]:
    """Segmentation of the clusters of touching and overlapping chromosomes.

    Parameters
    ----------
    data, limit, progress
        As for `evaluate_tseng_cells`.
    """
    return dict(evaluate_clusters(data / "clusters", limit=limit, progress=progress))

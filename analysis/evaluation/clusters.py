"""Single or cluster? Blobs of the CloudDataLab set, judged by how many chromosomes are found in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.clusters import clusters_by_cell
from analysis.errors import NoMetaphaseError
from analysis.evaluation.box_free.external_blobs import BlobJudge, judge_cut_blobs
from analysis.segmentation.contours.segmenter import segment_by_contours
from analysis.segmentation.protocol import Segmenter
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance

_GAP_PX: Final = 24
_SHEET_WIDTH_PX: Final = 1200
_WHITE: Final = 255


@dataclass(frozen=True, slots=True)
class BlobSheet:
    """All blobs of a cell laid out on one white picture, as a segmenter takes its scale from the whole cell.

    Attributes
    ----------
    image
        The picture.
    tiles_px
        Box of each blob on it: xmin, ymin, xmax, ymax.
    """

    image: GreyImage
    tiles_px: tuple[tuple[int, int, int, int], ...]


def lay_out(crops: Sequence[NDArray[np.uint8]], name: str) -> BlobSheet:
    """Lay crops (uint8, white background) out in rows on one sheet.

    Parameters
    ----------
    crops
        uint8, each of shape (h, w), white background.
    name
        Of the sheet.
    """
    tiles = []
    x = y = _GAP_PX
    row_height = 0
    for crop in crops:
        height, width = crop.shape
        if x + width + _GAP_PX > _SHEET_WIDTH_PX and x > _GAP_PX:
            x, y, row_height = _GAP_PX, y + row_height + _GAP_PX, 0
        tiles.append((x, y, x + width, y + height))
        x, row_height = x + width + _GAP_PX, max(row_height, height)
    right = max(tile[2] for tile in tiles) + _GAP_PX
    bottom = max(tile[3] for tile in tiles) + _GAP_PX
    pixels = np.full((max(bottom, 64), max(right, 64)), _WHITE, np.uint8)
    for crop, (x0, y0, x1, y1) in zip(crops, tiles, strict=True):
        pixels[y0:y1, x0:x1] = crop
    return BlobSheet(GreyImage(pixels, name), tuple(tiles))


def evaluate_clusters(
    data_dir: Path,
    segmenter: Segmenter = segment_by_contours,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float | int]:
    """Judge every blob by the number of chromosomes found in it: one is single, more is a cluster.

    Parameters
    ----------
    data_dir
        Folder of the set, with ``blobs.csv``.
    segmenter
        Finds the chromosomes.
    limit
        Only this many cells.
    progress
        Called with (cells done, cells in all).

    Returns
    -------
    dict
        ``blobs``; ``accuracy``; ``single_recall``: single blobs in which exactly one chromosome was found;
        ``cluster_recall``: clusters in which two or more were found.

    Raises
    ------
    DatasetError
        If the set isn't there or isn't what it should be.
    """
    cells = list(clusters_by_cell(data_dir).items())[: limit if limit is None else max(1, limit)]
    right: dict[bool, list[bool]] = {False: [], True: []}
    for number, (name, blobs) in enumerate(cells, start=1):
        sheet = lay_out([blob.crop() for blob in blobs], name)
        try:
            found = segmenter(sheet.image).instances
        except NoMetaphaseError:
            found = ()
        for blob, count in zip(blobs, _counts(sheet, found), strict=True):
            right[blob.is_cluster].append(count >= 2 if blob.is_cluster else count == 1)
        if progress is not None:
            progress(number, len(cells))
    every = right[False] + right[True]
    return {
        "blobs": len(every),
        "accuracy": float(np.mean(every)),
        "single_recall": float(np.mean(right[False])) if right[False] else 0.0,
        "cluster_recall": float(np.mean(right[True])) if right[True] else 0.0,
    }


def evaluate_cut_blobs(
    data_dir: Path, judge: BlobJudge, *, progress: Callable[[int, int], None] | None = None
) -> dict[str, float | int]:
    """Judge every blob by the stream's question whether there is more than one chromosome.

    Where to draw the line is chosen on every other cell, and both halves are reported apart.

    Parameters
    ----------
    data_dir
        Folder of the set, with ``blobs.csv``.
    judge
        The stream's three questions.
    progress
        Called with (cells done, cells in all).

    Returns
    -------
    dict
        ``blobs``; ``line``: chance from which a blob counts as cluster; ``accuracy, single_recall`` and
        ``cluster_recall`` of the cells the line was not chosen on, ``chosen_accuracy`` of the others;
        ``half_accuracy``: of all cells at a chance of one half.

    Raises
    ------
    DatasetError
        If the set isn't there or isn't what it should be.
    """
    by_cell = clusters_by_cell(data_dir)
    rows: list[tuple[int, bool, float]] = []
    for number, blobs in enumerate(by_cell.values()):
        answers = judge_cut_blobs([blob.crop() for blob in blobs], judge)
        rows += [(number % 2, blob.is_cluster, one.connected) for blob, one in zip(blobs, answers, strict=True)]
        if progress is not None:
            progress(number + 1, len(by_cell))
    half, truth, chance = (np.asarray(column) for column in zip(*rows, strict=True))
    lines = np.linspace(0.05, 0.99, 95)
    right = [float(np.mean((chance > line)[half == 0] == truth[half == 0])) for line in lines]
    # In the middle of the best lines: the least chance of having hit a gap by luck.
    line = float(np.median(lines[np.flatnonzero(np.asarray(right) == max(right))]))
    found, held, others = chance > line, truth[half == 1], half == 1
    return {
        "blobs": len(rows),
        "line": line,
        "accuracy": float(np.mean(found[others] == held)),
        "single_recall": float(np.mean(~found[others][~held])),
        "cluster_recall": float(np.mean(found[others][held])),
        "chosen_accuracy": max(right),
        "half_accuracy": float(np.mean((chance > 0.5) == truth)),
    }


def _counts(sheet: BlobSheet, instances: Sequence[Instance]) -> list[int]:
    """Count for each tile the instances whose box centre lies in it."""
    counts = []
    centres = [((e.box_px[0] + e.box_px[2]) / 2.0, (e.box_px[1] + e.box_px[3]) / 2.0) for e in instances]
    for x0, y0, x1, y1 in sheet.tiles_px:
        counts.append(sum(x0 - 1 <= x <= x1 + 1 and y0 - 1 <= y <= y1 + 1 for x, y in centres))
    return counts

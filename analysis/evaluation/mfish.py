"""The M-FISH set: the masks of a segmenter against real pixel masks, on DAPI images."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analysis.datasets.mfish import MfishCell, load_mfish, mfish_instances
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.metrics.coco import CocoImage, CocoObject, coco_figures
from analysis.segmentation.contours.segmenter import segment_by_contours
from analysis.segmentation.protocol import Segmenter


def evaluate_mfish(
    data_dir: Path,
    split: str,
    segmenter: Segmenter = segment_by_contours,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float | int]:
    """Evaluate a segmenter on a split of the M-FISH set.

    Parameters
    ----------
    data_dir
        Folder of the set.
    split
        ``"train"`` or ``"test"``.
    segmenter
        What is evaluated.
    limit
        Only this many images.
    progress
        Called with (images done, images in all).

    Returns
    -------
    dict
        ``images``; ``mask_ap50, mask_map, mask_mar`` (COCO, one class); ``count_error_mean``: mean absolute
        difference between the instances found and the true ones, ``count_bias``: mean signed difference;
        ``overlap_recall, overlap_precision``: of the pixels that belong to several chromosomes;
        ``seconds_median`` an image.

    Raises
    ------
    DatasetError
        If the set isn't there or isn't what it should be.
    """
    cells = load_mfish(data_dir, split)[: limit if limit is None else max(1, limit)]
    images, differences, seconds = [], [], []
    shared = np.zeros(3)
    for number, cell in enumerate(cells, start=1):
        start = time.perf_counter()
        images.append(_evaluate_cell(cell, segmenter))
        seconds.append(time.perf_counter() - start)
        shared += _shared_pixels(images[-1])
        differences.append(len(images[-1].detections) - len(images[-1].truth))
        if progress is not None:
            progress(number, len(cells))
    figures: dict[str, float | int] = {"images": len(images)}
    figures.update({f"mask_{name}": value for name, value in coco_figures(images, "segm").items()})
    figures["count_error_mean"] = float(np.mean(np.abs(differences)))
    figures["count_bias"] = float(np.mean(differences))
    figures["overlap_recall"] = float(shared[0] / max(shared[1], 1.0))
    figures["overlap_precision"] = float(shared[0] / max(shared[2], 1.0))
    figures["seconds_median"] = float(np.median(seconds))
    return figures


def _shared_pixels(image: CocoImage) -> NDArray[np.float64]:
    """Count pixels of several chromosomes: right, true, found."""
    maps = []
    for objects in (image.truth, image.detections):
        owners = np.zeros((image.height_px, image.width_px), np.uint8)
        for entry in objects:
            x0, y0, x1, y1 = (int(value) for value in entry.box_px)
            if entry.mask is not None:
                owners[y0:y1, x0:x1] += entry.mask
        maps.append(owners > 1)
    return np.asarray(
        [np.count_nonzero(maps[0] & maps[1]), *(np.count_nonzero(each) for each in maps)], np.float64
    )


def _evaluate_cell(mfish_cell: MfishCell, segmenter: Segmenter) -> CocoImage:
    truth = mfish_instances(mfish_cell.classmap())
    image = read_image(mfish_cell.image_path)
    try:
        found = segmenter(image).instances
    except NoMetaphaseError:
        found = ()
    return CocoImage(
        image.height_px,
        image.width_px,
        [CocoObject(entry.box_px, entry.mask) for entry in truth],
        [CocoObject(entry.box_px, entry.mask, entry.score) for entry in found],
    )

"""The M-FISH set: the masks of a segmenter against real pixel masks, on DAPI images."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.coco import CocoImage, CocoObject, coco_figures
from analysis.datasets.images import OVERLAP_LABEL, MfishCell, load_mfish
from analysis.errors import NoMetaphaseError
from analysis.imaging.image_file import read_image
from analysis.segmentation.contours.segmenter import segment_by_contours
from analysis.segmentation.protocol import Segmenter
from analysis.structures.instance import Instance, SegmentationRoute

_CLASSES: Final = range(1, 25)
_CRUMB_SHARE: Final = 0.15
"""Pieces of a class below this share of its largest piece are mislabelled pixels, no chromosomes."""


def mfish_instances(classmap: NDArray[np.uint8]) -> tuple[Instance, ...]:
    """Make true instances of a map of classes.

    Homologues share a class, so that the connected pieces of a class are its chromosomes, with three
    exceptions. Crumbs join the nearest piece. Homologues that touch are one piece and can't be told apart here:
    they stay one instance (a segmenter that separates them pays for it). An overlap, labelled 255, belongs to
    every chromosome it touches.

    Parameters
    ----------
    classmap
        uint8, shape (h, w): 0 background, 1..22, 23 X, 24 Y, 255 overlap.
    """
    return tuple(entry for _, entry in labelled_instances(classmap))


def labelled_instances(classmap: NDArray[np.uint8]) -> tuple[tuple[int, Instance], ...]:
    """The same with the label (1..24) of each; see `mfish_instances`."""
    overlap = classmap == OVERLAP_LABEL
    _, overlap_labels = cv2.connectedComponents(overlap.astype(np.uint8), connectivity=8)
    made: list[tuple[int, Instance]] = []
    for class_id in _CLASSES:
        own = classmap == class_id
        if not own.any():
            continue
        touched = cv2.dilate(own.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        shared = np.setdiff1d(np.unique(overlap_labels[touched]), (0,))
        # With its overlaps a chromosome that passes below another is one piece again.
        whole = own | np.isin(overlap_labels, shared) if shared.size else own
        made.extend((class_id, _instance(piece)) for piece in _chromosomes_of_class(whole))
    return tuple(made)


def evaluate_mfish(
    data_dir: Path,
    split: str,
    segmenter: Segmenter = segment_by_contours,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, float | int]:
    """Evaluate a segmenter on a split of the M-FISH set.

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
        differences.append(len(images[-1].found) - len(images[-1].truth))
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
    for objects in (image.truth, image.found):
        owners = np.zeros((image.height_px, image.width_px), np.uint8)
        for entry in objects:
            x0, y0, x1, y1 = (int(value) for value in entry.box_px)
            if entry.mask is not None:
                owners[y0:y1, x0:x1] += entry.mask
        maps.append(owners > 1)
    return np.asarray(
        [np.count_nonzero(maps[0] & maps[1]), *(np.count_nonzero(each) for each in maps)], np.float64
    )


def _evaluate_cell(cell: MfishCell, segmenter: Segmenter) -> CocoImage:
    truth = mfish_instances(cell.classmap())
    image = read_image(cell.image_path)
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


def _chromosomes_of_class(mask: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """Split a class into its connected pieces; crumbs join the nearest one."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return []
    areas = stats[1:, cv2.CC_STAT_AREA]
    large = [k + 1 for k in np.argsort(-areas) if areas[k] >= _CRUMB_SHARE * areas.max()]
    pieces = [np.asarray(labels == k) for k in large]
    crumbs = mask & ~np.isin(labels, large)
    if crumbs.any():
        away = np.stack([cv2.distanceTransform((~piece).astype(np.uint8), cv2.DIST_L2, 3) for piece in pieces])
        nearest = np.argmin(away, axis=0)
        pieces = [piece | (crumbs & (nearest == k)) for k, piece in enumerate(pieces)]
    return pieces


def _instance(mask: NDArray[np.bool_]) -> Instance:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return Instance((x0, y0, x1, y1), mask[y0:y1, x0:x1], 1.0, SegmentationRoute.LABEL)

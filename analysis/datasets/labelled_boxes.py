"""Boxes as people draw them, and masks from such boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.datasets.tseng import TSENG_PADDING_PX
from analysis.metrics.coco import CocoObject
from analysis.structures.boxes import box_iou, match
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.segmentation import UnselectedProposal

_SAME_IOU: Final = 0.7
_OWN_CORE_SHARE: Final = 0.15


def padded_boxes(
    instances: Sequence[Instance], padding_px: Sequence[float], size: tuple[int, ...]
) -> NDArray[np.float64]:
    """Return the instances' boxes (n, 4), padded left, top, right, bottom, kept inside the image.

    The extent where the detector gave one, the box of the mask elsewhere: people draw boxes round chromosomes as
    they believe them to go on beneath others.

    Parameters
    ----------
    instances
        Instances of a picture.
    padding_px
        Left, top, right, bottom.
    size
        Height and width of the picture.
    """
    boxes = [entry.box_px if entry.extent_px is None else entry.extent_px for entry in instances]
    return grown_boxes(np.asarray(boxes, np.float64).reshape(-1, 4), padding_px, size)


def ranked_boxes(
    boxes_px: NDArray[np.float64],
    instances: Sequence[Instance],
    left_out: Sequence[UnselectedProposal],
    padding_px: Sequence[float],
    size: tuple[int, ...],
) -> list[CocoObject]:
    """Make the list that average precision ranks: instances, and by their scores what was left out besides.

    Average precision asks for a ranking of all there is to propose, of which a segmentation is a choice.

    Parameters
    ----------
    boxes_px
        float64, shape (n, 4): padded boxes of the instances.
    instances, left_out
        Of a segmentation.
    padding_px, size
        As of `padded_boxes`.
    """
    extents = np.asarray([entry.extent_px for entry in left_out], np.float64).reshape(-1, 4)
    rows = np.concatenate([boxes_px, grown_boxes(extents, padding_px, size)])
    scores = [*(entry.score for entry in instances), *(entry.score for entry in left_out)]
    return [
        CocoObject((float(row[0]), float(row[1]), float(row[2]), float(row[3])), score=score)
        for row, score in zip(rows, scores, strict=True)
    ]


def grown_boxes(
    boxes_px: NDArray[np.float64], padding_px: Sequence[float], size: tuple[int, ...]
) -> NDArray[np.float64]:
    """Grow boxes (n, 4) by a padding (left, top, right, bottom), kept inside an image of this (height, width).

    Parameters
    ----------
    boxes_px
        float64, shape (n, 4).
    padding_px
        Left, top, right, bottom.
    size
        Height and width of the picture.
    """
    left, top, right, bottom = padding_px
    height, width = size[:2]
    grown = boxes_px + np.asarray([-left, -top, right, bottom])
    limit = np.asarray([width, height, width, height], np.float64)
    return np.asarray(np.clip(grown, 0.0, limit), dtype=np.float64)


def instances_from_boxes(
    image: GreyImage,
    boxes_px: NDArray[np.int32] | NDArray[np.float64],
    instances: Sequence[Instance],
    stained: NDArray[np.bool_],
    *,
    padding_px: Sequence[float] = TSENG_PADDING_PX,
) -> tuple[Instance, ...]:
    """Make an instance of every true box, in order.

    The segmentation's own mask is taken where it agrees with the box. Elsewhere it is the stained part of the
    box that reaches its sides: what the segmentation gave to other boxes is taken away first, then pieces that
    only reach into it from outside.

    Parameters
    ----------
    image
        The picture.
    boxes_px
        Shape (n, 4), padded.
    instances
        What the segmentation found in the picture.
    stained
        bool, the image's shape: stained pixels, see `analysis.segmentation.contours.segmenter.find_stained`.
    padding_px
        Padding of the boxes: left, top, right, bottom.
    """
    size = image.pixels.shape
    tight = grown_boxes(boxes_px.astype(np.float64), [-side for side in padding_px], size)
    found_boxes = np.asarray([entry.box_px for entry in instances], np.float64).reshape(-1, 4)
    agreeing = dict(match(box_iou(tight, found_boxes), _SAME_IOU))
    taken = np.zeros(size, np.bool_)
    for j in agreeing.values():
        _view(taken, instances[j].box_px)[...] |= instances[j].mask
    made = []
    for i in range(len(boxes_px)):
        if i in agreeing:
            made.append(instances[agreeing[i]])
        else:
            made.append(_from_pixels(tight[i], stained, taken))
    return tuple(made)


def _from_pixels(
    tight_px: NDArray[np.float64], foreground: NDArray[np.bool_], taken: NDArray[np.bool_]
) -> Instance:
    """Cut a box's own pixels out of the foreground."""
    height, width = foreground.shape
    x0, y0 = (int(max(0, np.floor(value))) for value in tight_px[:2])
    x1 = int(min(width, max(np.ceil(tight_px[2]), x0 + 1)))
    y1 = int(min(height, max(np.ceil(tight_px[3]), y0 + 1)))
    box = (x0, y0, x1, y1)
    inside = _view(foreground, box)
    free = inside & ~_view(taken, box)
    options = [option for option in (_main_pieces(free), _main_pieces(inside)) if option.any()]
    if not options:
        return Instance(box, np.ones((y1 - y0, x1 - x0), np.bool_), 0.0, SegmentationRoute.LABEL)
    best = max(options, key=_span)
    return Instance(box, best, 1.0, SegmentationRoute.LABEL)


def _main_pieces(stained: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest piece and those of its pieces that don't just reach in over one corner."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(stained.astype(np.uint8), connectivity=8)
    if count < 2:
        return stained
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = int(np.argmax(areas)) + 1
    height, width = stained.shape
    keep = labels == largest
    for label in range(1, count):
        if label == largest or stats[label, cv2.CC_STAT_AREA] < _OWN_CORE_SHARE * areas.max():
            continue
        x, y, w, h = (int(value) for value in stats[label, :4])
        touches = (x == 0) + (y == 0) + (x + w == width) + (y + h == height)
        if touches == 0:
            keep |= labels == label
    return np.asarray(keep, dtype=np.bool_)


def _span(mask: NDArray[np.bool_]) -> float:
    """Share of the box that the mask's own box covers."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float((rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1) / mask.size)


def _view(array: NDArray[np.bool_], box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    return array[box[1] : box[3], box[0] : box[2]]

"""Blobs that another system cut out, told one from several.

Such crops are white outside of the blob, and often sharpened until pale bands are white as well. No threshold
finds the blob again: what the other system left is its outline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.box_free.blob_classifier import BlobAnswer
from analysis.imaging.background import optical_density
from analysis.imaging.chromosome_width import estimate_width
from analysis.segmentation.mask_net.input import mask_net_picture
from analysis.segmentation.mask_net.placement import at_mask_net_scale
from analysis.structures.region import Region, cropped

_WHITE_LEVEL: Final = 250
_PAD_PX: Final = 12
_LEAST_AREA: Final = 1.2
"""Pieces of a crop smaller than this, in squared widths, are crumbs of a pale end."""

_SOFT_WIDTHS: Final = 0.08
"""Sharpening is taken back by as much blur: the nets know chromosomes as a camera sees them."""


class BlobJudge(Protocol):
    """Tells what pieces are, as a `BlobClassifier` does."""

    def __call__(self, level: NDArray[np.float32], pieces: Sequence[Region]) -> list[BlobAnswer]:
        """Answer for pieces in px of the stream's picture."""
        ...


def judge_cut_blobs(crops: Sequence[NDArray[np.uint8]], judge: BlobJudge) -> list[BlobAnswer]:
    """Judge blobs of one cell that another system cut out.

    Parameters
    ----------
    crops
        uint8, shape (h, w) each, dark on white: all blobs of a cell, as width and stain are the cell's.
    judge
        Tells what pieces are.
    """
    padded = [np.pad(crop, _PAD_PX, constant_values=255) for crop in crops]
    outlines = [outline_of(crop) for crop in padded]
    width_px = max(_cell_width(outlines), 4.0)
    densities = [
        np.asarray(
            cv2.GaussianBlur(
                optical_density(crop, np.full(crop.shape, 255.0, np.float32)), (0, 0), _SOFT_WIDTHS * width_px
            ),
            dtype=np.float32,
        )
        for crop in padded
    ]
    stained = [density[mask] for density, mask in zip(densities, outlines, strict=True)]
    typical = float(np.median(np.concatenate(stained)))
    answers: list[BlobAnswer] = []
    for density, mask in zip(densities, outlines, strict=True):
        picture = mask_net_picture(density, typical, width_px)
        piece = at_mask_net_scale(cropped(mask), picture.scale)
        answers += judge(picture.level, [piece]) if piece is not None else [BlobAnswer(0.0, 0.0, 0.0)]
    # What lies apart was cut out together, for whatever reason: several it is all the same.
    areas = [_piece_areas(mask) / width_px**2 for mask in outlines]
    return [
        replace(answer, connected=1.0) if np.count_nonzero(own > _LEAST_AREA) > 1 else answer
        for answer, own in zip(answers, areas, strict=True)
    ]


def _piece_areas(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return np.asarray(stats[1:, cv2.CC_STAT_AREA], dtype=np.float64)


def outline_of(crop: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mark what the other system left: bool, the crop's shape; all of a crop that is white throughout."""
    left = (crop < _WHITE_LEVEL).astype(np.uint8)
    closed = np.asarray(cv2.morphologyEx(left, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)), dtype=np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    if count < 2:
        return np.ones(crop.shape, np.bool_)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return np.asarray(np.isin(labels, 1 + np.flatnonzero(areas >= 0.05 * areas.max())), dtype=np.bool_)


def _cell_width(masks: Sequence[NDArray[np.bool_]]) -> float:
    """Typical width over all blobs of a cell."""
    height = max(mask.shape[0] for mask in masks)
    strips = [np.pad(mask, ((0, height - mask.shape[0]), (0, 0))) for mask in masks]
    return estimate_width(np.concatenate(strips, axis=1))

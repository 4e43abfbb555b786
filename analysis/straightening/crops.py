"""Crops for the classifier: straightened, contrast and size relative to the own cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.straightening.medial_axis import medial_axes, sample_straight
from analysis.structures.crop import CROP_COLUMNS, CROP_ROWS, ChromosomeCrop, ObjectPixels
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance
from analysis.structures.medial_axis import MedialAxis

CROP_WIDTHS: Final = 2.0
"""Width of a crop in median chromosome widths of the cell."""
WHITE_LEVEL: Final = 250
"""Grey level from which on a ready-cut picture is background."""
_WHITE: Final = 255.0
_LEAST_RATIO: Final = 1e-6
_LEAST_DENSITY: Final = 1e-3
"""Bounds that keep logarithms and ratios finite."""
_LEAST_PART: Final = 0.15
"""Pieces smaller than this fraction of the largest are specks."""
_MOST_DENSITY: Final = 4.0
"""Densities above four times the cell's median are dirt."""


def optical_density(grey: NDArray[np.uint8], background: NDArray[np.floating] | float) -> NDArray[np.float32]:
    """Optical density of a bright-field picture: transmittances multiply, densities add.

    Parameters
    ----------
    grey
        uint8, any shape.
    background
        Grey level of the empty slide, of the same shape or one number.
    """
    ratio = (np.asarray(background, dtype=np.float32) + 1.0) / (grey.astype(np.float32) + 1.0)
    return np.maximum(np.log10(np.maximum(ratio, _LEAST_RATIO)), 0.0).astype(np.float32)


def fluorescence_density(grey: NDArray[np.uint8], background: NDArray[np.floating] | float) -> NDArray[np.float32]:
    """Relative amount of dye in an inverted fluorescence picture: light adds, so that the scale is linear.

    Parameters
    ----------
    grey
        uint8, any shape, dark where the dye shone.
    background
        Grey level of the empty slide, of the same shape or one number.
    """
    dye = (np.asarray(background, dtype=np.float32) - grey.astype(np.float32)) / _WHITE
    return np.asarray(np.maximum(dye, 0.0), dtype=np.float32)


def cut_instances(
    image: GreyImage, background: NDArray[np.float32], instances: Sequence[Instance]
) -> tuple[ObjectPixels, ...]:
    """Cut the instances of a segmentation out of their image, each with its own mask.

    Parameters
    ----------
    image
        The picture.
    background
        float32, shape (height_px, width_px), see `Segmentation`.
    instances
        Its chromosomes.
    """
    density_of = fluorescence_density if image.inverted else optical_density
    pieces = []
    for instance in instances:
        xmin, ymin, xmax, ymax = instance.box_px
        window = (slice(ymin, ymax), slice(xmin, xmax))
        density = density_of(image.pixels[window], background[window])
        pieces.append(ObjectPixels(density, instance.mask))
    return tuple(pieces)


def object_from_picture(grey: NDArray[np.uint8], *, inverted: bool = False) -> ObjectPixels:
    """Take a ready-cut picture (dark chromosome, background already removed to white).

    Parameters
    ----------
    grey
        uint8, shape (h, w).
    inverted
        True where it is an inverted fluorescence picture.
    """
    density = fluorescence_density(grey, _WHITE) if inverted else optical_density(grey, _WHITE)
    mask = (grey < WHITE_LEVEL).astype(np.uint8)
    closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    if count <= 1:
        return ObjectPixels(density, np.ones(grey.shape, dtype=np.bool_))
    areas = stats[1:, cv2.CC_STAT_AREA]
    kept = 1 + np.nonzero(areas >= _LEAST_PART * areas.max())[0]
    return ObjectPixels(density, np.isin(labels, kept))


@dataclass(frozen=True, slots=True)
class CellScale:
    """Medians over the objects of a cell, which sizes are related to.

    Attributes
    ----------
    width_px, length_px, area_px
        Of the axes, and of the masks.
    density
        Mean optical density of an object.
    """

    width_px: float
    length_px: float
    area_px: float
    density: float


def scale_of_cell(objects: Sequence[ObjectPixels], axes: Sequence[MedialAxis]) -> CellScale:
    """Measure the medians of a cell.

    Parameters
    ----------
    objects
        Its chromosomes, as completely as possible; at least one.
    axes
        Their axes, in the same order.
    """
    densities = [float(piece.density[piece.mask].mean()) for piece in objects]
    return CellScale(
        float(np.median([axis.width_px for axis in axes])),
        float(np.median([axis.length_px for axis in axes])),
        float(np.median([np.count_nonzero(piece.mask) for piece in objects])),
        max(float(np.median(densities)), _LEAST_DENSITY),
    )


def crops_of_cell(
    objects: Sequence[ObjectPixels],
    axes: Sequence[MedialAxis] | None = None,
    scale: CellScale | None = None,
) -> tuple[ChromosomeCrop, ...]:
    """Straighten all objects of one cell and relate them to each other.

    Parameters
    ----------
    objects
        All objects of one cell, as complete as possible: their medians are the scale.
    axes
        Their axes, in the same order, where they are known already.
    scale
        The cell's, where the objects aren't all of it.

    Returns
    -------
    tuple of ChromosomeCrop
        In the same order.
    """
    if not objects:
        return ()
    axes = medial_axes([piece.mask for piece in objects]) if axes is None else axes
    scale = scale_of_cell(objects, axes) if scale is None else scale
    half_width_px = 0.5 * CROP_WIDTHS * scale.width_px
    crops = []
    for piece, axis in zip(objects, axes, strict=True):
        image, around = _straight_views(piece, axis, half_width_px, scale.density)
        sizes = (
            float(axis.length_px / scale.length_px),
            float(np.count_nonzero(piece.mask) / scale.area_px),
            float(piece.density[piece.mask].mean()) / scale.density,
        )
        crops.append(ChromosomeCrop(image, *sizes, around))
    return tuple(crops)


def _straight_views(
    piece: ObjectPixels, axis: MedialAxis, half_width_px: float, density: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    views = sample_straight(
        piece.density,
        piece.mask,
        axis,
        row_count=CROP_ROWS,
        columns=CROP_COLUMNS,
        half_width_px=half_width_px,
    )
    image, around = (np.asarray(np.clip(view / density, 0.0, _MOST_DENSITY), dtype=np.float32) for view in views)
    return image, around

"""Pieces and splits as rows of numbers, for the scores."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.contours.shape import Shape
from analysis.segmentation.contours.split import Split
from analysis.structures.instance import SegmentationRoute

_TINY: Final = 1e-6
"""Keeps ratios finite."""

_TURN_UNIT_DEG: Final = 90.0
"""Turns are counted in right angles, so that features are of order one."""

PIECE_FEATURES = (
    "area",
    "thickness",
    "thickest",
    "length",
    "tips",
    "solidity",
    "waviness",
    "notch_deg",
    "holes",
    "stain_spread",
    "stain_low",
)
SINGLE_FEATURES = (*PIECE_FEATURES, "relative_area")
SPLIT_FEATURES = (
    *(f"whole_{name}" for name in PIECE_FEATURES),
    *(f"larger_{name}" for name in PIECE_FEATURES),
    *(f"smaller_{name}" for name in PIECE_FEATURES),
    "whole_single",
    "larger_single",
    "smaller_single",
    "median_area",
    "seam_mean",
    "seam_low",
    "seam_high",
    "seam_upper_quartile",
    "seam_length",
    "larger_stain",
    "smaller_stain",
    "is_watershed",
    "is_cut",
    "is_crossing",
)


def piece_features(shape: Shape, density: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Describe a piece, in the order of `PIECE_FEATURES`.

    Parameters
    ----------
    shape
        Its measures.
    density, mask
        Optical density and the piece, in one frame. Only ratios of densities are used: staining differs between
        slides.
    """
    stain = density[mask].astype(np.float64)
    mean = float(stain.mean()) + _TINY
    return np.array(
        [
            shape.area,
            shape.thickness,
            shape.thickest,
            shape.length,
            shape.tips,
            shape.solidity,
            shape.waviness,
            shape.notch_deg / _TURN_UNIT_DEG,
            shape.holes,
            float(stain.std()) / mean,
            float(np.percentile(stain, 10)) / mean,
        ]
    )


def single_features(piece: NDArray[np.float64], median_area: float) -> NDArray[np.float64]:
    """Complete the features of a piece by its area in that of the cell's median chromosome.

    Parameters
    ----------
    piece
        float64, shape (n,): see `PIECE_FEATURES`.
    median_area
        Of the cell's chromosomes, in squared widths.

    Returns
    -------
    NDArray[np.float64]
        Shape (n + 1,): see `SINGLE_FEATURES`.
    """
    return np.append(piece, piece[0] / max(median_area, _TINY))


def split_features(
    whole: tuple[NDArray[np.float64], float],
    parts: tuple[tuple[NDArray[np.float64], float], tuple[NDArray[np.float64], float]],
    split: Split,
    density: NDArray[np.float32],
    *,
    mask: NDArray[np.bool_],
    width_px: float,
    median_area: float,
) -> NDArray[np.float64]:
    """Describe a split: float64, shape (features,), in the order of `SPLIT_FEATURES`.

    Parameters
    ----------
    whole, parts
        Piece features and likeness to a single chromosome, of the whole and of the two parts in the order of
        the split.
    split
        The split.
    density, mask
        Optical density and the whole, in the split's frame.
    width_px, median_area
        Of the cell.
    """
    masks = (split.first, split.second)
    order = (0, 1) if parts[0][0][0] >= parts[1][0][0] else (1, 0)
    larger, smaller = parts[order[0]], parts[order[1]]
    inside = max(float(np.median(density[mask])), _TINY)
    seam = density[split.seam].astype(np.float64) if split.seam.any() else np.array([inside])
    return np.concatenate(
        [
            whole[0],
            larger[0],
            smaller[0],
            [whole[1], larger[1], smaller[1], median_area],
            [
                seam.mean() / inside,
                seam.min() / inside,
                seam.max() / inside,
                float(np.percentile(seam, 75)) / inside,
                np.count_nonzero(split.seam) / 2.0 / width_px,
                density[masks[order[0]]].mean() / inside,
                density[masks[order[1]]].mean() / inside,
            ],
            [
                split.route == route
                for route in (SegmentationRoute.WATERSHED, SegmentationRoute.CUT, SegmentationRoute.CROSSING)
            ],
        ]
    )

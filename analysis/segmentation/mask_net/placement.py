"""Between the working image and the mask net's picture: pieces into it, masks back."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.box_geometry import largest_component
from analysis.segmentation.mask_net.predictor import PromptedMask
from analysis.structures.region import Region, cropped


def at_mask_net_scale(piece: Region, scale: float) -> Region | None:
    """Bring a piece to the mask net's scale; None where nothing of it is left.

    Parameters
    ----------
    piece
        In working px.
    scale
        Px of the mask net's picture a working px.
    """
    height, width = piece.mask.shape
    x0, y0 = int(np.floor(piece.x0_px * scale)), int(np.floor(piece.y0_px * scale))
    size = (int(np.ceil(width * scale)) + 2, int(np.ceil(height * scale)) + 2)
    matrix = np.asarray(
        [
            [scale, 0.0, piece.x0_px * scale - x0 + 0.5 * (scale - 1.0)],
            [0.0, scale, piece.y0_px * scale - y0 + 0.5 * (scale - 1.0)],
        ]
    )
    soft = cv2.warpAffine(piece.mask.astype(np.float32), matrix, size, flags=cv2.INTER_LINEAR)
    mask = soft > 0.5
    return cropped(mask, x0, y0) if mask.any() else None


def probability_in(piece: Region, predicted: PromptedMask, scale: float) -> NDArray[np.float32]:
    """Bring a predicted mask into the frame of a piece.

    Parameters
    ----------
    piece
        In working px.
    predicted
        In px of the mask net's picture.
    scale
        Px of the mask net's picture a working px.

    Returns
    -------
    NDArray[np.float32]
        Probabilities, the shape of the piece's mask.
    """
    height, width = piece.mask.shape
    matrix = np.asarray(
        [
            [scale, 0.0, piece.x0_px * scale + 0.5 * (scale - 1.0) - predicted.x0_px],
            [0.0, scale, piece.y0_px * scale + 0.5 * (scale - 1.0) - predicted.y0_px],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(predicted.probability, matrix, (width, height), flags=flags), dtype=np.float32
    )


def assign_by_probability(
    piece: NDArray[np.bool_], probabilities: list[NDArray[np.float32]], *, reach_px: float
) -> list[NDArray[np.bool_]]:
    """Make masks of probabilities: likely pixels belong to all they are likely of, the rest to the nearest.

    Parameters
    ----------
    piece
        bool, shape (h, w): what is stained.
    probabilities
        float32, of the same shape, one a chromosome.
    reach_px
        What lies farther from every mask belongs to none.

    Returns
    -------
    list
        bool, shape (h, w), one a chromosome; may be empty.
    """
    masks = [largest_component((probability > 0.5) & piece) for probability in probabilities]
    rest = piece & ~np.any(masks, axis=0)
    if not rest.any():
        return masks
    away = np.stack(
        [
            cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
            if mask.any()
            else np.full(piece.shape, np.inf, np.float32)
            for mask in masks
        ]
    )
    nearest = away.argmin(axis=0)
    near = rest & (away.min(axis=0) <= reach_px)
    return [largest_component(mask | (near & (nearest == number))) for number, mask in enumerate(masks)]

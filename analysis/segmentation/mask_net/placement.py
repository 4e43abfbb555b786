"""Between the picture that is worked on and the stream's: pieces one way, masks the other."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.mask_net.predictor import PromptedMask
from analysis.structures.region import Region, cropped


def reduced(piece: Region, scale: float) -> Region | None:
    """Bring a piece to the stream's scale; None where nothing of it is left.

    Parameters
    ----------
    piece
        In working px.
    scale
        Px of the stream a working px.
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


def chance_in(piece: Region, answer: PromptedMask, scale: float) -> NDArray[np.float32]:
    """Bring a mask's chances into the frame of a piece in working px: float32, the shape of the piece's mask."""
    height, width = piece.mask.shape
    matrix = np.asarray(
        [
            [scale, 0.0, piece.x0_px * scale + 0.5 * (scale - 1.0) - answer.x0_px],
            [0.0, scale, piece.y0_px * scale + 0.5 * (scale - 1.0) - answer.y0_px],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(answer.chance, matrix, (width, height), flags=flags), dtype=np.float32)


def shared_out(
    piece: NDArray[np.bool_], chances: list[NDArray[np.float32]], *, reach_px: float
) -> list[NDArray[np.bool_]]:
    """Make masks of chances: what is likelier than not is shared, the rest of the piece goes to the nearest.

    Parameters
    ----------
    piece
        bool, shape (h, w): what is stained.
    chances
        float32, of the same shape, one a chromosome.
    reach_px
        What lies farther from every mask belongs to none.

    Returns
    -------
    list
        bool, shape (h, w), one a chromosome; may be empty.
    """
    masks = [_main_part((chance > 0.5) & piece) for chance in chances]
    left = piece & ~np.any(masks, axis=0)
    if not left.any():
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
    near = left & (away.min(axis=0) <= reach_px)
    return [_main_part(mask | (near & (nearest == number))) for number, mask in enumerate(masks)]


def _main_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest connected part."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 3:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), dtype=np.bool_)

"""How well masks cover the stain of a labelled cell, and how whole they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.imaging.background import estimate_background, optical_density
from analysis.imaging.foreground import otsu


@dataclass(frozen=True, slots=True)
class StainSettings:
    """What counts as stain, and as a piece of it.

    Attributes
    ----------
    of_otsu
        Fraction of Otsu's threshold of the optical density within the labelled boxes from which a pixel is
        stained: the threshold itself lies on the dark bands' side of pale ends.
    least_piece_px
        Area of stain outside of all masks from which it is a piece: the smallest chromosomes of the Tseng set have
        about a hundred px, a satellite some thirty.
    rim_px
        Thinner remains are rims between a mask and the threshold, not pieces.
    nucleus_px
        Diameter of a disc that fits into nuclei and into no pile: chromosomes are 9 to 16 px wide, and piles of
        four parallel ones have gaps.
    """

    of_otsu: float = 0.8
    least_piece_px: int = 30
    rim_px: int = 3
    nucleus_px: int = 55


DEFAULT_STAIN: Final = StainSettings()
LOW_PERCENTILE: Final = 10.0
"""Percentile reported of the stain covered beside mean and worst: one cell in ten is worse."""


@dataclass(frozen=True, slots=True)
class StainCover:
    """Stain of one cell, and what the masks have of it.

    Attributes
    ----------
    stained_px
        Stained pixels within the labelled boxes.
    covered_px
        Those of them that lie in some mask.
    nucleus_px
        Those that lie in no mask but in a nucleus, which reaches into a labelled box.
    pieces
        Pieces of stain within the labelled boxes that lie in no mask.
    """

    stained_px: int
    covered_px: int
    nucleus_px: int
    pieces: int

    @property
    def fraction(self) -> float:
        """Fraction of the stain that is covered; 1 where there is none."""
        return self.covered_px / self.stained_px if self.stained_px else 1.0

    @property
    def fraction_without_nuclei(self) -> float:
        """The same, nuclei left out of the stain."""
        own_px = self.stained_px - self.nucleus_px
        return self.covered_px / own_px if own_px else 1.0


def labelled_stain(
    pixels: NDArray[np.uint8], boxes_px: NDArray[np.int32], settings: StainSettings = DEFAULT_STAIN
) -> NDArray[np.bool_]:
    """Find the stained pixels of a picture by the threshold of its labelled boxes.

    Parameters
    ----------
    pixels
        uint8, shape (h, w), dark on bright.
    boxes_px
        int32, shape (n, 4): xmin, ymin, xmax, ymax.
    settings
        What counts as stain.

    Returns
    -------
    NDArray[np.bool_]
        Shape (h, w), of the whole picture.
    """
    density = optical_density(pixels, estimate_background(pixels))
    return np.asarray(density > settings.of_otsu * otsu(density, within_boxes(boxes_px, pixels.shape)))


def within_boxes(boxes_px: NDArray[np.int32], size_px: tuple[int, ...]) -> NDArray[np.bool_]:
    """Mark the pixels that lie in some box.

    Parameters
    ----------
    boxes_px
        int32, shape (n, 4): xmin, ymin, xmax, ymax.
    size_px
        Height and width of the picture.
    """
    inside = np.zeros(size_px[:2], np.bool_)
    for xmin, ymin, xmax, ymax in np.maximum(boxes_px, 0):
        inside[ymin:ymax, xmin:xmax] = True
    return inside


def covered_pixels(
    masks: Iterable[tuple[tuple[int, int, int, int], NDArray[np.bool_]]], size_px: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Mark the pixels that lie in some mask.

    Parameters
    ----------
    masks
        Box (xmin, ymin, xmax, ymax) and mask, bool, of the shape of its box.
    size_px
        Height and width of the picture.
    """
    covered = np.zeros(size_px[:2], np.bool_)
    for (xmin, ymin, xmax, ymax), mask in masks:
        covered[ymin:ymax, xmin:xmax] |= mask
    return covered


def stain_cover(
    stain: NDArray[np.bool_],
    boxes_px: NDArray[np.int32],
    covered: NDArray[np.bool_],
    settings: StainSettings = DEFAULT_STAIN,
) -> StainCover:
    """Measure what masks have of the stain within the labelled boxes.

    Parameters
    ----------
    stain
        bool, shape (h, w): see `labelled_stain`.
    boxes_px
        int32, shape (n, 4).
    covered
        bool, shape (h, w): all masks of the cell.
    settings
        What counts as a piece.
    """
    inside = stain & within_boxes(boxes_px, stain.shape)
    bare = inside & ~covered
    square = np.ones((settings.rim_px, settings.rim_px), np.uint8)
    opened = cv2.morphologyEx(bare.astype(np.uint8), cv2.MORPH_OPEN, square)
    nuclei = _nuclei(stain, settings.nucleus_px)
    opened[nuclei] = 0
    areas = cv2.connectedComponentsWithStats(opened, connectivity=8)[2][1:, cv2.CC_STAT_AREA]
    return StainCover(
        stained_px=int(np.count_nonzero(inside)),
        covered_px=int(np.count_nonzero(inside & covered)),
        nucleus_px=int(np.count_nonzero(bare & nuclei)),
        pieces=int(np.count_nonzero(areas >= settings.least_piece_px)),
    )


def _nuclei(stain: NDArray[np.bool_], diameter_px: int) -> NDArray[np.bool_]:
    """Stain into which a disc fits that is wider than any pile of chromosomes: its opening, by distances."""
    # What lies beyond the border counts as slide: a nucleus at the border is measured by what is there of it.
    padded = np.pad(stain, 1).astype(np.uint8)
    core = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > diameter_px / 2.0
    if not core.any():
        return np.zeros(stain.shape, np.bool_)
    away = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray((away <= diameter_px / 2.0)[1:-1, 1:-1] & stain)


def mask_fragments(masks: Sequence[NDArray[np.bool_]]) -> int:
    """Count the parts of masks that aren't connected to the largest part of their mask.

    Parameters
    ----------
    masks
        bool, any shapes; pixels that touch at a corner are connected.
    """
    return sum(max(cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 2, 0) for mask in masks)

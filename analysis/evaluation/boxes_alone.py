"""A detector's boxes measured alone: no selection over the cell, no masks, nothing that was fitted to a set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.segmenter import DetectorSegmenter
from analysis.structures.grey_image import GreyImage
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.segmentation import Segmentation, UnselectedProposal

_LEAST_SCORE: Final = 0.5
"""Proposals from here on count as chromosomes: an even chance, chosen on no set."""


@dataclass(frozen=True, slots=True)
class BoxesAlone:
    """Takes the proposals of a detector for the segmentation of a picture, after non-maximum suppression.

    Attributes
    ----------
    segmenter
        Its detector proposes, in the picture brought to the detector's scale as in the product.
    least_score
        Score from which a proposal counts as a chromosome; the others are left out.
    """

    segmenter: DetectorSegmenter
    least_score: float = _LEAST_SCORE

    def __call__(self, image: GreyImage) -> Segmentation:
        """Detect in an image; masks are the whole boxes.

        Raises
        ------
        NoMetaphaseError
            If nothing is stained on the image.
        """
        measurements, extents_px = self.segmenter.measure(image)
        counted = measurements.score >= self.least_score
        shape = image.pixels.shape
        return Segmentation(
            tuple(
                _instance(extent, float(score), shape)
                for extent, score in zip(extents_px[counted], measurements.score[counted], strict=True)
            ),
            np.full(shape, np.float32(255.0)),
            np.zeros(shape, np.bool_),
            tuple(
                UnselectedProposal(_sides(extent), float(score))
                for extent, score in zip(extents_px[~counted], measurements.score[~counted], strict=True)
            ),
        )


def _instance(extent_px: NDArray[np.float64], score: float, shape: tuple[int, ...]) -> Instance:
    height, width = shape[:2]
    x0, y0 = int(np.clip(extent_px[0], 0, width - 1)), int(np.clip(extent_px[1], 0, height - 1))
    x1 = int(np.clip(np.ceil(extent_px[2]), x0 + 1, width))
    y1 = int(np.clip(np.ceil(extent_px[3]), y0 + 1, height))
    mask = np.ones((y1 - y0, x1 - x0), np.bool_)
    return Instance((x0, y0, x1, y1), mask, score, SegmentationRoute.DETECTOR_BOX, extent_px=_sides(extent_px))


def _sides(row: NDArray[np.float64]) -> tuple[float, float, float, float]:
    return float(row[0]), float(row[1]), float(row[2]), float(row[3])

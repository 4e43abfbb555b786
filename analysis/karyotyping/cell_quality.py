"""What is measured of a cell before its classes are believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.banding.band_contrast import band_contrast
from analysis.karyotyping.review_settings import ReviewSettings
from analysis.structures.class_evidence import ClassScores
from analysis.structures.crop import ChromosomeCrop

_LEAST_LENGTH: Final = 1e-3
"""Relative length that keeps a ratio finite; no chromosome is that short."""


@dataclass(frozen=True, slots=True)
class CellQualityMeasures:
    """What is measured of a cell before its classes are believed.

    Attributes
    ----------
    objects
        Chromosomes that were segmented.
    band_contrast
        Median over the chromosomes: spread of the banding profile about its own trend, over its mean.
    certainty
        Mean probability of the likeliest class, each object by itself; objects that are most likely no chromosome
        are left out unless most are of that kind.
    size_ratio
        Length of long chromosomes over that of short ones.
    fluorescent
        Whether the picture shows emitted light.
    """

    objects: int
    band_contrast: float
    certainty: float
    size_ratio: float
    fluorescent: bool = False


def measure_cell_quality(
    crops: Sequence[ChromosomeCrop],
    class_scores: ClassScores,
    *,
    fluorescent: bool = False,
    settings: ReviewSettings | None = None,
) -> CellQualityMeasures:
    """Measure a cell.

    Parameters
    ----------
    crops
        Its straightened chromosomes.
    class_scores
        The classifier's scores of each.
    fluorescent
        Whether the picture shows emitted light; which objects are no chromosome can't be told then.
    settings
        Which objects count, and which lengths.
    """
    if not crops:
        return CellQualityMeasures(0, 0.0, 0.0, 1.0, fluorescent)
    settings = settings or ReviewSettings()
    images = np.stack([crop.image for crop in crops])
    likeliest = np.exp(class_scores.log_prob.max(axis=1))
    single = np.exp(class_scores.log_none) < settings.no_chromosome_from
    if fluorescent or 2 * np.count_nonzero(single) < len(single):
        single = np.ones(len(single), dtype=np.bool_)
    short, long = np.percentile([crop.relative_length for crop in crops], settings.size_percentiles)
    return CellQualityMeasures(
        objects=len(crops),
        band_contrast=float(np.median(band_contrast(images))),
        certainty=float(likeliest[single].mean()),
        size_ratio=float(long / max(short, _LEAST_LENGTH)),
        fluorescent=fluorescent,
    )

"""The band profiles and lengths of a cell's chromosomes, in the form that homologues are compared in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.homologues.rearrangements import BINS
from analysis.homologues.reference_statistics import standardised
from analysis.straightening.band_profile import profiles
from analysis.structures.crop import ChromosomeCrop

_LEAST_LENGTH: Final = 1e-3
"""Keeps the logarithm of an empty crop's length finite."""


@dataclass(frozen=True, slots=True)
class Traces:
    """What is compared of n chromosomes of one cell.

    Attributes
    ----------
    bands
        float32, shape (n, BINS): banding profile, short arm up, of spread 1.
    log_length
        float64, shape (n,): logarithm of the length.
    """

    bands: NDArray[np.float32]
    log_length: NDArray[np.float64]


def traces_of(crops: Sequence[ChromosomeCrop], flipped: Sequence[bool]) -> Traces:
    """Measure band profiles and lengths of straightened chromosomes.

    Parameters
    ----------
    crops
        The chromosomes, one or more.
    flipped
        True where the short arm is down.
    """
    images = np.stack(
        [crop.image[::-1, ::-1] if turned else crop.image for crop, turned in zip(crops, flipped, strict=True)]
    )
    lengths = np.array([max(crop.relative_length, _LEAST_LENGTH) for crop in crops])
    return Traces(standardised(profiles(images, BINS)[:, 0]), np.log(lengths))

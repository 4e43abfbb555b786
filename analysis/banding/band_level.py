"""How many bands of a haploid set a cell shows: 400, 550, 850, or fewer.

Dark and pale bands that stand out of each chromosome's profile are counted, averaged over homologues and summed
over the 24 classes; classes that the cell lacks count by their share of the table. Neighbours of different greys
that form one step are two bands to ISCN and one extreme here: what is counted of chromosomes drawn from the tables
leads from the count to the level.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks

from analysis.banding.ideogram import ideogram
from analysis.straightening.band_profile import profiles
from analysis.structures.banding import BandLevel
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ChromosomeCrop

BINS: Final = 96
TIPS: Final = 2
SMOOTH_BINS: Final = 0.7
LEAST_PROMINENCE: Final = 0.06
"""Of the range of a profile: what stands out less is counted by nobody."""
NOISE_FACTOR: Final = 3.0
FEWEST: Final = 10
"""Of fewer chromosomes no level is told."""
COUNTED: Final = (0.0, 335.0, 390.0, 440.0)
BANDS: Final = (0.0, 400.0, 550.0, 850.0)
"""What is counted of sharply drawn chromosomes, and the table that they were drawn from."""
SPREAD: Final = 0.06
"""Standard deviation of the logarithm of the count between drawn cells of one table."""
QUANTILE: Final = 1.28
"""Half width of an interval that holds four in five, in standard deviations."""


def estimate_level(crops: Sequence[ChromosomeCrop], classes: Sequence[str]) -> BandLevel | None:
    """Estimate the band level of a cell.

    Parameters
    ----------
    crops
        Its straightened chromosomes, either way up.
    classes
        Their classes; what has none of the 24 doesn't count.

    Returns
    -------
    BandLevel or None
        None where too few chromosomes have a class.
    """
    known = [row for row, name in enumerate(classes) if name in CLASS_NAMES]
    if len(known) < FEWEST:
        return None
    images = np.stack([crops[row].image for row in known])
    counts = count_bands(profiles(images, BINS)[:, 0])
    names = [classes[row] for row in known]
    counted, error = haploid_count(counts, names)
    return level_of(counted, error)


def level_of(counted: float, error: float) -> BandLevel:
    """Level from the count of a haploid set and its relative standard error."""
    width = QUANTILE * float(np.hypot(SPREAD, error))
    middle, low, high = (
        round(float(np.interp(counted * factor, COUNTED, BANDS)) / 10.0) * 10
        for factor in (1.0, np.exp(-width), np.exp(width))
    )
    return BandLevel(middle, low, high, counted)


def count_bands(bands: NDArray[np.floating]) -> NDArray[np.int64]:
    """Dark and pale bands that stand out.

    Parameters
    ----------
    bands
        Shape (n, BINS): banding profiles.

    Returns
    -------
    NDArray[np.int64]
        Shape (n,).
    """
    inner = np.asarray(bands, dtype=np.float64)[:, TIPS:-TIPS]
    smooth = gaussian_filter1d(inner, SMOOTH_BINS, axis=1, mode="nearest")
    low, high = np.percentile(smooth, (3, 97), axis=1)
    noise = NOISE_FACTOR * (inner - smooth).std(axis=1)
    least = np.maximum(np.maximum(LEAST_PROMINENCE * (high - low), noise), 1e-6)
    made = [
        len(find_peaks(row, prominence=limit)[0]) + len(find_peaks(-row, prominence=limit)[0])
        for row, limit in zip(smooth, least, strict=True)
    ]
    # The bands at both tips have no far side and are never extremes.
    return np.asarray(made, dtype=np.int64) + 2


def haploid_count(counts: NDArray[np.integer], names: Sequence[str]) -> tuple[float, float]:
    """Bands of a haploid set, and the relative standard error by how homologues differ."""
    share = _shares()
    own: dict[str, list[int]] = {}
    for name, count in zip(names, counts, strict=True):
        own.setdefault(name, []).append(int(count))
    covered = sum(share[name] for name in own)
    total = sum(float(np.mean(values)) for values in own.values()) / covered
    pairs = [np.var(values, ddof=1) / len(values) for values in own.values() if len(values) > 1]
    if not pairs:
        return total, 0.2
    return total, float(np.sqrt(np.mean(pairs) * len(own)) / covered / max(total, 1.0))


@cache
def _shares() -> dict[str, float]:
    counts = {name: len(ideogram(name, 550).bands) for name in CLASS_NAMES}
    return {name: count / sum(counts.values()) for name, count in counts.items()}

"""How many bands of a haploid set a cell shows: 400, 550, 850, or fewer.

Dark and pale bands that stand out of each chromosome's profile are counted, averaged over homologues and summed
over the 24 classes; classes that the cell lacks count by their fraction of the table. Neighbours of other greys
that form one step are two bands to ISCN and one extreme here: counts of chromosomes drawn from the tables lead
from the count to the level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
"""Bins at each tip that depend more on the outline than on the bands."""


@dataclass(frozen=True, slots=True)
class BandLevelSettings:
    """Hand-set numbers of the band level.

    Attributes
    ----------
    smooth_bins
        Standard deviation of the smoothing: below half of the narrowest band of 850.
    least_prominence
        Of the range of a profile: bands that stand out less nobody counts.
    noise_factor
        Standard deviations of the noise that a band has to stand out by.
    fewest
        Of fewer chromosomes no level is estimated.
    extremes, bands
        What is counted of sharply drawn chromosomes, and the table that they were drawn from: ``counted`` of
        ``karyoscan evaluate levels`` at 100 px and a blur of 0.8 px, which gives 337 to 340, 390 to 393 and
        431 to 437 over seeds (ADR 19 has the whole table). The scale of a drawing, not a fit to cells: no set has
        levels given by people.
    spread
        Standard deviation of the logarithm of the count between sharp cells of one table, drawn at 70 and 100 px:
        of the 850 table, where it is greatest (.003 and .009 of the others). From the same command.
    quantile
        Half width of an interval that holds four in five, in standard deviations.
    rounded_to
        Bands that an estimate is rounded to; it isn't more exact.
    error_without_pairs
        Relative standard error of the count where no class has two chromosomes to estimate it from.
    low_percentile, high_percentile
        The range of a profile, without its outliers.
    least_range
        Floor of the prominence: a blank profile has no bands.
    """

    smooth_bins: float = 0.7
    least_prominence: float = 0.06
    noise_factor: float = 3.0
    fewest: int = 10
    extremes: tuple[float, ...] = (0.0, 335.0, 390.0, 440.0)
    bands: tuple[float, ...] = (0.0, 400.0, 550.0, 850.0)
    spread: float = 0.06
    quantile: float = 1.28
    rounded_to: int = 10
    error_without_pairs: float = 0.2
    low_percentile: float = 3.0
    high_percentile: float = 97.0
    least_range: float = 1e-6


_SETTINGS: Final = BandLevelSettings()


def estimate_level(crops: Sequence[ChromosomeCrop], classes: Sequence[str]) -> BandLevel | None:
    """Estimate the band level of a cell.

    Parameters
    ----------
    crops
        Its straightened chromosomes, in either orientation.
    classes
        Their classes; what has none of the 24 doesn't count.

    Returns
    -------
    BandLevel or None
        None where too few chromosomes have a class.
    """
    classed = [row for row, name in enumerate(classes) if name in CLASS_NAMES]
    if len(classed) < _SETTINGS.fewest:
        return None
    images = np.stack([crops[row].image for row in classed])
    counts = count_bands(profiles(images, BINS)[:, 0])
    names = [classes[row] for row in classed]
    counted, error = haploid_count(counts, names)
    return level_of(counted, error)


def level_of(counted: float, error: float) -> BandLevel:
    """Estimate the level from the count of a haploid set.

    Parameters
    ----------
    counted
        Extremes of a haploid set.
    error
        Relative standard error of the count.
    """
    width = _SETTINGS.quantile * float(np.hypot(_SETTINGS.spread, error))
    step = _SETTINGS.rounded_to
    middle, low, high = (
        round(float(np.interp(counted * factor, _SETTINGS.extremes, _SETTINGS.bands)) / step) * step
        for factor in (1.0, np.exp(-width), np.exp(width))
    )
    return BandLevel(middle, low, high, counted)


def count_bands(profiles: NDArray[np.floating]) -> NDArray[np.int64]:
    """Dark and pale bands that stand out.

    Parameters
    ----------
    profiles
        Shape (n, BINS): banding profiles.

    Returns
    -------
    NDArray[np.int64]
        Shape (n,).
    """
    inner = np.asarray(profiles, dtype=np.float64)[:, TIPS:-TIPS]
    smooth = gaussian_filter1d(inner, _SETTINGS.smooth_bins, axis=1, mode="nearest")
    low, high = np.percentile(smooth, (_SETTINGS.low_percentile, _SETTINGS.high_percentile), axis=1)
    noise = _SETTINGS.noise_factor * (inner - smooth).std(axis=1)
    least = np.maximum(np.maximum(_SETTINGS.least_prominence * (high - low), noise), _SETTINGS.least_range)
    made = [
        len(find_peaks(row, prominence=limit)[0]) + len(find_peaks(-row, prominence=limit)[0])
        for row, limit in zip(smooth, least, strict=True)
    ]
    # The bands at both tips have no far side and are never extremes.
    return np.asarray(made, dtype=np.int64) + 2


def haploid_count(counts: NDArray[np.integer], names: Sequence[str]) -> tuple[float, float]:
    """Bands of a haploid set, and the relative standard error by how homologues differ.

    Parameters
    ----------
    counts
        Shape (n,): bands of each chromosome.
    names
        Their classes.

    Returns
    -------
    tuple of float
        Bands, and the standard error over them.
    """
    fraction = _band_fractions()
    own: dict[str, list[int]] = {}
    for name, count in zip(names, counts, strict=True):
        own.setdefault(name, []).append(int(count))
    covered = sum(fraction[name] for name in own)
    total = sum(float(np.mean(values)) for values in own.values()) / covered
    pairs = [np.var(values, ddof=1) / len(values) for values in own.values() if len(values) > 1]
    if not pairs:
        return total, _SETTINGS.error_without_pairs
    return total, float(np.sqrt(np.mean(pairs) * len(own)) / covered / max(total, 1.0))


@cache
def _band_fractions() -> dict[str, float]:
    counts = {name: len(ideogram(name, 550).bands) for name in CLASS_NAMES}
    return {name: count / sum(counts.values()) for name, count in counts.items()}

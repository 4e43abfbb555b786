"""Where the centromere of a straightened chromosome is.

Three scores are added: the chromosome is narrow there; its class has a prior of the place; and with the centromere
in the right place, the bands of both arms lie where the ideogram has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from analysis.banding.ideogram import SHORT_ARM_FRACTION, ideogram
from analysis.straightening.band_profile import profiles
from analysis.structures.classes import CLASS_NAMES

BINS: Final = 96


@dataclass(frozen=True, slots=True)
class CentromereSettings:
    """Hand-set numbers of the search for the centromere; places are fractions of the length.

    Attributes
    ----------
    reach
        Searched on both sides of where the class has its centromere: more than arms vary between preparations.
    prior_spread
        Standard deviation of the place about that of the class.
    waist_weight
        Weight of the waist, which is a tenth of the width, against the log prior.
    acrocentric_waist
        Factor on that for acrocentric classes: stalks and satellites are narrow as well, and vary in length.
    band_weight
        Weight of the correlation of the bands.
    band_blur
        Standard deviation that an ideogram is blurred by: what a picture of 96 bins shows.
    smooth_bins, around_bins
        Standard deviations of the width profile's smoothing, and of what it is compared with.
    least_width
        Floor of a width that is divided by.
    unclassed_from, unclassed_to
        Where the waist is searched without a class: the short arm is up, so beyond .6 there is none.
    least_place
        Nearer to the tip no centromere is searched: every tip is narrow.
    edge_divisor
        The bands' correlation leaves out the length over this at both ends: the outline's blur.
    least_arm, least_spread
        Floors of an arm's length and of a spread that are divided by.
    """

    reach: float = 0.12
    prior_spread: float = 0.05
    waist_weight: float = 8.0
    acrocentric_waist: float = 0.4
    band_weight: float = 3.0
    band_blur: float = 0.012
    smooth_bins: float = 1.2
    around_bins: float = 8.0
    least_width: float = 1e-6
    unclassed_from: float = 0.1
    unclassed_to: float = 0.6
    least_place: float = 0.04
    edge_divisor: int = 20
    least_arm: float = 1e-6
    least_spread: float = 1e-9


_SETTINGS: Final = CentromereSettings()


def centromere_fractions(images: NDArray[np.float32], classes: tuple[str, ...]) -> NDArray[np.float64]:
    """Find the centromeres of straightened chromosomes.

    Parameters
    ----------
    images
        float32, shape (n, rows, columns): relative densities, short arm up.
    classes
        Their classes. Without one, the waist alone decides.

    Returns
    -------
    NDArray[np.float64]
        Shape (n,): fraction of the length from the tip of the short arm.
    """
    if len(images) == 0:
        return np.zeros(0)
    both = profiles(images, BINS)
    narrow = waist(both[:, 1])
    return np.array([_fraction(both[k, 0], narrow[k], name) for k, name in enumerate(classes)])


def waist(width: NDArray[np.floating]) -> NDArray[np.float64]:
    """How much narrower a chromosome is than beside, everywhere along it; relative to its width.

    Parameters
    ----------
    width
        Shape (..., n): width profiles.

    Returns
    -------
    NDArray[np.float64]
        The same shape.
    """
    smooth = gaussian_filter1d(np.asarray(width, dtype=np.float64), _SETTINGS.smooth_bins, mode="nearest")
    around = gaussian_filter1d(smooth, _SETTINGS.around_bins, mode="reflect")
    return np.asarray(
        (around - smooth) / np.maximum(np.median(smooth, axis=-1, keepdims=True), _SETTINGS.least_width)
    )


@cache
def _blurred(class_name: str) -> NDArray[np.float64]:
    """Darkness along the ideogram, blurred as a picture is: float64, shape (4 * BINS,)."""
    level = gaussian_filter1d(
        ideogram(class_name).darkness(4 * BINS), _SETTINGS.band_blur * 4 * BINS, mode="nearest"
    )
    level.flags.writeable = False
    return np.asarray(level)


def _fraction(banding: NDArray[np.float32], narrow: NDArray[np.float64], class_name: str) -> float:
    at = (np.arange(BINS) + 0.5) / BINS
    if class_name not in CLASS_NAMES:
        inner = (at > _SETTINGS.unclassed_from) & (at < _SETTINGS.unclassed_to)
        return float(at[inner][np.argmax(narrow[inner])])
    drawn = ideogram(class_name)
    near = np.flatnonzero((np.abs(at - drawn.centromere) <= _SETTINGS.reach) & (at > _SETTINGS.least_place))
    prior = -0.5 * ((at[near] - drawn.centromere) / _SETTINGS.prior_spread) ** 2
    weight = _SETTINGS.waist_weight * (_SETTINGS.acrocentric_waist if class_name in SHORT_ARM_FRACTION else 1.0)
    measured = np.asarray(banding, dtype=np.float64)
    bands = _likenesses(measured, _blurred(class_name), drawn.centromere, at[near])
    score = prior + weight * narrow[near] + _SETTINGS.band_weight * bands
    best = int(np.argmax(score))
    return float(at[near][best])


def _likenesses(
    measured: NDArray[np.float64],
    drawn: NDArray[np.float64],
    drawn_centromere: float,
    centromeres: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Correlation with the (blurred) ideogram, each of whose arms is stretched to fit, for every centromere."""
    at = (np.arange(len(measured)) + 0.5) / len(measured)
    split = centromeres[:, None]
    upper = at / np.maximum(split, _SETTINGS.least_arm) * drawn_centromere
    lower = drawn_centromere + (at - split) / np.maximum(1.0 - split, _SETTINGS.least_arm) * (
        1.0 - drawn_centromere
    )
    place = np.where(at <= split, upper, lower)
    expected = np.interp(place, (np.arange(len(drawn)) + 0.5) / len(drawn), drawn)
    inner = slice(len(measured) // _SETTINGS.edge_divisor, -len(measured) // _SETTINGS.edge_divisor)
    a = measured[inner] - measured[inner].mean()
    b = expected[:, inner] - expected[:, inner].mean(axis=1, keepdims=True)
    spread = np.sqrt((a * a).sum() * (b * b).sum(axis=1))
    return np.asarray((a * b).sum(axis=1) / np.maximum(spread, _SETTINGS.least_spread))

"""Where the centromere of a straightened chromosome is.

Three things speak: the chromosome is narrow there; its class says where to look; and with the centromere in the
right place, the bands of both arms lie where the ideogram has them.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from analysis.banding.ideogram import SHORT_ARM_SHARE, ideogram
from analysis.straightening.band_profile import profiles
from analysis.structures.classes import CLASS_NAMES

BINS: Final = 96
REACH: Final = 0.12
"""Share of the length searched on both sides of where the class has its centromere."""
PRIOR_SPREAD: Final = 0.05
WAIST_WEIGHT: Final = 8.0
BAND_WEIGHT: Final = 3.0
BAND_BLUR: Final = 0.012


def centromere_shares(images: NDArray[np.float32], classes: tuple[str, ...]) -> NDArray[np.float64]:
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
        Shape (n,): share of the length from the tip of the short arm.
    """
    if len(images) == 0:
        return np.zeros(0)
    both = profiles(images, BINS)
    narrow = waist(both[:, 1])
    return np.array([_share(both[k, 0], narrow[k], name) for k, name in enumerate(classes)])


def waist(width: NDArray[np.floating]) -> NDArray[np.float64]:
    """How much narrower a chromosome is than beside, everywhere along it; relative to its width.

    Parameters
    ----------
    width
        Shape (..., n): width profiles.
    """
    smooth = gaussian_filter1d(np.asarray(width, dtype=np.float64), 1.2, mode="nearest")
    around = gaussian_filter1d(smooth, 8.0, mode="reflect")
    return np.asarray((around - smooth) / np.maximum(np.median(smooth, axis=-1, keepdims=True), 1e-6))


@cache
def _blurred(class_name: str) -> NDArray[np.float64]:
    """Darkness along the ideogram, blurred as a picture is: float64, shape (4 * BINS,)."""
    level = gaussian_filter1d(ideogram(class_name).darkness(4 * BINS), BAND_BLUR * 4 * BINS, mode="nearest")
    level.flags.writeable = False
    return np.asarray(level)


def _share(banding: NDArray[np.float32], narrow: NDArray[np.float64], class_name: str) -> float:
    at = (np.arange(BINS) + 0.5) / BINS
    if class_name not in CLASS_NAMES:
        inner = (at > 0.1) & (at < 0.6)
        return float(at[inner][np.argmax(narrow[inner])])
    drawn = ideogram(class_name)
    near = np.flatnonzero((np.abs(at - drawn.centromere) <= REACH) & (at > 0.04))
    prior = -0.5 * ((at[near] - drawn.centromere) / PRIOR_SPREAD) ** 2
    # Stalks and satellites are narrow as well, and vary in length from one person to the next.
    weight = 0.4 * WAIST_WEIGHT if class_name in SHORT_ARM_SHARE else WAIST_WEIGHT
    seen = np.asarray(banding, dtype=np.float64)
    bands = _likenesses(seen, _blurred(class_name), drawn.centromere, at[near])
    score = prior + weight * narrow[near] + BAND_WEIGHT * bands
    best = int(np.argmax(score))
    return float(at[near][best])


def _likenesses(
    seen: NDArray[np.float64],
    drawn: NDArray[np.float64],
    drawn_centromere: float,
    centromeres: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Correlation with the (blurred) ideogram, each of whose arms is stretched to fit, for every centromere."""
    at = (np.arange(len(seen)) + 0.5) / len(seen)
    split = centromeres[:, None]
    upper = at / np.maximum(split, 1e-6) * drawn_centromere
    lower = drawn_centromere + (at - split) / np.maximum(1.0 - split, 1e-6) * (1.0 - drawn_centromere)
    place = np.where(at <= split, upper, lower)
    expected = np.interp(place, (np.arange(len(drawn)) + 0.5) / len(drawn), drawn)
    inner = slice(len(seen) // 20, -len(seen) // 20)
    a = seen[inner] - seen[inner].mean()
    b = expected[:, inner] - expected[:, inner].mean(axis=1, keepdims=True)
    spread = np.sqrt((a * a).sum() * (b * b).sum(axis=1))
    return np.asarray((a * b).sum(axis=1) / np.maximum(spread, 1e-9))

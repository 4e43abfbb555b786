"""Which banding a cell shows: G, Q, R, DAPI or none.

The bands of every chromosome are held against what each technique makes of each class. Classes aren't asked for:
those of a classifier that knows G-bands only would be wrong on anything else, and wrong in the direction of G.
Instead every chromosome takes, for each technique, the class and the way up that suit it best, its length being
heard as well. The technique whose chromosomes suit best is the answer; light that is emitted and light that is
absorbed speak against each other's techniques.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import softmax

from analysis.banding.band_contrast import NO_BANDS_BELOW, NO_BANDS_BELOW_FLUORESCENT, band_contrast
from analysis.straightening.band_profile import profiles
from analysis.structures.banding import BandingEstimate, BandingKind
from analysis.structures.crop import ChromosomeCrop

BINS: Final = 48
TIPS: Final = 3
"""Bins at each tip that say more about the outline than about bands."""
TREND: Final = 7.0
"""Bins over which a profile's trend is taken."""
LENGTH_SPREAD: Final = 0.15
"""Spread of the logarithm of a length about that of its class, other preparations included."""
LENGTH_WEIGHT: Final = 0.05
CONTRAST_WEIGHT: Final = 0.2
CONTRAST_MIDDLE: Final = 0.1
"""Contrast of fluorescent bands above which quinacrine is likelier than DAPI: .09 to .17 and .06 to .13 in train
cells."""
FEWEST: Final = 8
"""Of fewer chromosomes nothing is said."""
LIKE_FROM: Final = 0.53
"""Likeness below which nothing is told: well cut cells of every technique have .55 and more to their own; torn
ones suit none, and the worst known template best."""
TOLD_FROM: Final = 0.6


TECHNIQUES: Final = (BandingKind.G, BandingKind.Q, BandingKind.R, BandingKind.DAPI)
EMITTING: Final = frozenset({BandingKind.Q, BandingKind.DAPI})


@dataclass(frozen=True, slots=True)
class BandingTemplates:
    """What each technique makes of each class.

    Attributes
    ----------
    bands
        float32, shape (techniques, 24, BINS): mean banding profile, short arm up.
    log_length
        float32, shape (24,): mean logarithm of the length over the cell's median.
    level
        float32, shape (techniques,): taken off the likeness; a mean of many cells is smoother and suits anything.
    odds
        Factor that turns a difference in likeness into log odds.
    other_light
        What likeness a technique loses where the light isn't of its kind.
    """

    bands: NDArray[np.float32]
    log_length: NDArray[np.float32]
    level: NDArray[np.float32]
    odds: float
    other_light: float


@cache
def banding_templates() -> BandingTemplates:
    """The templates that come with the product (``templates.npz`` beside this module)."""
    with resources.files("analysis.parameters").joinpath("files", "banding-templates.npz").open("rb") as file:
        table = np.load(file)
        return BandingTemplates(
            table["bands"].astype(np.float32),
            table["log_length"].astype(np.float32),
            table["level"].astype(np.float32),
            float(table["odds"]),
            float(table["other_light"]),
        )


def estimate_banding(
    crops: Sequence[ChromosomeCrop], *, fluorescent: bool, templates: BandingTemplates | None = None
) -> BandingEstimate:
    """Tell how a cell is banded.

    Parameters
    ----------
    crops
        Its straightened chromosomes, either way up.
    fluorescent
        Whether the picture shows emitted light (`GreyImage.inverted`).
    templates
        Other ones than the product's.
    """
    if len(crops) < FEWEST:
        return BandingEstimate(None, 0.0, "too few chromosomes to tell the banding", {})
    templates = templates or banding_templates()
    images = np.stack([crop.image for crop in crops])
    contrast = float(np.median(band_contrast(images)))
    floor = NO_BANDS_BELOW_FLUORESCENT if fluorescent else NO_BANDS_BELOW
    if contrast < floor:
        return BandingEstimate(BandingKind.NONE, _none_confidence(contrast, floor), "there are no bands", {})
    lengths = np.log(np.maximum([crop.relative_length for crop in crops], 1e-3))
    likeness = likenesses(profiles(images, BINS)[:, 0], lengths, templates)
    total = likeness - templates.level
    total -= templates.other_light * np.array([(kind in EMITTING) != fluorescent for kind in TECHNIQUES])
    total[TECHNIQUES.index(BandingKind.Q)] += CONTRAST_WEIGHT * np.log(contrast / CONTRAST_MIDDLE) * fluorescent
    chance = softmax(templates.odds * total)
    best = int(np.argmax(total))
    named = {kind.value: float(value) for kind, value in zip(TECHNIQUES, likeness, strict=True)}
    told = likeness[best] >= LIKE_FROM and chance[best] >= TOLD_FROM
    words = _words(best, likeness, fluorescent)
    if not told:
        return BandingEstimate(None, 0.0, f"like no technique's bands clearly: {words}", named)
    return BandingEstimate(TECHNIQUES[best], float(chance[best]), words, named)


def likenesses(
    bands: NDArray[np.floating], log_length: NDArray[np.floating], templates: BandingTemplates
) -> NDArray[np.float64]:
    """Mean over the chromosomes of the best correlation with a class of each technique.

    Parameters
    ----------
    bands
        Shape (n, BINS): banding profiles, either way up.
    log_length
        Shape (n,): logarithm of the length over the cell's median.

    Returns
    -------
    NDArray[np.float64]
        Shape (techniques,).
    """
    seen = standardised(np.asarray(bands, dtype=np.float64))
    known = standardised(templates.bands.astype(np.float64))
    both_ways = np.stack([seen, seen[:, ::-1]])
    alike = np.einsum("onb,tcb->ntco", both_ways, known) / seen.shape[1]
    off = (log_length[:, None] - templates.log_length[None, :]) / LENGTH_SPREAD
    suits = alike.max(axis=3) - LENGTH_WEIGHT * np.minimum(off**2, 9.0)[:, None, :]
    return np.asarray(suits.max(axis=2).mean(axis=0))


def standardised(bands: NDArray[np.float64]) -> NDArray[np.float64]:
    """Profiles without their tips and their trend, of mean 0 and spread 1 along the last axis."""
    # The outline's blur makes every chromosome darkest in its middle, whatever its bands.
    level = bands - gaussian_filter1d(bands, TREND, axis=-1, mode="nearest")
    inner = level[..., TIPS:-TIPS]
    inner = inner - inner.mean(axis=-1, keepdims=True)
    return np.asarray(inner / np.maximum(inner.std(axis=-1, keepdims=True), 1e-6))


def _none_confidence(contrast: float, floor: float) -> float:
    return float(np.clip(1.0 - 0.5 * contrast / floor, 0.5, 1.0))


def _words(best: int, likeness: NDArray[np.float64], fluorescent: bool) -> str:
    others = [k for k in range(len(TECHNIQUES)) if k != best]
    second = max(others, key=lambda k: likeness[k])
    light = "emitted" if fluorescent else "absorbed"
    return (
        f"light is {light}; likeness to {TECHNIQUES[best].value} bands {likeness[best]:.2f}, "
        f"to {TECHNIQUES[second].value} bands {likeness[second]:.2f}"
    )

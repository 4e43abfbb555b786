"""Which banding a cell shows: G, Q, R, DAPI or none.

The bands of every chromosome are compared with what each technique makes of each class. Classes aren't asked for:
those of a classifier that knows G-bands only would be wrong on anything else, and wrong in the direction of G.
Instead every chromosome takes, for each technique, the class and the orientation that fit it best, its length
counting as well. The technique whose chromosomes fit best is the estimate; emitted light counts against the
techniques of absorbed light, and the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import softmax

from analysis.banding.band_contrast import NO_BANDS_BELOW, NO_BANDS_BELOW_FLUORESCENT, band_contrast
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import PARAMETERS_FOLDER, load_parameters
from analysis.straightening.band_profile import profiles
from analysis.structures.banding import BandingEstimate, BandingKind
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ChromosomeCrop

BINS: Final = 48
TIPS: Final = 3
"""Bins at each tip that depend more on the outline than on the bands."""
TREND: Final = 7.0
"""Bins over which a profile's trend is taken."""


@dataclass(frozen=True, slots=True)
class BandingTechniqueSettings:
    """Hand-set numbers of the estimate of the technique.

    Attributes
    ----------
    fewest
        Of fewer chromosomes there is no estimate: a third of a haploid set.
    length_spread
        Spread of the logarithm of a length about that of its class, other preparations included.
    length_weight
        What a squared standard deviation of length costs in likeness: bands decide, lengths break ties.
    length_limit
        Squared standard deviations (three) beyond which a length costs no more: it is badly cut.
    contrast_weight
        Weight of the logarithm of the contrast between both fluorescent techniques.
    contrast_middle
        Contrast of fluorescent bands above which quinacrine is likelier than DAPI: .09 to .17 and .06 to .13 in
        train cells.
    least_likeness
        Below it there is no estimate: well cut cells of every technique have .55 and more to their own; badly cut
        ones fit none, and the worst template best.
    least_confidence
        Below it there is no estimate: the runner-up is nearly as likely.
    least_length, least_spread
        Floors that keep a logarithm and a quotient finite.
    """

    fewest: int = 8
    length_spread: float = 0.15
    length_weight: float = 0.05
    length_limit: float = 9.0
    contrast_weight: float = 0.2
    contrast_middle: float = 0.1
    least_likeness: float = 0.53
    least_confidence: float = 0.6
    least_length: float = 1e-3
    least_spread: float = 1e-6


_SETTINGS: Final = BandingTechniqueSettings()


TECHNIQUES: Final = (BandingKind.G, BandingKind.Q, BandingKind.R, BandingKind.DAPI)
EMITTING: Final = frozenset({BandingKind.Q, BandingKind.DAPI})


@dataclass(frozen=True, slots=True)
class BandingTemplates:
    """What each technique makes of each class: the parameter set ``banding-templates``.

    Attributes
    ----------
    bands
        float32, shape (techniques, 24, BINS): mean banding profile, short arm up.
    log_length
        float32, shape (24,): mean logarithm of the length over the cell's median.
    level
        float32, shape (techniques,): taken off the likeness; a smooth mean of many cells correlates with anything.
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
def banding_templates(folder: Path = PARAMETERS_FOLDER) -> BandingTemplates:
    """The templates that come with the product, or those of another folder.

    Raises
    ------
    WeightsError
        Where they are missing, damaged or of another shape.
    """
    parameters = load_parameters(ParameterSetName.BANDING_TEMPLATES, folder)
    techniques, classes = len(TECHNIQUES), len(CLASS_NAMES)
    return BandingTemplates(
        parameters.array("bands", shape=(techniques, classes, BINS)).astype(np.float32),
        parameters.array("log_length", shape=(classes,)).astype(np.float32),
        parameters.array("level", shape=(techniques,)).astype(np.float32),
        parameters.scalar("odds"),
        parameters.scalar("other_light"),
    )


def estimate_banding(
    crops: Sequence[ChromosomeCrop], *, fluorescent: bool, templates: BandingTemplates | None = None
) -> BandingEstimate:
    """Estimate how a cell is banded.

    Parameters
    ----------
    crops
        Its straightened chromosomes, in either orientation.
    fluorescent
        Whether the picture shows emitted light (`GreyImage.inverted`).
    templates
        Others than the product's.
    """
    if len(crops) < _SETTINGS.fewest:
        return BandingEstimate(None, 0.0, "too few chromosomes to estimate the banding", {})
    templates = templates or banding_templates()
    images = np.stack([crop.image for crop in crops])
    contrast = float(np.median(band_contrast(images)))
    floor = NO_BANDS_BELOW_FLUORESCENT if fluorescent else NO_BANDS_BELOW
    if contrast < floor:
        return BandingEstimate(BandingKind.NONE, _none_confidence(contrast, floor), "there are no bands", {})
    lengths = np.log(np.maximum([crop.relative_length for crop in crops], _SETTINGS.least_length))
    likeness = likenesses(profiles(images, BINS)[:, 0], lengths, templates)
    total = likeness - templates.level
    total -= templates.other_light * np.array([(kind in EMITTING) != fluorescent for kind in TECHNIQUES])
    total[TECHNIQUES.index(BandingKind.Q)] += (
        fluorescent * _SETTINGS.contrast_weight * np.log(contrast / _SETTINGS.contrast_middle)
    )
    chance = softmax(templates.odds * total)
    best = int(np.argmax(total))
    named = {kind.value: float(value) for kind, value in zip(TECHNIQUES, likeness, strict=True)}
    clear = likeness[best] >= _SETTINGS.least_likeness and chance[best] >= _SETTINGS.least_confidence
    text = _reason(best, likeness, fluorescent)
    if not clear:
        return BandingEstimate(None, 0.0, f"like no technique's bands clearly: {text}", named)
    return BandingEstimate(TECHNIQUES[best], float(chance[best]), text, named)


def likenesses(
    profiles: NDArray[np.floating], log_length: NDArray[np.floating], templates: BandingTemplates
) -> NDArray[np.float64]:
    """Mean over the chromosomes of the best correlation with a class of each technique.

    Parameters
    ----------
    profiles
        Shape (n, BINS): banding profiles, in either orientation.
    log_length
        Shape (n,): logarithm of the length over the cell's median.
    templates
        Profiles and lengths of the classes.

    Returns
    -------
    NDArray[np.float64]
        Shape (techniques,).
    """
    measured = standardised(np.asarray(profiles, dtype=np.float64))
    expected = standardised(templates.bands.astype(np.float64))
    both_orientations = np.stack([measured, measured[:, ::-1]])
    correlation = np.einsum("onb,tcb->ntco", both_orientations, expected) / measured.shape[1]
    deviation = (log_length[:, None] - templates.log_length[None, :]) / _SETTINGS.length_spread
    length_cost = _SETTINGS.length_weight * np.minimum(deviation**2, _SETTINGS.length_limit)
    fit = correlation.max(axis=3) - length_cost[:, None, :]
    return np.asarray(fit.max(axis=2).mean(axis=0))


def standardised(profiles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Profiles without their tips and their trend, of mean 0 and spread 1 along the last axis.

    Parameters
    ----------
    profiles
        Shape (..., BINS).

    Returns
    -------
    NDArray[np.float64]
        Shape (..., BINS - 2 TIPS).
    """
    # The outline's blur makes every chromosome darkest in its middle, whatever its bands.
    level = profiles - gaussian_filter1d(profiles, TREND, axis=-1, mode="nearest")
    inner = level[..., TIPS:-TIPS]
    inner = inner - inner.mean(axis=-1, keepdims=True)
    return np.asarray(inner / np.maximum(inner.std(axis=-1, keepdims=True), _SETTINGS.least_spread))


def _none_confidence(contrast: float, floor: float) -> float:
    return float(np.clip(1.0 - 0.5 * contrast / floor, 0.5, 1.0))


def _reason(best: int, likeness: NDArray[np.float64], fluorescent: bool) -> str:
    others = [k for k in range(len(TECHNIQUES)) if k != best]
    second = max(others, key=lambda k: likeness[k])
    light = "emitted" if fluorescent else "absorbed"
    return (
        f"light is {light}; likeness to {TECHNIQUES[best].value} bands {likeness[best]:.2f}, "
        f"to {TECHNIQUES[second].value} bands {likeness[second]:.2f}"
    )

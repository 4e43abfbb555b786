"""Reference statistics of normal homologues, class by class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.banding.ideogram import SHORT_ARM_FRACTION, ideogram
from analysis.homologues.rearrangements import BINS, trials
from analysis.homologues.whitening import Whitener, whitener
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import PARAMETERS_FOLDER, load_parameters
from analysis.structures.band_reading import Rearrangement
from analysis.structures.classes import CLASS_NAMES

TIPS: Final = 2
"""Bins at each tip that show how the outline was cut, and no bands."""
INNER: Final = slice(TIPS, BINS - TIPS)
INNER_BINS: Final = BINS - 2 * TIPS
POLYMORPHIC: Final = {"1": ("q12",), "9": ("q12",), "16": ("q11.1", "q11.2"), "Y": ("q12",)}
"""Blocks of heterochromatin whose length varies between people; so do the short arms of 13, 14, 15, 21, 22."""
CUT_COVARIATES: Final = 4
WELL_CUT: Final = (0.05, 0.12, 1.03, 0.09)
"""`CutQuality.covariates` of a well cut chromosome (medians of what people cut): assumed where the cut isn't
measured."""


@dataclass(frozen=True, slots=True)
class ReferenceSettings:
    """Hand-set numbers of the reference statistics.

    Attributes
    ----------
    polymorphic_variance
        Variance added within polymorphic blocks, of profiles of spread 1: three standard deviations are nothing
        there.
    polymorphic_fraction
        Fraction of a changed stretch within such a block from which on the change is a polymorphism.
    least_score_spread
        Floor of a score's mean deviation: the linear fit may give less for a cut better than all it was fitted to.
    least_profile_spread
        Floor of a profile's spread: a blank one stays blank.
    """

    polymorphic_variance: float = 9.0
    polymorphic_fraction: float = 0.5
    least_score_spread: float = 0.4
    least_profile_spread: float = 1e-3


_SETTINGS: Final = ReferenceSettings()


@dataclass(frozen=True)
class HomologueStatistics:
    """How normal homologues of one cell differ: the parameter set ``homologue-statistics``.

    Arrays begin with the 24 classes where nothing else is said.

    Attributes
    ----------
    mean
        float32, shape (24, BINS): mean banding profile, of spread 1, short arm up.
    pair_covariance, class_covariance
        float32, shape (24, INNER_BINS, INNER_BINS): of what is left after the alignment of two homologues, and of
        one chromosome with the mean of its class.
    population_covariance
        float32, shape (INNER_BINS, INNER_BINS): of profiles of whatever class.
    length_spread
        float32, shape (24,): standard deviation between homologues of the logarithm of one length over the other.
    feature_median, feature_spread
        float32, shape (24, features): median of each feature of normal pairs, and the width of its upper half.
    feature_weight
        float32, shape (features,): of the standardised features, which sum to a pair's score.
    cut_level, cut_spread
        float32, shape (`CUT_COVARIATES` + 1,): score of a normal pair, and its mean deviation from that, as
        linear functions of how both were cut (see `CutQuality.covariates`, the worse of both) and a constant.
    tail
        float32, shape (n,): scores of normal pairs, rising, at equal steps of ``tail_fraction``.
    tail_fraction
        float32, shape (n,): fraction of the normal pairs with at least that score, falling.
    threshold
        Score from which on a pair is flagged.
    """

    mean: NDArray[np.float32]
    pair_covariance: NDArray[np.float32]
    class_covariance: NDArray[np.float32]
    population_covariance: NDArray[np.float32]
    length_spread: NDArray[np.float32]
    feature_median: NDArray[np.float32]
    feature_spread: NDArray[np.float32]
    feature_weight: NDArray[np.float32]
    cut_level: NDArray[np.float32]
    cut_spread: NDArray[np.float32]
    tail: NDArray[np.float32]
    tail_fraction: NDArray[np.float32]
    threshold: float

    @cached_property
    def pair_whitener(self) -> Whitener:
        """Whitener of residuals between homologues."""
        return whitener(self.pair_covariance)

    @cached_property
    def class_whitener(self) -> Whitener:
        """Whitener of residuals from the mean of the class."""
        return whitener(self.class_covariance)

    @cached_property
    def population_whitener(self) -> Whitener:
        """Whitener of profiles of whatever class."""
        return whitener(self.population_covariance[None])

    @cached_property
    def rearranged_means(self) -> NDArray[np.float32]:
        """Class means after every rearrangement: shape (24, trials, BINS), of spread 1 in what is its own."""
        return standardised(trials().changed(self.mean), trials().own)

    def standardised_scores(
        self, scores: NDArray[np.floating], covariates: NDArray[np.floating] | None
    ) -> NDArray[np.float64]:
        """Standardise scores by those of normal pairs that were cut as well or badly.

        Parameters
        ----------
        scores
            Shape (n,): weighted sums of the features.
        covariates
            Shape (n, `CUT_COVARIATES`): the worse of both of each pair; None where pairs count as well cut.

        Returns
        -------
        NDArray[np.float64]
            Shape (n,).
        """
        measured = (
            np.tile(WELL_CUT, (len(scores), 1)) if covariates is None else np.asarray(covariates, dtype=np.float64)
        )
        design = np.column_stack([measured, np.ones(len(scores))])
        spread = np.maximum(design @ self.cut_spread, _SETTINGS.least_score_spread)
        return np.asarray((scores - design @ self.cut_level) / spread, dtype=np.float64)

    def p_value(self, score: float) -> float:
        """Fraction of the normal pairs with at least this score (empirical)."""
        return float(np.interp(score, self.tail, self.tail_fraction))


def standardised(profiles: NDArray[np.floating], own: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Profiles of mean 0 and spread 1, tips left out: gain and ground of a picture then don't count.

    Parameters
    ----------
    profiles
        Shape (..., BINS).
    own
        bool, the same shape or one that can be broadcast: bins that count; the others become 0.
    """
    counts = np.zeros(profiles.shape, dtype=np.float32)
    counts[..., INNER] = 1.0
    if own is not None:
        counts *= own
    number = np.maximum(counts.sum(axis=-1, keepdims=True), 1.0)
    level = profiles - (profiles * counts).sum(axis=-1, keepdims=True) / number
    spread = np.sqrt((level * level * counts).sum(axis=-1, keepdims=True) / number)
    made = level / np.maximum(spread, _SETTINGS.least_profile_spread)
    return np.asarray(made if own is None else made * own, dtype=np.float32)


@cache
def polymorphic(class_name: str) -> tuple[float, float] | None:
    """Stretch of a chromosome, as fractions of its length, that differs between healthy people."""
    drawn = ideogram(class_name)
    if class_name in SHORT_ARM_FRACTION:
        return 0.0, drawn.centromere
    blocks = [band for band in drawn.bands if band.name in POLYMORPHIC.get(class_name, ())]
    return (blocks[0].start, blocks[-1].stop) if blocks else None


@cache
def allowed_trials() -> NDArray[np.bool_]:
    """Which rearrangements are no mere polymorphism: bool, shape (24, trials)."""
    tried = trials()
    allowed = np.ones((len(CLASS_NAMES), len(tried.kind)), dtype=np.bool_)
    whole = np.array([kind is Rearrangement.TURNED for kind in tried.kind])
    for row, name in enumerate(CLASS_NAMES):
        block = polymorphic(name)
        if block is not None:
            common = np.minimum(tried.stop, block[1]) - np.maximum(tried.start, block[0])
            allowed[row] = whole | (common < _SETTINGS.polymorphic_fraction * (tried.stop - tried.start))
    return allowed


def loosened(covariance: NDArray[np.floating]) -> NDArray[np.float32]:
    """Covariances in whose polymorphic places nearly everything is normal.

    Parameters
    ----------
    covariance
        Shape (24, INNER_BINS, INNER_BINS).

    Returns
    -------
    NDArray[np.float32]
        The same shape.
    """
    made = np.array(covariance, dtype=np.float32)
    at = (np.arange(TIPS, BINS - TIPS) + 0.5) / BINS
    for row, name in enumerate(CLASS_NAMES):
        block = polymorphic(name)
        if block is not None:
            inside = (at >= block[0] - 1.0 / BINS) & (at <= block[1] + 1.0 / BINS)
            made[row] += np.diag(_SETTINGS.polymorphic_variance * inside).astype(np.float32)
    return made


@cache
def load_homologue_statistics(folder: Path = PARAMETERS_FOLDER) -> HomologueStatistics:
    """The statistics that come with the product, or those of another folder.

    Raises
    ------
    WeightsError
        Where they are missing, damaged or of another shape.
    """
    parameters = load_parameters(ParameterSetName.HOMOLOGUE_STATISTICS, folder)
    classes, inner = len(CLASS_NAMES), INNER_BINS
    shapes = {
        "mean": (classes, BINS),
        "pair_covariance": (classes, inner, inner),
        "class_covariance": (classes, inner, inner),
        "population_covariance": (inner, inner),
        "length_spread": (classes,),
        "feature_median": (classes, -1),
        "feature_spread": (classes, -1),
        "feature_weight": (-1,),
        "cut_level": (CUT_COVARIATES + 1,),
        "cut_spread": (CUT_COVARIATES + 1,),
        "tail": (-1,),
        "tail_fraction": (-1,),
    }
    arrays = {name: parameters.array(name, shape=shape).astype(np.float32) for name, shape in shapes.items()}
    return HomologueStatistics(**arrays, threshold=parameters.scalar("threshold"))

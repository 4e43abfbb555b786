"""What differences between normal homologues are, class by class: figures learnt from normal cells."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, cached_property
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from analysis.banding.ideogram import SHORT_ARM_SHARE, ideogram
from analysis.homologues.rearrangements import BINS, trials
from analysis.structures.band_reading import Rearrangement
from analysis.structures.classes import CLASS_NAMES

TIPS: Final = 2
"""Bins at each tip that show how the outline was cut, and no bands."""
INNER: Final = slice(TIPS, BINS - TIPS)
INNER_BINS: Final = BINS - 2 * TIPS
POLYMORPHIC: Final = {"1": ("q12",), "9": ("q12",), "16": ("q11.1", "q11.2"), "Y": ("q12",)}
"""Blocks of heterochromatin whose length varies between people; so do the short arms of 13, 14, 15, 21, 22."""
POLYMORPHIC_VARIANCE: Final = 9.0
POLYMORPHIC_SHARE: Final = 0.5
"""Share of a changed stretch within such a block from which on the change is none."""
CUT_QUALITY_FIGURES: Final = 4
WELL_CUT: Final = (0.05, 0.12, 1.03, 0.09)
"""Those figures (`CutFigures.wear`) of a well cut chromosome, which all count as whose cut isn't known."""
LEAST_SPREAD: Final = 0.4


@dataclass(frozen=True)
class HomologueStatistics:
    """How normal homologues of one cell differ. Arrays begin with the 24 classes where nothing else is said.

    Attributes
    ----------
    mean
        float32, shape (24, BINS): mean banding profile, of spread 1, short arm up.
    pair_covariance, own_covariance
        float32, shape (24, INNER_BINS, INNER_BINS): of what is left after the alignment of two homologues, and of
        one chromosome with the mean of its class.
    any_covariance
        float32, shape (INNER_BINS, INNER_BINS): of profiles of whatever class.
    length_spread
        float32, shape (24,): standard deviation between homologues of the logarithm of one length over the other.
    usual, spread
        float32, shape (24, features): median of each feature of normal pairs, and the width of its upper half.
    weight
        float32, shape (features,): of the standardised features, which sum to a pair's score.
    cut_level, cut_spread
        float32, shape (`CUT_QUALITY_FIGURES` + 1,): score of a normal pair, and its mean deviation from that, as
        linear functions of how both were cut (see `CutFigures.wear`, the worse of both) and a constant.
    tail
        float32, shape (n,): scores of normal pairs, rising, at equal steps of ``tail_share``.
    tail_share
        float32, shape (n,): share of the normal pairs with at least that score, falling.
    threshold
        Score from which on a pair is flagged.
    """

    mean: NDArray[np.float32]
    pair_covariance: NDArray[np.float32]
    own_covariance: NDArray[np.float32]
    any_covariance: NDArray[np.float32]
    length_spread: NDArray[np.float32]
    usual: NDArray[np.float32]
    spread: NDArray[np.float32]
    weight: NDArray[np.float32]
    cut_level: NDArray[np.float32]
    cut_spread: NDArray[np.float32]
    tail: NDArray[np.float32]
    tail_share: NDArray[np.float32]
    threshold: float

    @cached_property
    def pair(self) -> Whitener:
        """Whitener of residuals between homologues."""
        return whitener(self.pair_covariance)

    @cached_property
    def own(self) -> Whitener:
        """Whitener of residuals from the mean of the class."""
        return whitener(self.own_covariance)

    @cached_property
    def any(self) -> Whitener:
        """Whitener of profiles of whatever class."""
        return whitener(self.any_covariance[None])

    @cached_property
    def changed(self) -> NDArray[np.float32]:
        """Every class after every rearrangement: shape (24, trials, BINS), of spread 1 in what is its own."""
        return standardised(trials().changed(self.mean), trials().own)

    def over_usual(self, scores: NDArray[np.floating], wear: NDArray[np.floating] | None) -> NDArray[np.float64]:
        """Scores over what is usual for pairs that were cut so well or badly.

        Parameters
        ----------
        scores
            Shape (n,): weighed sums of the evidence.
        wear
            Shape (n, `CUT_QUALITY_FIGURES`): the worse of both of each pair; None where pairs count as well cut.
        """
        known = np.tile(WELL_CUT, (len(scores), 1)) if wear is None else np.asarray(wear, dtype=np.float64)
        design = np.column_stack([known, np.ones(len(scores))])
        spread = np.maximum(design @ self.cut_spread, LEAST_SPREAD)
        return np.asarray((scores - design @ self.cut_level) / spread, dtype=np.float64)

    def rarity(self, score: float) -> float:
        """Share of the normal pairs with at least this score."""
        return float(np.interp(score, self.tail, self.tail_share))


@dataclass(frozen=True, slots=True)
class Whitener:
    """Turns residuals into independent numbers, from the upper tip down and from the lower tip up.

    Attributes
    ----------
    down, up
        float32, shape (n, bins, bins): inverse Cholesky factors. The first k numbers belong to the first k bins
        alone, so that their squares are the distance of a part of a chromosome from what is normal.
    log_down, log_up
        float32, shape (n, bins): logarithms of the factors' diagonals.
    """

    down: NDArray[np.float32]
    up: NDArray[np.float32]
    log_down: NDArray[np.float32]
    log_up: NDArray[np.float32]


def whitener(covariance: NDArray[np.floating]) -> Whitener:
    """Factor covariances of shape (n, bins, bins)."""
    parts = [[*_factor(each), *_factor(each[::-1, ::-1])] for each in np.asarray(covariance, dtype=np.float64)]
    down, log_down, up, log_up = (np.array(part, dtype=np.float32) for part in zip(*parts, strict=True))
    return Whitener(down, up, log_down, log_up)


def standardised(bands: NDArray[np.floating], own: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Profiles of mean 0 and spread 1, tips left out: gain and ground of a picture then don't count.

    Parameters
    ----------
    bands
        Shape (..., BINS).
    own
        bool, the same shape or one that can be broadcast: bins that count; the others become 0.
    """
    counts = np.zeros(bands.shape, dtype=np.float32)
    counts[..., INNER] = 1.0
    if own is not None:
        counts *= own
    number = np.maximum(counts.sum(axis=-1, keepdims=True), 1.0)
    level = bands - (bands * counts).sum(axis=-1, keepdims=True) / number
    spread = np.sqrt((level * level * counts).sum(axis=-1, keepdims=True) / number)
    made = level / np.maximum(spread, 1e-3)
    return np.asarray(made if own is None else made * own, dtype=np.float32)


@cache
def polymorphic(class_name: str) -> tuple[float, float] | None:
    """Stretch of a chromosome, as shares of its length, that differs between healthy people."""
    drawn = ideogram(class_name)
    if class_name in SHORT_ARM_SHARE:
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
            shared = np.minimum(tried.stop, block[1]) - np.maximum(tried.start, block[0])
            allowed[row] = whole | (shared < POLYMORPHIC_SHARE * (tried.stop - tried.start))
    return allowed


def loosened(covariance: NDArray[np.floating]) -> NDArray[np.float32]:
    """Covariances in whose polymorphic places nearly everything is normal."""
    made = np.array(covariance, dtype=np.float32)
    at = (np.arange(TIPS, BINS - TIPS) + 0.5) / BINS
    for row, name in enumerate(CLASS_NAMES):
        block = polymorphic(name)
        if block is not None:
            inside = (at >= block[0] - 1.0 / BINS) & (at <= block[1] + 1.0 / BINS)
            made[row] += np.diag(POLYMORPHIC_VARIANCE * inside).astype(np.float32)
    return made


def _factor(covariance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    lower = np.linalg.cholesky(covariance)
    inverse = solve_triangular(lower, np.eye(len(lower)), lower=True)
    return inverse, np.log(np.diag(lower))


@cache
def load_homologue_statistics() -> HomologueStatistics:
    """The norms that come with the product (``norms.npz`` beside this module)."""
    with resources.files("analysis.parameters").joinpath("files", "homologue-statistics.npz").open("rb") as file:
        table = np.load(file)
        arrays = {
            entry.name: table[entry.name].astype(np.float32)
            for entry in fields(HomologueStatistics)
            if entry.name != "threshold"
        }
        return HomologueStatistics(**arrays, threshold=float(table["threshold"]))

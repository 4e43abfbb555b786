"""Whether a chromosome was cut well enough for its bands to be held against its homologue's.

What differs most between two homologues on a slide is how they lie and how they could be cut: a tip under another
chromosome, a whisker of dirt in the outline, two arms folded together. A comparison takes each for a lost or a
foreign end. Such chromosomes are recognised by their cut before any band is compared, and left out.

Only the cut is assessed. The certainty of the class and the length for it show bad cuts as well, but what lost a
third of its arm is uncertain and short too, and would be left out with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.homologues.reference_statistics import WELL_CUT
from analysis.straightening.band_profile import profiles
from analysis.structures.band_reading import CutDefect
from analysis.structures.class_evidence import ClassScores
from analysis.structures.classes import CLASS_NAMES
from analysis.structures.crop import ChromosomeCrop
from analysis.structures.instance import Instance, SegmentationRoute

GUESSED_ROUTES: Final = frozenset({SegmentationRoute.DETECTOR_BOX, SegmentationRoute.DETECTOR_PALE})
"""Routes whose outline isn't that of stain: the box itself, or whatever is darker than the slide within it."""
_TIP_BINS: Final = 3
"""Bins at each tip that are narrow on every chromosome."""
_BINS: Final = 64


@dataclass(frozen=True, slots=True)
class CutQualitySettings:
    """From which values on a chromosome isn't compared.

    Attributes
    ----------
    hidden_from
        Part of the chromosome beyond its mask, over the root of the median area of the cell: more than the padding
        of a box.
    thick_from
        Mean width over the median of the cell: two arms folded together, or a piece of a neighbour.
    uneven_from
        Spread of the width along the chromosome over its mean: twice that of a well cut one.
    turned_below
        Log odds between both orientations, given the class: less than three to one.
    streaked_from
        Spread of the banding profile over its mean: no band is that dark, a gap or a piece of dirt is.
    least_mean
        Floor of means that are divided by: an empty crop has no width and no stain.
    """

    hidden_from: float = 0.28
    thick_from: float = 1.15
    uneven_from: float = 0.25
    turned_below: float = 1.0
    streaked_from: float = 0.5
    least_mean: float = 1e-3


_SETTINGS: Final = CutQualitySettings()


@dataclass(frozen=True, slots=True)
class CutQuality:
    """What is measured of n chromosomes of one cell.

    Attributes
    ----------
    guessed
        bool, shape (n,): outline by a route of `GUESSED_ROUTES`.
    hidden
        float64, shape (n,): farthest that the extent reaches beyond the mask, over the root of the median area.
    uneven
        float64, shape (n,): spread of the width along the chromosome over its mean.
    thickness
        float64, shape (n,): mean width over the median of the cell.
    streaked
        float64, shape (n,): spread of the banding profile over its mean.
    turned
        float64, shape (n,): log odds of the chosen orientation given the class; infinite where there is no class.
    unsure
        float64, shape (n,), in [0, 1]: what the detector's score leaves to one.
    """

    guessed: NDArray[np.bool_]
    hidden: NDArray[np.float64]
    uneven: NDArray[np.float64]
    thickness: NDArray[np.float64]
    streaked: NDArray[np.float64]
    turned: NDArray[np.float64]
    unsure: NDArray[np.float64]

    @property
    def covariates(self) -> NDArray[np.float64]:
        """Shape (n, `CUT_COVARIATES`): what the scores of normal pairs are regressed on.

        Hidden, uneven, thick, unsure: a normal pair differs the more, the higher any of them is in either.
        """
        return np.stack([self.hidden, self.uneven, np.maximum(self.thickness, 1.0), self.unsure], axis=1)


def measure_cut_quality(
    crops: Sequence[ChromosomeCrop],
    classes: Sequence[str],
    instances: Sequence[Instance],
    class_scores: ClassScores | None = None,
) -> CutQuality:
    """Measure how the chromosomes of a cell were cut.

    Parameters
    ----------
    crops
        Straightened chromosomes.
    classes
        Class names.
    instances
        The same chromosomes as they were cut.
    class_scores
        What the classifier thinks of each; without it every orientation counts as certain.
    """
    if not crops:
        none = np.zeros(0)
        return CutQuality(np.zeros(0, np.bool_), none, none, none, none, none, none)
    kinds = np.array([CLASS_NAMES.index(name) if name in CLASS_NAMES else -1 for name in classes], dtype=np.intp)
    both = profiles(np.stack([crop.image for crop in crops]), _BINS)
    lengths = np.array([max(crop.relative_length, _SETTINGS.least_mean) for crop in crops])
    width = np.array([crop.relative_area for crop in crops]) / lengths
    size_px = np.sqrt(np.median([np.count_nonzero(entry.mask) for entry in instances]))
    # Without a detector's box (a proposal read from a file) the cut counts as a well cut one's.
    beyond = [WELL_CUT[0] * size_px if entry.extent_px is None else _beyond_px(entry) for entry in instances]
    hidden = np.array(beyond) / max(float(size_px), 1.0)
    odds = np.full(len(kinds), np.inf)
    if class_scores is not None:
        odds = np.abs(class_scores.turned_log_odds[np.arange(len(kinds)), kinds]).astype(np.float64)
    return CutQuality(
        np.array([entry.route in GUESSED_ROUTES for entry in instances]),
        hidden,
        _spread(both[:, 1, _TIP_BINS:-_TIP_BINS]),
        width / max(float(np.median(width)), _SETTINGS.least_mean),
        _spread(both[:, 0, _TIP_BINS:-_TIP_BINS]),
        np.where(kinds >= 0, odds, np.inf),
        np.array([WELL_CUT[3] if entry.extent_px is None else 1.0 - entry.score for entry in instances]),
    )


def cut_defects(quality: CutQuality) -> tuple[CutDefect | None, ...]:
    """Give for each chromosome why it isn't compared; None where it is."""
    tests = (
        (CutDefect.GUESSED, quality.guessed),
        (CutDefect.HIDDEN, quality.hidden > _SETTINGS.hidden_from),
        (CutDefect.THICK, quality.thickness > _SETTINGS.thick_from),
        (CutDefect.UNEVEN, quality.uneven > _SETTINGS.uneven_from),
        (CutDefect.STREAKED, quality.streaked > _SETTINGS.streaked_from),
        (CutDefect.TURNED, quality.turned < _SETTINGS.turned_below),
    )
    return tuple(
        next((defect for defect, holds in tests if holds[row]), None) for row in range(len(quality.guessed))
    )


def _beyond_px(instance: Instance) -> float:
    """Farthest that the extent reaches beyond the mask's box."""
    box, extent = np.asarray(instance.box_px, np.float64), np.asarray(instance.extent_px, np.float64)
    return float(max(0.0, np.max((box - extent) * np.array([1.0, 1.0, -1.0, -1.0]))))


def _spread(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Standard deviation of each row over its mean."""
    return np.asarray(values.std(axis=1) / np.maximum(values.mean(axis=1), _SETTINGS.least_mean), dtype=np.float64)

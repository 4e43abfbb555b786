"""How likely it is that a whole cell is right: every chromosome cut as one, none missed, each of its class.

Chromosomes that are each right in 99 of 100 cases make a cell that is right in 63 of 100, were they independent;
and a chromosome that was missed has no probability at all. So the cell is asked for as a whole, by signs that tell
of cuts and of what was left out as well: how likely each pile is explained as it stands, and how likely the least
certain one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import PARAMETERS_FOLDER, load_parameters
from analysis.selection.alternatives import PileAlternatives
from analysis.structures.assignment import Assignment
from analysis.structures.classes import UNCLASSIFIED

SIGNS: Final = (
    "constant",
    "class uncertainty",
    "least certain class",
    "pile uncertainty",
    "least certain pile",
    "least certain object",
    "best left out",
    "deviations",
    "without class",
)
_UNCERTAINTY_UNIT: Final = 0.1
"""Sum of negative log probabilities that counts as one: small sums are then told apart as well as large ones."""
_LEAST_PROBABILITY: Final = 1e-6
_GREATEST_LOG_ODDS: Final = 50.0
"""Bounds that keep logarithms and exponentials finite."""


@dataclass(frozen=True, slots=True)
class CellConfidence:
    """Weights of the signs: the parameter set ``cell-confidence``.

    Attributes
    ----------
    weights
        float64, shape (signs,): of a logistic regression.
    """

    weights: NDArray[np.float64]

    def of(self, signs: NDArray[np.float64]) -> float:
        """Probability in [0, 1] that the cell is right as it stands, from signs of shape (signs,)."""
        return float(1.0 / (1.0 + np.exp(-np.clip(signs @ self.weights, -_GREATEST_LOG_ODDS, _GREATEST_LOG_ODDS))))


def cell_signs(
    assignment: Assignment,
    object_scores: NDArray[np.floating],
    left_out_scores: Sequence[float],
    piles: Sequence[PileAlternatives] = (),
) -> NDArray[np.float64]:
    """Measure a cell.

    Parameters
    ----------
    assignment
        Classes of its n objects, and how likely each is right.
    object_scores
        Shape (n,), in [0, 1]: what the detector thinks of each object.
    left_out_scores
        The same of what was proposed besides.
    piles
        Other explanations of its piles.

    Returns
    -------
    NDArray[np.float64]
        Shape (signs,), as `SIGNS`: the uncertainty of all classes together, as a logarithm, and of the least
        certain one; the same of the piles; the least score; the best score left out; chromosomes beyond and short
        of two of each autosome and two of X and Y together; objects without a class.
    """
    named = np.asarray([name != UNCLASSIFIED for name in assignment.classes], np.bool_)
    classes = -np.log(np.clip(np.asarray(assignment.probability, np.float64)[named], _LEAST_PROBABILITY, 1.0))
    cuts = -np.log(np.clip([pile.probability for pile in piles], _LEAST_PROBABILITY, 1.0))
    counts = Counter(name for name in assignment.classes if name != UNCLASSIFIED)
    odd = sum(abs(counts[str(number)] - 2) for number in range(1, 23)) + abs(counts["X"] + counts["Y"] - 2)
    return np.asarray(
        [
            1.0,
            *(
                float(np.log1p(value / _UNCERTAINTY_UNIT))
                for value in (classes.sum(), classes.max(initial=0.0), cuts.sum(), cuts.max(initial=0.0))
            ),
            float(np.min(object_scores)) if len(object_scores) else 0.0,
            max(left_out_scores, default=0.0),
            float(odd),
            float(np.count_nonzero(~named)),
        ]
    )


def confidence_of_cell(
    assignment: Assignment,
    object_scores: NDArray[np.floating],
    left_out_scores: Sequence[float],
    piles: Sequence[PileAlternatives],
) -> float:
    """Probability that all of a cell is right, in [0, 1], by the product's weights.

    Parameters
    ----------
    assignment
        Classes of its n objects.
    object_scores
        Shape (n,), in [0, 1]: what the detector thinks of each object.
    left_out_scores
        The same of what was proposed besides.
    piles
        Other explanations of its piles.
    """
    return load_confidence().of(cell_signs(assignment, object_scores, left_out_scores, piles))


@cache
def load_confidence(folder: Path = PARAMETERS_FOLDER) -> CellConfidence:
    """The weights that come with the product, or those of another folder.

    Raises
    ------
    WeightsError
        Where they are missing, damaged or of other signs than this version has.
    """
    return CellConfidence(
        load_parameters(ParameterSetName.CELL_CONFIDENCE, folder).array("weights", columns=SIGNS)
    )

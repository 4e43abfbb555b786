"""How likely it is that a whole cell is right: every chromosome cut as one, none missed, each of its class.

Chromosomes that are each right in 99 of 100 cases make a cell that is right in 63 of 100, were they independent;
and a chromosome nobody found has no probability at all. So the cell is asked for as a whole, by signs that tell of
cuts and of what was left out as well.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import WeightsError
from analysis.structures.classes import UNCLASSIFIED

SIGNS: Final = ("constant", "doubt", "least sure object", "best left out", "deviations")
_WEIGHTS_FILE: Final = "cell-confidence.json"
_DOUBT_UNIT: Final = 0.1


@dataclass(frozen=True, slots=True)
class CellConfidence:
    """Weights of the signs, fitted on the validation split.

    Attributes
    ----------
    weights
        float64, shape (signs,): of a logistic regression.
    """

    weights: NDArray[np.float64]

    def of(self, signs: NDArray[np.float64]) -> float:
        """Probability that the cell is right as it stands, in [0, 1]."""
        return float(1.0 / (1.0 + np.exp(-np.clip(signs @ self.weights, -50.0, 50.0))))


def cell_signs(
    classes: Sequence[str],
    probability: NDArray[np.floating],
    object_scores: NDArray[np.floating],
    left_out_scores: Sequence[float],
) -> NDArray[np.float64]:
    """Measure a cell.

    Parameters
    ----------
    classes
        Class of every object, "?" where none is claimed.
    probability
        Shape (n,): that the class is right, given the cell.
    object_scores
        Shape (n,), in [0, 1]: what the detector thinks of each object.
    left_out_scores
        The same of what was proposed besides.

    Returns
    -------
    NDArray[np.float64]
        Shape (signs,), as `SIGNS`: the objects' doubts together, as a logarithm; the least score; the best score
        left out; chromosomes beyond and short of two of each autosome and two of X and Y together.
    """
    named = np.asarray([name != UNCLASSIFIED for name in classes], np.bool_)
    chance = np.clip(np.asarray(probability, np.float64)[named], 1e-6, 1.0)
    doubt = float(np.log1p(-np.log(chance).sum() / _DOUBT_UNIT))
    counts = Counter(name for name in classes if name != UNCLASSIFIED)
    odd = sum(abs(counts[str(number)] - 2) for number in range(1, 23)) + abs(counts["X"] + counts["Y"] - 2)
    least = float(np.min(object_scores)) if len(object_scores) else 0.0
    return np.asarray([1.0, doubt, least, max(left_out_scores, default=0.0), float(odd)])


def parse_confidence(content: Mapping[str, object]) -> CellConfidence:
    """Read weights as their trainer writes them.

    Raises
    ------
    WeightsError
        Where they are of other signs.
    """
    if content.get("signs") != list(SIGNS):
        raise WeightsError("the weights of a cell's confidence are of other signs than this version has")
    return CellConfidence(np.asarray(content["weights"], np.float64))


@cache
def load_confidence() -> CellConfidence:
    """The weights that come with the product (``confidence.json`` beside this module)."""
    text = resources.files("analysis.parameters").joinpath("files", _WEIGHTS_FILE).read_text(encoding="utf-8")
    return parse_confidence(json.loads(text))

"""How much a piece looks like one chromosome, and a split like a right one.

Both scores are small perceptrons over measures of outline and stain: they take no pixels. They are the
parameter set ``plausibility``. As all measures are in chromosome widths and ratios of stain, they carry over to
other magnifications and stains.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import PARAMETERS_FOLDER, ParameterSet, load_parameters
from analysis.segmentation.contours.features import SINGLE_FEATURES, SPLIT_FEATURES

STANDARD_LIMIT: Final = 5.0
"""Standardised features are kept within this: far outside the data it was fitted to, a score isn't to be trusted
to a slope."""


@dataclass(frozen=True, slots=True)
class Perceptron:
    """One hidden layer of tanh units, one logistic output.

    Attributes
    ----------
    mean, scale
        float64, shape (n_features,): standardisation.
    hidden, hidden_bias
        float64, shapes (n_hidden, n_features) and (n_hidden,).
    output, output_bias
        float64, shape (n_hidden,), and a number.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    hidden: NDArray[np.float64]
    hidden_bias: NDArray[np.float64]
    output: NDArray[np.float64]
    output_bias: float

    def __call__(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score rows of features, shape (n, n_features): float64 in [0, 1], shape (n,)."""
        standard = np.clip((features - self.mean) / self.scale, -STANDARD_LIMIT, STANDARD_LIMIT)
        logits = np.tanh(standard @ self.hidden.T + self.hidden_bias) @ self.output + self.output_bias
        return np.asarray(1.0 / (1.0 + np.exp(-logits)), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Plausibility:
    """The two scores.

    Attributes
    ----------
    single
        Takes `SINGLE_FEATURES`: chance that a piece is exactly one whole chromosome.
    split
        Takes `SPLIT_FEATURES`: chance that a split cuts between chromosomes and through none.
    """

    single: Perceptron
    split: Perceptron


@cache
def load_plausibility(folder: Path = PARAMETERS_FOLDER) -> Plausibility:
    """The scores that come with the product, or those of another folder.

    Raises
    ------
    WeightsError
        Where they are missing, damaged or were fitted to other features.
    """
    parameters = load_parameters(ParameterSetName.PLAUSIBILITY, folder)
    return Plausibility(
        _perceptron(parameters, "single", SINGLE_FEATURES), _perceptron(parameters, "split", SPLIT_FEATURES)
    )


def _perceptron(parameters: ParameterSet, score: str, features: tuple[str, ...]) -> Perceptron:
    hidden = parameters.array(f"{score}.hidden", columns=features)
    units, inputs = (len(hidden),), (len(features),)
    return Perceptron(
        parameters.array(f"{score}.mean", shape=inputs),
        parameters.array(f"{score}.scale", shape=inputs),
        hidden,
        parameters.array(f"{score}.hidden_bias", shape=units),
        parameters.array(f"{score}.output", shape=units),
        parameters.scalar(f"{score}.output_bias"),
    )

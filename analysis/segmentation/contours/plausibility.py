"""How much a piece looks like one chromosome, and a split like a right one.

Both scores are small perceptrons over measures of outline and stain: no pixel is seen by them. They were fitted
on the train split of the Tseng set (see ``provenance`` in the file beside this module), and as all measures are
in chromosome widths and ratios of stain, they carry over to other magnifications and stains.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import WeightsError
from analysis.parameters.weights import WEIGHTS_DIR
from analysis.segmentation.contours.features import SINGLE_FEATURES, SPLIT_FEATURES

SCORES_PATH: Final = WEIGHTS_DIR / "plausibility.json"

_CLIP: Final = 5.0
"""Standardised features are kept within this: far outside its experience a score isn't to be trusted to a
slope."""


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
        standard = np.clip((features - self.mean) / self.scale, -_CLIP, _CLIP)
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


@lru_cache(maxsize=4)
def load_plausibility(path: Path = SCORES_PATH) -> Plausibility:
    """Read the fitted scores.

    Raises
    ------
    WeightsError
        If the file is missing, damaged or was fitted to other features.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Plausibility(
            _perceptron(content["single"], SINGLE_FEATURES, path),
            _perceptron(content["split"], SPLIT_FEATURES, path),
        )
    except FileNotFoundError as error:
        raise WeightsError("the shape scores are missing", path=path) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError("the shape scores are damaged", path=path) from error


def _perceptron(entry: dict[str, Any], features: tuple[str, ...], path: Path) -> Perceptron:
    if tuple(entry["features"]) != features:
        raise WeightsError("the shape scores were fitted to other measures", path=path)
    hidden = np.asarray(entry["hidden"], np.float64)
    made = Perceptron(
        np.asarray(entry["mean"], np.float64),
        np.asarray(entry["scale"], np.float64),
        hidden,
        np.asarray(entry["hidden_bias"], np.float64),
        np.asarray(entry["output"], np.float64),
        float(entry["output_bias"]),
    )
    if hidden.shape != (made.output.size, len(features)) or made.mean.shape != made.scale.shape != (
        len(features),
    ):
        raise WeightsError("the shape scores are damaged", path=path)
    return made

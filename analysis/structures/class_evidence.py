"""What is measured of the classes of a metaphase's chromosomes, one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.structures.classes import CLASS_NAMES


@dataclass(frozen=True, slots=True)
class ClassScores:
    """The classifier's scores of n crops.

    Attributes
    ----------
    log_prob
        float32, shape (n, 24): log probability of the classes 1..22, X, Y, summed over both polarities, given that
        the object is one chromosome.
    log_none
        float32, shape (n,): log probability that the object is no single chromosome.
    flipped
        bool, shape (n,): True where the short arm points down in the crop.
    polarity_margin
        float32, shape (n,): probability of the chosen polarity less that of the other, in [0, 1].
    turned_log_odds
        float32, shape (n, 24): log odds of "short arm down" given each class.
    """

    log_prob: NDArray[np.float32]
    log_none: NDArray[np.float32]
    flipped: NDArray[np.bool_]
    polarity_margin: NDArray[np.float32]
    turned_log_odds: NDArray[np.float32]

    def flipped_as(self, classes: Sequence[str]) -> NDArray[np.bool_]:
        """Polarity given the classes that were decided on, which may not be the likeliest ones.

        Parameters
        ----------
        classes
            Class names, one an object; "?" keeps the polarity of all classes together.

        Returns
        -------
        NDArray[np.bool_]
            Shape (n,): True where the short arm points down in the crop.
        """
        flipped = self.flipped.copy()
        for row, name in enumerate(classes):
            if name in CLASS_NAMES:
                flipped[row] = self.turned_log_odds[row, CLASS_NAMES.index(name)] > 0
        return flipped

    def __len__(self) -> int:
        return len(self.log_prob)


@dataclass(frozen=True, slots=True)
class ClassEvidence:
    """Class evidence of the objects of a cell, one by one.

    Attributes
    ----------
    log_prob
        float64, shape (n, 24): log probability of the classes, given that it is one chromosome.
    log_none
        float64, shape (n,): log probability that it is no single chromosome; None where that isn't known.
    fused
        Whether more than the classifier has a say.
    """

    log_prob: NDArray[np.float64]
    log_none: NDArray[np.float64] | None
    fused: bool

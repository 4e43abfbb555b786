"""Classes of all chromosomes of one metaphase, assigned jointly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Assignment:
    """Classes of one cell.

    Attributes
    ----------
    classes
        A class name for every object, "?" where none is claimed.
    probability
        float32, shape (n,): calibrated probability that the object is of its class, given its cell; for "?" that
        it is rightly left out.
    hypothesis
        Sex complement that won: "XX", "XY", "X" ...
    margin
        Nats by which the best assignment beats the best one that differs in any class; 0 for an empty cell.
    extra, missing
        Class names beyond, and short of, two autosomes each and the winning sex complement, with repetition.
    possible_markers
        Rows left without a class not because they seemed to be no chromosome, but because no class and no place in
        the cell suits them: a marker chromosome has its place here.
    """

    classes: tuple[str, ...]
    probability: NDArray[np.float32]
    hypothesis: str
    margin: float
    extra: tuple[str, ...]
    missing: tuple[str, ...]
    possible_markers: tuple[int, ...] = ()

"""Fit the prescreen: which proposals that weren't selected may be chromosomes, before they are classified."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.selection.features import compute_proposal_features
from analysis.structures.boxes import match
from analysis.training.fits.ridge import ridge_logistic
from analysis.training.selection.selection_example import SelectionExample

_RIDGE: Final = 10.0
_EVERY: Final = 4
"""One cell in so many: 180 of 719 are plenty for twenty weights."""


def fit_prescreen(examples: Iterable[SelectionExample]) -> NDArray[np.float64]:
    """Fit the weights of the prescreen: float64, shape (features,)."""
    tables, labels = [], []
    for example in islice(examples, 0, None, _EVERY):
        features = compute_proposal_features(example.measurements, example.tight_px, example.stain)
        selected = np.zeros(len(features), np.bool_)
        selected[example.selected] = True
        right = np.zeros(len(features), np.bool_)
        right[[column for _, column in match(example.iou)]] = True
        # What is selected is classified anyway.
        rows = example.embedded[~selected[example.embedded]].astype(np.intp)
        tables.append(features.table(selected, features.measurements.classes, rows))
        labels.append(right[rows].astype(np.float64))
    return ridge_logistic(np.concatenate(tables), np.concatenate(labels), _RIDGE)

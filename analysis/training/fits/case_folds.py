"""Cross-validation over cases: cells of one patient are alike, so that all of them are held out together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def case_folds(cases: Sequence[str], folds: int, *, seed: int) -> NDArray[np.int64]:
    """Deal cases out to folds.

    Parameters
    ----------
    cases
        Case of each of n cells.
    folds
        How many at the most; as many as there are cases where these are fewer.
    seed
        Of the order in which the cases are dealt out.

    Returns
    -------
    NDArray[np.int64]
        Shape (n,): fold of each cell, from 0 on.
    """
    order = np.random.default_rng(seed).permutation(np.unique(np.asarray(cases)))
    fold_of = {case: number % min(folds, len(order)) for number, case in enumerate(order)}
    return np.asarray([fold_of[case] for case in cases], np.int64)

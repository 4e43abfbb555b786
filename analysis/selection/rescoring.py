"""The second pass: the selection revised once its chromosomes were classified one by one.

The first pass has boxes and the detector's classes. Proposals that nearly made it are cut and classified like the
selected ones; then every proposal is scored again by the same features and by classes fused of two nets: a
chromosome halved belongs to no class, and two of them taken for one leave a place empty. Segmentation and
classification decided together do better than one after the other (Schwartzkopf, Bovik and Evans, IEEE TMI 24,
2005).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import PARAMETERS_FOLDER, load_parameters
from analysis.selection.features import FEATURE_NAMES, ProposalFeatures
from analysis.selection.search import improve_selection

_MAX_CHANGES: Final = 40
"""The first pass is nearly right: a cell needs a few changes."""

_MAX_REPLACED: Final = 3
"""Proposals that one may replace at once: a chromosome seldom falls into more pieces."""


@dataclass(frozen=True, slots=True)
class RescoringModel:
    """Weights of the features: the parameter set ``rescoring``.

    Attributes
    ----------
    prescreen_weights
        float64, shape (features,): with the detector's classes; log odds that a proposal is a chromosome.
    rescoring_weights
        The same with classes fused of both nets.
    min_prescreen_log_odds
        From which a proposal that wasn't selected is cut and classified.
    """

    prescreen_weights: NDArray[np.float64]
    rescoring_weights: NDArray[np.float64]
    min_prescreen_log_odds: float

    def prescreen(self, features: ProposalFeatures, selected: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Choose the proposals that are to be classified besides those that are selected.

        Parameters
        ----------
        features
            Of the cell's n proposals.
        selected
            bool, shape (n,): the first pass.

        Returns
        -------
        NDArray[np.intp]
            Their rows, best first.
        """
        odds = features.table(selected, features.measurements.classes) @ self.prescreen_weights
        rows = np.flatnonzero(~selected & (odds > self.min_prescreen_log_odds))
        return rows[np.argsort(-odds[rows], kind="stable")]

    def reselect(
        self, features: ProposalFeatures, selected: NDArray[np.bool_], class_scores: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Revise a selection.

        Parameters
        ----------
        features
            Of the cell's n proposals.
        selected
            bool, shape (n,): the first pass.
        class_scores
            float64, shape (n, 24): probabilities by both nets; rows of NaN for proposals that weren't classified,
            which stay as they are.

        Returns
        -------
        NDArray[np.bool_]
            Shape (n,).
        """
        objective = _Objective(features, class_scores, self.rescoring_weights)
        return improve_selection(objective, selected, max_changes=_MAX_CHANGES)


class _Objective:
    """Sum of the log odds of the selected proposals; those that weren't classified stay as they are."""

    def __init__(
        self, features: ProposalFeatures, class_scores: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> None:
        self._features = features
        self._classes = class_scores
        self._weights = weights
        self._classified: NDArray[np.bool_] = np.asarray(np.isfinite(class_scores).all(axis=1))

    def gains(self, selected: NDArray[np.bool_]) -> NDArray[np.float64]:
        """See `SelectionObjective.gains`."""
        odds = self._features.table(selected, self._classes) @ self._weights
        return np.where(self._classified, np.where(selected, -odds, odds), -np.inf)

    def replacements(self, selected: NDArray[np.bool_]) -> Iterator[tuple[float, NDArray[np.intp]]]:
        """Gains in log odds of taking a proposal in the place of all that compete with it, and their rows.

        One change at a time would never get there: beside its halves a whole looks worse than they do alone.
        """
        features, classified = self._features, self._classified
        rows = np.flatnonzero(classified & ~selected)
        competing = features.competing(rows) & selected
        count = competing.sum(axis=1)
        fit = (count > 0) & (count <= _MAX_REPLACED) & ~(competing & ~classified).any(axis=1)
        rows, competing = rows[fit], competing[fit]
        alone = features.table(selected & ~competing, self._classes, rows) @ self._weights
        for place in np.flatnonzero(alone > 0.0):
            others = np.flatnonzero(competing[place])
            state, gain = selected & ~competing[place], float(alone[place])
            for other in others[::-1]:
                state[other] = True
                gain -= float((features.table(state, self._classes, np.asarray([other])) @ self._weights)[0])
            yield gain, np.append(others, rows[place])


@cache
def load_rescoring_model(folder: Path = PARAMETERS_FOLDER) -> RescoringModel:
    """The model that comes with the product, or that of another folder.

    Raises
    ------
    WeightsError
        Where it is missing, damaged or of other features than this version has.
    """
    parameters = load_parameters(ParameterSetName.RESCORING, folder)
    return RescoringModel(
        parameters.array("prescreen", columns=FEATURE_NAMES),
        parameters.array("rescoring", columns=FEATURE_NAMES),
        parameters.scalar("min_prescreen_log_odds"),
    )

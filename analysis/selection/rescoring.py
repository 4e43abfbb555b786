"""A second look at how a cell was cut, once its chromosomes have been seen one by one.

The first choice among a detector's proposals knows boxes and what the detector thinks of their classes. Proposals
that nearly made it are cut and shown to the classifier like the chosen ones; then every proposal is weighed again,
by the same traits and by classes that two nets have a say in: a chromosome halved belongs to no class, and two of
them taken for one leave a place empty. Segmentation and classification decided together do better than one after
the other (Schwartzkopf, Bovik and Evans, IEEE TMI 24, 2005).
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
from analysis.selection.features import TRAITS, ProposalFeatures

_ROUNDS: Final = 40
_NO_GAIN: Final = 1e-9
_MOST_REPLACED: Final = 3


@dataclass(frozen=True, slots=True)
class RescoringModel:
    """Weights of the traits: the parameter set ``rescoring``.

    Attributes
    ----------
    glance
        float64, shape (traits,): by the detector's classes; log odds that a proposal is a chromosome.
    look
        The same by the classes of both nets.
    worth_a_look
        Log odds at a glance from which a proposal that wasn't chosen is cut and classified.
    """

    glance: NDArray[np.float64]
    look: NDArray[np.float64]
    worth_a_look: float

    def candidates(self, traits: ProposalFeatures, chosen: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Tell which proposals that weren't chosen are worth a look, best first."""
        odds = traits.table(chosen, traits.known.classes) @ self.glance
        rows = np.flatnonzero(~chosen & (odds > self.worth_a_look))
        return rows[np.argsort(-odds[rows], kind="stable")]

    def choose(
        self, traits: ProposalFeatures, chosen: NDArray[np.bool_], classes: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Choose again.

        Parameters
        ----------
        traits
            The cell's proposals, n of them.
        chosen
            Shape (n,): the first choice.
        classes
            Shape (n, 24): probabilities by both nets; rows of NaN for proposals nobody looked at, which stay
            as they are.

        Returns
        -------
        NDArray[np.bool_]
            Shape (n,).
        """
        seen: NDArray[np.bool_] = np.asarray(np.isfinite(classes).all(axis=1))
        now = chosen.copy()
        for _ in range(_ROUNDS):
            odds = traits.table(now, classes) @ self.look
            gain = np.where(seen, np.where(now, -odds, odds), -np.inf)
            best, change = _NO_GAIN, np.zeros(0, np.intp)
            if len(gain) and gain.max() > best:
                best, change = float(gain.max()), np.asarray([gain.argmax()])
            for worth, rows in self._replacing(traits, now, classes, seen):
                if worth > best:
                    best, change = worth, rows
            if not len(change):
                break
            now[change] = ~now[change]
        return now

    def _replacing(
        self,
        traits: ProposalFeatures,
        now: NDArray[np.bool_],
        classes: NDArray[np.float64],
        seen: NDArray[np.bool_],
    ) -> Iterator[tuple[float, NDArray[np.intp]]]:
        """Gains in log odds of taking a proposal in the place of all that stand against it, and their rows.

        One change at a time would never get there: beside its halves a whole looks worse than they do alone.
        """
        rows = np.flatnonzero(seen & ~now)
        against = traits.against(rows) & now
        count = against.sum(axis=1)
        fit = (count > 0) & (count <= _MOST_REPLACED) & ~(against & ~seen).any(axis=1)
        rows, against = rows[fit], against[fit]
        alone = traits.table(now & ~against, classes, rows) @ self.look
        for place in np.flatnonzero(alone > 0.0):
            others = np.flatnonzero(against[place])
            state, worth = now & ~against[place], float(alone[place])
            for other in others[::-1]:
                state[other] = True
                worth -= float((traits.table(state, classes, np.asarray([other])) @ self.look)[0])
            yield worth, np.append(others, rows[place])


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
        parameters.array("glance", columns=TRAITS),
        parameters.array("look", columns=TRAITS),
        parameters.scalar("worth_a_look"),
    )

"""A second look at how a cell was cut, once its chromosomes have been seen one by one.

The first choice among a detector's proposals knows boxes and what the detector thinks of their classes. Proposals
that nearly made it are cut and shown to the classifier like the chosen ones; then every proposal is weighed again,
by the same traits and by classes that two nets have a say in: a chromosome halved belongs to no class, and two of
them taken for one leave a place empty. Segmentation and classification decided together do better than one after
the other (Schwartzkopf, Bovik and Evans, IEEE TMI 24, 2005).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.errors import WeightsError
from analysis.selection.features import TRAITS, ProposalFeatures

_ROUNDS: Final = 40
_NO_GAIN: Final = 1e-9
_MOST_REPLACED: Final = 3
_WEIGHTS_FILE: Final = "rescoring.json"


@dataclass(frozen=True, slots=True)
class RescoringModel:
    """Weights of the traits, fitted on the validation split, where neither net has learned.

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
    worth_a_look: float = -6.0

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


def parse_rescoring_model(content: Mapping[str, object]) -> RescoringModel:
    """Read weights as `write_rescoring_model` writes them.

    Raises
    ------
    WeightsError
        Where they are of other traits.
    """
    if content.get("traits") != list(TRAITS):
        raise WeightsError("the weights of the second look are of other traits than this version has")
    glance, look = (np.asarray(content[name], np.float64) for name in ("glance", "look"))
    return RescoringModel(glance, look, float(str(content["worth_a_look"])))


@cache
def load_rescoring_model() -> RescoringModel:
    """The weights that come with the product (``second_look.json`` beside this module)."""
    text = resources.files("analysis.parameters").joinpath("files", _WEIGHTS_FILE).read_text(encoding="utf-8")
    return parse_rescoring_model(json.loads(text))

"""The second pass: the selection made again once its chromosomes were classified one by one.

The first pass has boxes and the detector's classes. Proposals that nearly made it are cut and classified like the
selected ones; then a net scores what each proposal, each pair of them, and each place of a class is worth for the
whole cell, and one search finds the selection that explains it best. Segmentation and classification decided
together do better than one after the other (Schwartzkopf, Bovik and Evans, IEEE TMI 24, 2005).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.errors import WeightsError
from analysis.nets.selection_net import SelectionEnsemble, SelectionTerms
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import PARAMETERS_FOLDER
from analysis.parameters.weights import fill_net, load_weights, read_manifest
from analysis.selection.energy import SelectionEnergy, empty_energy
from analysis.selection.evidence import ClassifiedProposals
from analysis.selection.features import FEATURE_NAMES, ProposalFeatures
from analysis.selection.inputs import PAIR_INPUTS, PROPOSAL_INPUTS, SelectionInputs, selection_inputs
from analysis.selection.search import improve_selection

INPUT_COLUMNS: Final = {
    "prescreen": list(FEATURE_NAMES),
    "members.0.mean": list(PROPOSAL_INPUTS),
    "members.0.pair_mean": list(PAIR_INPUTS),
}
"""What the numbers of the prescreen and the inputs of the nets stand for, by arrays of the weights."""


@dataclass(frozen=True, slots=True)
class RescoringSettings:
    """How far the second pass reaches.

    Attributes
    ----------
    min_log_odds
        Of the prescreen, from which a proposal that wasn't selected is cut and classified: of 100 true chromosomes
        that the first pass missed, 6 are below.
    most
        Such proposals at the most: each takes 4.5 ms to cut and classify.
    min_certainty
        Of the detector's classes in a cell (`class_certainty`), below which the first pass stands: such pictures
        are unlike those that the nets learned from. Of 859 cells of the Tseng set 12 are below, of 30 pictures of
        other laboratories 27: in those the nets took up to half of the chromosomes away.
    max_changes
        Of the search: the first pass is nearly right, a cell needs a few changes.
    """

    min_log_odds: float = -6.0
    most: int = 48
    min_certainty: float = 0.65
    max_changes: int = 40


RESCORING: Final = RescoringSettings()


@dataclass(frozen=True, slots=True)
class RescoringModel:
    """Scores the proposals of a cell in view of one another: the parameter set ``rescoring``.

    Attributes
    ----------
    ensemble
        The nets, and the weights of the prescreen.
    settings
        How far the second pass reaches.
    """

    ensemble: SelectionEnsemble
    settings: RescoringSettings = RESCORING

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
        return prescreen_rows(features, selected, self.ensemble.prescreen_weights.numpy(), self.settings)

    def energy(
        self,
        features: ProposalFeatures,
        evidence: ClassifiedProposals,
        selected: NDArray[np.bool_],
        factor: float,
    ) -> SelectionEnergy:
        """Score the proposals; those that weren't classified stay as they are.

        Parameters
        ----------
        features
            Of the cell's n proposals.
        evidence
            Of the classified ones.
        selected
            bool, shape (n,): the first pass.
        factor
            Working px a px of the image.
        """
        terms = self.terms(selection_inputs(features, evidence, selected, factor))
        rows, count = evidence.rows, len(features)
        grid = np.ix_(rows, rows)
        energy = empty_energy(count)
        energy.single[rows] = terms.single[0].double().numpy()
        energy.pair[grid] = terms.pair[0].double().numpy()
        energy.free[rows] = True
        energy.competing[grid] = features.competing(rows)[:, rows] & ~np.eye(len(rows), dtype=np.bool_)
        energy.class_probability[rows] = np.exp(evidence.fused)
        third, place = terms.places.double().tolist()
        return SelectionEnergy(
            energy.single, energy.pair, energy.free, energy.competing, energy.class_probability, third, place
        )

    def terms(self, inputs: SelectionInputs) -> SelectionTerms:
        """Terms of one cell, by the mean of the nets; see `SelectionNet`."""
        tensors = [torch.from_numpy(each)[None] for each in (inputs.single, inputs.pair, inputs.near)]
        padding = torch.zeros((1, len(inputs.single)), dtype=torch.bool)
        with torch.inference_mode():
            terms: SelectionTerms = self.ensemble(*tensors, padding)
        return terms

    def reselect(self, energy: SelectionEnergy, selected: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Find the selection that explains the cell best.

        Parameters
        ----------
        energy
            Of the cell's n proposals.
        selected
            bool, shape (n,): where the search starts.
        """
        return improve_selection(energy, selected, max_changes=self.settings.max_changes)


def prescreen_rows(
    features: ProposalFeatures,
    selected: NDArray[np.bool_],
    weights: NDArray[np.float64],
    settings: RescoringSettings = RESCORING,
) -> NDArray[np.intp]:
    """Choose the proposals that are to be classified besides those that are selected, best first.

    Parameters
    ----------
    features
        Of the cell's n proposals.
    selected
        bool, shape (n,): the first pass.
    weights
        Shape (features,): log odds that a proposal is a chromosome, by the features with the detector's classes.
    settings
        From which log odds on, and how many.
    """
    odds = features.table(selected, features.measurements.classes) @ weights
    rows = np.flatnonzero(~selected & (odds > settings.min_log_odds))
    return rows[np.argsort(-odds[rows], kind="stable")][: settings.most]


@cache
def load_rescoring_model(folder: Path = PARAMETERS_FOLDER) -> RescoringModel:
    """The model that comes with the product, or that of another folder.

    Raises
    ------
    WeightsError
        Where it is missing, damaged or of other inputs than this version measures.
    """
    name = ParameterSetName.RESCORING
    manifest = read_manifest(name, folder)
    if manifest.net != SelectionEnsemble.__name__ or manifest.columns != INPUT_COLUMNS:
        raise WeightsError(f"the weights {name.value!r} are of other inputs than are measured", path=folder)
    ensemble = SelectionEnsemble(**manifest.arguments)
    fill_net(ensemble, load_weights(name, folder), name)
    return RescoringModel(ensemble)

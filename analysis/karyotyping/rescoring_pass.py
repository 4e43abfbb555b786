"""The selection of chromosomes made again, once their classes by both nets are there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analysis.classification.classifier import Classifier
from analysis.classification.fusion import FusionWeights
from analysis.karyotyping.scored_metaphase import EmbeddedMetaphase, classify_proposals
from analysis.segmentation.hypotheses import RevisableSegmentation
from analysis.selection.alternatives import pile_alternatives
from analysis.selection.energy import SelectionEnergy
from analysis.selection.initial_selection import class_certainty, load_selection_settings
from analysis.selection.rescoring import RescoringModel


def rescore_metaphase(
    embedded: EmbeddedMetaphase,
    model: RescoringModel,
    classifier: Classifier,
    fusion: FusionWeights,
    domain: str | None,
) -> EmbeddedMetaphase:
    """Select a metaphase's chromosomes again by what both nets score; the same one where they have no say.

    Parameters
    ----------
    embedded
        Segmented by the initial selection.
    model
        How proposals are scored.
    classifier, fusion
        Class evidence of those that pass the prescreen.
    domain
        Banding that the classifier is told, see `classifier_domain`.
    """
    segmentation = embedded.segmentation
    if not isinstance(segmentation, RevisableSegmentation) or not segmentation.rows:
        return embedded
    hypotheses, selected = segmentation.hypotheses, segmentation.selected
    certainty = class_certainty(hypotheses.measurements, load_selection_settings())
    if certainty < model.settings.min_certainty:
        return embedded
    candidates = model.prescreen(hypotheses.features, selected)
    evidence = classify_proposals(embedded, segmentation, candidates, classifier, fusion, domain)
    energy = model.energy(hypotheses.features, evidence, selected, hypotheses.working.factor)
    reselected = model.reselect(energy, selected)
    if np.array_equal(reselected, selected):
        return replace(embedded, segmentation=_rescored(segmentation, energy))
    revised = segmentation.reselect([int(row) for row in np.flatnonzero(reselected)])
    if not revised.instances:
        return embedded
    return embedded.resegmented(_rescored(revised, energy), classifier, domain)


def _rescored(segmentation: RevisableSegmentation, energy: SelectionEnergy) -> RevisableSegmentation:
    alternatives = pile_alternatives(energy, segmentation.selected)
    return replace(segmentation, alternatives=alternatives, rescored=True)

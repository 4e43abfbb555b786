"""The selection of chromosomes made again, once their classes by both nets are there."""

from __future__ import annotations

import numpy as np

from analysis.classification.classifier import Classifier
from analysis.classification.fusion import FusionWeights
from analysis.karyotyping.scored_metaphase import EmbeddedMetaphase, score_alternatives
from analysis.segmentation.hypotheses import RevisableSegmentation
from analysis.selection.rescoring import RescoringModel


def rescore_metaphase(
    embedded: EmbeddedMetaphase,
    model: RescoringModel,
    classifier: Classifier,
    fusion: FusionWeights,
    domain: str | None,
) -> EmbeddedMetaphase:
    """Select a metaphase's chromosomes again by what both nets score; the same one where nothing changes.

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
    features, selected = segmentation.hypotheses.features, segmentation.selected
    candidates = model.prescreen(features, selected)
    if not candidates.size:
        return embedded
    classes = score_alternatives(embedded, segmentation, candidates, classifier, fusion, domain)
    reselected = model.reselect(features, selected, classes)
    if np.array_equal(reselected, selected):
        return embedded
    revised = segmentation.reselect([int(row) for row in np.flatnonzero(reselected)])
    return embedded.resegmented(revised, classifier, domain) if revised.instances else embedded

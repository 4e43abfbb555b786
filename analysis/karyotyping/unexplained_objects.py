"""Objects of a cell that no chromosome explains: uncovered stain, scored by mask net and classifier together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.classification.classifier import Classifier
from analysis.karyotyping.scored_metaphase import EmbeddedMetaphase
from analysis.parameters.names import ParameterSetName
from analysis.parameters.store import PARAMETERS_FOLDER, load_parameters
from analysis.segmentation.hypotheses import RevisableSegmentation
from analysis.segmentation.prompted_cell import PromptedCell
from analysis.segmentation.unexplained_stain import STAIN_MEASURES, UncoveredStain, find_uncovered_stain
from analysis.structures.boxes import box_iou
from analysis.structures.instance import Instance, SegmentationRoute
from analysis.structures.segmentation import UnselectedProposal
from analysis.structures.unexplained import UnexplainedObject

UNEXPLAINED_FEATURES: Final = ("constant", *STAIN_MEASURES, "single chromosome", "class certainty")
"""What the probability of an unexplained object rests on: measures of the stain; log odds, by the classifier, that
it is a single chromosome; probability of its best class."""
_MOST_LOG_ODDS: Final = 8.0
"""Bound of log odds: nets are surer than they are right."""
_SAME_PROPOSAL: Final = 0.3
"""Overlap of boxes from which a proposal is of a chromosome that is withheld."""
_GREATEST_EXPONENT: Final = 50.0
"""Keeps exponentials finite."""
_LEAST_ABSENT: Final = 1e-6
"""Keeps the logarithm of one minus a probability finite."""


@dataclass(frozen=True, slots=True)
class UnexplainedStainModel:
    """How uncovered stain is scored: the parameter set ``unexplained-stain``.

    Attributes
    ----------
    stain_weights, missed_weights
        float64, shape (features,) each, as `UNEXPLAINED_FEATURES`: of logistic regressions of whether it is a
        chromosome's stain at all, and of whether it is a chromosome that was missed.
    listed_from
        Probability of being a chromosome's stain from which it is listed.
    """

    stain_weights: NDArray[np.float64]
    missed_weights: NDArray[np.float64]
    listed_from: float

    def stain_probability(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of being a chromosome's stain, shape (n,), of features, shape (n, features)."""
        return _logistic(features @ self.stain_weights)

    def missed_probability(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of being a missed chromosome, shape (n,), of features, shape (n, features)."""
        return _logistic(features @ self.missed_weights)


def _logistic(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    bounded = np.clip(log_odds, -_GREATEST_EXPONENT, _GREATEST_EXPONENT)
    return np.asarray(1.0 / (1.0 + np.exp(-bounded)), np.float64)


@cache
def load_unexplained_model(folder: Path = PARAMETERS_FOLDER) -> UnexplainedStainModel:
    """The model that comes with the product, or that of another folder.

    Raises
    ------
    WeightsError
        Where it is missing, damaged or of other features than this version has.
    """
    parameters = load_parameters(ParameterSetName.UNEXPLAINED_STAIN, folder)
    return UnexplainedStainModel(
        parameters.array("stain", columns=UNEXPLAINED_FEATURES),
        parameters.array("missed", columns=UNEXPLAINED_FEATURES),
        parameters.scalar("listed_from"),
    )


def prompted_cell_of(segmentation: RevisableSegmentation) -> PromptedCell | None:
    """The metaphase of a segmentation, to prompt the mask net in; None where there is no mask net."""
    hypotheses = segmentation.hypotheses
    masks = hypotheses.masks
    if masks is None:
        return None
    size = (int(hypotheses.size[0]), int(hypotheses.size[1]))
    return PromptedCell(hypotheses.working, hypotheses.mask, masks.predictor, masks.level, size)


@dataclass(frozen=True, slots=True)
class MeasuredStain:
    """Uncovered stain of one cell with its features.

    Attributes
    ----------
    stain
        The n pieces.
    features
        float64, shape (n, features), as `UNEXPLAINED_FEATURES`.
    """

    stain: tuple[UncoveredStain, ...]
    features: NDArray[np.float64]


def measure_unexplained(
    embedded: EmbeddedMetaphase,
    classifier: Classifier,
    domain: str | None,
    left_out: Sequence[UnselectedProposal] | None = None,
) -> MeasuredStain:
    """Find and measure the stain of a metaphase that no chromosome explains.

    Nothing is measured where the segmentation has no mask net, or under fluorescence, of which the classifier
    knows no debris.

    Parameters
    ----------
    embedded
        The metaphase with its chromosomes.
    classifier
        Says whether a piece is a single chromosome.
    domain
        Banding that the classifier is told, see `classifier_domain`.
    left_out
        Proposals that weren't selected; those of the segmentation where it is None.
    """
    segmentation = embedded.segmentation
    nothing = MeasuredStain((), np.zeros((0, len(UNEXPLAINED_FEATURES))))
    if embedded.image.inverted or not isinstance(segmentation, RevisableSegmentation):
        return nothing
    cell = prompted_cell_of(segmentation)
    if cell is None:
        return nothing
    if left_out is None:
        left_out = segmentation.hypotheses.left_out(np.asarray(segmentation.rows, np.intp))
    stain = find_uncovered_stain(cell, segmentation.instances, left_out)
    if not stain:
        return nothing
    instances = [
        Instance(each.placed[0], each.placed[1], 0.0, SegmentationRoute.DETECTOR_MASK_NET) for each in stain
    ]
    _, embeddings = embedded.embed_others(instances, classifier, domain)
    scores = classifier.score_embeddings(embeddings, one_cell=False)
    none = scores.log_none.astype(np.float64)
    single = np.log(np.maximum(-np.expm1(none), np.exp(-_MOST_LOG_ODDS))) - none
    features = np.column_stack(
        [
            np.ones(len(stain)),
            np.stack([each.measures for each in stain]),
            np.clip(single, -_MOST_LOG_ODDS, _MOST_LOG_ODDS),
            np.exp(scores.log_prob.max(axis=1)),
        ]
    )
    return MeasuredStain(tuple(stain), features)


def withhold_chromosomes(
    segmentation: RevisableSegmentation, count: int
) -> tuple[RevisableSegmentation, list[UnselectedProposal]]:
    """Leave chromosomes out of a selection on purpose, to learn what it is like to miss one.

    Parameters
    ----------
    segmentation
        The cell, of more than ``count`` chromosomes.
    count
        So many of them, spread over the selection.

    Returns
    -------
    tuple
        The cell without them, and its proposals left out as if none had been of these chromosomes.
    """
    rows, step = segmentation.rows, len(segmentation.rows) // count
    taken = [row for place, row in enumerate(rows) if place % step == 0][:count]
    lacking = segmentation.reselect([row for row in rows if row not in taken])
    hypotheses = segmentation.hypotheses
    boxes_px = hypotheses.tight_px[taken] / hypotheses.working.factor
    left_out = hypotheses.left_out(np.asarray(lacking.rows, np.intp))
    extents_px = np.asarray([each.extent_px for each in left_out], np.float64).reshape(-1, 4)
    near = np.flatnonzero((box_iou(extents_px, boxes_px) >= _SAME_PROPOSAL).any(axis=1))
    return lacking, [each for number, each in enumerate(left_out) if number not in near]


def find_unexplained(
    embedded: EmbeddedMetaphase,
    classifier: Classifier,
    domain: str | None,
    model: UnexplainedStainModel | None = None,
) -> tuple[UnexplainedObject, ...]:
    """List what no chromosome of a metaphase explains, likeliest first.

    Parameters
    ----------
    embedded, classifier, domain
        See `measure_unexplained`.
    model
        How it is scored; that of the product where it is None.
    """
    chosen = load_unexplained_model() if model is None else model
    measured = measure_unexplained(embedded, classifier, domain)
    stain = chosen.stain_probability(measured.features)
    missed = chosen.missed_probability(measured.features)
    listed = [row for row in np.argsort(-missed, kind="stable") if stain[row] >= chosen.listed_from]
    return tuple(
        UnexplainedObject(
            box_px=measured.stain[row].placed[0],
            mask=measured.stain[row].placed[1],
            reason=measured.stain[row].reason,
            probability=float(missed[row]),
            stain_probability=float(stain[row]),
        )
        for row in listed
    )


def probability_of_none(unexplained: Sequence[UnexplainedObject]) -> float:
    """Probability in [0, 1] that none of the objects is a missed chromosome; those dismissed don't count."""
    absent = [max(1.0 - each.probability, _LEAST_ABSENT) for each in unexplained if not each.dismissed]
    return float(np.prod(absent)) if absent else 1.0

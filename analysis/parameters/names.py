"""Names of the parameter sets that belong to the product."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class ParameterSetName(StrEnum):
    """Every parameter set of the product, by the name of its files."""

    ASSIGNMENT_COSTS = "assignment-costs"
    BANDING_TEMPLATES = "banding-templates"
    CELL_CONFIDENCE = "cell-confidence"
    CLASSIFIER = "classifier"
    CLASSIFIER_CONTEXT = "classifier-context"
    DETECTOR = "detector"
    FINDER = "finder"
    FUSION = "fusion"
    HOMOLOGUE_STATISTICS = "homologue-statistics"
    MASK_COVER = "mask-cover"
    PLAUSIBILITY = "plausibility"
    RESCORING = "rescoring"
    SELECTION = "selection"
    STREAM_BLOBS = "stream-blobs"
    INSTANCE_MASKS = "instance-masks"
    STREAM_MASKS = "stream-masks"
    UNEXPLAINED_STAIN = "unexplained-stain"


_TEXTS: Final = {
    ParameterSetName.ASSIGNMENT_COSTS: (
        "Costs in nats of the joint assignment: an extra and a missing chromosome, an object without a "
        "class, and a sex complement other than XX and XY."
    ),
    ParameterSetName.BANDING_TEMPLATES: (
        "Mean banding profile and length of every class under G, Q, R and DAPI bands, and how likeness to "
        "them turns into odds."
    ),
    ParameterSetName.CELL_CONFIDENCE: (
        "Logistic regression of whether a whole cell is right: every chromosome cut as one, none missed, "
        "each of its class."
    ),
    ParameterSetName.CLASSIFIER: (
        "Classes and polarity of one straightened chromosome, from its picture, its profile and its sizes."
    ),
    ParameterSetName.CLASSIFIER_CONTEXT: "Corrects the scores of all chromosomes of a cell by one another.",
    ParameterSetName.DETECTOR: "Boxes and classes of the chromosomes of a metaphase.",
    ParameterSetName.FINDER: "Whether a crop holds a metaphase, can be analysed, and where its centre is.",
    ParameterSetName.FUSION: (
        "Weights of the classifier's and the detector's log probabilities, log odds that an object is no "
        "single chromosome, and what a nat of an assignment's margin means where chromosomes are given "
        "and where they were detected."
    ),
    ParameterSetName.HOMOLOGUE_STATISTICS: (
        "How normal homologues of one cell differ, class by class: means, covariances, the weights of the "
        "evidence, what the cut does to it, and the score from which a pair is flagged."
    ),
    ParameterSetName.MASK_COVER: "How masks that explain a pile are weighed against one another.",
    ParameterSetName.PLAUSIBILITY: (
        "Two perceptrons over measures of outline and stain: whether a piece is exactly one chromosome "
        "(single), and whether a split cuts between chromosomes and through none (split)."
    ),
    ParameterSetName.RESCORING: (
        "Terms of the score of a selection among a cell's proposals, single and of pairs, by attention among "
        "them, with classes of detector and classifier; which proposals are classified."
    ),
    ParameterSetName.SELECTION: "How a cell's proposals are weighed by the initial selection.",
    ParameterSetName.STREAM_BLOBS: "What a piece of stain is: chromosomes alone, more than one of them, or noise.",
    ParameterSetName.INSTANCE_MASKS: (
        "Amodal mask of one chromosome at the picture's own resolution, asked for by a box or a stroke."
    ),
    ParameterSetName.STREAM_MASKS: "Amodal mask of one chromosome, asked for by a box or a point.",
    ParameterSetName.UNEXPLAINED_STAIN: (
        "Logistic regression of whether stain that lies in no mask is a chromosome that was missed, or a part "
        "of one; probability from which it is listed."
    ),
}

DESCRIPTIONS: Final[Mapping[str, str]] = MappingProxyType({name.value: text for name, text in _TEXTS.items()})
"""What the numbers of each set are and what they decide, by name."""

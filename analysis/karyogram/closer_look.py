"""Proposals of a cell shown to the classifier: those that were chosen, and those that nearly were."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.classification.classes import CLASS_NAMES
from analysis.classification.classifier import Classifier
from analysis.classification.crop import ChromosomeCrop, ObjectPixels, crops_of_cell, cut_instances, scale_of_cell
from analysis.classification.straighten import MedialAxis, medial_axes
from analysis.image import GreyImage
from analysis.karyogram.evidence import FusionWeights, detected_classes, gather_evidence
from analysis.karyogram.second_look import SecondLook
from analysis.segmentation.instance import Segmentation


def seen_classes(
    image: GreyImage,
    segmentation: Segmentation,
    cut: tuple[Sequence[ObjectPixels], Sequence[MedialAxis], Sequence[ChromosomeCrop]],
    others: NDArray[np.intp],
    classifier: Classifier,
    fusion: FusionWeights,
    banding: str | None,
) -> NDArray[np.float64]:
    """Tell the classes of a cell's proposals as both nets see them.

    Parameters
    ----------
    image
        The picture.
    segmentation
        One that has choices.
    cut
        Its chromosomes: pixels, axes and crops.
    others
        Proposals to look at besides.
    classifier, fusion, banding
        See `Karyotyper`.

    Returns
    -------
    NDArray[np.float64]
        Shape (n, 24), n all proposals: probabilities; rows of NaN where nobody looked.
    """
    choices = segmentation.choices
    if choices is None:
        raise ValueError("this segmentation leaves no choice")
    told = np.full((len(choices.cell.found), len(CLASS_NAMES)), np.nan)
    chosen = np.asarray(choices.rows, np.intp)
    made = choices.cell.alternatives(others, chosen)
    rows = [int(row) for row, entry in zip(others, made, strict=True) if entry is not None]
    instances = [entry for entry in made if entry is not None]
    objects = cut_instances(image, segmentation.background, instances)
    axes = medial_axes([piece.mask for piece in objects])
    scale = scale_of_cell(cut[0], cut[1])
    crops = [*cut[2], *crops_of_cell(objects, axes, scale)]
    scores = classifier.score(crops, banding=banding)
    detected = detected_classes([*segmentation.instances, *instances])
    both = gather_evidence(scores, detected, None, fusion).log_prob
    told[[*choices.rows, *rows]] = np.exp(both)
    return told


def cut_again(
    image: GreyImage,
    segmentation: Segmentation,
    cut: tuple[Sequence[ObjectPixels], Sequence[MedialAxis], Sequence[ChromosomeCrop]],
    weights: SecondLook,
    classifier: Classifier,
    fusion: FusionWeights,
    banding: str | None,
) -> Segmentation:
    """Choose a cell's chromosomes again by what both nets see; the same segmentation where nothing changes.

    Parameters as in `seen_classes`.
    """
    choices = segmentation.choices
    if choices is None:
        return segmentation
    traits = choices.cell.traits
    chosen = np.zeros(len(traits), np.bool_)
    chosen[list(choices.rows)] = True
    others = weights.candidates(traits, chosen)
    if not others.size:
        return segmentation
    classes = seen_classes(image, segmentation, cut, others, classifier, fusion, banding)
    now = weights.choose(traits, chosen, classes)
    if np.array_equal(now, chosen):
        return segmentation
    return choices.recut(segmentation, [int(row) for row in np.flatnonzero(now)])

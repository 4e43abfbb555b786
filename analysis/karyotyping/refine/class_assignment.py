"""Classes of what an edit made, given the rest of the cell; or of all that no person named."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.assignment.joint_assignment import assign
from analysis.classification.classifier import CropEmbeddings
from analysis.classification.fusion import fuse_class_evidence
from analysis.karyotyping.refine.refinable_cell import CellContext
from analysis.structures.class_evidence import ClassEvidence, ClassScores
from analysis.structures.classes import CLASS_NAMES, MARKER, UNCLASSIFIED
from analysis.structures.karyotype import KaryotypedChromosome

_FIXED_NATS: Final = 1e3
"""Log probability of a class that isn't open to the assignment: beyond any price, and finite."""


def assign_classes(
    context: CellContext, chromosomes: Sequence[KaryotypedChromosome], made: Set[int], *, reassign: bool
) -> tuple[KaryotypedChromosome, ...]:
    """Name chromosomes, the classes of the others given.

    Parameters
    ----------
    context
        The cell's.
    chromosomes
        All of the cell, those that were made without a class.
    made
        Ids of those that were made or reshaped: chromosomes by a person's word, of whatever class.
    reassign
        Whether all that no person named are assigned anew.

    Returns
    -------
    tuple of KaryotypedChromosome
        In the same order, straightened; what isn't open keeps its class.
    """
    evidence = context.evidence.of([each.instance for each in chromosomes])
    straightened = [
        replace(each, axis=found.axis, crop=found.crop) for each, found in zip(chromosomes, evidence, strict=True)
    ]
    open_rows = [
        row for row, each in enumerate(straightened) if each.id in made or (reassign and _may_change(each))
    ]
    if not open_rows or not context.proposed.verdict.readable:
        return tuple(straightened)
    scores = context.classifier.score_embeddings(_joined([each.embedding for each in evidence]))
    detector = np.stack([each.detector_log_prob for each in evidence])
    fused = _evidence(context, scores, detector, straightened)
    rows = [
        row
        for row, each in enumerate(straightened)
        if row in open_rows or each.class_name not in (UNCLASSIFIED, MARKER)
    ]
    log_prob, log_none = fused.log_prob[rows], np.full(len(rows), -np.inf)
    for place, row in enumerate(rows):
        if row not in open_rows:
            log_prob[place] = -_FIXED_NATS
            log_prob[place, CLASS_NAMES.index(straightened[row].class_name)] = _FIXED_NATS
        elif straightened[row].id not in made and fused.log_none is not None:
            log_none[place] = fused.log_none[row]
    assignment = assign(log_prob, log_none, context.costs)
    names = [each.class_name for each in straightened]
    for place, row in enumerate(rows):
        names[row] = assignment.classes[place]
    flipped = scores.flipped_as(names)
    for place, row in enumerate(rows):
        if row in open_rows:
            straightened[row] = _named(
                straightened[row],
                names[row],
                float(assignment.probability[place]),
                bool(flipped[row]),
                made=straightened[row].id in made,
            )
    return tuple(straightened)


def _may_change(chromosome: KaryotypedChromosome) -> bool:
    return not chromosome.set_by_person and chromosome.class_name != MARKER


def _named(
    chromosome: KaryotypedChromosome, name: str, probability: float, flipped: bool, *, made: bool
) -> KaryotypedChromosome:
    """A chromosome with its class; the polarity of one that keeps its class is kept, a person may have set it."""
    if not made and name == chromosome.class_name:
        return replace(chromosome, probability=probability)
    return replace(chromosome, class_name=name, probability=probability, flipped=flipped, proposed=None)


def _evidence(
    context: CellContext,
    scores: ClassScores,
    detector: NDArray[np.float64],
    chromosomes: Sequence[KaryotypedChromosome],
) -> ClassEvidence:
    if context.proposed.image.inverted:
        # What is no chromosome was learned on G-bands alone.
        return ClassEvidence(scores.log_prob.astype(np.float64), None, False)
    object_scores = np.array([each.instance.score for each in chromosomes], dtype=np.float64)
    return fuse_class_evidence(scores, detector, object_scores, context.fusion)


def _joined(embeddings: Sequence[CropEmbeddings]) -> CropEmbeddings:
    """Rows put together."""
    first, *others = embeddings
    for other in others:
        first = first.joined(other)
    return first

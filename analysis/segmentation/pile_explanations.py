"""Other explanations of a cell's piles, cut into chromosomes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from analysis.segmentation.hypotheses import RevisableSegmentation
from analysis.selection.alternatives import PileAlternative, PileAlternatives
from analysis.structures.alternatives import Pile, PileExplanation
from analysis.structures.boxes import box_intersections
from analysis.structures.instance import Instance


def explain_piles(segmentation: RevisableSegmentation) -> tuple[Pile, ...]:
    """Cut the other explanations that the selection lists.

    One that leaves the masks as they are is no other explanation, and left out.

    Parameters
    ----------
    segmentation
        A segmentation with the alternatives to its selection.
    """
    piles = (_pile(segmentation, each) for each in segmentation.alternatives)
    return tuple(pile for pile in piles if len(pile.explanations) > 1)


def _pile(segmentation: RevisableSegmentation, alternatives: PileAlternatives) -> Pile:
    own = dict(zip(segmentation.rows, segmentation.instances, strict=True))
    proposed = tuple(_alone(own[row]) for row in alternatives.rows if row in own)
    explanations = [PileExplanation(alternatives.probability, proposed)]
    for alternative in alternatives.alternatives:
        instances = _cut(segmentation, alternatives, alternative)
        if not any(_same(instances, each.instances) for each in explanations):
            explanations.append(PileExplanation(alternative.probability, instances))
    return Pile(tuple(explanations))


def _cut(
    segmentation: RevisableSegmentation, pile: PileAlternatives, alternative: PileAlternative
) -> tuple[Instance, ...]:
    """The chromosomes of a pile by another selection; stain is shared out with its neighbours."""
    hypotheses = segmentation.hypotheses
    members = (set(pile.rows) - set(alternative.rows_out)) | set(alternative.rows_in)
    beside = set(segmentation.rows) - set(alternative.rows_out)
    scores = hypotheses.proposals.score
    selected = np.asarray(sorted(members | beside, key=lambda row: -scores[row]), np.intp)
    if len(selected) == 0:
        return ()
    segmented = hypotheses.cut(selected, _near(hypotheses.tight_px[selected], np.isin(selected, [*members])))
    return tuple(
        _alone(instance)
        for row, instance in zip(segmented.rows, segmented.instances, strict=True)
        if row in members
    )


def _near(tight_px: NDArray[np.float32], is_member: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Places of a pile's boxes, and of those that stain is shared with: they meet the pile's."""
    if not is_member.any():
        return np.zeros(0, np.intp)
    return np.flatnonzero(is_member | (box_intersections(tight_px, tight_px[is_member]) > 0.0).any(axis=1))


def _alone(instance: Instance) -> Instance:
    """An instance without its neighbours, whose numbers are another selection's."""
    return replace(instance, overlaps=())


def _same(first: tuple[Instance, ...], second: tuple[Instance, ...]) -> bool:
    def masks(instances: tuple[Instance, ...]) -> set[tuple[tuple[int, int, int, int], bytes]]:
        return {(each.box_px, each.mask.tobytes()) for each in instances}

    return masks(first) == masks(second)

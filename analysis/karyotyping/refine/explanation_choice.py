"""Another explanation of a pile taken in the place of the present one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.errors import NoSuchObjectError
from analysis.karyotyping.refine.picture_masks import union
from analysis.karyotyping.refine.settings import REFINE, RefineSettings
from analysis.structures.alternatives import Pile
from analysis.structures.instance import Instance
from analysis.structures.karyotype import KaryotypedChromosome

OPERATION = "choose_explanation"


@dataclass(frozen=True, slots=True)
class ExplanationChange:
    """What becomes of a cell's chromosomes where another explanation of a pile is taken.

    Attributes
    ----------
    removed
        Ids of chromosomes that it hasn't.
    added
        Its chromosomes that the cell hasn't.
    """

    removed: tuple[int, ...]
    added: tuple[Instance, ...]


def choose_explanation(
    piles: Sequence[Pile],
    pile: int,
    explanation: int,
    chromosomes: Sequence[KaryotypedChromosome],
    size: tuple[int, int],
    settings: RefineSettings = REFINE,
) -> ExplanationChange:
    """Take an explanation of a pile.

    Parameters
    ----------
    piles
        The piles of the proposal.
    pile, explanation
        Places in their lists.
    chromosomes
        The cell as it is: what lies in the pile by now, edited or not, makes room.
    size
        (height, width) of the image.
    settings
        When a chromosome lies in a pile.

    Raises
    ------
    NoSuchObjectError
        There is no such pile, or it has no such explanation.
    """
    if pile >= len(piles):
        raise NoSuchObjectError(OPERATION, f"there is no pile {pile}; the proposal has {len(piles)}")
    explanations = piles[pile].explanations
    if explanation >= len(explanations):
        raise NoSuchObjectError(OPERATION, f"pile {pile} has {len(explanations)} explanations, from 0 on")
    whole = union([(each.box_px, each.mask) for one in explanations for each in one.instances], size)
    present = []
    for each in chromosomes:
        x0, y0, x1, y1 = each.instance.box_px
        mask = each.instance.mask
        if np.count_nonzero(whole[y0:y1, x0:x1] & mask) > settings.pile_part * np.count_nonzero(mask):
            present.append(each)
    wanted = explanations[explanation].instances
    added = tuple(one for one in wanted if not any(same_mask(one, each.instance) for each in present))
    removed = tuple(each.id for each in present if not any(same_mask(each.instance, one) for one in wanted))
    return ExplanationChange(removed, added)


def same_mask(first: Instance, second: Instance) -> bool:
    """Whether two instances have the same pixels."""
    return first.box_px == second.box_px and bool(np.array_equal(first.mask, second.mask))

"""Stain that no chromosome of a cell explains: where a person looks for what was missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.structures.instance import Instance

_EXPLAINED_PART: Final = 0.5
"""Part of an object within one chromosome from which that chromosome explains it."""


class UnexplainedReason(StrEnum):
    """Why an object is listed as unexplained."""

    FREE_STAIN = "free stain"
    """Stain of chromosome-like size that lies apart from every mask."""
    ADJOINING_STAIN = "adjoining stain"
    """Stain of chromosome-like size that lies in no mask and touches one: it may be a chromosome of its own, or
    the part of its neighbour that the neighbour's mask lacks."""


@dataclass(frozen=True, slots=True)
class UnexplainedObject:
    """An object that is dark and of chromosome-like size, and lies in no mask.

    Attributes
    ----------
    box_px
        (xmin, ymin, xmax, ymax) in image px, half open: ``mask.shape == (ymax - ymin, xmax - xmin)``.
    mask
        bool: the mask that the object would have as a chromosome.
    reason
        Why it is listed.
    probability
        In [0, 1]: that it is a chromosome that was missed.
    stain_probability
        In [0, 1]: that it is a chromosome's stain at all: one that was missed, or a part that a mask lacks.
    dismissed
        Whether a person said that it is no chromosome.
    """

    box_px: tuple[int, int, int, int]
    mask: NDArray[np.bool_]
    reason: UnexplainedReason
    probability: float
    stain_probability: float
    dismissed: bool = False


def open_unexplained(
    unexplained: Sequence[UnexplainedObject], instances: Sequence[Instance]
) -> tuple[UnexplainedObject, ...]:
    """Objects that are unexplained still: neither dismissed, nor mostly within a chromosome by now.

    Parameters
    ----------
    unexplained
        As the software proposed them.
    instances
        The chromosomes of the cell as they are.
    """
    return tuple(
        each
        for each in unexplained
        if not each.dismissed and not any(_explains(instance, each) for instance in instances)
    )


def _explains(instance: Instance, unexplained: UnexplainedObject) -> bool:
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = instance.box_px, unexplained.box_px
    x0, y0, x1, y1 = max(ax0, bx0), max(ay0, by0), min(ax1, bx1), min(ay1, by1)
    if x1 <= x0 or y1 <= y0:
        return False
    ours = instance.mask[y0 - ay0 : y1 - ay0, x0 - ax0 : x1 - ax0]
    theirs = unexplained.mask[y0 - by0 : y1 - by0, x0 - bx0 : x1 - bx0]
    shared = int(np.count_nonzero(ours & theirs))
    return shared >= _EXPLAINED_PART * max(int(np.count_nonzero(unexplained.mask)), 1)

"""All chromosomes of one image, and what was set aside."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analysis.structures.instance import Instance


@dataclass(frozen=True, slots=True)
class UnselectedProposal:
    """A proposal that the choice for the whole cell left out: where a person may look for a missed chromosome.

    Attributes
    ----------
    extent_px
        As of an `Instance`.
    score
        In [0, 1].
    class_log_prob
        As of an `Instance`.
    """

    extent_px: tuple[float, float, float, float]
    score: float
    class_log_prob: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Segmentation:
    """All chromosomes of one image, and what was set aside.

    Attributes
    ----------
    instances
        The chromosomes.
    background
        float32, shape (height_px, width_px): grey level of the empty slide under every pixel.
    nuclei
        bool, shape (height_px, width_px): interphase nuclei and other bodies too large to be chromosomes.
    left_out
        What a detector proposed besides, best first.
    """

    instances: tuple[Instance, ...]
    background: NDArray[np.float32]
    nuclei: NDArray[np.bool_]
    left_out: tuple[UnselectedProposal, ...] = ()

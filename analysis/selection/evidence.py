"""What both nets and the masks say of the proposals of a cell that were cut and classified."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ProposalMask:
    """Pixels of a proposal that was cut.

    Attributes
    ----------
    box_px
        (xmin, ymin, xmax, ymax), in image px.
    mask
        bool, shape (ymax - ymin, xmax - xmin).
    """

    box_px: tuple[int, int, int, int]
    mask: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ClassifiedProposals:
    """Evidence on k of a cell's proposals.

    Attributes
    ----------
    rows
        int, shape (k,): which proposals.
    fused
        float64, shape (k, 24): log probabilities of the classes by both nets.
    classifier
        float64, shape (k, 24): by the classifier alone, in view of the others.
    log_none
        float64, shape (k,): the classifier's log probability that it is no single chromosome.
    sizes
        float64, shape (k, 3): natural logarithms of length, area and density of the crop over the cell's medians.
    masks
        Pixels of each.
    """

    rows: NDArray[np.intp]
    fused: NDArray[np.float64]
    classifier: NDArray[np.float64]
    log_none: NDArray[np.float64]
    sizes: NDArray[np.float64]
    masks: tuple[ProposalMask, ...]

    def __len__(self) -> int:
        return len(self.rows)

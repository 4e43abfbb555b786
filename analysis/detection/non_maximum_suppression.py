"""Non-maximum suppression of box proposals."""

from __future__ import annotations

import numpy as np

from analysis.structures.box_proposals import BoxProposals


def suppress_overlapping(proposals: BoxProposals, *, iou: float) -> BoxProposals:
    """Keep the best of proposals that overlap (greedy non-maximum suppression).

    Parameters
    ----------
    proposals
        Best first.
    iou
        Intersection over union, in [0, 1], above which the lower score is dropped.
    """
    low = proposals.boxes_px[:, :2]
    high = proposals.boxes_px[:, 2:]
    areas = (high - low).prod(axis=1)
    alive = np.ones(len(proposals), np.bool_)
    kept = []
    for row in range(len(proposals)):
        if not alive[row]:
            continue
        kept.append(row)
        size = np.clip(np.minimum(high, high[row]) - np.maximum(low, low[row]), 0.0, None)
        shared = size.prod(axis=1)
        alive &= shared <= iou * (areas + areas[row] - shared)
    return proposals.take(np.asarray(kept, np.intp))

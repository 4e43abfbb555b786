"""Measurements of a cell's proposals on which both passes of the selection rest."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from analysis.structures.box_proposals import BoxProposals
from analysis.structures.boxes import box_iou


@dataclass(frozen=True, slots=True)
class ProposalMeasurements:
    """Measurements of a cell's n proposals.

    Attributes
    ----------
    score
        float64, shape (n,), in [0, 1].
    overlap
        float64, shape (n, n): intersection over union of boxes, 0 on the diagonal.
    classes
        float64, shape (n, 24): probabilities.
    piece
        int64, shape (n,): index of the connected piece of stain that fills most of each box, -1 for none.
    piece_areas
        float64, shape (pieces,), in px.
    """

    score: NDArray[np.float64]
    overlap: NDArray[np.float64]
    classes: NDArray[np.float64]
    piece: NDArray[np.int64]
    piece_areas: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.score)


def measure_proposals(
    proposals: BoxProposals, tight_px: NDArray[np.float32], mask: NDArray[np.bool_]
) -> ProposalMeasurements:
    """Measure the proposals of a cell.

    Parameters
    ----------
    proposals
        Of one cell, best first.
    tight_px
        float32, shape (n, 4): their close-fitting boxes, in px of the mask.
    mask
        bool, shape (h, w): stained pixels outside nuclei.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    piece = np.full(len(proposals), -1, np.int64)
    for number, box in enumerate(tight_px):
        x0, y0, x1, y1 = (max(0, round(float(value))) for value in box)
        counts = np.bincount(labels[y0:y1, x0:x1].ravel(), minlength=1)
        counts[0] = 0
        if counts.max() > 0:
            piece[number] = int(counts.argmax()) - 1
    overlap = box_iou(proposals.boxes_px, proposals.boxes_px)
    np.fill_diagonal(overlap, 0.0)
    return ProposalMeasurements(
        proposals.score.astype(np.float64),
        overlap,
        proposals.class_probability.astype(np.float64),
        piece,
        stats[1:count, cv2.CC_STAT_AREA].astype(np.float64),
    )

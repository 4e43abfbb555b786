"""Inputs of the selection net: a row for each classified proposal, and one for each pair of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.selection.evidence import ClassifiedProposals, ProposalMask
from analysis.selection.features import FEATURE_NAMES, ProposalFeatures
from analysis.selection.initial_selection import RELATIVE_LENGTHS
from analysis.structures.boxes import box_iou
from analysis.structures.classes import CLASS_NAMES

PROPOSAL_INPUTS: Final = (
    *FEATURE_NAMES[1:],
    "selected",
    "no single chromosome",
    "length",
    "area",
    "density",
    "length for its class",
    "area for its class",
    "entropy of both nets",
    "entropy of the classifier",
    "entropy of the detector",
    "agreement of the nets",
    "best class",
    "mask in box",
    "mask of stain",
    "mask beyond left",
    "mask beyond top",
    "mask beyond right",
    "mask beyond bottom",
    "fit of mask and box",
    "selected in piece",
    "piece",
    "certainty of the cell",
    *(f"both nets {name}" for name in CLASS_NAMES),
    *(f"classifier {name}" for name in CLASS_NAMES),
    *(f"detector {name}" for name in CLASS_NAMES),
)
"""Columns of `SelectionInputs.single`."""

PAIR_INPUTS: Final = (
    "overlap",
    "inside",
    "holds",
    "mask inside",
    "mask holds",
    "one piece",
    "one class",
    "distance",
    "other selected",
    "other's score",
)
"""Last axis of `SelectionInputs.pair`."""

_LEAST_PROBABILITY: Final = 1e-9
_MOST_LOG_ODDS: Final = 12.0
_FARTHEST: Final = 3.0
"""Logarithm of the distance over a box's diagonal, beyond which farther says no more."""


@dataclass(frozen=True, slots=True)
class SelectionInputs:
    """Inputs for k classified proposals.

    Attributes
    ----------
    single
        float32, shape (k, inputs), columns as `PROPOSAL_INPUTS`.
    pair
        float32, shape (k, k, pair inputs), last axis as `PAIR_INPUTS`: of the column's proposal beside the row's.
    near
        bool, shape (k, k): pairs whose boxes or masks touch; False on the diagonal.
    """

    single: NDArray[np.float32]
    pair: NDArray[np.float32]
    near: NDArray[np.bool_]


def selection_inputs(
    features: ProposalFeatures, evidence: ClassifiedProposals, selected: NDArray[np.bool_], factor: float
) -> SelectionInputs:
    """Measure the classified proposals of a cell.

    Parameters
    ----------
    features
        Of the cell's n proposals.
    evidence
        Of k of them.
    selected
        bool, shape (n,): the initial selection.
    factor
        Working px a px of the image.
    """
    rows = evidence.rows
    table = np.full((len(features), evidence.fused.shape[1]), np.nan)
    table[rows] = np.exp(evidence.fused)
    conditional = features.table(selected, table, rows)[:, 1:]
    detector = features.measurements.classes[rows]
    classifier, fused = np.exp(evidence.classifier), table[rows]
    log_odds_none = np.clip(
        evidence.log_none - np.log(np.maximum(-np.expm1(evidence.log_none), _LEAST_PROBABILITY)),
        -_MOST_LOG_ODDS,
        _MOST_LOG_ODDS,
    )
    expected = np.log(fused @ RELATIVE_LENGTHS / np.median(RELATIVE_LENGTHS))
    piece = features.measurements.piece
    in_piece = np.asarray([np.count_nonzero(selected & (piece == piece[row])) for row in rows], np.float64)
    single = np.column_stack(
        [
            conditional,
            selected[rows],
            log_odds_none,
            evidence.sizes,
            evidence.sizes[:, 0] - expected,
            evidence.sizes[:, 1] - expected,
            *(_entropy(each) for each in (fused, classifier, detector)),
            (classifier * detector).sum(axis=1),
            fused.max(axis=1, initial=0.0),
            _mask_inputs(features, evidence, factor),
            np.log1p(in_piece),
            piece[rows] >= 0,
            np.full(len(rows), _certainty(features, selected)),
            np.sqrt(fused),
            np.sqrt(classifier),
            np.sqrt(detector),
        ]
    )
    pair, near = _pair_inputs(features, evidence, selected, fused)
    return SelectionInputs(single.astype(np.float32), pair.astype(np.float32), near)


def _entropy(probability: NDArray[np.float64]) -> NDArray[np.float64]:
    clipped = np.clip(probability, _LEAST_PROBABILITY, None)
    return np.asarray(-(clipped * np.log(clipped)).sum(axis=1), np.float64)


def _certainty(features: ProposalFeatures, selected: NDArray[np.bool_]) -> float:
    return float(np.median(features.measurements.classes[selected].max(axis=1))) if selected.any() else 0.0


def _mask_inputs(features: ProposalFeatures, evidence: ClassifiedProposals, factor: float) -> NDArray[np.float64]:
    """How the pixels of each lie in its box: shape (k, 7)."""
    boxes = features.boxes_px[evidence.rows].astype(np.float64)
    mask_boxes = np.asarray([each.box_px for each in evidence.masks], np.float64).reshape(-1, 4) * factor
    areas = np.asarray([np.count_nonzero(each.mask) for each in evidence.masks], np.float64) * factor**2
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)
    beyond = (mask_boxes - boxes) * [-1.0, -1.0, 1.0, 1.0] / np.sqrt(sides.prod(axis=1))[:, None]
    overlap = np.diag(box_iou(boxes, mask_boxes)) if len(boxes) else np.zeros(0)
    stain = np.maximum(features.stain_px[evidence.rows], 1.0)
    return np.column_stack([areas / sides.prod(axis=1), np.clip(areas / stain, 0.0, 3.0), beyond, overlap])


def _pair_inputs(
    features: ProposalFeatures,
    evidence: ClassifiedProposals,
    selected: NDArray[np.bool_],
    fused: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    rows = evidence.rows
    grid = np.ix_(rows, rows)
    overlap, inside = features.measurements.overlap[grid], features.inside[grid]
    mask_inside = _mask_inside(evidence.masks)
    boxes = features.boxes_px[rows].astype(np.float64)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2.0
    diagonal = np.maximum(np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1), 1.0)
    apart = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    piece = features.measurements.piece[rows]
    score = features.measurements.score[rows]
    count = len(rows)
    pair = np.stack(
        [
            overlap,
            inside,
            inside.T,
            mask_inside,
            mask_inside.T,
            (piece[:, None] == piece[None]) & (piece >= 0)[:, None],
            fused @ fused.T,
            np.minimum(np.log1p(apart / diagonal[:, None]), _FARTHEST),
            np.broadcast_to(selected[rows], (count, count)),
            np.broadcast_to(score, (count, count)),
        ],
        axis=2,
    )
    near = (inside > 0.0) | (inside.T > 0.0) | (mask_inside > 0.0)
    np.fill_diagonal(near, False)
    return pair, near


def _mask_inside(masks: tuple[ProposalMask, ...]) -> NDArray[np.float64]:
    """Fraction of the row's mask within the column's: shape (k, k), 0 on the diagonal."""
    count = len(masks)
    inside = np.zeros((count, count))
    boxes = np.asarray([each.box_px for each in masks], np.int64).reshape(-1, 4)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    areas = [max(1, int(np.count_nonzero(each.mask))) for each in masks]
    for first, second in np.argwhere(np.triu((high > low).all(axis=2), 1)):
        (x0, y0), (x1, y1) = low[first, second], high[first, second]
        parts = []
        for place in (first, second):
            left, top = boxes[place, :2]
            parts.append(masks[place].mask[y0 - top : y1 - top, x0 - left : x1 - left])
        common = int(np.count_nonzero(parts[0] & parts[1]))
        inside[first, second], inside[second, first] = common / areas[first], common / areas[second]
    return inside

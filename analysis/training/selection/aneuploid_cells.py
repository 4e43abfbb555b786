"""Cells with a chromosome more or less, made of labelled ones: a net fitted to normal cells learns to want 46.

A chromosome that lies alone is taken out of a cell with all that touches it, or one of another cell is put beside
the others: its evidence is that of a true chromosome, whatever the cell holds of its class. A net that learns from
as many such cells as real ones believes the evidence of a third chromosome, and fills no place with debris.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.classification.classifier import CropEmbeddings
from analysis.selection.evidence import ClassifiedProposals
from analysis.selection.features import class_places
from analysis.selection.inputs import PAIR_INPUTS, PROPOSAL_INPUTS, SelectionInputs
from analysis.training.selection.prepared import PreparedCell

_ADDED_FRACTION: Final = 0.5
"""Of the made cells that get a chromosome; the others lose one."""

_DISTANCES: Final = (0.8, 2.5)
"""Logarithms of one plus the distance over a box's diagonal: how far from others a chromosome is put."""


def aneuploid_cell(cell: PreparedCell, donors: Sequence[PreparedCell], rng: np.random.Generator) -> PreparedCell:
    """Make a cell with a chromosome more or less; the cell itself where none lies alone.

    Parameters
    ----------
    cell
        A labelled cell.
    donors
        Cells that a chromosome may be taken from.
    rng
        Of the choice.
    """
    if rng.random() < _ADDED_FRACTION:
        donor = donors[int(rng.integers(len(donors)))]
        alone = _alone(donor)
        return _with_chromosome(cell, donor, int(rng.choice(alone)), rng) if len(alone) else cell
    alone = _alone(cell)
    return _without_chromosome(cell, int(rng.choice(alone))) if len(alone) else cell


def _alone(cell: PreparedCell) -> NDArray[np.intp]:
    """True chromosomes that are selected and touch no other true one."""
    near = cell.inputs.near & cell.true[None, :]
    return np.flatnonzero(cell.true & cell.initial & ~near.any(axis=1))


def _without_chromosome(cell: PreparedCell, row: int) -> PreparedCell:
    """Take a chromosome out, and all proposals that touch it."""
    kept = ~cell.inputs.near[row]
    kept[row] = False
    true = int(cell.iou[:, row].argmax())
    rest = np.arange(len(cell.iou)) != true
    rows = np.flatnonzero(kept)
    return _with_places(
        replace(
            cell,
            true_classes=tuple(name for name, stays in zip(cell.true_classes, rest, strict=True) if stays),
            inputs=SelectionInputs(
                cell.inputs.single[rows],
                cell.inputs.pair[np.ix_(rows, rows)],
                cell.inputs.near[np.ix_(rows, rows)],
            ),
            competing=cell.competing[np.ix_(rows, rows)],
            class_probability=cell.class_probability[rows],
            initial=cell.initial[rows],
            true=cell.true[rows],
            evidence=_taken(cell.evidence, rows),
            scores=cell.scores[rows],
            areas_px=cell.areas_px[rows],
            embeddings=cell.embeddings.take(rows.tolist()),
            detector=cell.detector[rows],
            iou=cell.iou[np.ix_(rest, rows)],
        )
    )


def _with_chromosome(cell: PreparedCell, donor: PreparedCell, row: int, rng: np.random.Generator) -> PreparedCell:
    """Put a chromosome of another cell beside those of a cell."""
    count = len(cell.initial)
    true = int(donor.iou[:, row].argmax())
    pair = np.zeros((count + 1, count + 1, len(PAIR_INPUTS)), np.float32)
    pair[:count, :count] = cell.inputs.pair
    column = {name: place for place, name in enumerate(PAIR_INPUTS)}
    alike = cell.class_probability @ donor.class_probability[row]
    apart = rng.uniform(*_DISTANCES, count)
    for one, other in ((count, slice(0, count)), (slice(0, count), count)):
        pair[one, other, column["one class"]] = alike
        pair[one, other, column["distance"]] = apart
    pair[:, count, column["other selected"]] = 1.0
    pair[:, count, column["other's score"]] = donor.scores[row]
    pair[count, :count, column["other selected"]] = cell.initial
    pair[count, :count, column["other's score"]] = cell.scores
    embeddings: CropEmbeddings = cell.embeddings.joined(donor.embeddings.take([row]))
    iou = np.zeros((len(cell.iou) + 1, count + 1))
    iou[:-1, :-1], iou[-1, -1] = cell.iou, donor.iou[true, row]
    return _with_places(
        replace(
            cell,
            true_classes=(*cell.true_classes, donor.true_classes[true]),
            inputs=SelectionInputs(
                np.vstack([cell.inputs.single, donor.inputs.single[row]]),
                pair,
                np.pad(cell.inputs.near, ((0, 1), (0, 1))),
            ),
            competing=np.pad(cell.competing, ((0, 1), (0, 1))),
            class_probability=np.vstack([cell.class_probability, donor.class_probability[row]]),
            initial=np.append(cell.initial, True),
            true=np.append(cell.true, True),
            evidence=_joined(cell.evidence, _taken(donor.evidence, np.asarray([row]))),
            scores=np.append(cell.scores, donor.scores[row]),
            areas_px=np.append(cell.areas_px, donor.areas_px[row]),
            embeddings=embeddings,
            detector=np.vstack([cell.detector, donor.detector[row]]),
            iou=iou,
        )
    )


def _with_places(cell: PreparedCell) -> PreparedCell:
    """Measure anew what depends on which classes the cell holds."""
    single = cell.inputs.single.copy()
    rows = np.arange(len(single))
    selected = np.broadcast_to(cell.initial, (len(rows), len(rows)))
    third, fills = class_places(cell.class_probability, selected, rows)
    single[:, PROPOSAL_INPUTS.index("third of class")] = third
    single[:, PROPOSAL_INPUTS.index("fills a place")] = fills
    return replace(cell, inputs=replace(cell.inputs, single=single))


def _taken(evidence: ClassifiedProposals, rows: NDArray[np.intp]) -> ClassifiedProposals:
    return ClassifiedProposals(
        evidence.rows[rows],
        evidence.fused[rows],
        evidence.classifier[rows],
        evidence.log_none[rows],
        evidence.sizes[rows],
        tuple(evidence.masks[row] for row in rows),
    )


def _joined(first: ClassifiedProposals, second: ClassifiedProposals) -> ClassifiedProposals:
    return ClassifiedProposals(
        np.concatenate([first.rows, second.rows]),
        np.concatenate([first.fused, second.fused]),
        np.concatenate([first.classifier, second.classifier]),
        np.concatenate([first.log_none, second.log_none]),
        np.concatenate([first.sizes, second.sizes]),
        (*first.masks, *second.masks),
    )

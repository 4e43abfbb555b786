"""Examples made ready for the fit: inputs of the net, and moves between selections with what they change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.classification.classifier import Classifier, CropEmbeddings
from analysis.classification.fusion import FusionWeights, fuse_class_evidence
from analysis.selection.energy import SelectionEnergy, empty_energy
from analysis.selection.evidence import ClassifiedProposals, ProposalMask
from analysis.selection.features import compute_proposal_features
from analysis.selection.inputs import SelectionInputs, selection_inputs
from analysis.selection.rescoring import RESCORING, RescoringSettings, prescreen_rows
from analysis.structures.boxes import MATCH_IOU, match
from analysis.training.selection.selection_example import SelectionExample

MOST_FLIPS: Final = 4
"""Proposals that one move changes at the most."""

_RANDOM_STATES: Final = 4
_RANDOM_FLIPS: Final = 4
"""Selections near the true one from which moves are learned besides, and how many proposals they differ by."""


@dataclass(frozen=True, slots=True)
class Moves:
    """Moves from selections of one cell.

    Attributes
    ----------
    states
        bool, shape (s, k): the selections.
    state
        int64, shape (m,): where each move starts.
    flips
        int64, shape (m, `MOST_FLIPS`): proposals that it changes, -1 for none.
    change
        int64, shape (m,): errors after less errors before.
    """

    states: NDArray[np.bool_]
    state: NDArray[np.int64]
    flips: NDArray[np.int64]
    change: NDArray[np.int64]

    def joined(self, other: Moves) -> Moves:
        """These and others of the same cell."""
        return Moves(
            np.concatenate([self.states, other.states]),
            np.concatenate([self.state, other.state + len(self.states)]),
            np.concatenate([self.flips, other.flips]),
            np.concatenate([self.change, other.change]),
        )


@dataclass(frozen=True)
class PreparedCell:
    """A cell of which k proposals are classified.

    Attributes
    ----------
    name, case
        Image and patient.
    true_classes
        Labelled class names.
    inputs
        Of the net.
    competing
        bool, shape (k, k).
    class_probability
        float64, shape (k, 24): by both nets.
    initial
        bool, shape (k,): the initial selection.
    true
        bool, shape (k,): the best proposal of each true chromosome.
    missed_anyway
        True chromosomes that none of all proposals fits.
    evidence
        Of the k proposals.
    scores
        float64, shape (k,): of the detector.
    areas_px
        float64, shape (k,): of the masks, in image px.
    embeddings
        Of the k crops.
    detector
        float32, shape (k, 24): the detector's log probabilities of the classes.
    iou
        float64, shape (t, k): overlap with the true boxes.
    """

    name: str
    case: str
    true_classes: tuple[str, ...]
    inputs: SelectionInputs
    competing: NDArray[np.bool_]
    class_probability: NDArray[np.float64]
    initial: NDArray[np.bool_]
    true: NDArray[np.bool_]
    missed_anyway: int
    evidence: ClassifiedProposals
    scores: NDArray[np.float64]
    areas_px: NDArray[np.float64]
    embeddings: CropEmbeddings
    detector: NDArray[np.float32]
    iou: NDArray[np.float64]

    def energy(self) -> SelectionEnergy:
        """Energy without terms, by which moves are listed."""
        count = len(self.initial)
        empty = empty_energy(count)
        return SelectionEnergy(
            empty.single, empty.pair, np.ones(count, np.bool_), self.competing, self.class_probability
        )

    @cached_property
    def owners(self) -> tuple[tuple[int, ...], ...]:
        """Rows of the true chromosomes that each proposal stands for (IoU .5)."""
        return tuple(tuple(np.flatnonzero(column).tolist()) for column in (self.iou >= MATCH_IOU).T)

    def outcome(self, selected: NDArray[np.bool_]) -> tuple[int, int]:
        """False and missed chromosomes of a selection: bool, shape (k,)."""
        owners = [self.owners[row] for row in np.flatnonzero(selected)]
        matched = _most_pairs(owners)
        return len(owners) - matched, len(self.true_classes) - matched


def _most_pairs(owners: Sequence[tuple[int, ...]]) -> int:
    """Most pairs of proposals and true chromosomes that fit, one to one, by augmenting paths (Kuhn 1955)."""
    taken: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for true in owners[row]:
            if true not in tried:
                tried.add(true)
                if true not in taken or place(taken[true], tried):
                    taken[true] = row
                    return True
        return False

    return sum(place(row, set()) for row in range(len(owners)) if owners[row])


def prepare_cell(
    example: SelectionExample,
    prescreen_weights: NDArray[np.float64],
    classifier: Classifier,
    fusion: FusionWeights,
    settings: RescoringSettings = RESCORING,
) -> PreparedCell:
    """Classify the proposals of an example as the product does, and measure them.

    Parameters
    ----------
    example
        The cell.
    prescreen_weights
        Shape (features,): which proposals are classified besides the selected ones, see `prescreen_rows`.
    classifier, fusion
        Class evidence.
    settings
        How many are classified.
    """
    features = compute_proposal_features(example.measurements, example.tight_px, example.stain)
    selected = np.zeros(len(features), np.bool_)
    selected[example.selected] = True
    cut = {int(row): place for place, row in enumerate(example.embedded)}
    screened = prescreen_rows(features, selected, prescreen_weights, settings)
    others = [int(row) for row in screened if int(row) in cut]
    rows = np.asarray([*example.selected.tolist(), *others], np.intp)
    places = [cut[int(row)] for row in rows]
    embeddings: CropEmbeddings = example.embeddings.take(places)
    scores = classifier.score_embeddings(embeddings)
    fused = fuse_class_evidence(scores, example.proposals.class_log_prob[rows], None, fusion).log_prob
    evidence = ClassifiedProposals(
        rows=rows,
        fused=fused,
        classifier=scores.log_prob.astype(np.float64),
        log_none=scores.log_none.astype(np.float64),
        sizes=embeddings.features.numpy().astype(np.float64),
        masks=tuple(ProposalMask(*example.masks_px[place]) for place in places),
    )
    iou = example.iou[:, rows]
    true = np.zeros(len(rows), np.bool_)
    true[[column for _, column in match(iou)]] = True
    return PreparedCell(
        name=example.name,
        case=example.case,
        true_classes=example.true_classes,
        inputs=selection_inputs(features, evidence, selected, example.factor),
        competing=features.competing(rows)[:, rows] & ~np.eye(len(rows), dtype=np.bool_),
        class_probability=np.exp(fused),
        initial=selected[rows],
        true=true,
        missed_anyway=len(iou) - len(match(example.iou)),
        evidence=evidence,
        scores=example.proposals.score[rows].astype(np.float64),
        embeddings=embeddings,
        detector=example.proposals.class_log_prob[rows],
        iou=iou,
        areas_px=np.asarray([np.count_nonzero(each.mask) for each in evidence.masks], np.float64),
    )


def moves_of(cell: PreparedCell, rng: np.random.Generator) -> Moves:
    """List moves from the true selection, the initial one and random ones near the true one.

    Parameters
    ----------
    cell
        The cell.
    rng
        Of the random ones.
    """
    states = [cell.true, cell.initial]
    for _ in range(_RANDOM_STATES):
        state = cell.true.copy()
        rows = rng.permutation(len(state))[: 1 + rng.integers(_RANDOM_FLIPS)]
        state[rows] = ~state[rows]
        states.append(state)
    return moves_from(cell, np.stack(states))


def moves_from(cell: PreparedCell, states: NDArray[np.bool_]) -> Moves:
    """List moves from given selections.

    Parameters
    ----------
    cell
        The cell.
    states
        bool, shape (s, k).
    """
    energy = cell.energy()
    starts, flips, change = [], [], []
    for number, state in enumerate(states):
        before = sum(cell.outcome(state))
        for rows in _moves(energy, state):
            after = state.copy()
            after[rows] = ~after[rows]
            starts.append(number)
            flips.append([*rows.tolist(), *([-1] * (MOST_FLIPS - len(rows)))])
            change.append(sum(cell.outcome(after)) - before)
    return Moves(
        states, np.asarray(starts), np.asarray(flips, np.int64).reshape(-1, MOST_FLIPS), np.asarray(change)
    )


def _moves(energy: SelectionEnergy, state: NDArray[np.bool_]) -> Iterator[NDArray[np.intp]]:
    for row in range(len(energy)):
        yield np.asarray([row], np.intp)
    yield from energy.exchanges(state)

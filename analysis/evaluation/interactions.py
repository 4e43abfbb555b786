"""How many edits a reviewer needs to turn a proposal into the truth.

The pieces of the proposal and the true chromosomes form a bipartite graph. A piece that covers k chromosomes
costs k - 1 separations, a chromosome in k pieces k - 1 joins, a missed one is added, a false one deleted; then
chromosomes are moved to their class, two that only changed places by one swap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.evaluation.matching import match, overlap_ratio

COVER_SHARE: Final = 0.7
"""Share of a chromosome within a piece (or of a piece within a chromosome) from which it belongs to it."""


@dataclass(frozen=True, slots=True)
class Interactions:
    """Edits of one cell.

    Attributes
    ----------
    separations, joins, adds, deletes
        Edits of the pieces. Placing what a separation or an add newly made is part of it.
    moves
        Moves to another class; a swap of two counts as one.
    flips
        Chromosomes turned upside down; 0 where the truth doesn't say which way is up. Told apart: neither paper
        counts them among the corrections of separation and class.
    """

    separations: int
    joins: int
    adds: int
    deletes: int
    moves: int
    flips: int = 0

    @property
    def total(self) -> int:
        """All edits but flips."""
        return self.separations + self.joins + self.adds + self.deletes + self.moves


def count_interactions(
    shared: NDArray[np.float64],
    truth_areas: NDArray[np.float64],
    piece_areas: NDArray[np.float64],
    truth_classes: Sequence[str],
    piece_classes: Sequence[str],
    turned: Sequence[bool] | None = None,
) -> Interactions:
    """Count the edits of one cell.

    Parameters
    ----------
    shared
        Shape (n_truth, n_pieces): shared areas, of masks or of boxes.
    truth_areas, piece_areas
        Areas of either side in the same unit.
    truth_classes, piece_classes
        Classes of either side.
    turned
        For every piece, whether it stands upside down when its true chromosome is upright; None: not known.
    """
    truths, pieces = len(truth_areas), len(piece_areas)
    same = np.asarray(truth_classes, dtype=np.str_)[:, None] == np.asarray(piece_classes, dtype=np.str_)[None, :]
    pairs = match(overlap_ratio(shared, truth_areas, piece_areas), preferred=same)
    edges = set(pairs)
    matched_truth = {i for i, _ in pairs}
    matched_piece = {j for _, j in pairs}
    if truths and pieces:
        for i in sorted(set(range(truths)) - matched_truth):
            covered = shared[i] / max(truth_areas[i], 1e-9)
            if covered.max() >= COVER_SHARE:
                edges.add((i, _smallest_covering(covered, piece_areas)))
        for j in sorted(set(range(pieces)) - matched_piece):
            inside = shared[:, j] / max(piece_areas[j], 1e-9)
            if inside.max() >= COVER_SHARE:
                edges.add((int(np.argmax(inside)), j))
    truth_degree = Counter(i for i, _ in edges)
    piece_degree = Counter(j for _, j in edges)
    principals = _principals(pairs, edges, shared)
    return Interactions(
        separations=sum(degree - 1 for degree in piece_degree.values()),
        joins=sum(degree - 1 for degree in truth_degree.values()),
        adds=truths - len(truth_degree),
        deletes=pieces - len(piece_degree),
        moves=_moves(principals, truth_classes, piece_classes),
        flips=0 if turned is None else sum(turned[j] for _, j in principals),
    )


def _smallest_covering(covered: NDArray[np.float64], piece_areas: NDArray[np.float64]) -> int:
    """Choose among the pieces that cover a chromosome the tightest."""
    candidates = np.flatnonzero(covered >= COVER_SHARE)
    return int(candidates[np.argmin(piece_areas[candidates])])


def _principals(
    pairs: list[tuple[int, int]], edges: set[tuple[int, int]], shared: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """Choose for each chromosome the one piece that stays it: its match, else the largest left over."""
    chosen = list(pairs)
    used_truth = {i for i, _ in chosen}
    used_piece = {j for _, j in chosen}
    for i, j in sorted(edges - set(pairs), key=lambda edge: (-shared[edge], edge)):
        if i not in used_truth and j not in used_piece:
            used_truth.add(i)
            used_piece.add(j)
            chosen.append((i, j))
    return chosen


def _moves(principals: list[tuple[int, int]], truth_classes: Sequence[str], piece_classes: Sequence[str]) -> int:
    wrong = Counter(
        (piece_classes[j], truth_classes[i]) for i, j in principals if piece_classes[j] != truth_classes[i]
    )
    swaps = sum(min(count, wrong[(goal, start)]) for (start, goal), count in list(wrong.items()) if start < goal)
    return sum(wrong.values()) - swaps

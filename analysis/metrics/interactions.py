"""How many edits a reviewer needs to turn a proposal into the truth.

The pieces of the proposal and the true chromosomes form a bipartite graph. A piece that covers k chromosomes
costs k - 1 separations, a chromosome in k pieces k - 1 joins, a missed one is added, a false one deleted; then
chromosomes are moved to their class, two that only changed places by one swap.

The white paper of Ikaros gives the fraction of cells that take at most two operations "e.g., adding or deleting a
chromosome or drawing a separation line", under the heading of separation, and interactions for ten cells;
KaryoXpert asks whether every piece is exactly one chromosome. Neither speaks of moves or flips. So edits of the
pieces are counted apart here, and the headline is all edits but flips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.metrics.statistics import bootstrap
from analysis.structures.boxes import match, overlap_ratio
from analysis.structures.classes import UNCLASSIFIED

_LEAST_AREA_PX: Final = 1e-9
"""Bound that keeps ratios of areas finite."""
_CELLS_OF_WHITE_PAPER: Final = 10
"""Ikaros gives interactions for ten cells."""

FEW_INTERACTIONS: Final = 2
"""A proposal that needs no more edits counts as nearly right."""

COVER_FRACTION: Final = 0.7
"""Fraction of a chromosome within a piece (or of a piece within a chromosome) from which it belongs to it."""
_KINDS: Final = ("separations", "joins", "adds", "deletes", "tray", "moves", "swaps", "flips")


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
    swaps
        Those of the moves that make two chromosomes change places.
    tray
        Those of the deletions that concern pieces the proposal itself left without a class: it had put them aside.
    """

    separations: int
    joins: int
    adds: int
    deletes: int
    moves: int
    flips: int = 0
    swaps: int = 0
    tray: int = 0

    @property
    def total(self) -> int:
        """All edits but flips."""
        return self.pieces + self.moves

    @property
    def pieces(self) -> int:
        """Edits that make every piece one chromosome."""
        return self.separations + self.joins + self.adds + self.deletes


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
        For every piece, whether it stands upside down when its true chromosome is upright; None where nobody says.
    """
    truths, pieces = len(truth_areas), len(piece_areas)
    same = np.asarray(truth_classes, dtype=np.str_)[:, None] == np.asarray(piece_classes, dtype=np.str_)[None, :]
    pairs = match(overlap_ratio(shared, truth_areas, piece_areas), preferred=same)
    edges = set(pairs)
    matched_truth = {i for i, _ in pairs}
    matched_piece = {j for _, j in pairs}
    if truths and pieces:
        for i in sorted(set(range(truths)) - matched_truth):
            covered = shared[i] / max(truth_areas[i], _LEAST_AREA_PX)
            if covered.max() >= COVER_FRACTION:
                edges.add((i, _smallest_covering(covered, piece_areas)))
        for j in sorted(set(range(pieces)) - matched_piece):
            inside = shared[:, j] / max(piece_areas[j], _LEAST_AREA_PX)
            if inside.max() >= COVER_FRACTION:
                edges.add((int(np.argmax(inside)), j))
    truth_degree = Counter(i for i, _ in edges)
    piece_degree = Counter(j for _, j in edges)
    principals = _principals(pairs, edges, shared)
    moves, swaps = _moves(principals, truth_classes, piece_classes)
    return Interactions(
        separations=sum(degree - 1 for degree in piece_degree.values()),
        joins=sum(degree - 1 for degree in truth_degree.values()),
        adds=truths - len(truth_degree),
        deletes=pieces - len(piece_degree),
        moves=moves,
        flips=0 if turned is None else sum(turned[j] for _, j in principals),
        swaps=swaps,
        tray=sum(piece_classes[j] == UNCLASSIFIED for j in range(pieces) if j not in piece_degree),
    )


def interaction_figures(edits: Sequence[Interactions], cases: Sequence[str]) -> dict[str, Any]:
    """Sum the edits of cells up.

    Parameters
    ----------
    edits
        A cell each.
    cases
        Case of each cell, for the intervals.

    Returns
    -------
    dict
        ``mean`` edits a cell and ``mean_10_cells``, ``median``; ``share_le2`` cells that take at most two, with
        ``share_le2_ci95``; ``pieces_mean`` and ``pieces_share_le2``: the same of the edits of pieces alone, as the
        white paper counts; ``none``: cells that take none; ``by_kind``: for each kind its mean a cell, its share
        of all edits (NaN for flips, which aren't among them), and the share of cells that take any.
    """
    total = np.asarray([entry.total for entry in edits], np.float64)
    pieces = np.asarray([entry.pieces for entry in edits], np.float64)
    few = (total <= FEW_INTERACTIONS).astype(np.float64)
    names = np.asarray(cases)
    groups = [np.flatnonzero(names == case) for case in np.unique(names)]

    def share(drawn: NDArray[np.int64]) -> float:
        return float(np.concatenate([few[groups[number]] for number in drawn]).mean())

    kinds = {}
    for kind in _KINDS:
        counts = np.asarray([getattr(entry, kind) for entry in edits], np.float64)
        kinds[kind] = {
            "mean": float(counts.mean()),
            "of_all": float(counts.sum() / max(total.sum(), 1.0)) if kind != "flips" else float("nan"),
            "cells": float(np.mean(counts > 0)),
        }
    return {
        "mean": float(total.mean()),
        "mean_10_cells": float(_CELLS_OF_WHITE_PAPER * total.mean()),
        "median": float(np.median(total)),
        "share_le2": float(few.mean()),
        "share_le2_ci95": bootstrap(len(groups), share),
        "pieces_mean": float(pieces.mean()),
        "pieces_share_le2": float(np.mean(pieces <= FEW_INTERACTIONS)),
        "none": float(np.mean(total == 0)),
        "by_kind": kinds,
    }


def _smallest_covering(covered: NDArray[np.float64], piece_areas: NDArray[np.float64]) -> int:
    """Choose among the pieces that cover a chromosome the tightest."""
    candidates = np.flatnonzero(covered >= COVER_FRACTION)
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


def _moves(
    principals: list[tuple[int, int]], truth_classes: Sequence[str], piece_classes: Sequence[str]
) -> tuple[int, int]:
    """Count moves, each exchange of two as one, and those exchanges alone."""
    wrong = Counter(
        (piece_classes[j], truth_classes[i]) for i, j in principals if piece_classes[j] != truth_classes[i]
    )
    swaps = sum(min(count, wrong[(goal, start)]) for (start, goal), count in list(wrong.items()) if start < goal)
    return sum(wrong.values()) - swaps, swaps

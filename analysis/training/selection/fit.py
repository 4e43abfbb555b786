"""Fit the selection net: of each pair of neighbouring selections the one with fewer errors is to score higher.

Every move from one selection of a cell to another is a comparison whose answer is known: whether it makes more or
fewer errors. The logistic loss on the difference of their scores (SampleRank, Wick et al., ICML 2011) makes the
score the log odds of that answer, at the true selection, the initial one, random ones, and at those that the net
itself arrives at half-way through the fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from analysis.nets.selection_net import SelectionNet, SelectionTerms
from analysis.selection.energy import SelectionEnergy
from analysis.selection.search import improve_selection
from analysis.structures.classes import AUTOSOMES
from analysis.training.selection.prepared import Moves, PreparedCell, moves_from

_MAX_CHANGES: Final = 40
_LEAST_SPREAD: Final = 1e-3
_AUTOSOME_COUNT: Final = len(AUTOSOMES)
_WARM_UP: Final = 0.15
"""Of all steps, in which the rate rises."""
_LARGEST_GRADIENT: Final = 1.0
_OWN_STATES_AT: Final = (0.5, 0.75)
"""Of all epochs, after which the selections that the net arrives at are added to those it learns from."""
_MOVES_A_STEP: Final = 320
"""Of a cell, drawn anew at each step: most moves are plain, and all of them take twice as long."""
_LIKE_SIZES: Final = 12.0
"""Proposals by which cells of a batch may differ: less is padded than in any order, and batches still vary."""


@dataclass(frozen=True, slots=True)
class SelectionFitSettings:
    """How the net learns.

    Attributes
    ----------
    epochs
        Passes over all cells.
    batch
        Cells a step.
    rate
        Highest learning rate (one cycle).
    weight_decay
        Of AdamW.
    size, layers, heads, dropout
        Of the net, see `SelectionNet`.
    seed
        Of the start and the order.
    """

    epochs: int = 14
    batch: int = 12
    rate: float = 2e-3
    weight_decay: float = 0.05
    size: int = 48
    layers: int = 2
    heads: int = 4
    dropout: float = 0.15
    seed: int = 5


@dataclass(frozen=True, slots=True)
class _Batch:
    single: Tensor
    pair: Tensor
    near: Tensor
    padding: Tensor


def fit_selection_net(
    cells: Sequence[PreparedCell],
    moves: Sequence[Moves],
    settings: SelectionFitSettings,
    progress: Callable[[str], None] | None = None,
) -> SelectionNet:
    """Fit the net to cells.

    Parameters
    ----------
    cells
        Prepared.
    moves
        Of each.
    settings
        How it learns.
    progress
        Called with a line an epoch.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    inputs, pair_inputs = cells[0].inputs.single.shape[1], cells[0].inputs.pair.shape[2]
    net = SelectionNet(inputs, pair_inputs, settings.size, settings.layers, settings.heads, settings.dropout)
    _standardise(net, cells)
    own = list(moves)
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.rate, weight_decay=settings.weight_decay)
    steps = settings.epochs * -(-len(cells) // settings.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=steps, pct_start=_WARM_UP)
    for epoch in range(settings.epochs):
        if epoch in {round(part * settings.epochs) for part in _OWN_STATES_AT}:
            own = _with_own_states(net, cells, own)
        net.train()
        sizes = np.asarray([len(cell.initial) for cell in cells]) + rng.uniform(0.0, _LIKE_SIZES, len(cells))
        batches = np.array_split(np.argsort(sizes), -(-len(cells) // settings.batch))
        total = 0.0
        for number in rng.permutation(len(batches)):
            places = batches[number]
            batch = _batch([cells[k] for k in places])
            terms = net(batch.single, batch.pair, batch.near, batch.padding)
            loss = _batch_loss(terms, [_drawn(own[k], rng) for k in places], [cells[k] for k in places])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(net.parameters(), _LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
        if progress is not None:
            progress(f"epoch {epoch + 1} of {settings.epochs}: loss {total / len(batches):.4f}")
    return net.eval()


def energies_of(nets: Sequence[SelectionNet], cells: Sequence[PreparedCell]) -> list[SelectionEnergy]:
    """Energies of cells by the mean terms of several nets.

    Parameters
    ----------
    nets
        Fitted alike, from other starts.
    cells
        Prepared.
    """
    energies = []
    for cell in cells:
        batch = _batch([cell])
        with torch.inference_mode():
            terms = [net.eval()(batch.single, batch.pair, batch.near, batch.padding) for net in nets]
        single = torch.stack([each.single[0] for each in terms]).mean(0).double().numpy()
        pair = torch.stack([each.pair[0] for each in terms]).mean(0).double().numpy()
        third, place = torch.stack([each.places for each in terms]).mean(0).double().tolist()
        energies.append(
            SelectionEnergy(
                single, pair, np.ones(len(single), np.bool_), cell.competing, cell.class_probability, third, place
            )
        )
    return energies


def selections_of(energies: Sequence[SelectionEnergy], cells: Sequence[PreparedCell]) -> list[NDArray[np.bool_]]:
    """Best selections that the search finds from the initial ones."""
    return [
        improve_selection(energy, cell.initial, max_changes=_MAX_CHANGES)
        for energy, cell in zip(energies, cells, strict=True)
    ]


def _with_own_states(net: SelectionNet, cells: Sequence[PreparedCell], moves: Sequence[Moves]) -> list[Moves]:
    """Add moves from the selections that the net arrives at."""
    arrived = selections_of(energies_of([net], cells), cells)
    out = []
    for cell, state, each in zip(cells, arrived, moves, strict=True):
        fresh = not (each.states == state).all(axis=1).any()
        out.append(each.joined(moves_from(cell, state[None])) if fresh else each)
    return out


def _standardise(net: SelectionNet, cells: Sequence[PreparedCell]) -> None:
    single = np.concatenate([cell.inputs.single for cell in cells]).astype(np.float64)
    pair = np.concatenate([cell.inputs.pair[cell.inputs.near] for cell in cells]).astype(np.float64)
    for name, table in (("", single), ("pair_", pair)):
        spread = table.std(axis=0)
        spread[spread < _LEAST_SPREAD] = 1.0
        getattr(net, f"{name}mean").copy_(torch.from_numpy(table.mean(axis=0)).float())
        getattr(net, f"{name}spread").copy_(torch.from_numpy(spread).float())


def _batch(cells: Sequence[PreparedCell]) -> _Batch:
    count = max(len(cell.initial) for cell in cells)
    inputs, pair_inputs = cells[0].inputs.single.shape[1], cells[0].inputs.pair.shape[2]
    single = np.zeros((len(cells), count, inputs), np.float32)
    pair = np.zeros((len(cells), count, count, pair_inputs), np.float32)
    near = np.zeros((len(cells), count, count), np.bool_)
    padding = np.ones((len(cells), count), np.bool_)
    for row, cell in enumerate(cells):
        own = len(cell.initial)
        single[row, :own] = cell.inputs.single
        pair[row, :own, :own] = cell.inputs.pair
        near[row, :own, :own] = cell.inputs.near
        padding[row, :own] = False
    return _Batch(*(torch.from_numpy(each) for each in (single, pair, near, padding)))


def _drawn(moves: Moves, rng: np.random.Generator) -> Moves:
    """Some of a cell's moves that change the number of errors."""
    places = np.flatnonzero(moves.change)
    if len(places) > _MOVES_A_STEP:
        places = rng.permutation(places)[:_MOVES_A_STEP]
    return Moves(moves.states, moves.state[places], moves.flips[places], moves.change[places])


def _batch_loss(terms: SelectionTerms, moves: Sequence[Moves], cells: Sequence[PreparedCell]) -> Tensor:
    """Logistic loss of the moves, mean over all of them."""
    gains, better = [], []
    for single, pair, own, cell in zip(terms.single.unbind(), terms.pair.unbind(), moves, cells, strict=True):
        gains.append(move_gains(single, pair, own, cell, terms.places))
        better.append(torch.from_numpy(own.change < 0))
    gain = torch.cat(gains)
    return functional.binary_cross_entropy_with_logits(gain, torch.cat(better).to(gain.dtype))


def move_gains(single: Tensor, pair: Tensor, moves: Moves, cell: PreparedCell, places: Tensor) -> Tensor:
    """Gains of moves as `SelectionEnergy.gain` computes them: shape (m,).

    Parameters
    ----------
    single, pair
        Terms, of at least k proposals.
    moves, cell
        The moves and their cell.
    places
        Shape (2,): price of a third, gain of a place.
    """
    count = len(cell.initial)
    single, pair = single[:count], pair[:count, :count]
    state = torch.from_numpy(moves.states)[torch.from_numpy(moves.state)].to(single.dtype)
    flips = torch.from_numpy(moves.flips)
    there = (flips >= 0).to(single.dtype)
    at = flips.clamp(min=0)
    sign = there * (1.0 - 2.0 * torch.gather(state, 1, at))
    states = torch.from_numpy(moves.states).to(single.dtype)
    field = single[None] + states @ pair
    gain = (sign * field[torch.from_numpy(moves.state)[:, None], at]).sum(dim=1)
    among = pair[at[:, :, None], at[:, None, :]]
    gain = gain + 0.5 * (sign[:, :, None] * sign[:, None, :] * among).sum(dim=(1, 2))
    chance = torch.from_numpy(cell.class_probability).to(single.dtype)
    held = (states @ chance)[torch.from_numpy(moves.state)]
    after = held + (sign[:, :, None] * chance[at]).sum(dim=1)
    return gain + _places(after, places) - _places(held, places)


def _places(held: Tensor, places: Tensor) -> Tensor:
    autosomes, sex = held[:, :_AUTOSOME_COUNT], held[:, _AUTOSOME_COUNT:].sum(dim=1)
    filled = autosomes.clamp(max=2.0).sum(dim=1) + sex.clamp(max=2.0)
    beyond = (held - 2.0).clamp(min=0.0).sum(dim=1)
    return places[1] * filled - places[0] * beyond

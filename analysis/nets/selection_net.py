"""The selection net: which proposals of a cell are chromosomes, as single and pair terms of one score."""

from __future__ import annotations

from typing import Final, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

_PADDED: Final = -1e4
"""Bias of attention to what is no proposal: nothing of it is left after the softmax."""

_PRICES_AT_START: Final = (0.5, 0.5)
"""Price of a third of a class and gain of a filled place, in log odds, before anything is learned."""


class SelectionTerms(NamedTuple):
    """Terms of the score of a selection.

    Attributes
    ----------
    single
        Shape (cells, proposals): log odds of each proposal that nothing competes with.
    pair
        Shape (cells, proposals, proposals): gain of both together; symmetric, 0 where they aren't near.
    places
        Shape (2,): price of a third chromosome of a class, gain of a filled place, see `SelectionEnergy`.
    """

    single: Tensor
    pair: Tensor
    places: Tensor


class _PairAttention(nn.Module):
    """Attention among proposals, biased by what is measured of each pair; then a feed-forward layer."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(size)
        self.project = nn.Linear(size, 3 * size)
        self.leave = nn.Linear(size, size)
        self.dropout = nn.Dropout(dropout)
        self.forward_norm = nn.LayerNorm(size)
        self.feed = nn.Sequential(
            nn.Linear(size, 2 * size), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * size, size)
        )

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """``x`` has shape (cells, proposals, size), ``bias`` (cells, heads, proposals, proposals)."""
        cells, count, size = x.shape
        parts = self.project(self.norm(x)).view(cells, count, 3, self.heads, size // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        x = x + self.dropout(self.leave(mixed.transpose(1, 2).reshape(cells, count, size)))
        return cast("Tensor", x + self.dropout(self.feed(self.forward_norm(x))))


class SelectionNet(nn.Module):
    """Scores the proposals of a cell in view of one another (Set Transformer, Lee et al., 2019, biased by pairs).

    Parameters
    ----------
    inputs, pair_inputs
        Numbers that describe a proposal, and a pair.
    size, layers, heads
        Of the attention.
    dropout
        While it learns.
    """

    def __init__(
        self,
        inputs: int,
        pair_inputs: int,
        size: int = 48,
        layers: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))
        self.register_buffer("pair_mean", torch.zeros(pair_inputs))
        self.register_buffer("pair_spread", torch.ones(pair_inputs))
        self.enter = nn.Sequential(
            nn.Linear(inputs, 2 * size), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * size, size)
        )
        self.bias = nn.Linear(pair_inputs, layers * heads)
        self.layers = nn.ModuleList(_PairAttention(size, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(size)
        self.single = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.Linear(size, 1))
        self.pair = nn.Sequential(nn.Linear(2 * size + 2 * pair_inputs, size), nn.GELU(), nn.Linear(size, 1))
        self.shortcut = nn.Linear(inputs, 1)
        self.places = nn.Parameter(torch.tensor(_PRICES_AT_START))

    def forward(self, single: Tensor, pair: Tensor, near: Tensor, padding: Tensor) -> SelectionTerms:
        """Compute the terms of cells.

        Parameters
        ----------
        single
            Shape (cells, proposals, inputs).
        pair
            Shape (cells, proposals, proposals, pair inputs).
        near
            bool, shape (cells, proposals, proposals): pairs that may have a term.
        padding
            bool, shape (cells, proposals): True where there is no proposal.
        """
        scaled = (single - cast("Tensor", self.mean)) / cast("Tensor", self.spread)
        x = self.enter(scaled)
        pairs = (pair - cast("Tensor", self.pair_mean)) / cast("Tensor", self.pair_spread)
        bias = self.bias(pairs).permute(0, 3, 1, 2)
        bias = bias.masked_fill(padding[:, None, None, :], _PADDED)
        for number, layer in enumerate(self.layers):
            x = layer(x, bias[:, number * self.heads : (number + 1) * self.heads])
        x = self.norm(x)
        alone = (self.single(x) + self.shortcut(scaled)).squeeze(2)
        cells, rows, columns = torch.nonzero(near.triu(1), as_tuple=True)
        first, second = x[cells, rows], x[cells, columns]
        one, other = pairs[cells, rows, columns], pairs[cells, columns, rows]
        both = torch.cat([one + other, (one - other).abs()], dim=1)
        value = self.pair(torch.cat([first + second, first * second, both], dim=1)).squeeze(1)
        terms = torch.zeros_like(near, dtype=value.dtype)
        terms = terms.index_put((cells, rows, columns), value)
        return SelectionTerms(alone, terms + terms.transpose(1, 2), self.places)


class SelectionEnsemble(nn.Module):
    """The mean terms of several selection nets, which differ in where they started, and the prescreen before them.

    Parameters
    ----------
    members
        How many nets.
    features
        Numbers that the prescreen weighs.
    inputs, pair_inputs, size, layers, heads
        See `SelectionNet`.
    """

    def __init__(
        self,
        *,
        members: int,
        features: int,
        inputs: int,
        pair_inputs: int,
        size: int,
        layers: int,
        heads: int,
    ) -> None:
        super().__init__()
        self.register_buffer("prescreen", torch.zeros(features, dtype=torch.float64))
        self.members = nn.ModuleList(
            SelectionNet(inputs, pair_inputs, size, layers, heads) for _ in range(members)
        )

    @property
    def prescreen_weights(self) -> Tensor:
        """Weights of the prescreen: float64, shape (features,)."""
        return cast("Tensor", self.prescreen)

    def forward(self, single: Tensor, pair: Tensor, near: Tensor, padding: Tensor) -> SelectionTerms:
        """Compute the terms of cells.

        Parameters
        ----------
        single, pair, near, padding
            As of `SelectionNet.forward`.
        """
        terms = [cast("SelectionTerms", member(single, pair, near, padding)) for member in self.members]
        return SelectionTerms(*(torch.stack(each).mean(dim=0) for each in zip(*terms, strict=True)))

"""The classifier's nets: an embedding of one chromosome, and the context of its whole cell."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from analysis.nets.layers import ConvNorm, ResidualBlock

CLASS_COUNT = 24
OUTPUT_COUNT = 2 * CLASS_COUNT + 1
"""Classes upright, classes turned, and "no single chromosome"."""
FEATURE_COUNT = 3
PROFILE_BINS = 64
EMBEDDING_SIZE = 128
VIEW_COUNT = 2
"""The chromosome alone, and with what lies around it."""
DOMAINS = ("G", "Q", "DAPI", "R")
"""Bandings that the net may be given; all 0 where it isn't labelled."""

_DROPOUT = 0.2
"""Of the embedding's layers."""
_CONTEXT_DROPOUT = 0.1
_FIRST_LOG_SCALE = 2.7
"""Cosines are multiplied by 15 at first: smaller, and the softmax of 49 can't become sharp."""
_LEAST_LOG_PROB = -12.0
_LOG_PROB_UNIT = 4.0
_SIZE_GAIN = 3.0
"""Log probabilities and sizes are brought to order one beside the embeddings."""


class EmbeddingNet(nn.Module):
    """Embeds one straightened chromosome; nearness to the embeddings of the classes is the score.

    After KaryoXpert (Chen et al., section 3.4): features of the image and a banding vector meet in 128 numbers
    that are compared by their cosine, trained by triplet loss. Added to it: the width profile, sizes relative to
    the cell, what lies around the mask, the banding where it is known, and a cross-entropy head of unit vectors.

    One function f looks at the crop and at the crop turned by 180 degrees. f has 24 class vectors that mean "of
    this class, and upright" and one for "no single chromosome"; under a joint softmax the answer turns with the
    crop, whatever the weights.

    Parameters
    ----------
    width
        Channels of the first stage.
    views
        1 looks at the chromosome alone, 2 also at what lies around it.
    use_profile, use_sizes, use_domain
        Whether the banding and width profile, the sizes relative to the cell, and the banding are looked at.
    """

    def __init__(
        self,
        width: int = 32,
        views: int = VIEW_COUNT,
        use_profile: bool = True,
        use_sizes: bool = True,
        use_domain: bool = True,
    ) -> None:
        super().__init__()
        self.views, self.use_profile = views, use_profile
        self.use_sizes, self.use_domain = use_sizes, use_domain
        self.image = nn.Sequential(
            ConvNorm(views, width, stride=2),
            nn.ReLU(),
            ConvNorm(width, 2 * width, stride=2),
            nn.ReLU(),
            ResidualBlock(2 * width),
            ConvNorm(2 * width, 3 * width, stride=2),
            nn.ReLU(),
            ResidualBlock(3 * width),
            nn.Conv2d(3 * width, 3 * width, (1, 3), bias=False),
            nn.BatchNorm2d(3 * width),
            nn.ReLU(),
        )
        self.profile = nn.Sequential(
            nn.Conv1d(2, width, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(width, width, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool1d(2),
        )
        self.size = nn.Sequential(nn.Linear(FEATURE_COUNT + len(DOMAINS), 32), nn.ReLU())
        joined = 12 * 3 * width + (PROFILE_BINS // 4) * width + 32
        self.embed = nn.Sequential(
            nn.Dropout(_DROPOUT),
            nn.Linear(joined, 192),
            nn.ReLU(),
            nn.Dropout(_DROPOUT),
            nn.Linear(192, EMBEDDING_SIZE),
        )
        self.class_vectors = nn.Parameter(torch.randn(CLASS_COUNT + 1, EMBEDDING_SIZE))
        self.log_scale = nn.Parameter(torch.tensor(_FIRST_LOG_SCALE))

    def forward(self, views: Tensor, profile: Tensor, features: Tensor, domain: Tensor | None = None) -> Tensor:
        """Score crops as class and polarity.

        Parameters
        ----------
        views
            float32, shape (n, 2, CROP_ROWS, CROP_COLUMNS), see `ChromosomeCrop.views`.
        profile
            float32, shape (n, 2, PROFILE_BINS): banding and width profile.
        features
            float32, shape (n, 3): logarithms of relative length, area and density.
        domain
            float32, shape (n, 4): 1 for the crop's banding in the order of `DOMAINS`; all 0, or None, where it
            isn't known.

        Returns
        -------
        Tensor
            Shape (n, 49): logits of the 24 classes as presented (short arm up), then of the 24 classes turned,
            last of "no single chromosome" (debris, several in one, a part).
        """
        return self.logits(self.both(views, profile, features, domain))

    def both(
        self, views: Tensor, profile: Tensor, features: Tensor, domain: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Embed crops as presented and turned.

        Parameters
        ----------
        views, profile, features, domain
            As of `forward`.

        Returns
        -------
        tuple of Tensor
            Each of shape (n, 128), rows of length 1.
        """
        if domain is None:
            domain = features.new_zeros((len(features), len(DOMAINS)))
        views = views[:, : self.views]
        # Channels last from the start on: on CPUs the convolutions take half the time.
        upright = torch.cat([views, torch.flip(views, (2, 3))]).contiguous(memory_format=torch.channels_last)
        bands = torch.cat([profile, torch.flip(profile, (2,))])
        scalars = torch.cat([features * self.use_sizes, domain * self.use_domain], dim=1)
        parts = [
            self.image(upright).flatten(1),
            self.profile(bands * float(self.use_profile)).flatten(1),
            self.size(torch.cat([scalars, scalars])),
        ]
        vectors = functional.normalize(self.embed(torch.cat(parts, dim=1)).float(), dim=1)
        presented, turned = vectors.chunk(2)
        return presented, turned

    def logits(self, embeddings: tuple[Tensor, Tensor]) -> Tensor:
        """Logits, shape (n, 49), of embeddings as `both` gives them."""
        vectors = functional.normalize(self.class_vectors, dim=1)
        scale = self.log_scale.exp()
        presented, turned = (scale * (each @ vectors.T) for each in embeddings)
        none = 0.5 * (presented[:, CLASS_COUNT:] + turned[:, CLASS_COUNT:])
        return torch.cat([presented[:, :CLASS_COUNT], turned[:, :CLASS_COUNT], none], dim=1)


class ContextNet(nn.Module):
    """Corrects the scores of all objects of a cell in view of one another.

    Attention across the objects, which have no order (Set Transformer, Lee et al., 2019). It adds to the logits of
    the classes, the same for both ways up: turning a crop turns its answer still.

    Parameters
    ----------
    size
        Numbers an object is described by inside the net.
    layers, heads, hidden
        Of the attention.
    """

    def __init__(self, size: int = 128, layers: int = 2, heads: int = 4, hidden: int = 192) -> None:
        super().__init__()
        self.enter = nn.Linear(2 * EMBEDDING_SIZE + OUTPUT_COUNT + FEATURE_COUNT, size)
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(
                size, heads, hidden, dropout=_CONTEXT_DROPOUT, batch_first=True, norm_first=True
            )
            for _ in range(layers)
        )
        self.norm = nn.LayerNorm(size)
        self.leave = nn.Linear(size, CLASS_COUNT + 1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(
        self, embeddings: tuple[Tensor, Tensor], logits: Tensor, features: Tensor, padding: Tensor | None = None
    ) -> Tensor:
        """Correct the logits of cells.

        Parameters
        ----------
        embeddings
            Of `EmbeddingNet.both`, each of shape (cells, objects, 128).
        logits
            Of `EmbeddingNet.logits`, shape (cells, objects, 49).
        features
            Shape (cells, objects, 3): logarithms of relative length, area and density.
        padding
            bool, shape (cells, objects): True where there is no object; None where all are objects.

        Returns
        -------
        Tensor
            Shape (cells, objects, 49).
        """
        log_prob = functional.log_softmax(logits, dim=2)
        presented, turned = log_prob[..., :CLASS_COUNT], log_prob[..., CLASS_COUNT : 2 * CLASS_COUNT]
        # The likelier way up first: what is turned outside is not seen in here.
        swap = (torch.logsumexp(turned, 2) > torch.logsumexp(presented, 2))[..., None]
        first = torch.where(swap, embeddings[1], embeddings[0])
        second = torch.where(swap, embeddings[0], embeddings[1])
        scores = torch.cat([torch.where(swap, turned, presented), torch.where(swap, presented, turned)], dim=2)
        scores = torch.cat([scores, log_prob[..., -1:]], dim=2).clamp(min=_LEAST_LOG_PROB) / _LOG_PROB_UNIT
        scale = EMBEDDING_SIZE**0.5
        x = self.enter(torch.cat([first * scale, second * scale, scores, _SIZE_GAIN * features], dim=2))
        for layer in self.layers:
            x = layer(x, src_key_padding_mask=padding)
        change = cast("Tensor", self.leave(self.norm(x)))
        classes, none = change[..., :CLASS_COUNT], change[..., CLASS_COUNT:]
        return logits + torch.cat([classes, classes, none], dim=2)

"""What the embedding is trained by: cross-entropy over class and polarity, and triplets of the hardest pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from analysis.nets.embedding import CLASS_COUNT

MARGIN = 0.2


def polarity_loss(logits: Tensor, labels: Tensor, polarity: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy of class and polarity where the polarity is known, of its marginal where it isn't.

    Parameters
    ----------
    logits
        Shape (n, 49), see `EmbeddingNet.forward`.
    labels
        int64, shape (n,); 24 is no single chromosome.
    polarity
        int64, shape (n,): 0 upright, 1 turned, -1 unknown.
    smoothing
        Share of the probability that is spread over all classes.
    """
    log_prob = functional.log_softmax(logits, dim=1)
    none = labels == CLASS_COUNT
    upright = log_prob.gather(1, labels[:, None].clamp(max=CLASS_COUNT - 1))[:, 0]
    turned = log_prob.gather(1, labels[:, None].clamp(max=CLASS_COUNT - 1) + CLASS_COUNT)[:, 0]
    either = torch.logaddexp(upright, turned)
    right = torch.where(polarity == 0, upright, torch.where(polarity == 1, turned, either))
    right = torch.where(none, log_prob[:, -1], right)
    return -((1 - smoothing) * right + smoothing * log_prob.mean(dim=1)).mean()


class ClassCentres:
    """Running mean of the upright embeddings of every class, by which turned ones are recognised.

    Parameters
    ----------
    size
        Length of an embedding.
    decay
        Weight of the mean so far, a step.
    """

    def __init__(self, size: int, decay: float = 0.95) -> None:
        self.vectors = torch.zeros((CLASS_COUNT, size))
        self._decay = decay

    def upright(self, embeddings: tuple[Tensor, Tensor], labels: Tensor, polarity: Tensor) -> Tensor:
        """Embeddings, shape (n, 128), the short arm up: as known, or else the way that is nearer to the centre.

        Parameters
        ----------
        embeddings
            Presented and turned, each of shape (n, size).
        labels
            int64, shape (n,).
        polarity
            int64, shape (n,); -1 unknown.
        """
        presented, turned = embeddings
        centre = self.vectors[labels.clamp(max=CLASS_COUNT - 1)]
        nearer = ((turned - presented).detach() * centre).sum(dim=1) > 0
        swap = torch.where(polarity >= 0, polarity == 1, nearer & (labels < CLASS_COUNT))
        return torch.where(swap[:, None], turned, presented)

    def update(self, upright: Tensor, labels: Tensor, polarity: Tensor) -> None:
        """Move the centres towards a batch; only what lies a known way up counts.

        Parameters
        ----------
        upright
            Shape (n, size).
        labels
            int64, shape (n,).
        polarity
            int64, shape (n,); -1 unknown.
        """
        known = (polarity >= 0) & (labels < CLASS_COUNT)
        mean = torch.zeros_like(self.vectors).index_add_(0, labels[known], upright.detach()[known])
        seen = torch.bincount(labels[known], minlength=CLASS_COUNT) > 0
        moved = torch.lerp(functional.normalize(mean, dim=1), self.vectors, self._decay)
        self.vectors = torch.where(seen[:, None], functional.normalize(moved, dim=1), self.vectors)


def batch_hard_triplet_loss(vectors: Tensor, labels: Tensor, margin: float = MARGIN) -> Tensor:
    """Triplet loss with the farthest positive and the nearest negative of the batch (Hermans et al., 2017).

    Parameters
    ----------
    vectors
        Shape (n, d), of length 1.
    labels
        int64, shape (n,). What is no single chromosome (24) is a negative of all, and no anchor.
    margin
        In Euclidean distance, eq. 3 of KaryoXpert (Chen et al.).

    Returns
    -------
    Tensor
        Mean over the anchors with a positive; 0 where there is none.
    """
    distance = (2.0 - 2.0 * vectors @ vectors.T).clamp(min=1e-6).sqrt()
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool)
    positive = same & ~itself
    anchor = (labels < CLASS_COUNT) & positive.any(dim=1) & (~same).any(dim=1)
    if not bool(anchor.any()):
        return vectors.sum() * 0.0
    farthest = distance.masked_fill(~positive, -1.0).amax(dim=1)
    nearest = distance.masked_fill(same, 9.0).amin(dim=1)
    return functional.relu(farthest - nearest + margin)[anchor].mean()

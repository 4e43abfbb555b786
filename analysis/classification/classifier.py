"""Scores of 24 classes, and which way up, for straightened chromosomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.errors import WeightsError
from analysis.nets.embedding import (
    CLASS_COUNT,
    DOMAINS,
    EMBEDDING_SIZE,
    FEATURE_COUNT,
    OUTPUT_COUNT,
    PROFILE_BINS,
    ContextNet,
    EmbeddingNet,
)
from analysis.parameters.weights import WEIGHTS_DIR, fill_net, load_weights, read_manifest
from analysis.straightening.band_profile import profiles
from analysis.structures.class_evidence import ClassScores
from analysis.structures.crop import ChromosomeCrop

CLASSIFIER_WEIGHTS = "classifier"
CONTEXT_ENDING = "-context"
"""Ending of the names of weights of the net that sees the whole cell."""
CONTEXT_MINIMUM = 8
"""Fewer chromosomes give no context of a cell."""
BATCH = 64
"""Crops embedded at a time: more take memory and gain no speed on processors."""
_TURNED_FROM = 0.5
"""Probability of the turned polarity from which a crop counts as upside down: the likelier one."""


@dataclass(frozen=True, slots=True)
class CropEmbeddings:
    """Embeddings of n crops, each by itself; tensors of n rows.

    Attributes
    ----------
    logits
        float32, shape (n, 49).
    presented, turned
        float32, shape (n, 128): embeddings as presented and turned by 180 degrees.
    features
        float32, shape (n, features): sizes relative to the cell.
    """

    logits: Tensor
    presented: Tensor
    turned: Tensor
    features: Tensor

    def __len__(self) -> int:
        return len(self.logits)

    def joined(self, others: CropEmbeddings) -> CropEmbeddings:
        """These, and others after them."""
        pairs = ((getattr(self, name), getattr(others, name)) for name in self.__slots__)
        return CropEmbeddings(*(torch.cat(pair) for pair in pairs))

    def take(self, rows: Sequence[int]) -> CropEmbeddings:
        """Take some, in the order given."""
        at = torch.as_tensor(list(rows), dtype=torch.long)
        return CropEmbeddings(*(getattr(self, name)[at] for name in self.__slots__))


class Classifier:
    """Classifies straightened chromosomes; the joint assignment of a cell is `analysis.assignment`'s.

    Parameters
    ----------
    embedding_net
        Scores a chromosome by itself.
    temperature
        Divides the logits: probabilities are calibrated then on the validation split.
    context
        Corrects the scores in view of the whole cell; None where each chromosome is scored by itself.
    context_temperature
        The same for the corrected logits.
    """

    def __init__(
        self,
        embedding_net: EmbeddingNet,
        temperature: float = 1.0,
        context: ContextNet | None = None,
        context_temperature: float = 1.0,
    ) -> None:
        self._net = embedding_net.eval()
        self._temperature = temperature
        self._context = context.eval() if context is not None else None
        self._context_temperature = context_temperature

    @classmethod
    def load(cls, name: str = CLASSIFIER_WEIGHTS, folder: Path = WEIGHTS_DIR) -> Classifier:
        """Load the product's weights, or those of another folder; with the context net where it lies there too.

        Parameters
        ----------
        name
            Name of the weights.
        folder
            Where they lie.

        Raises
        ------
        WeightsError
            Where they are missing, damaged or of another net.
        """
        manifest = read_manifest(name, folder)
        if manifest.net != EmbeddingNet.__name__:
            raise WeightsError(f"the weights {name!r} are of {manifest.net}, which is no classifier")
        net = EmbeddingNet(**manifest.arguments)
        fill_net(net, load_weights(name, folder), name)
        temperature = manifest.calibration.get("temperature", 1.0)
        context_name = name + CONTEXT_ENDING
        if not (folder / f"{context_name}.json").is_file():
            return cls(net, temperature)
        context_manifest = read_manifest(context_name, folder)
        context = ContextNet(**context_manifest.arguments)
        fill_net(context, load_weights(context_name, folder), context_name)
        return cls(net, temperature, context, context_manifest.calibration.get("temperature", 1.0))

    def score(
        self, crops: Sequence[ChromosomeCrop], *, one_cell: bool = True, banding: str | None = None
    ) -> ClassScores:
        """Score crops, in both polarities.

        Parameters
        ----------
        crops
            Chromosomes.
        one_cell
            True where they are the chromosomes of one cell, as far as they are known: each is then scored in view
            of the others.
        banding
            One of `analysis.nets.embedding.DOMAINS`; None where it isn't known.
        """
        return self.score_embeddings(self.embed_crops(crops, banding=banding), one_cell=one_cell)

    def embed_crops(self, crops: Sequence[ChromosomeCrop], *, banding: str | None = None) -> CropEmbeddings:
        """Embed crops one by one.

        Parameters
        ----------
        crops
            Chromosomes.
        banding
            One of `analysis.nets.embedding.DOMAINS`; None where it isn't known.
        """
        starts = range(0, len(crops), BATCH)
        parts = [self._embedded(crops[start : start + BATCH], banding) for start in starts]
        nothing = torch.zeros((0, EMBEDDING_SIZE))
        features = [torch.from_numpy(crop.features()) for crop in crops]
        return CropEmbeddings(
            torch.cat([torch.zeros((0, OUTPUT_COUNT)), *(part[0] for part in parts)]),
            torch.cat([nothing, *(part[1] for part in parts)]),
            torch.cat([nothing, *(part[2] for part in parts)]),
            torch.stack(features) if features else torch.zeros((0, FEATURE_COUNT)),
        )

    def score_embeddings(self, embeddings: CropEmbeddings, *, one_cell: bool = True) -> ClassScores:
        """Score embedded crops.

        Parameters
        ----------
        embeddings
            Of the crops.
        one_cell
            See `score`.
        """
        if not one_cell or self._context is None or len(embeddings) < CONTEXT_MINIMUM:
            return scores_from_logits(embeddings.logits, self._temperature)
        with torch.inference_mode():
            both = embeddings.presented[None], embeddings.turned[None]
            refined = self._context(both, embeddings.logits[None], embeddings.features[None])[0]
        return scores_from_logits(refined, self._context_temperature)

    def embed(self, crops: Sequence[ChromosomeCrop]) -> NDArray[np.float32]:
        """Embeddings of length 1, shape (n, 2, 128): of the crops as presented, and turned by 180 degrees."""
        starts = range(0, len(crops), BATCH)
        parts = [self._embedded(crops[start : start + BATCH], None) for start in starts]
        empty = torch.zeros((0, 2, EMBEDDING_SIZE))
        return torch.cat([empty, *(torch.stack(part[1:], dim=1) for part in parts)]).numpy()

    def _embedded(self, crops: Sequence[ChromosomeCrop], banding: str | None) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, and embeddings as presented and turned."""
        views = np.stack([crop.views() for crop in crops])
        features = np.stack([crop.features() for crop in crops])
        domain = torch.zeros((len(crops), len(DOMAINS)))
        if banding is not None:
            domain[:, DOMAINS.index(banding)] = 1.0
        inputs = (
            torch.from_numpy(views),
            torch.from_numpy(profiles(views[:, 0], PROFILE_BINS)),
            torch.from_numpy(features),
            domain,
        )
        with torch.inference_mode():
            both = self._net.both(*inputs)
            return self._net.logits(both), *both


def scores_from_logits(logits: Tensor, temperature: float = 1.0) -> ClassScores:
    """Turn logits of `EmbeddingNet` into class scores and polarity.

    Parameters
    ----------
    logits
        float, shape (n, 49): 24 classes in either polarity, and "no single chromosome".
    temperature
        Divides the logits.
    """
    scaled = logits.double() / temperature
    log_none = torch.log_softmax(scaled, dim=1)[:, -1]
    log_prob = torch.log_softmax(scaled[:, :-1], dim=1).reshape(-1, 2, CLASS_COUNT)
    classes = torch.logsumexp(log_prob, dim=1)
    turned = torch.logsumexp(log_prob[:, 1], dim=1).exp().numpy()
    return ClassScores(
        classes.numpy().astype(np.float32),
        log_none.numpy().astype(np.float32),
        np.asarray(turned > _TURNED_FROM),
        np.abs(2.0 * turned - 1.0).astype(np.float32),
        (log_prob[:, 1] - log_prob[:, 0]).numpy().astype(np.float32),
    )

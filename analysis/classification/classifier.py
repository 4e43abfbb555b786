"""Scores of 24 classes, and which way up, for straightened chromosomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.classification.classes import CLASS_NAMES
from analysis.classification.crop import ChromosomeCrop
from analysis.classification.profile import profiles
from analysis.models.net import CLASS_COUNT, OUTPUT_COUNT, PROFILE_BINS, ChromosomeNet
from analysis.models.weights import WEIGHTS_DIR, fill_net, load_weights, read_manifest

CLASSIFIER_WEIGHTS = "classifier"
BATCH = 64


@dataclass(frozen=True, slots=True)
class ClassScores:
    """What the classifier thinks of n crops.

    Attributes
    ----------
    log_prob
        float32, shape (n, 24): log probability of the classes 1..22, X, Y, summed over both polarities, given that
        the object is one chromosome.
    log_none
        float32, shape (n,): log probability that the object is no single chromosome.
    flipped
        bool, shape (n,): True where the short arm points down in the crop.
    polarity_margin
        float32, shape (n,): probability of the chosen polarity less that of the other, in [0, 1].
    turned_log_odds
        float32, shape (n, 24): log odds of "short arm down" given each class.
    """

    log_prob: NDArray[np.float32]
    log_none: NDArray[np.float32]
    flipped: NDArray[np.bool_]
    polarity_margin: NDArray[np.float32]
    turned_log_odds: NDArray[np.float32]

    def flipped_as(self, classes: Sequence[str]) -> NDArray[np.bool_]:
        """Polarity given the classes that were decided on, which may not be the likeliest ones.

        Parameters
        ----------
        classes
            Class names, one an object; "?" keeps the polarity of all classes together.
        """
        flipped = self.flipped.copy()
        for row, name in enumerate(classes):
            if name in CLASS_NAMES:
                flipped[row] = self.turned_log_odds[row, CLASS_NAMES.index(name)] > 0
        return flipped

    def __len__(self) -> int:
        return len(self.log_prob)


class Classifier:
    """Classifies straightened chromosomes one by one; the joint view of a cell is `karyogram.assignment`'s.

    Parameters
    ----------
    net
        A net ready for use.
    temperature
        Divides the logits: probabilities then mean what they say on the validation split.
    """

    def __init__(self, net: ChromosomeNet, temperature: float = 1.0) -> None:
        self._net = net.eval()
        self._temperature = temperature

    @classmethod
    def load(cls, name: str = CLASSIFIER_WEIGHTS, folder: Path = WEIGHTS_DIR) -> Classifier:
        """Load the product's weights, or those of another folder.

        Raises
        ------
        WeightsError
            Where they are missing, damaged or of another net.
        """
        manifest = read_manifest(name, folder)
        net = ChromosomeNet(**manifest.arguments)
        fill_net(net, load_weights(name, folder), name)
        return cls(net, manifest.calibration.get("temperature", 1.0))

    def score(self, crops: Sequence[ChromosomeCrop]) -> ClassScores:
        """Score crops; both ways up are always looked at."""
        starts = range(0, len(crops), BATCH)
        parts = [self._logits(crops[start : start + BATCH]) for start in starts]
        empty = torch.zeros((0, OUTPUT_COUNT))
        return scores_from_logits(torch.cat([empty, *parts]), self._temperature)

    def _logits(self, crops: Sequence[ChromosomeCrop]) -> Tensor:
        images = np.stack([crop.image for crop in crops])
        features = np.stack([crop.features() for crop in crops])
        with torch.inference_mode():
            logits: Tensor = self._net(
                torch.from_numpy(images)[:, None],
                torch.from_numpy(profiles(images, PROFILE_BINS)),
                torch.from_numpy(features),
            )
        return logits


def scores_from_logits(logits: Tensor, temperature: float = 1.0) -> ClassScores:
    """Turn the 49 logits of `ChromosomeNet` into class scores and polarity."""
    scaled = logits.double() / temperature
    log_none = torch.log_softmax(scaled, dim=1)[:, -1]
    log_prob = torch.log_softmax(scaled[:, :-1], dim=1).reshape(-1, 2, CLASS_COUNT)
    classes = torch.logsumexp(log_prob, dim=1)
    turned = torch.logsumexp(log_prob[:, 1], dim=1).exp().numpy()
    return ClassScores(
        classes.numpy().astype(np.float32),
        log_none.numpy().astype(np.float32),
        np.asarray(turned > 0.5),
        np.abs(2.0 * turned - 1.0).astype(np.float32),
        (log_prob[:, 1] - log_prob[:, 0]).numpy().astype(np.float32),
    )

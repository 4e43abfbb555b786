"""What a piece of stain is: models 1 to 3 of the stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.nets.layers import folded
from analysis.nets.mask_net import BLOB_WEIGHTS, BlobNet
from analysis.parameters.weights import WEIGHTS_DIR, fill_net, load_weights, read_manifest
from analysis.segmentation.mask_net.input import blob_crop
from analysis.structures.region import Region

_BATCH: Final = 64


class BlobKind(Enum):
    """Where the stream sends a piece."""

    SINGLE = "single"
    CONNECTED = "connected"
    ATTACHED = "attached noise"
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class BlobAnswer:
    """The stream's three answers about a piece, as probabilities.

    Attributes
    ----------
    pure
        Nothing but chromosomes (model 1).
    connected
        More than one, if there is nothing else (model 2).
    attached
        Chromosomes with noise at them, if there is something else (model 3).
    """

    pure: float
    connected: float
    attached: float

    @property
    def kind(self) -> BlobKind:
        """The likeliest way."""
        if self.pure >= 0.5:
            return BlobKind.CONNECTED if self.connected >= 0.5 else BlobKind.SINGLE
        return BlobKind.ATTACHED if self.attached >= 0.5 else BlobKind.NOISE


class BlobClassifier:
    """Tells what pieces of stain are.

    Parameters
    ----------
    blob_net
        As trained.
    """

    def __init__(self, blob_net: BlobNet) -> None:
        self._net = folded(blob_net, half=False)

    @staticmethod
    def load(folder: Path = WEIGHTS_DIR) -> BlobClassifier:
        """Load weights and manifest.

        Raises
        ------
        WeightsError
            Where they are missing, damaged or another net's.
        """
        net = BlobNet(**read_manifest(BLOB_WEIGHTS, folder).arguments)
        fill_net(net, load_weights(BLOB_WEIGHTS, folder), BLOB_WEIGHTS)
        return BlobClassifier(net)

    def __call__(self, level: NDArray[np.float32], pieces: Sequence[Region]) -> list[BlobAnswer]:
        """Answer for pieces given in px of the stream's picture."""
        answers: list[BlobAnswer] = []
        for start in range(0, len(pieces), _BATCH):
            crops = [
                blob_crop(level, piece.mask, piece.x0_px, piece.y0_px) for piece in pieces[start : start + _BATCH]
            ]
            shown = torch.from_numpy(np.stack([crop for crop, _ in crops]))
            extras = torch.from_numpy(np.stack([extra for _, extra in crops]))
            with torch.inference_mode():
                chances = self._net(shown.contiguous(memory_format=torch.channels_last), extras).sigmoid().numpy()
            answers += [BlobAnswer(*(float(value) for value in row)) for row in chances]
        return answers

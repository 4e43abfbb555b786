"""The finder's net: is a proposal a metaphase, and how well will it karyotype.

A small strided convolutional net. Its attention starts at the middle of the crop: a neighbour at the rim of a crop
is another proposal's metaphase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor, nn

from analysis.nets.layers import NAMED, ConvNorm, ResidualBlock

CROP_SIDE_PX: Final = 128
EXTRA_COUNT: Final = 2
QUALITY_NAMES: Final = ("spread", "overlap", "completeness", "contrast")
TYPICAL_RADIUS_UM: Final = 20.0
TYPICAL_CHROMOSOMES: Final = 46.0
_CELLS: Final = 8
_CELL_PX: Final = CROP_SIDE_PX // _CELLS
_FIRST_REACH_CELLS: Final = 2.0
"""The attention starts as a Gaussian of a metaphase's typical radius, in cells of the last feature map."""

_DROPOUT: Final = 0.1
"""Of the head."""


@dataclass(frozen=True, slots=True)
class FinderOutput:
    """Outputs of the net for n crops.

    Attributes
    ----------
    metaphase, analysable
        Logits, shape (n,): is there a metaphase in the middle; can it be analysed, given that it is one.
    offset
        Shape (n, 2): centre of the metaphase less the middle of the crop, (x, y) in px of the work image.
    log_radius
        Shape (n,): logarithm of the cell's radius over 20 um.
    quality
        Logits, shape (n, 4): spread, overlap, completeness, contrast.
    chromosomes
        Shape (n,): how many are there.
    correct_fraction
        Logits, shape (n,): fraction of its chromosomes that the karyotype proposal will place correctly.
    """

    metaphase: Tensor
    analysable: Tensor
    offset: Tensor
    log_radius: Tensor
    quality: Tensor
    chromosomes: Tensor
    correct_fraction: Tensor


def _conv(channels_in: int, channels_out: int, *, size: int = 3, stride: int = 1) -> ConvNorm:
    return ConvNorm(channels_in, channels_out, size, stride, keys=NAMED)


def _residual(channels: int) -> ResidualBlock:
    return ResidualBlock(channels, keys=NAMED)


class FinderNet(nn.Module):
    """Scores crops round proposals.

    Parameters
    ----------
    width
        Channels of the stem; 12 is the product's net, tests take less.
    """

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        last = 7 * width
        self.body = nn.Sequential(
            _conv(1, width, size=5, stride=2),
            nn.ReLU(),
            _conv(width, 2 * width, stride=2),
            nn.ReLU(),
            _residual(2 * width),
            _conv(2 * width, 4 * width, stride=2),
            nn.ReLU(),
            _residual(4 * width),
            _conv(4 * width, last, stride=2),
            nn.ReLU(),
            _residual(last),
        )
        # Two maps: attention, and where the centre lies.
        self.maps = nn.Conv2d(last, 2, 1)
        steps = torch.arange(_CELLS) - 0.5 * (_CELLS - 1)
        ys, xs = torch.meshgrid(steps, steps, indexing="ij")
        near = -(xs**2 + ys**2) / (2 * _FIRST_REACH_CELLS**2)
        self.place = nn.Parameter(torch.stack([near, near]).flatten(1))
        self.register_buffer("places_px", torch.stack([xs, ys], -1).flatten(0, 1) * _CELL_PX, persistent=False)
        self.head = nn.Sequential(
            nn.Linear(3 * last + EXTRA_COUNT, 64),
            nn.ReLU(),
            nn.Dropout(_DROPOUT),
            nn.Linear(64, 4 + len(QUALITY_NAMES) + 1),
        )

    def forward(self, crops: Tensor, extras: Tensor) -> FinderOutput:
        """Score crops.

        Parameters
        ----------
        crops
            float32, shape (n, 1, 128, 128): optical density.
        extras
            float32, shape (n, 2): logarithm of the proposal's radius over 20 um; noise of the field's density
            times 50.
        """
        features = self.body(crops)
        flat = features.flatten(2)
        logits = self.maps(features).flatten(2) + self.place
        attention = torch.softmax(logits, dim=2)
        attended = flat @ attention[:, 0].unsqueeze(2)
        offset = attention[:, 1] @ cast("Tensor", self.places_px)
        parts = [attended.squeeze(2), flat.amax(dim=2), flat.mean(dim=2), extras]
        out = self.head(torch.cat(parts, dim=1))
        return FinderOutput(
            metaphase=out[:, 0],
            analysable=out[:, 1],
            offset=offset,
            log_radius=out[:, 2],
            quality=out[:, 4:8],
            chromosomes=TYPICAL_CHROMOSOMES * (1.0 + out[:, 3]),
            correct_fraction=out[:, 8],
        )

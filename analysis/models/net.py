"""The nets of the analysis."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASS_COUNT = 24
OUTPUT_COUNT = 2 * CLASS_COUNT + 1
"""Classes upright, classes turned, and "no single chromosome"."""
FEATURE_COUNT = 3
PROFILE_BINS = 64


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(x + self.second_norm(self.second(y)))


def _down(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


class ChromosomeNet(nn.Module):
    """Class and polarity of one straightened chromosome.

    One function f gives 24 logits that mean "of this class, and upright", and one for "no single chromosome". It
    looks at the crop and at the crop turned by 180 degrees; the joint softmax over the 48 answers and the mean of
    the two others turns with the crop, whatever the weights.
    Image, banding profile and the sizes relative to the cell meet in one vector, as the banding vector does in
    KaryoXpert (Chen et al., section 3.4).

    Parameters
    ----------
    width
        Channels of the first stage; 24 is the product's net, tests take less.
    """

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.image = nn.Sequential(
            _down(1, width),
            _down(width, 2 * width),
            _Residual(2 * width),
            _down(2 * width, 4 * width),
            _Residual(4 * width),
            nn.Conv2d(4 * width, 4 * width, (1, 3), bias=False),
            nn.BatchNorm2d(4 * width),
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
        self.size = nn.Sequential(nn.Linear(FEATURE_COUNT, 32), nn.ReLU())
        self.head = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(12 * 4 * width + (PROFILE_BINS // 4) * width + 32, 192),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(192, CLASS_COUNT + 1),
        )

    def forward(self, views: Tensor, profile: Tensor, features: Tensor, _domain: Tensor | None = None) -> Tensor:
        """Score crops as class and polarity.

        Parameters
        ----------
        views
            float32, shape (n, 1 or 2, CROP_ROWS, CROP_COLUMNS); only the first, the chromosome alone, is used.
        profile
            float32, shape (n, 2, PROFILE_BINS): banding and width profile.
        features
            float32, shape (n, 3): logarithms of relative length, area and density.

        Returns
        -------
        Tensor
            Shape (n, 49): logits of the 24 classes as presented (short arm up), then of the 24 classes turned,
            last of "no single chromosome" (debris, several in one, a part).
        """
        image = views[:, :1]
        both_images = torch.cat([image, torch.flip(image, (2, 3))])
        both_profiles = torch.cat([profile, torch.flip(profile, (2,))])
        both = self.upright_logits(both_images, both_profiles, torch.cat([features, features]))
        presented, turned = both.chunk(2)
        none = 0.5 * (presented[:, CLASS_COUNT:] + turned[:, CLASS_COUNT:])
        return torch.cat([presented[:, :CLASS_COUNT], turned[:, :CLASS_COUNT], none], dim=1)

    def upright_logits(self, image: Tensor, profile: Tensor, features: Tensor) -> Tensor:
        """Score "of this class, and upright" and "none" for crops as presented: shape (n, 25)."""
        parts = [self.image(image).flatten(1), self.profile(profile).flatten(1), self.size(features)]
        return cast("Tensor", self.head(torch.cat(parts, dim=1)))

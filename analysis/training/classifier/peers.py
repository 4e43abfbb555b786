"""Small variants of well-known image nets, to hold the classifier's net against: same inputs, same budget.

They are written here after their papers, with the stem and the number of stages that a picture of 96 x 24 pixels
leaves room for: the libraries that carry them need a build of torch that the product doesn't use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from analysis.nets.embedding import CLASS_COUNT, DOMAINS, FEATURE_COUNT, PROFILE_BINS, VIEW_COUNT
from analysis.nets.layers import ConvNorm
from analysis.structures.crop import CROP_COLUMNS, CROP_ROWS


class PeerNet(nn.Module):
    """An image net in the place of the product's: both ways up, profile and sizes beside its features.

    Parameters
    ----------
    backbone
        Turns views, shape (n, 2, CROP_ROWS, CROP_COLUMNS), into features, shape (n, ``features``).
    features
        Length of them.
    """

    def __init__(self, backbone: nn.Module, features: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.profile = nn.Sequential(nn.Flatten(), nn.Linear(2 * PROFILE_BINS, 64), nn.ReLU())
        self.size = nn.Sequential(nn.Linear(FEATURE_COUNT + len(DOMAINS), 32), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(features + 96, CLASS_COUNT + 1))

    def forward(self, views: Tensor, profile: Tensor, features: Tensor, domain: Tensor | None = None) -> Tensor:
        """Score crops, see `EmbeddingNet.forward`.

        Parameters
        ----------
        views
            float32, shape (n, 2, CROP_ROWS, CROP_COLUMNS).
        profile
            float32, shape (n, 2, PROFILE_BINS).
        features
            float32, shape (n, FEATURE_COUNT).
        domain
            float32, shape (n, domains): one-hot; None for none.

        Returns
        -------
        Tensor
            Logits, float32, shape (n, 49).
        """
        if domain is None:
            domain = features.new_zeros((len(features), len(DOMAINS)))
        both = torch.cat([views, torch.flip(views, (2, 3))]).contiguous(memory_format=torch.channels_last)
        bands = torch.cat([profile, torch.flip(profile, (2,))])
        told = torch.cat([features, domain], dim=1)
        parts = [self.backbone(both), self.profile(bands), self.size(torch.cat([told, told]))]
        presented, turned = cast("Tensor", self.head(torch.cat(parts, dim=1))).chunk(2)
        none = 0.5 * (presented[:, CLASS_COUNT:] + turned[:, CLASS_COUNT:])
        return torch.cat([presented[:, :CLASS_COUNT], turned[:, :CLASS_COUNT], none], dim=1)


class _Basic(nn.Module):
    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNorm(channels_in, channels_out, stride=stride), nn.ReLU(), ConvNorm(channels_out, channels_out)
        )
        same = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if same else ConvNorm(channels_in, channels_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet18() -> PeerNet:
    """ResNet18 (He et al., 2016), half as wide, its stem a 3 x 3 convolution of stride 2."""
    stages: list[nn.Module] = [ConvNorm(VIEW_COUNT, 32, stride=2), nn.ReLU()]
    channels = 32
    for wide, stride in ((32, 1), (64, 2), (128, 2), (256, 2)):
        stages += [_Basic(channels, wide, stride), _Basic(wide, wide, 1)]
        channels = wide
    return PeerNet(nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten()), channels)


class _SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * cast("Tensor", self.gate(x))


class _MobileBlock(nn.Module):
    """Fused or depthwise inverted bottleneck of EfficientNetV2."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, expand: int, *, fused: bool) -> None:
        super().__init__()
        wide = expand * channels_in
        if fused:
            body: list[nn.Module] = [
                ConvNorm(channels_in, wide, stride=stride),
                nn.SiLU(),
                ConvNorm(wide, channels_out, 1),
            ]
        else:
            body = [
                ConvNorm(channels_in, wide, 1),
                nn.SiLU(),
                ConvNorm(wide, wide, stride=stride, groups=wide),
                nn.SiLU(),
                _SqueezeExcite(wide, max(8, channels_in // 4)),
                ConvNorm(wide, channels_out, 1),
            ]
        self.body = nn.Sequential(*body)
        self.same = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.same else cast("Tensor", self.body(x))


def efficientnet_v2() -> PeerNet:
    """EfficientNetV2 (Tan and Le, 2021) in small: fused blocks first, then depthwise ones with squeeze-excite."""
    plan = ((24, 1, 2, 2, True), (48, 2, 3, 4, True), (64, 2, 3, 4, False), (128, 2, 3, 4, False))
    stages: list[nn.Module] = [ConvNorm(VIEW_COUNT, 24, stride=2), nn.SiLU()]
    channels = 24
    for wide, stride, depth, expand, fused in plan:
        for number in range(depth):
            stages.append(_MobileBlock(channels, wide, stride if number == 0 else 1, expand, fused=fused))
            channels = wide
    head = [ConvNorm(channels, 256, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return PeerNet(nn.Sequential(*stages, *head), 256)


class _ChannelNorm(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


class _NextBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.point = nn.Sequential(
            nn.LayerNorm(channels, eps=1e-6),
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            nn.Linear(4 * channels, channels),
        )
        self.scale = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        change = self.scale * self.point(self.depthwise(x).permute(0, 2, 3, 1))
        return x + cast("Tensor", change).permute(0, 3, 1, 2)


def convnext() -> PeerNet:
    """ConvNeXt (Liu et al., 2022), narrow: three stages of 48, 96 and 192 channels, a stem of stride 2."""
    stages: list[nn.Module] = [nn.Conv2d(VIEW_COUNT, 48, 2, stride=2), _ChannelNorm(48)]
    channels = 48
    for wide, depth in ((48, 2), (96, 2), (192, 4)):
        if wide != channels:
            stages += [_ChannelNorm(channels), nn.Conv2d(channels, wide, 2, stride=2)]
        stages += [_NextBlock(wide) for _ in range(depth)]
        channels = wide
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(channels)]
    return PeerNet(nn.Sequential(*stages, *head), channels)


class _Patches(nn.Module):
    """Vision transformer over patches of 8 x 6 pixels."""

    def __init__(self, size: int, layers: int, heads: int, patch: tuple[int, int]) -> None:
        super().__init__()
        self.cut = nn.Conv2d(VIEW_COUNT, size, patch, stride=patch)
        count = (CROP_ROWS // patch[0]) * (CROP_COLUMNS // patch[1])
        self.place = nn.Parameter(0.02 * torch.randn(1, count + 1, size))
        self.first = nn.Parameter(torch.zeros(1, 1, size))
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    size, heads, 4 * size, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
                )
                for _ in range(layers)
            )
        )
        self.norm = nn.LayerNorm(size)

    def forward(self, views: Tensor) -> Tensor:
        tokens = self.cut(views).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(tokens), -1, -1).to(tokens.dtype), tokens], dim=1) + self.place
        return cast("Tensor", self.norm(self.layers(tokens)[:, 0]))


def vit_tiny() -> PeerNet:
    """ViT (Dosovitskiy et al., 2020), tiny: 6 layers of 128, patches of 8 x 6 pixels."""
    return PeerNet(_Patches(128, 6, 4, (8, 6)), 128)


PEERS: Mapping[str, Callable[[], PeerNet]] = {
    "ResNet18, half width": resnet18,
    "EfficientNetV2, small": efficientnet_v2,
    "ConvNeXt, narrow": convnext,
    "ViT, tiny": vit_tiny,
}

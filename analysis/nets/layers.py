"""Blocks that the nets share: convolutions with batch normalisation, residual blocks, and folding them for use."""

from __future__ import annotations

from collections import OrderedDict
from copy import deepcopy
from typing import Final, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

NUMBERED: Final = ("0", "1")
NAMED: Final = ("conv", "norm")

_Net = TypeVar("_Net", bound=nn.Module)


class ConvNorm(nn.Sequential):
    """Convolution without bias and batch normalisation; one convolution once folded.

    Parameters
    ----------
    channels_in, channels_out
        Channels of input and output.
    size
        Side of the kernel in px, odd; the output is as large as the input where the stride is 1.
    stride
        Of the convolution.
    groups
        Of the convolution; as many as channels for a depthwise one.
    activation
        Whether a ReLU follows.
    keys
        Names of the convolution and of the normalisation in files of weights: `NUMBERED` or `NAMED`.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        size: int = 3,
        stride: int | tuple[int, int] = 1,
        *,
        groups: int = 1,
        activation: bool = False,
        keys: tuple[str, str] = NUMBERED,
    ) -> None:
        convolution = nn.Conv2d(channels_in, channels_out, size, stride, size // 2, groups=groups, bias=False)
        layers: list[tuple[str, nn.Module]] = [(keys[0], convolution), (keys[1], nn.BatchNorm2d(channels_out))]
        if activation:
            layers.append(("2", nn.ReLU(inplace=True)))
        super().__init__(OrderedDict(layers))

    def fold(self) -> None:
        """Put the normalisation into the kernel; for a net that no longer learns."""
        if isinstance(self[1], nn.BatchNorm2d):
            self[0] = fuse_conv_bn_eval(cast("nn.Conv2d", self[0]), self[1])
            self[1] = nn.Identity()


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut (He et al. 2016).

    Parameters
    ----------
    channels
        Channels of input and output.
    keys
        As of `ConvNorm`.
    """

    def __init__(self, channels: int, *, keys: tuple[str, str] = NUMBERED) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, keys=keys)
        self.second = ConvNorm(channels, channels, keys=keys)

    def forward(self, x: Tensor) -> Tensor:
        """Transform features, shape (n, channels, h, w); the shape stays."""
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class IdentityStartBlock(nn.Module):
    """Residual block that starts as the identity, which trains faster (zero-initialised last normalisation).

    Parameters
    ----------
    channels
        Channels of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, activation=True)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(channels)
        nn.init.zeros_(cast("Tensor", self.norm.weight))

    def forward(self, x: Tensor) -> Tensor:
        """Transform features, shape (n, channels, h, w); the shape stays."""
        return functional.relu(x + self.norm(self.second(self.first(x))))

    def fold(self) -> None:
        """Put the second normalisation into its kernel; the first one folds by itself."""
        if isinstance(self.norm, nn.BatchNorm2d):
            self.second = fuse_conv_bn_eval(self.second, self.norm)
            self.norm = nn.Identity()


def fold_batch_norms(net: nn.Module) -> None:
    """Put every normalisation of a net's blocks into its kernel: the same answers sooner, and no more training."""
    net.eval()
    for module in list(net.modules()):
        if isinstance(module, ConvNorm | IdentityStartBlock):
            module.fold()


def folded(net: _Net, *, half: bool) -> _Net:
    """Copy a net for inference.

    Parameters
    ----------
    net
        As trained; it stays as it is.
    half
        Whether the copy computes in half precision (bfloat16).

    Returns
    -------
    nn.Module
        With normalisation folded into the kernels, its weights in channels-last order.
    """
    copy = deepcopy(net)
    fold_batch_norms(copy)
    if half:
        copy.to(torch.bfloat16)
    copy.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return copy


def upsample_twice(x: Tensor) -> Tensor:
    """Double height and width of features, shape (n, channels, h, w), by repeating pixels."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")

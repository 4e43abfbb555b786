"""The nets of the stream: what a piece is, and the whole of one chromosome in a pile."""

from __future__ import annotations

from copy import deepcopy
from typing import Final, NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

PROMPT_CHANNELS: Final = 3
"""Stain, box, point."""

BLOB_EXTRAS: Final = 2

_Net = TypeVar("_Net", bound=nn.Module)


class _Conv(nn.Sequential):
    def __init__(self, channels_in: int, channels_out: int, size: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )

    def fold(self) -> None:
        """Let the kernels do the normalisation."""
        self[0] = fuse_conv_bn_eval(cast("nn.Conv2d", self[0]), cast("nn.BatchNorm2d", self[1]))
        self[1] = nn.Identity()


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _Conv(channels, channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(channels)
        nn.init.zeros_(cast("Tensor", self.norm.weight))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.norm(self.second(self.first(x))))

    def fold(self) -> None:
        """Let the second kernel do its normalisation; the first one's folds by itself."""
        self.second = fuse_conv_bn_eval(self.second, cast("nn.BatchNorm2d", self.norm))
        self.norm = nn.Identity()


class MaskOutput(NamedTuple):
    """What the mask net answers.

    Attributes
    ----------
    mask
        Shape (n, CROP_PX, CROP_PX): logits of belonging to the chromosome that is asked for.
    quality
        Shape (n,): logits of how well the mask will fit (intersection over union).
    """

    mask: Tensor
    quality: Tensor


class MaskNet(nn.Module):
    """Amodal mask of one chromosome, asked for by a box round it or by a point on it.

    A U-net whose finest level is at one half: the shared area of a crossing belongs to the chromosome like any
    other of its pixels.

    Parameters
    ----------
    width
        Channels of the first stage; 16 is the product's net, tests take less.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        c2, c4, c8, c16 = width, 5 * width // 2, 4 * width, 6 * width
        # The finest level costs most and knows least: one layer down, a block up.
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), _Conv(4 * PROMPT_CHANNELS, c2))
        self.down4 = nn.Sequential(_Conv(c2, c4, stride=2), _Residual(c4))
        self.down8 = nn.Sequential(_Conv(c4, c8, stride=2), _Residual(c8))
        self.down16 = nn.Sequential(_Conv(c8, c16, stride=2), _Residual(c16), _Residual(c16))
        self.up8 = _Conv(c16, c8, 1)
        self.mix8 = _Residual(c8)
        self.up4 = _Conv(c8, c4, 1)
        self.mix4 = _Residual(c4)
        self.up2 = _Conv(c4, c2, 1)
        self.mix2 = _Residual(c2)
        self.out = nn.Sequential(nn.Conv2d(c2, 4, 1), nn.PixelShuffle(2))
        self.quality = nn.Sequential(nn.Linear(c16 + c8, c16), nn.ReLU(), nn.Linear(c16, 1))

    def forward(self, prompted: Tensor) -> MaskOutput:
        """Answer prompts.

        Parameters
        ----------
        prompted
            float32, shape (n, 3, CROP_PX, CROP_PX): stain, the box as ones, the point as a bell; one of the two
            last is empty.
        """
        x2 = self.stem(prompted)
        x4 = self.down4(x2)
        x8 = self.down8(x4)
        x16 = self.down16(x8)
        y8 = self.mix8(x8 + _twice(self.up8(x16)))
        y4 = self.mix4(x4 + _twice(self.up4(y8)))
        y2 = self.mix2(x2 + _twice(self.up2(y4)))
        known = torch.cat([x16.mean(dim=(2, 3)), y8.mean(dim=(2, 3))], dim=1)
        return MaskOutput(self.out(y2)[:, 0].float(), self.quality(known)[:, 0].float())


class BlobNet(nn.Module):
    """The three questions of the stream about a piece of stain, one answer each.

    Parameters
    ----------
    width
        Channels of the first stage; 16 is the product's net, tests take less.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.image = nn.Sequential(
            nn.PixelUnshuffle(2),
            _Conv(8, width),
            _Conv(width, 2 * width, stride=2),
            _Residual(2 * width),
            _Conv(2 * width, 3 * width, stride=2),
            _Residual(3 * width),
            _Conv(3 * width, 4 * width, stride=2),
        )
        # No dropout: examples never repeat, and a training taken up again shall end as it would have.
        self.head = nn.Sequential(
            nn.Linear(8 * width + BLOB_EXTRAS, 4 * width), nn.ReLU(), nn.Linear(4 * width, 3)
        )

    def forward(self, blobs: Tensor, extras: Tensor) -> Tensor:
        """Answer for pieces.

        Parameters
        ----------
        blobs
            float32, shape (n, 2, BLOB_PX, BLOB_PX).
        extras
            float32, shape (n, 2).

        Returns
        -------
        Tensor
            float32, shape (n, 3), logits: nothing but chromosomes (model 1); of those: more than one (model 2); of
            the others: chromosomes with noise at them, not noise alone (model 3).
        """
        x = self.image(blobs)
        pooled = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3)), extras.to(x.dtype)], dim=1)
        answer: Tensor = self.head(pooled)
        return answer.float()


def folded(net: _Net, *, half: bool) -> _Net:
    """Copy of a net for use alone: normalisation folded into the kernels; on request in half precision."""
    made = deepcopy(net).eval()
    for module in list(made.modules()):
        if isinstance(module, _Conv | _Residual):
            module.fold()
    if half:
        made.to(torch.bfloat16)
    made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
